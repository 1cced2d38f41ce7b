"""One command's part of a message, as the builders of slots see it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from nlp.commands import Money, Party, When
from nlp.contacts import named
from nlp.context import Context
from nlp.spans import Kind, Masked, Span
from nlp.times import moment

T = TypeVar("T", Party, When, Money, str)

Role = tuple[int, int, str]
_SEVERAL = re.compile(r"\b(?:and|then|or)\b|,")
_TRIMMED = " \t.,;:!?\"'()-"


@dataclass(frozen=True)
class View:
    """``masked.text[start:end]``, with what was found in it exactly and what the model marked.

    Places are those of `text`, which is masked and in lower case; `said` gives the person's words.
    """

    masked: Masked
    roles: tuple[Role, ...]
    start: int
    end: int
    context: Context

    @cached_property
    def text(self) -> str:
        """The masked text."""
        return self.masked.text[self.start : self.end]

    @cached_property
    def words(self) -> str:
        """The person's own words, all of them."""
        return self.said(0, len(self.text))

    def said(self, start: int, end: int) -> str:
        """The person's own words behind ``text[start:end]``."""
        return self.masked.words(self.start + start, self.start + end)

    def group(self, match: re.Match[str], name: str) -> str:
        """The person's own words behind a group of a match in `text`; empty if it took no part."""
        return self.said(*match.span(name)) if match.start(name) >= 0 else ""

    @cached_property
    def spans(self) -> tuple[tuple[int, int, Span], ...]:
        """What was found exactly, by place in `text`."""
        inside = self.masked.inside(self.start, self.end)
        return tuple((a - self.start, b - self.start, span) for a, b, span in inside)

    def of(self, *kinds: Kind) -> list[tuple[int, int, Span]]:
        """The spans of some kinds."""
        return [found for found in self.spans if found[2].kind in kinds]

    @cached_property
    def marked(self) -> tuple[Role, ...]:
        """What the model marked within, by place in `text`."""
        return tuple(
            (a - self.start, b - self.start, role)
            for a, b, role in self.roles
            if self.start <= a and b <= self.end
        )

    def value(self, kind: Kind, type_: type[T]) -> T | None:
        """The value of the first span of a kind, if it has one of that type."""
        values = (span.value for _, _, span in self.of(kind))
        return next((value for value in values if isinstance(value, type_)), None)

    def parties(self, start: int = 0, end: int | None = None) -> list[tuple[int, int, Party]]:
        """Everybody named by number, extension or contact within ``start:end``."""
        end = len(self.text) if end is None else end
        return [
            (a, b, span.value)
            for a, b, span in self.spans
            if start <= a and b <= end and isinstance(span.value, Party)
        ]

    def party(self, start: int, end: int) -> Party | None:
        """The one that ``text[start:end]`` names: exactly, else by a bare name."""
        exact = self.parties(start, end)
        if exact:
            first = exact[0][2]
            between = self.text[exact[0][1] : exact[1][0]] if len(exact) > 1 else ""
            one = len(exact) > 1 and not _SEVERAL.search(between)
            if one and first.name and not exact[1][2].name:
                return Party(
                    name=first.name, number=exact[1][2].number, extension=exact[1][2].extension
                )
            return first
        return named(self.said(start, end), self.context.contacts, self.context.region)

    def when(
        self, *, skip: Iterable[Span] = (), whole_days: bool = False
    ) -> tuple[When | None, bool]:
        """The moment all expressions of time together mean, and whether there was any.
        `whole_days`: a day without an hour is its beginning."""
        skipped = list(skip)
        spans = [span for _, _, span in self.of(Kind.TIME) if span not in skipped]
        if not spans:
            return None, False
        return moment(spans, self.context.local_now(), whole_days=whole_days), True


def trimmed(words: str) -> str:
    """Words without the marks and spaces around them."""
    return words.strip(_TRIMMED)
