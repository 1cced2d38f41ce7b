"""Overload control: what is looked at when more comes in than can be done.

Requests outside every dialog are paid from a bucket filled with processing time, so that a
flood, whatever a request of it costs, leaves the rest of the loop to the calls that go on. When
the bucket is half empty such requests get a stateless 503 with Retry-After, unparsed; and so
they do while the loop lags. A registered phone has a small allowance of its own beside the
bucket: its next call is set up while others flood.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable

from pbx.guard import Guard
from pbx.sip.refusal import is_new, transaction_key
from pbx.sip.transport import Address, Flow, Look

SHARE = 0.4
"Share of the loop's time that requests of no dialog and no registered phone may take."
SAVED = 0.1
"Seconds of such work that a quiet time saves up."
DEVICE_RATE, DEVICE_BURST = 20.0, 60.0
"New requests a second, and at once, that a registered phone or a trunk has beside the bucket."
MAX_DEVICES = 20_000
GAUGE_EVERY = 0.1
MAX_LAG = 0.15
"Seconds the loop may be late on average before new calls are refused."
MAX_STALL = 1.0
"What one lateness counts for at most: a single long stall is over when it is seen, no crowd."
BUSY = 0.5
"Share of the time our loop must have worked itself for its lateness to count."
RETRY_AFTER = 5


class Overload:
    """Decides for `Transports` what is looked at; see the module."""

    def __init__(
        self,
        guard: Guard,
        *,
        is_device: Callable[[Address], bool],
        is_repeat: Callable[[str], bool],
        is_proxy: Callable[[str], bool] = lambda host: False,
    ) -> None:
        self.lag = 0.0
        "How late the loop is, in seconds: an average over about a second."
        self.refused = 0
        "Requests answered 503 unparsed since start."
        self.dropped = 0
        "Messages of known hosts dropped unparsed since start."
        self._guard = guard
        self._is_device, self._is_proxy = is_device, is_proxy
        self._is_repeat = is_repeat
        self._left = SAVED
        self._filled: float | None = None
        self._devices: OrderedDict[Address, tuple[float, float]] = OrderedDict()
        self._worked = 0.0
        self._gauge: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch the loop."""
        loop = asyncio.get_running_loop()
        self._worked = time.thread_time()
        self._gauge = loop.call_later(GAUGE_EVERY, self._measure, loop.time() + GAUGE_EVERY)

    def stop(self) -> None:
        if self._gauge is not None:
            self._gauge.cancel()

    def look(self, data: bytes, flow: Flow) -> Look:
        """What to do with a message that has not been read yet."""
        remote = flow.remote
        if self._is_proxy(remote[0]):  # a whole city behind one address, and it counts itself
            return self._busy(data) if self.lag > MAX_LAG and is_new(data) else Look.PASS
        ours = flow.trusted or self._is_device(remote)
        if not ours and not self._guard.admits(remote[0]):
            return Look.DROP
        new = is_new(data)
        if ours and not new:
            return Look.PASS
        if ours and self._allowance(remote):
            return self._busy(data) if self.lag > MAX_LAG else Look.PASS
        left = self._refill()
        if left <= 0:
            self.dropped += 1
            return Look.DROP
        if new and (left < SAVED / 2 or self.lag > MAX_LAG):
            return self._busy(data)
        return Look.METER

    def spent(self, seconds: float) -> None:
        """Processing time that went into a message looked at with `METER`."""
        self._left -= seconds

    @staticmethod
    def retry_after() -> int:
        """Seconds, spread so that those refused together do not come back together."""
        return random.randint(RETRY_AFTER, 2 * RETRY_AFTER)

    def _busy(self, data: bytes) -> Look:
        """503, unless the request is a repeat of one being worked on: that is answered as the
        first was, or the caller would hear two endings."""
        if self._is_repeat(transaction_key(data)):
            return Look.PASS
        self.refused += 1
        return Look.BUSY

    def _refill(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._filled is not None:
            self._left = min(SAVED, self._left + (now - self._filled) * SHARE)
        self._filled = now
        return self._left

    def _allowance(self, remote: Address) -> bool:
        """Take one from what a phone has of its own."""
        now = asyncio.get_running_loop().time()
        tokens, seen = self._devices.get(remote, (DEVICE_BURST, now))
        tokens = min(DEVICE_BURST, tokens + (now - seen) * DEVICE_RATE)
        self._devices[remote] = (max(0.0, tokens - 1), now)
        self._devices.move_to_end(remote)
        if len(self._devices) > MAX_DEVICES:
            self._devices.popitem(last=False)
        return tokens >= 1

    def _measure(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        worked = time.thread_time()
        late = max(0.0, now - due)
        if worked - self._worked < BUSY * (late + GAUGE_EVERY):
            late = 0.0  # others had the processor: refusing our calls would not help
        self._worked = worked
        self.lag += 0.1 * (min(late, MAX_STALL) - self.lag)
        self._gauge = loop.call_later(GAUGE_EVERY, self._measure, now + GAUGE_EVERY)
