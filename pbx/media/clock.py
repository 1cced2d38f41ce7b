"""The 20 ms heartbeat that every port-path stream shares."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pbx.media.codecs import FRAME_MS

log = logging.getLogger(__name__)

PERIOD = FRAME_MS / 1000
MAX_CATCH_UP = 5
"Ticks made up for after a stall; a longer one is skipped rather than sent as a burst."


class MediaClock:
    """Calls each member once a tick while there are any, without drifting."""

    def __init__(self) -> None:
        self._members: dict[Callable[[], None], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def add(self, tick: Callable[[], None]) -> None:
        self._members[tick] = None
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due = loop.time() + PERIOD
            self._timer = loop.call_at(self._due, self._tick)

    def remove(self, tick: Callable[[], None]) -> None:
        self._members.pop(tick, None)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._due > MAX_CATCH_UP * PERIOD:
            log.warning("the media clock was late by %.0f ms", 1000 * (now - self._due))
            self._due = now
        for member in list(self._members):
            try:
                member()
            except Exception:
                log.exception("a stream failed and is dropped from the clock")
                self._members.pop(member, None)
        if not self._members:
            self._timer = None
            return
        self._due += PERIOD
        self._timer = loop.call_at(self._due, self._tick)
