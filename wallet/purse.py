"""What somebody has, in two parts: what was paid in with ETT buys more, and is spent first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REDUCED = "/ETT"
"Behind the name of an account: its part that was paid in with ETT."


@dataclass(frozen=True, kw_only=True)
class Purse:
    """`percent` is taken off what `reduced` pays for."""

    plain: int = 0
    reduced: int = 0
    percent: int = 0

    @property
    def sum(self) -> int:
        """What it holds."""
        return self.plain + self.reduced

    @property
    def worth(self) -> int:
        """What it pays for, at the prices of the deck."""
        return self.plain + self.reduced * 100 // (100 - self.percent)

    def pay(self, cost: int) -> Mapping[str, int]:
        """What is taken of each part for something at the price of the deck, by what is behind the
        account's name; never more than there is."""
        cheaper = min(cost, self.reduced * 100 // (100 - self.percent))
        reduced = -(-cheaper * (100 - self.percent) // 100)
        plain = min(cost - cheaper, self.plain)
        return {name: part for name, part in ((REDUCED, reduced), ("", plain)) if part}
