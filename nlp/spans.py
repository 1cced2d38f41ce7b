"""Spans of the text that need no statistics, and the text with placeholders in their stead.

Numbers, times, amounts, zones and contacts are found by exact means and **masked** before the
model sees the sentence: it learns "call PHONENUM from the ZONE line", never a digit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nlp.commands import Money, Party, When


class Kind(StrEnum):
    """What a span is; the value is the placeholder the model sees."""

    NUMBER = "PHONENUM"
    EXTENSION = "EXTNUM"
    CONTACT = "CONTACTNAME"
    ZONE = "ZONENAME"
    TIME = "TIMEEXPR"
    PAST = "PASTTIME"
    AMOUNT = "AMOUNT"
    LINK = "LINKTEXT"
    ADDRESS = "WALLETADDR"
    CODE = "STARCODE"
    OTHER_NUMBER = "NUM"


@dataclass(frozen=True)
class Span:
    """A piece ``text[start:end]`` with its meaning: a Party, a When, Money, a zone code or other
    words, or nothing. `parts` are what an expression of time was made of."""

    start: int
    end: int
    kind: Kind
    value: Party | When | Money | str | None = None
    parts: tuple[Any, ...] = ()


class Spans:
    """Spans that do not overlap: the first finder to claim a piece of text keeps it."""

    def __init__(self) -> None:
        self._spans: list[Span] = []

    def claim(self, found: Iterable[Span]) -> None:
        """Keep those of `found` whose place is still free."""
        for span in found:
            if self.free(span.start, span.end):
                self._spans.append(span)

    def free(self, start: int, end: int) -> bool:
        """Whether nothing of ``start:end`` has been claimed."""
        return all(end <= span.start or start >= span.end for span in self._spans)

    def ordered(self) -> list[Span]:
        """All spans, in the order of the text."""
        return sorted(self._spans, key=lambda span: span.start)


@dataclass(frozen=True)
class Masked:
    """The text with placeholders, in lower case but for them, and the way back."""

    text: str
    original: str
    spans: tuple[tuple[int, int, Span], ...]
    offsets: tuple[int, ...]

    def inside(self, start: int, end: int) -> list[tuple[int, int, Span]]:
        """The masked spans within ``text[start:end]``, with their places in `text`."""
        return [item for item in self.spans if start <= item[0] and item[1] <= end]

    def words(self, start: int, end: int) -> str:
        """The person's own words behind ``text[start:end]``."""
        if start >= end:
            return ""
        return self.original[self.offsets[start] : self.offsets[end - 1] + 1].strip()


def mask(original: str, spans: Iterable[Span]) -> Masked:
    """Put the placeholders in. Case tells the model nothing, so all other words are lowered."""
    out: list[str] = []
    offsets: list[int] = []
    places: list[tuple[int, int, Span]] = []

    def put(piece: str, positions: Iterable[int]) -> None:
        out.append(piece)
        offsets.extend(positions)

    at = 0
    for span in spans:
        _put_plain(original, at, span.start, put)
        if offsets and out[-1][-1:] not in (" ", ""):
            put(" ", [span.start])
        start = len(offsets)
        placeholder = span.kind.value
        # Each character of the placeholder points into the span; the last one at its last.
        positions = [min(span.start + i, span.end - 1) for i in range(len(placeholder))]
        positions[-1] = span.end - 1
        put(placeholder, positions)
        places.append((start, len(offsets), span))
        if span.end < len(original) and original[span.end].isalnum():
            put(" ", [span.end - 1])
        at = span.end
    _put_plain(original, at, len(original), put)
    return Masked("".join(out), original, tuple(places), tuple(offsets))


def _put_plain(original: str, start: int, end: int, put: object) -> None:
    assert callable(put)
    for i in range(start, end):
        lowered = original[i].lower()
        # A few letters grow when lowered ("İ"): every character still has one place of origin.
        put(lowered, [i] * len(lowered))
