"""Joins two anchored legs at their engines, so that their media never come by us."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pbx.media.anchor import Anchor, Outlet
from pbx.media.rtpengine import EngineError

log = logging.getLogger(__name__)

Outlets = tuple[Outlet, Outlet]


class Patch:
    """Between two anchors. What is wanted last is done; `on_settled` is told when they are joined,
    or when they cannot be."""

    def __init__(self, one: Anchor, two: Anchor, on_settled: Callable[[], None]) -> None:
        self.ends = one, two
        self.joined: Outlets | None = None
        "How they are joined; None while both come by us."
        self._wanted: Outlets | None = None
        self._on_settled = on_settled
        self._failed = self._changing = False
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def want(self, outlets: Outlets | None) -> None:
        """Join them like that; with None let both come by us."""
        if not self._changing and not all(end.plugged for end in self.ends):
            self.joined = None  # whoever described themselves anew has us as what is near
        done = outlets == self._wanted and (self._changing or outlets == self.joined)
        if done or (self._failed and outlets is not None):
            return
        self._wanted = outlets
        self._news.set()
        if self._task is None:
            self._task = asyncio.ensure_future(self._work())

    def part(self) -> None:
        """Want it no more, and tell nobody."""
        self._on_settled = lambda: None
        self.want(None)

    @property
    def pending(self) -> bool:
        """Whether they are about to be joined."""
        return self._wanted is not None and self._wanted != self.joined

    async def _work(self) -> None:
        while self._wanted is not None or self.joined is not None:
            if self._wanted != self.joined:
                await self._change(self._wanted)
            else:
                self._news.clear()
                await self._news.wait()
        self._task = None

    async def _change(self, wanted: Outlets | None) -> None:
        self._changing, failed_now = True, False
        try:
            one, two = wanted or (None, None)
            await asyncio.gather(self.ends[0].plug(one), self.ends[1].plug(two))
        except EngineError as error:
            if not any(end.closed for end in self.ends):
                log.warning("media go by us: %s", error)
            self._failed, self._wanted = True, None
            self.joined = wanted  # perhaps by half: to be undone, if there is still something to
            failed_now = True
        else:
            self.joined = wanted
        finally:
            self._changing = False
        if failed_now or (not self._failed and wanted is not None and wanted == self._wanted):
            self._on_settled()
