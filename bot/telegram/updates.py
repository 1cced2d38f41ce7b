"""What comes in: each update is noted on disk before Telegram may forget it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from telegram import Update
from telegram.error import Conflict, TelegramError
from telegram.request import HTTPXRequest

log = logging.getLogger(__name__)


class Noted(asyncio.Queue[object]):
    """Updates between their coming and being handled, each noted on disk first, in their order.
    With `each` its coming is confirmed by itself, so it is noted when `put` returns."""

    def __init__(self, note: Callable[[Update], Awaitable[bool]], *, each: bool) -> None:
        super().__init__()
        self._note = note
        self._each = each
        self._noting: deque[tuple[object, asyncio.Future[bool]]] = deque()

    async def put(self, item: object) -> None:
        if not isinstance(item, Update):
            await super().put(item)
            return
        noting = asyncio.ensure_future(self._note(item))
        self._noting.append((item, noting))
        noting.add_done_callback(self._hand_on)
        if self._each:
            await asyncio.wait((noting,))

    def _hand_on(self, _: object) -> None:
        while self._noting and self._noting[0][1].done():
            item, noting = self._noting.popleft()
            if not noting.cancelled() and noting.result():
                self.put_nowait(item)

    async def noted(self) -> None:
        """Wait until all that was put in here is noted; who waits no more does not stop that."""
        if self._noting:
            await asyncio.wait([noting for _, noting in self._noting])


class Polling(HTTPXRequest):
    """Asks for updates. That also confirms the ones before, so these must be noted by then."""

    def __init__(self, updates: Noted) -> None:
        super().__init__(connection_pool_size=1)
        self._updates = updates

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        await self._updates.noted()
        return await super().do_request(*args, **kwargs)


def polling_trouble(error: TelegramError) -> None:
    """Log why no updates come."""
    if isinstance(error, Conflict):
        log.error("another program polls with the same Telegram token; stop it")
    else:
        log.warning("Telegram cannot be reached: %s", type(error).__name__)
