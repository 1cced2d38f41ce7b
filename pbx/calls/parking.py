"""Parked calls: a place has a number, and whoever dials it has the call that waits there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pbx.calls.leg import Leg
from pbx.ports import CallRefused

ANYWHERE = "*700"
"To park in the first free place."
PLACES: Sequence[str] = tuple(f"*70{n}" for n in range(1, 10))


@dataclass
class Parked:
    """Somebody who waits in a place; `taken` is done with the leg that takes them."""

    place: str
    leg: Leg
    by: str
    taken: asyncio.Future[Leg] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Parking:
    """All places. `on_change` is told the number of one that is taken or free now."""

    def __init__(self) -> None:
        self.on_change: Callable[[str], None] = lambda place: None
        self.is_here: Callable[[str], bool] = lambda place: True
        "Whether a place is one of this program's."
        self._parked: dict[str, Parked] = {}

    def parked(self, place: str) -> Parked | None:
        """Who waits in a place."""
        return self._parked.get(place)

    def park(self, leg: Leg, by: str, place: str) -> Parked:
        """Put somebody in a place, or in the first that is free. Raises `CallRefused` when it is
        taken."""
        wanted = [one for one in PLACES if self.is_here(one)] if place == ANYWHERE else [place]
        if not all(map(self.is_here, wanted)):
            raise CallRefused(404, f"that place is elsewhere now: park at {ANYWHERE}")
        free = next((one for one in wanted if one in PLACES and one not in self._parked), None)
        if free is None:
            raise CallRefused(486, "that place for parked calls is taken")
        parked = self._parked[free] = Parked(free, leg, by)
        self.on_change(free)
        return parked

    @property
    def taken(self) -> set[str]:
        """The places where somebody waits."""
        return set(self._parked)

    def leave(self, parked: Parked) -> None:
        """A place is free again."""
        if self._parked.get(parked.place) is parked:
            del self._parked[parked.place]
            self.on_change(parked.place)
