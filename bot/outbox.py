"""What is to be sent, in order for each address, while the network is slow, away or full.

Shared by the front ends: each gives a coroutine that delivers one reply and raises `Later` when
that must be tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass

from bot.replies import Reply

log = logging.getLogger(__name__)

MAX_WAITING = 50
"Replies to one address; the oldest news of a call goes first, then the oldest of all."
MAX_ADDRESSES = 10_000
MAX_PAUSE = 60.0
"Seconds between two tries at most."
LAST_WORDS = 2.0
"Seconds for what is still to be sent when we stop."


class Later(Exception):
    """It cannot be sent now; `seconds` is how long to wait, if that is known."""

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__("later")
        self.seconds = seconds


@dataclass(eq=False)
class _Letter:
    """A reply on its way; `gone` is done once it needs no more care, and cancelled if it was not
    sent when we stopped."""

    reply: Reply
    gone: asyncio.Future[None]


class Outbox:
    """Replies by address. `deliver` is never called twice at once for one address."""

    def __init__(self, deliver: Callable[[str, Reply], Awaitable[None]]) -> None:
        self._deliver = deliver
        self._waiting: dict[str, deque[_Letter]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    @property
    def waiting(self) -> int:
        """Replies that are not sent yet."""
        return sum(map(len, self._waiting.values()))

    def put(self, address: str, reply: Reply) -> asyncio.Future[None]:
        """Send a reply as soon as those before it are sent; what it gives is done when it is or
        never will be, and cancelled when we stopped before."""
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if address not in self._waiting:
            if len(self._waiting) >= MAX_ADDRESSES:
                log.warning("too many people to tell something at once; one was not told")
                gone.set_result(None)
                return gone
            self._waiting[address] = deque()
            self._workers[address] = asyncio.get_running_loop().create_task(
                self._work(address), context=Context()
            )  # it serves what comes later too, about whatever that is
        waiting = self._waiting[address]
        if reply.card:
            for letter in waiting:
                if letter.reply.card and letter.reply.call_id == reply.call_id:
                    letter.reply = reply  # it shows all that the earlier one did
                    return letter.gone
        if len(waiting) >= MAX_WAITING:
            dropped = next((one for one in waiting if one.reply.card), waiting[0])
            waiting.remove(dropped)
            dropped.gone.set_result(None)
        waiting.append(_Letter(reply, gone))
        return gone

    async def close(self) -> None:
        """Send what can be sent at once, then stop."""
        workers = list(self._workers.values())
        if workers:
            await asyncio.wait(workers, timeout=LAST_WORDS)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, address: str) -> None:
        waiting, pause = self._waiting[address], 0.5
        sending: list[_Letter] = []
        try:
            while waiting:
                letter = waiting.popleft()
                sending = [letter]
                try:
                    await self._deliver(address, letter.reply)
                except Later as later:
                    waiting.appendleft(letter)
                    sending = []
                    await asyncio.sleep(later.seconds or pause)
                    pause = min(2 * pause, MAX_PAUSE)
                    continue
                except Exception:
                    log.exception("a reply could not be delivered and is dropped")
                pause = 0.5
                letter.gone.set_result(None)
                sending = []
        except asyncio.CancelledError:
            for letter in (*sending, *waiting):
                letter.gone.cancel()
            raise
        finally:
            del self._waiting[address], self._workers[address]
