"""What people want done with calls for them, as data that the router reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from enum import StrEnum

ANONYMOUS = "anonymous"
"The caller of a call that shows no number."
ANSWERPHONE = "answerphone"
"As the target of a rule: to leave a message."


class Condition(StrEnum):
    """When a rule sends calls elsewhere."""

    ALWAYS = "always"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    OFFLINE = "offline"
    QUIET = "quiet"
    "While the person does not want to be disturbed."


class Treatment(StrEnum):
    """What is done with callers who hide their number, or whom the person does not know."""

    RING = "ring"
    ASK = "ask"
    "They say their name, and the person chooses."
    ANSWERPHONE = "answerphone"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Hours:
    """Hours of the week by the person's clocks; `days` count from Monday as 0, none are all. Hours
    that end before they begin go past midnight and belong to the day they began on. `first` and
    `last` are dates, both included."""

    days: frozenset[int] = frozenset()
    begin: time | None = None
    end: time | None = None
    first: date | None = None
    last: date | None = None

    def hold_at(self, local: datetime) -> bool:
        """Whether it is within them."""
        day, now = local.date(), local.time()
        begin, end = self.begin or time.min, self.end
        if end is not None and end <= begin:
            if now >= end and now < begin:
                return False
            if now < end:
                day = date.fromordinal(day.toordinal() - 1)
        elif now < begin or (end is not None and now >= end):
            return False
        if self.days and day.weekday() not in self.days:
            return False
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Calls go `to` extensions, +E.164 or `ANSWERPHONE`: all at once, or `in_turn`. With `caller`
    or `called` only those from or for it. `after` is how many seconds the person's own phones ring
    first when nobody answers, 0 as long as ever."""

    id: str
    to: tuple[str, ...]
    in_turn: bool = False
    condition: Condition = Condition.ALWAYS
    after: float = 0.0
    caller: str = ""
    called: str = ""
    hours: Hours | None = None

    @property
    def narrowness(self) -> int:
        """How certain calls it is meant for: of several rules the narrowest holds."""
        return 4 * bool(self.caller) + 2 * bool(self.called) + bool(self.hours)


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """All that one extension wants. `rules` are in the order in which they are tried; `known` are
    the numbers of its person's contacts; `quiet_until` is the end of do-not-disturb."""

    rules: Sequence[Rule] = ()
    zone: tzinfo = UTC
    blocked: Set[str] = frozenset()
    allowed: Set[str] = frozenset()
    "Who always gets through: past do-not-disturb and all questions."
    known: Collection[str] = ()
    quiet_until: datetime | None = None
    anonymous: Treatment = Treatment.RING
    unknown: Treatment = Treatment.RING
    waiting: bool = True
    "Whether another call may come in while one is going on."
    answerphone: bool = False

    def rule(self, condition: Condition, caller: str, called: str, now: datetime) -> Rule | None:
        """The rule that holds for a call."""
        local: datetime | None = None
        for rule in self.rules:
            if (
                rule.condition is not condition
                or (rule.caller and rule.caller != caller)
                or (rule.called and rule.called != called)
            ):
                continue
            if rule.hours is None:
                return rule
            local = local or now.astimezone(self.zone)
            if rule.hours.hold_at(local):
                return rule
        return None

    def is_quiet(self, now: datetime) -> bool:
        """Whether the person does not want to be disturbed."""
        return self.quiet_until is not None and now < self.quiet_until

    def treatment(self, caller: str, *, inside: bool) -> Treatment:
        """What is done with a caller; `inside` are the exchange's own people."""
        if caller in self.allowed:
            return Treatment.RING
        if caller == ANONYMOUS:
            return self.anonymous
        return Treatment.RING if inside or caller in self.known else self.unknown


ENDLESS = datetime.max.replace(tzinfo=UTC)
"Until it is taken back."


def in_order(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Rules, oldest first, as they are tried: the narrowest first, of equals the newest."""
    newest_first = rules[::-1]
    return tuple(sorted(newest_first, key=lambda rule: -rule.narrowness))
