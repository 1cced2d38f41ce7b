"""What a caller is asked: menus of keys and words, when they are open, and where they lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

KEYS = "1234567890*#"
"What a telephone has; the letters A to D are not on it."
DAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")


class Kind(StrEnum):
    """What a choice leads to, in the words of the file."""

    EXTENSION = "extension"
    NUMBER = "number"
    MENU = "menu"
    ANSWERPHONE = "answerphone"
    REPEAT = "repeat"
    HANG_UP = "hang up"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Where a choice leads: `to` is a number or the name of a menu, `payer` the extension that a
    call to a phone number is charged to."""

    kind: Kind
    to: str = ""
    payer: str = ""

    def __str__(self) -> str:
        paid = f" for {self.payer}" if self.payer else ""
        return f"{self.kind} {self.to}{paid}".rstrip()


HANG_UP = Goal(kind=Kind.HANG_UP)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Hours of some days of the week; one that ends before it begins goes on past midnight."""

    days: frozenset[int]
    begins: time
    ends: time

    def holds(self, moment: datetime) -> bool:
        """Whether a local moment is within."""
        today, now = moment.weekday(), moment.time()
        if self.begins < self.ends:
            return today in self.days and self.begins <= now < self.ends
        yesterday = (today - 1) % 7
        late = today in self.days and now >= self.begins
        return late or (yesterday in self.days and now < self.ends)


@dataclass(frozen=True, kw_only=True)
class Hours:
    """When something is open, on the clocks of a zone, but for some dates."""

    zone: ZoneInfo
    spans: Sequence[Span]
    closed: frozenset[date] = frozenset()

    def open_at(self, moment: datetime) -> bool:
        """Whether it is open at a moment, which has a zone."""
        local = moment.astimezone(self.zone)
        return local.date() not in self.closed and any(one.holds(local) for one in self.spans)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One thing to choose. `asks` is what is said before a word is taken for it."""

    key: str
    goal: Goal
    words: Sequence[str] = ()
    hours: Hours | None = None
    asks: bytes = b""

    @property
    def label(self) -> str:
        """For people: the key, and the first of the words."""
        return f"{self.key} · {self.words[0]}" if self.words else self.key


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """What is said besides the prompts, in the voice of the menu."""

    sorry: bytes = b""
    unreachable: bytes = b""
    goodbye: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Menu:
    """One question. While it is closed the caller goes to `closed`; who chooses nothing goes to
    `default` after `tries`. One without a prompt asks nothing and goes there at once."""

    name: str
    number: str = ""
    text: str = ""
    "What the prompt says, for people; empty for a sound file."
    prompt: bytes = b""
    choices: Sequence[Choice] = ()
    hours: Hours | None = None
    closed: Goal = HANG_UP
    default: Goal = HANG_UP
    tries: int = 3
    wait: float = 5.0
    phrases: Phrases = field(default_factory=Phrases)

    def offered(self, moment: datetime) -> dict[str, Choice]:
        """The choices there are at a moment, by key."""
        return {
            one.key: one for one in self.choices if one.hours is None or one.hours.open_at(moment)
        }

    def goals(self) -> Iterator[tuple[str, Goal]]:
        """All ways out, each with what leads there."""
        for choice in self.choices:
            yield choice.label, choice.goal
        if self.hours is not None:
            yield "closed", self.closed
        yield "otherwise", self.default


Menus = Mapping[str, Menu]
"All of them, by name."
