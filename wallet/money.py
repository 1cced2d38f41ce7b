"""Sums of money: integers in the smallest unit of what they are of, and their text."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

WAVES = "WAVES"
"The id of the Waves chain's own coin, whose `assetId` is null there."
MOST = 2**62
"No sum is larger, so that no two of them leave what a database counts in."
MAX_TEXT = 40


class MoneyError(ValueError):
    """Not a sum; the text says why, for people."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """What something is counted in: `id` tells it from all others, names may be anybody's."""

    id: str
    name: str
    decimals: int

    def parse(self, text: str) -> int:
        """A sum as people write it, with point or comma. Raises `MoneyError`."""
        tidy = text.strip().replace(" ", "")
        if "," in tidy and "." not in tidy and tidy.count(",") == 1:
            tidy = tidy.replace(",", ".")
        try:
            if not tidy or len(tidy) > MAX_TEXT:
                raise InvalidOperation
            value = Decimal(tidy).scaleb(self.decimals)
        except InvalidOperation:
            raise MoneyError(f"“{text[:MAX_TEXT]}” is no sum") from None
        if not value.is_finite() or value != value.to_integral_value():
            raise MoneyError(f"{self.name} has {self.decimals} decimals, not more")
        if abs(value) > MOST:
            raise MoneyError("that is more than there can be")
        return int(value)

    def text(self, amount: int) -> str:
        """A sum for people: 12.50 EUR."""
        return f"{self.figures(amount)} {self.name}"

    def short(self, amount: int) -> str:
        """The same without zeros at its end: 12.5 EUR."""
        figures = self.figures(amount)
        return f"{figures.rstrip('0').rstrip('.') if '.' in figures else figures} {self.name}"

    def figures(self, amount: int) -> str:
        """The number alone, for programs and people: 12.50."""
        whole, part = divmod(abs(amount), 10**self.decimals)
        sign = "-" if amount < 0 else ""
        return f"{sign}{whole}.{part:0{self.decimals}d}" if self.decimals else f"{sign}{whole}"
