"""What is to be sent, in order for each address, while the network is slow, away or full.

Shared by the front ends: each gives a coroutine that delivers one reply and raises `Later` when
that must be tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from bot.replies import Reply

log = logging.getLogger(__name__)

MAX_WAITING = 50
"Replies to one address; the oldest news of a call goes first, then the oldest of all."
MAX_ADDRESSES = 10_000
MAX_PAUSE = 60.0
"Seconds between two tries at most."


class Later(Exception):  # it says what to do
    """It cannot be sent now; `seconds` is how long to wait, if that is known."""

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__("later")
        self.seconds = seconds


class Outbox:
    """Replies by address. `deliver` is never called twice at once for one address."""

    def __init__(self, deliver: Callable[[str, Reply], Awaitable[None]]) -> None:
        self._deliver = deliver
        self._waiting: dict[str, deque[Reply]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    def put(self, address: str, reply: Reply) -> None:
        """Send a reply as soon as those before it are sent."""
        if address not in self._waiting:
            if len(self._waiting) >= MAX_ADDRESSES:
                log.warning("too many people to tell something at once; one was not told")
                return
            self._waiting[address] = deque()
            self._workers[address] = asyncio.ensure_future(self._work(address))
        waiting = self._waiting[address]
        if reply.card:
            for place, earlier in enumerate(waiting):
                if earlier.card and earlier.call_id == reply.call_id:
                    waiting[place] = reply  # it shows all that the earlier one did
                    return
        if len(waiting) >= MAX_WAITING:
            waiting.remove(next((one for one in waiting if one.card), waiting[0]))
        waiting.append(reply)

    async def close(self) -> None:
        """Stop; what was not sent is not sent."""
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    async def _work(self, address: str) -> None:
        waiting, pause = self._waiting[address], 0.5
        try:
            while waiting:
                reply = waiting.popleft()
                try:
                    await self._deliver(address, reply)
                except Later as later:
                    waiting.appendleft(reply)
                    pause = min(2 * pause, MAX_PAUSE)
                    await asyncio.sleep(later.seconds or pause)
                except Exception:
                    log.exception("a reply could not be delivered and is dropped")
                else:
                    pause = 0.5
        finally:
            del self._waiting[address], self._workers[address]
