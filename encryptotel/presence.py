"""Whether people's phones are there, and in a call; who looks is told when it changes."""

from __future__ import annotations

from collections.abc import Callable

from bot.ports import Availability
from pbx.events import (
    DeviceRegistered,
    DeviceUnregistered,
    Event,
    LegAnswered,
    LegEnded,
    LegStarted,
)
from pbx.ports import Directory

Look = Callable[[str], None]


class Presence:
    """`has_phone` says whether an extension has a registered phone."""

    def __init__(self, directory: Directory, has_phone: Callable[[str], bool]) -> None:
        self._directory = directory
        self._has_phone = has_phone
        self._talking: dict[str, set[str]] = {}
        "The legs of each extension that are dialling or talking."
        self._last: dict[str, Availability] = {}
        self._watchers: list[Look] = []

    def of(self, extension: str) -> Availability:
        """How an extension is; whatever is none counts as free."""
        if self._directory.extension(extension) is None:
            return Availability.FREE
        if self._talking.get(extension):
            return Availability.BUSY
        return Availability.FREE if self._has_phone(extension) else Availability.OFF

    def watch(self, look: Look) -> Callable[[], None]:
        """Tell of every extension whose availability changed; the result stops it."""
        self._watchers.append(look)
        return lambda: self._watchers.remove(look)

    def take(self, event: Event) -> None:
        """The event sink."""
        match event:
            case LegStarted(direction="in") | LegAnswered() if not getattr(event, "trunk", ""):
                self._talking.setdefault(event.peer, set()).add(event.leg_id)
                self._changed(event.peer)
            case LegEnded():
                legs = self._talking.get(event.peer, set())
                legs.discard(event.leg_id)
                if not legs:
                    self._talking.pop(event.peer, None)
                self._changed(event.peer)
            case DeviceRegistered(refreshed=False) | DeviceUnregistered():
                self._changed(event.extension)
            case _:
                pass

    def _changed(self, extension: str) -> None:
        if self._directory.extension(extension) is None:
            return
        now = self.of(extension)
        if self._last.get(extension) is not now:
            self._last[extension] = now
            for look in list(self._watchers):
                look(extension)
