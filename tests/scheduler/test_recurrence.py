"""Moments of rules, beside `dateutil` and `recurring-ical-events`."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events

from scheduler.recurrence import Recurrence, RuleError
from tests.scheduler.rules import ZONES, random_rule

NEW_YORK = ZoneInfo("America/New_York")


def moments(recurrence: Recurrence, begin: datetime, end: datetime) -> list[datetime]:
    found: list[datetime] = []
    at: datetime | None = begin - timedelta(seconds=1)
    while at is not None and (at := recurrence.after(at)) is not None and at < end:
        found.append(at)
    return found


def local(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize("zone", ZONES)
def test_rules_come_when_the_calendar_library_says(zone: str) -> None:
    """A year of random rules, in a zone whose clocks change or not."""
    rng = random.Random(zone)
    clock = ZoneInfo(zone)
    for _ in range(12):
        start = datetime(2026, rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23),
                         rng.choice((0, 5, 15, 30, 59)), tzinfo=clock)  # fmt: skip
        rule = random_rule(rng, start)
        begin = start.astimezone(UTC)
        end = begin + timedelta(days=366)
        wanted = expanded(start, rule, end)
        assert moments(Recurrence(start, clock, rule), begin, end) == wanted, (rule, start)


def expanded(start: datetime, rule: str, end: datetime) -> list[datetime]:
    """The same by `recurring-ical-events`."""
    event = icalendar.Event()
    event.add("uid", "1")
    event.add("dtstart", start)
    event.add("duration", timedelta(minutes=1))
    event.add("rrule", icalendar.vRecur.from_ical(rule))
    calendar = icalendar.Calendar()
    calendar.add_component(event)
    found = recurring_ical_events.of(calendar).between(start, end)
    utc = sorted({one["DTSTART"].dt.astimezone(UTC) for one in found})
    return [one for one in utc if start.astimezone(UTC) <= one < end]


def test_the_hour_that_never_is_and_the_one_that_is_twice() -> None:
    spring = Recurrence(local("2026-03-06T02:30", NEW_YORK), NEW_YORK, "FREQ=DAILY;COUNT=4")
    found = moments(spring, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    assert [f"{one.astimezone(NEW_YORK):%d %H:%M}" for one in found] == [
        "06 02:30", "07 02:30", "08 03:30", "09 02:30",
    ]  # fmt: skip
    autumn = Recurrence(local("2026-10-31T01:30", NEW_YORK), NEW_YORK, "FREQ=DAILY;COUNT=3")
    found = moments(autumn, datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert [f"{one:%d %H:%M}" for one in found] == ["31 05:30", "01 05:30", "02 06:30"]


@pytest.mark.parametrize(
    ("rule", "start", "wanted"),
    [
        ("FREQ=YEARLY", "2024-02-29T09:00", ["2028-02-29", "2032-02-29"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31", "2026-01-31T09:00", ["2026-03-31", "2026-05-31"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "2026-01-31T09:00", ["2026-02-28", "2026-03-31"]),
        ("FREQ=MONTHLY;BYDAY=2TU", "2026-01-13T09:00", ["2026-02-10", "2026-03-10"]),
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "2026-01-02T09:00", ["2026-01-05", "2026-01-06"]),
        ("FREQ=DAILY;INTERVAL=3", "2020-01-01T09:00", ["2020-01-04", "2020-01-07"]),
        ("FREQ=DAILY;UNTIL=20260103T073000Z", "2026-01-01T09:00", ["2026-01-02"]),
    ],
)
def test_leap_days_and_ends_of_months(rule: str, start: str, wanted: list[str]) -> None:
    begin = local(start, ZoneInfo("Europe/Berlin"))
    recurrence = Recurrence(begin, ZoneInfo("Europe/Berlin"), rule)
    found = [one for one in [recurrence.after(begin)] if one]
    found += [one for one in [found and recurrence.after(found[0])] if one]  # type: ignore[arg-type]
    assert [f"{one:%Y-%m-%d}" for one in found] == wanted


def test_what_is_over_is_over() -> None:
    start = datetime(2026, 1, 1, 9, tzinfo=UTC)
    once = Recurrence(start, ZoneInfo("UTC"))
    assert once.after(start - timedelta(seconds=1)) == start
    assert once.after(start) is None
    assert Recurrence(start, ZoneInfo("UTC"), "FREQ=DAILY;COUNT=1").after(start) is None


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY", "FREQ=NEVER", "hello", "FREQ=DAILY;" * 50, "FREQ=DAILY\nRDATE:20260101",
        "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;INTERVAL=-1", "FREQ=DAILY;COUNT=x", "FREQ=MINUTELY",
        "FREQ=HOURLY;BYMINUTE=0,1,2", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;FREQ",
        "FREQ=MONTHLY;BYDAY=6MO", "FREQ=HOURLY;BYMONTH=4,6;BYMONTHDAY=31", "RRULE:FREQ=DAILY",
        "FREQ=MONTHLY;BYDAY=5MO;BYMONTHDAY=1", "FREQ=MONTHLY;BYMONTHDAY=32", "FREQ=DAILY;",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=9",
    ],
)  # fmt: skip
def test_rules_that_cannot_be_kept_are_refused(rule: str) -> None:
    start = datetime(2026, 1, 1, 9, tzinfo=UTC)
    with pytest.raises(RuleError):
        Recurrence(start, ZoneInfo("UTC"), rule).refuse_often()


def test_rules_that_began_long_ago_cost_little() -> None:
    start = datetime(1999, 1, 1, tzinfo=UTC)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for rule in (
        "FREQ=MINUTELY;INTERVAL=5", "FREQ=HOURLY", "FREQ=DAILY;INTERVAL=7",
        "FREQ=DAILY;COUNT=20000", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "FREQ=WEEKLY",
        "FREQ=MONTHLY;BYDAY=5FR",
    ):  # fmt: skip
        begun = time.process_time()
        assert Recurrence(start, ZoneInfo("UTC"), rule).after(now) is not None
        assert time.process_time() - begun < 1.0, rule
