"""The 20 ms heartbeat that every port-path stream shares."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from pbx.about import about
from pbx.media.codecs import FRAME_MS

log = logging.getLogger(__name__)

PERIOD = FRAME_MS / 1000
MAX_CATCH_UP = 5
"Ticks made up for after a stall; a longer one is skipped rather than sent as a burst."
MAX_WORK = 0.002
"Seconds of work after which others have their turn before the tick goes on."


class MediaClock:
    """Calls each member once a tick while there are any, without drifting."""

    def __init__(self) -> None:
        self._members: dict[Callable[[], None], None] = {}
        self._timer: asyncio.Handle | None = None
        self._due = 0.0

    def add(self, tick: Callable[[], None]) -> None:
        self._members[tick] = None
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due = loop.time() + PERIOD
            with about(""):  # it ticks for all calls, not for the first
                self._timer = loop.call_at(self._due, self._tick)

    def remove(self, tick: Callable[[], None]) -> None:
        self._members.pop(tick, None)

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._due > MAX_CATCH_UP * PERIOD:
            log.warning("the media clock was late by %.0f ms", 1000 * (now - self._due))
            self._due = now
        self._go_on(deque(self._members))

    def _go_on(self, members: deque[Callable[[], None]]) -> None:
        """Call the members left of this tick, as many as there is time for now."""
        loop = asyncio.get_running_loop()
        until = loop.time() + MAX_WORK
        while members and loop.time() <= until:
            self._call(members.popleft())
        if members:
            self._timer = loop.call_soon(self._go_on, members)
        elif self._members:
            self._due += PERIOD
            self._timer = loop.call_at(self._due, self._tick)
        else:
            self._timer = None

    def _call(self, member: Callable[[], None]) -> None:
        if member not in self._members:  # left since the tick began
            return
        try:
            member()
        except Exception:
            log.exception("a stream failed and is dropped from the clock")
            self._members.pop(member, None)
