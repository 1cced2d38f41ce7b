"""What calls cost: a rate deck, looked at by the longest prefix of the number called.

A deck is a CSV file with a header: prefix, name, price (a minute), fee (for the connection),
increments ("60/60": the first interval that is charged, and all that follow, in seconds). What is
wrong in it is told line by line; a deck with a wrong line is not used at all.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

MAX_BYTES = 20_000_000
MAX_LINES = 300_000
MAX_PROBLEMS = 50
"Told of one deck; of more only how many."
MICRO = 6
"Decimals of prices; they are finer than what is paid with."
MOST_A_MINUTE = 10_000
MAX_INTERVAL = 3_600
_COLUMNS = ("prefix", "name", "price")


class DeckError(ValueError):
    """A deck that cannot be used; `problems` are lines for people."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems[0] if problems else "the deck is empty")
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The price of calling somewhere: `price` a minute and `fee` a call, in millionths of the
    unit of account; `first` and `step` in seconds."""

    prefix: str
    name: str
    price: int
    fee: int = 0
    first: int = 60
    step: int = 60

    def charged(self, seconds: int) -> int:
        """The seconds that are paid for a call of some; a call that was not answered has none."""
        if seconds <= 0:
            return 0
        more = max(0, seconds - self.first)
        return self.first + -(-more // self.step) * self.step

    def cost(self, seconds: int, decimals: int) -> int:
        """Of a call, in the smallest unit, rounded up once."""
        if seconds <= 0:
            return 0
        exact = 60 * self.fee + self.price * self.charged(seconds)
        return -(-exact // _sixtieths(decimals))

    def lasts(self, amount: int, decimals: int) -> float:
        """Seconds that an amount pays for; infinite where calls are free."""
        left = amount * _sixtieths(decimals) - 60 * self.fee
        if left < 0:
            return 0
        if self.price == 0:
            return float("inf")
        paid = left // self.price
        return 0 if paid < self.first else self.first + (paid - self.first) // self.step * self.step


def _sixtieths(decimals: int) -> int:
    """How many sixtieths of a millionth the smallest unit has: exact for prices a minute."""
    return int(60 * 10 ** (MICRO - decimals))


class RateDeck:
    """All rates. `of` finds the one for a number."""

    def __init__(self, rates: Iterable[Rate]) -> None:
        self._by_prefix: Mapping[str, Rate] = {rate.prefix: rate for rate in rates}

    def __len__(self) -> int:
        return len(self._by_prefix)

    def __iter__(self) -> Iterator[Rate]:
        return iter(self._by_prefix.values())

    def of(self, number: str) -> Rate | None:
        """The rate of +E.164 with the longest prefix; None: it cannot be called."""
        digits = number.removeprefix("+")
        for end in range(len(digits), 0, -1):
            if (rate := self._by_prefix.get(digits[:end])) is not None:
                return rate
        return None


def load(file: Path) -> RateDeck:
    """Read a deck. Raises `DeckError`."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise DeckError([f"{file} cannot be read: {error.strerror}"]) from error
    if len(content) > MAX_BYTES:
        raise DeckError([f"{file} is larger than {MAX_BYTES // 1_000_000} MB"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DeckError([f"{file} is not UTF-8 text"]) from None
    return read(text)


def read(text: str) -> RateDeck:
    """A deck from its text. Raises `DeckError` with all that is wrong."""
    first = text.split("\n", 1)[0]
    rows = csv.reader(io.StringIO(text), delimiter=";" if ";" in first else ",")
    problems: list[str] = []
    rates: dict[str, Rate] = {}
    more = 0
    try:
        header = [name.strip().casefold() for name in next(rows, [])]
        if lacking := [name for name in _COLUMNS if name not in header]:
            raise DeckError([f"line 1: the header lacks {', '.join(lacking)}"])
        for values in rows:
            if not any(value.strip() for value in values):
                continue
            if len(rates) >= MAX_LINES:
                raise DeckError([f"line {rows.line_num}: {MAX_LINES} rates are the most"])
            try:
                rate = _rate(dict(zip(header, map(str.strip, values), strict=False)))
                if rate.prefix in rates:
                    raise ValueError(f"the prefix {rate.prefix} is there twice")
                rates[rate.prefix] = rate
            except ValueError as error:
                more += len(problems) >= MAX_PROBLEMS
                problems += [f"line {rows.line_num}: {error}"][: MAX_PROBLEMS - len(problems)]
    except csv.Error as error:
        problems.append(f"line {rows.line_num}: {error}")
    if more:
        problems.append(f"and {more} lines more")
    if problems or not rates:
        raise DeckError(problems or ["there is no rate in it"])
    return RateDeck(rates.values())


def _rate(values: Mapping[str, str]) -> Rate:
    """One line. Raises ValueError."""
    prefix = values.get("prefix", "").removeprefix("+").removeprefix("00")
    if not prefix.isascii() or not prefix.isdecimal() or len(prefix) > 15:
        raise ValueError(f"“{values.get('prefix', '')[:20]}” is no prefix of telephone numbers")
    name = values.get("name", "")
    if not name or len(name) > 80:
        raise ValueError("the name must have 1 to 80 characters")
    first, step = _increments(values.get("increments") or "60/60")
    return Rate(
        prefix=prefix,
        name=name,
        price=_price(values.get("price", ""), "price"),
        fee=_price(values.get("fee") or "0", "fee"),
        first=first,
        step=step,
    )


def _price(text: str, what: str) -> int:
    try:
        value = Decimal(text.replace(",", ".")) if len(text) <= 20 else Decimal("NaN")
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value <= MOST_A_MINUTE:
        raise ValueError(f"“{text[:20]}” is no {what}")
    scaled = value.scaleb(MICRO)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"the {what} “{text}” has more than {MICRO} decimals")
    return int(scaled)


def _increments(text: str) -> tuple[int, int]:
    parts = text.split("/")
    good = len(parts) == 2 and all(
        part.isascii() and part.isdecimal() and len(part) <= 4 and 1 <= int(part) <= MAX_INTERVAL
        for part in parts
    )
    if not good:
        raise ValueError(f"“{text[:20]}” are no increments, such as 60/60 or 1/1")
    return int(parts[0]), int(parts[1])
