"""When something comes again: RFC 5545 rules, on a clock on somebody's wall.

A rule is about local time: every day at eight is eight before and after the clocks change. A local
time that never is (the hour skipped in spring) counts by the offset before the change, so that
02:30 is 03:30; one that is twice counts the first time (RFC 5545 §3.3.5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import (
    DAILY,
    HOURLY,
    MINUTELY,
    MONTHLY,
    WEEKLY,
    YEARLY,
    rrulestr,
)

MAX_RULE = 200
"Characters of a rule."
OFTEN = timedelta(minutes=5)
"The shortest time between two moments of a rule."
LOOKED_AT = 64
"Moments that are looked at to see how often a rule comes."
_RULE = re.compile(
    r"(?:(?:FREQ|INTERVAL|COUNT|UNTIL|BYDAY|BYMONTHDAY|BYMONTH|BYHOUR|BYMINUTE|WKST)=[\w,+-]+"
    r"(?:;(?!$)|$))+"
)
# The parts that people's words come to; others can be put together to what never comes.
_LONGEST = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MOST_A_MONTH = {YEARLY: 5, MONTHLY: 5, WEEKLY: 53, DAILY: 53, HOURLY: 53, MINUTELY: 53}
"How many of one weekday a month has, where they are counted by month."
_STEPS = {
    WEEKLY: timedelta(weeks=1),
    DAILY: timedelta(days=1),
    HOURLY: timedelta(hours=1),
    MINUTELY: timedelta(minutes=1),
}


class RuleError(ValueError):
    """A rule cannot be kept; the text says why."""


class Recurrence:
    """One moment, or those of a rule from that moment on. Raises `RuleError`."""

    def __init__(self, start: datetime, zone: ZoneInfo, rule: str = "") -> None:
        self._start, self._zone = start.astimezone(UTC), zone
        self._rule: Any = None
        if rule:
            local = start.astimezone(zone).replace(tzinfo=None)
            self._rule = _parsed(rule, local, zone)

    def after(self, moment: datetime) -> datetime | None:
        """The first one after a moment, in UTC; None when there is none."""
        if self._start > moment:  # counts, whether the rule says so or not (RFC 5545 §3.8.5.3)
            return self._start
        if self._rule is None:
            return None
        local = moment.astimezone(self._zone).replace(tzinfo=None) - timedelta(days=1)
        found = _near(self._rule, local).xafter(local)
        return next((utc for one in found if (utc := _utc(one, self._zone)) > moment), None)

    def refuse_often(self) -> None:
        """Raises `RuleError` for one that comes again and again within minutes."""
        last = self._start - timedelta(seconds=1)
        before: datetime | None = None
        for _ in range(LOOKED_AT):
            found = self.after(last)
            if found is None:
                return
            if before is not None and found - before < OFTEN:
                raise RuleError("I remind you every five minutes at most")
            before = last = found


def _parsed(rule: str, start: datetime, zone: ZoneInfo) -> Any:
    if len(rule) > MAX_RULE or not _RULE.fullmatch(rule):
        raise RuleError("that is too complicated to come again")
    parts = dict(part.split("=") for part in rule.split(";"))
    try:
        found = rrulestr(rule, dtstart=start, ignoretz=True)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise RuleError(f"I do not understand how often: {error}") from error
    if found._freq not in _MOST_A_MONTH or found._interval < 1 or _never(found, parts):
        raise RuleError("that never comes, or too often")
    if parts.get("UNTIL", "").endswith("Z"):
        until = found._until.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
        found = found.replace(until=until)
    return found


def _never(rule: Any, parts: Mapping[str, str]) -> bool:
    """Whether nothing fits, or so rarely that `dateutil` would look for it minute by minute until
    the year 9999. Hours and minutes may be picked where each day is like the other."""
    if rule._freq in (HOURLY, MINUTELY):
        picked = parts.keys() - {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST"}
        step = rule._interval * _STEPS[rule._freq]
        counted_days = any(map(str.isdecimal, parts.get("BYDAY", "")))
        if picked - {"BYDAY", "BYHOUR", "BYMINUTE"} or counted_days:
            return True
        if picked and timedelta(days=1) % step:
            return True
    days: list[int] = [*(rule._bymonthday or ()), *(-day for day in rule._bynmonthday or ())]
    longest = max(map(_LONGEST.__getitem__, rule._bymonth or range(1, 13)))
    counted = [abs(count) for _, count in rule._bynweekday or ()]
    return bool(
        (days and min(days) > longest)
        or (counted and (days or min(counted) > _MOST_A_MONTH[rule._freq]))
    )


def _near(rule: Any, local: datetime) -> Any:
    """The same from about a time on: one that began long ago is not counted through."""
    changes: dict[str, object] = {}
    if rule._count is None:
        step = _STEPS.get(rule._freq)
        if step is not None and local > rule._dtstart:
            step *= rule._interval
            changes["dtstart"] = rule._dtstart + step * ((local - rule._dtstart) // step)
    return rule.replace(**changes)


def _utc(local: datetime, zone: ZoneInfo) -> datetime:
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)
