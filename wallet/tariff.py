"""Monthly plans as data."""

from __future__ import annotations

from dataclasses import dataclass

SECONDS = "s/"
"The asset of included seconds begins so; behind it comes the name of where they are for."


@dataclass(frozen=True, kw_only=True)
class Included:
    """Seconds of calls to numbers that begin so."""

    name: str
    prefixes: tuple[str, ...]
    seconds: int

    @property
    def asset(self) -> str:
        return SECONDS + self.name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one can have for a `price` for so many days."""

    name: str
    price: int
    days: int
    included: tuple[Included, ...] = ()
    features: frozenset[str] = frozenset()
    "What it includes besides: answerphone, menus, numbers."
    numbers: int = 0
    "Numbers of one's own, for advertisements and the like, if those are among them."
