"""Times as people say them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bot.ports import Person


def moment(at: datetime, person: Person) -> str:
    """A time on the person's clock: “today at 17:00”, “on Mon 30 Nov at 08:00”."""
    zone = ZoneInfo(person.timezone)
    local, now = at.astimezone(zone), datetime.now(zone)
    days = {now.date(): "today", now.date() + timedelta(days=1): "tomorrow"}
    year = "" if local.year == now.year else f" {local.year}"
    day = days.get(local.date()) or f"on {local:%a} {local.day} {local:%b}{year}"
    return f"{day} at {local:%H:%M}"


_DAYS = {
    "MO": "Monday", "TU": "Tuesday", "WE": "Wednesday", "TH": "Thursday", "FR": "Friday",
    "SA": "Saturday", "SU": "Sunday",
}  # fmt: skip
_UNITS = {"MINUTELY": "minute", "HOURLY": "hour", "DAILY": "day", "WEEKLY": "week",
          "MONTHLY": "month", "YEARLY": "year"}  # fmt: skip
_ORDER = {"1": "first", "2": "second", "3": "third", "4": "fourth", "5": "fifth", "-1": "last"}


def every(rule: str) -> str:
    """How something comes again, in words, of an RFC 5545 rule: “every weekday”."""
    parts = dict(part.partition("=")[::2] for part in rule.split(";"))
    unit, count = _UNITS.get(parts.get("FREQ", ""), "time"), int(parts.get("INTERVAL", "1"))
    often = f"every {unit}" if count == 1 else f"every {count} {unit}s"
    days = re.findall(r"(-?\d*)([A-Z]{2})", parts.get("BYDAY", ""))
    named = [(order, _DAYS.get(day, day)) for order, day in days]
    names = {name for _, name in named}
    if named and named[0][0]:
        which = " and ".join(f"{_ORDER.get(order, order)} {name}" for order, name in named)
        return f"on the {which} of {often}"
    weekend = {"Saturday", "Sunday"}
    if names == set(_DAYS.values()) - weekend and count == 1:
        return "every weekday"
    if names == weekend and count == 1:
        return "every weekend day"
    if names:
        on = " and ".join(name for _, name in named)
        return f"every {on}" if count == 1 else f"{often} on {on}"
    if day := parts.get("BYMONTHDAY"):
        which = "last day" if day == "-1" else ordinal(int(day))
        return f"on the {which} of {often}"
    return often


def ordinal(number: int) -> str:
    """1st, 2nd, 23rd."""
    tens = number % 100 // 10 == 1
    return f"{number}{'th' if tens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def minutes(count: int) -> str:
    """How long, in words."""
    for size, unit in ((1440, "day"), (60, "hour")):
        if count and count % size == 0:
            return f"{count // size} {unit}{'s' if count != size else ''}"
    return f"{count} minute{'s' if count != 1 else ''}"
