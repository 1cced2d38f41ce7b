"""Stretches of the past that people ask about: "yesterday evening", "last week", "since Monday"."""

import re
from datetime import datetime, timedelta

_UNIT = r"(?:minutes?|hours?|days?|weeks?|months?|years?|fortnight|quarter)"
_COUNT = r"(?:\d+|a|an|one|two|three|four|five|six|seven|ten|couple\s+of|few)"
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
)
_PART = r"(?:\s+(?:morning|afternoon|evening|night|lunchtime))"
_PERIOD = re.compile(
    rf"\b(?:(?P<since>since\s+(?:yesterday{_PART}?|last\s+\w+|{_DAY}{_PART}?|{_MONTH}(?:\s+\d+)?|this\s+\w+|"
    r"\d{1,2}(?::\d\d)?\s*(?:am|pm)?|noon|midnight|the\s+\w+))"
    rf"|yesterday{_PART}?|today|tonight|last\s+night"
    rf"|this\s+(?:morning|afternoon|evening|week(?:end)?|month|year|quarter)"
    rf"|(?:the\s+)?(?:last|past|previous)\s+(?:{_COUNT}\s+)?{_UNIT}"
    rf"|(?:the\s+)?(?:last|past)\s+(?:{_DAY}{_PART}?|weekend|{_MONTH})"
    rf"|{_COUNT}\s+{_UNIT}\s+ago"
    rf"|(?:on\s+)?{_DAY}{_PART}?"
    rf"|(?:in\s+|during\s+|for\s+|from\s+)(?:the\s+)?(?P<month>{_MONTH}(?:\s+20\d\d)?)"
    rf"|(?:on\s+)?(?:the\s+)?\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:\s+20\d\d)?"
    rf"|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?|so\s+far\s+this\s+\w+|{_MONTH}(?='s)|all\s+time|20\d\d"
    r"|recent(?:ly)?)\b",
    re.IGNORECASE,
)
_LEADING = re.compile(r"^(?:on|in|for|from|during|over|the)\s+", re.IGNORECASE)


def find_period(words: str) -> re.Match[str] | None:
    """Where a period is named."""
    return _PERIOD.search(words)


def period_of(words: str) -> str | None:
    """The period in the person's own words, without "on", "in", "the"; None if there is none."""
    found = find_period(words)
    if found is None:
        return None
    said = found.group()
    while (shorter := _LEADING.sub("", said)) != said:
        said = shorter
    return said


# ── when that was ───────────────────────────────────────────────────────────────────────────
_HOURS = {"morning": (0, 12), "lunchtime": (11, 14), "afternoon": (12, 18), "evening": (17, 24),
          "night": (18, 30)}  # fmt: skip
_DAYS = ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun")
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september",
           "october", "november", "december")  # fmt: skip
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "couple of": 2, "three": 3, "few": 3, "four": 4,
            "five": 5, "six": 6, "seven": 7, "ten": 10}  # fmt: skip
_LONG_AGO = 3660
_BACK = re.compile(rf"(?:last|past|previous)\s+(?P<n>{_COUNT})\s+(?P<unit>{_UNIT})", re.I)
_AGO = re.compile(rf"(?P<n>{_COUNT})\s+(?P<unit>{_UNIT})\s+ago", re.I)
_ONE_DAY = re.compile(
    rf"(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month>{_MONTH})|(?P<month2>{_MONTH})\s+"
    r"(?P<day2>\d{1,2})(?:st|nd|rd|th)?)(?:\s+(?P<year>20\d\d))?",
    re.IGNORECASE,
)
_WHOLE_MONTH = re.compile(rf"(?P<month>{_MONTH})(?:\s+(?P<year>20\d\d))?", re.IGNORECASE)


def stretch(period: str, now: datetime) -> tuple[datetime, datetime] | None:
    """From when until when a period of `period_of` was, seen from `now` in the person's zone;
    None for one that names no certain time ("recently")."""
    words = " ".join(period.lower().split())
    if words.startswith("since "):
        found = stretch(words.removeprefix("since ").removeprefix("the "), now)
        return (found[0], now) if found else None
    for pattern, single in ((_BACK, False), (_AGO, True)):
        if match := pattern.search(words):
            return _back(match["n"], match["unit"], now, single=single)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if match := _ONE_DAY.fullmatch(words):
        month = _MONTHS.index((match["month"] or match["month2"]).lower()) + 1
        return _date(match["year"], month, int(match["day"] or match["day2"]), now)
    if match := _WHOLE_MONTH.fullmatch(words.removeprefix("last ")):
        return _month(match["year"], _MONTHS.index(match["month"].lower()) + 1, now)
    if re.fullmatch(r"20\d\d", words):
        first = today.replace(year=int(words), month=1, day=1)
        return first, first.replace(year=first.year + 1)
    return _named(words.removeprefix("so far "), today)


def _named(words: str, today: datetime) -> tuple[datetime, datetime] | None:
    day = timedelta(days=1)
    monday = today - today.weekday() * day
    first = today.replace(day=1)
    before = (first - day).replace(day=1)
    whole = {
        "today": (today, today + day),
        "yesterday": (today - day, today),
        "tonight": (today + timedelta(hours=18), today + day),
        "last night": (today - timedelta(hours=6), today + timedelta(hours=6)),
        "this week": (monday, monday + 7 * day),
        "last week": (monday - 7 * day, monday),
        "past week": (today - 6 * day, today + day),
        "this weekend": (monday + 5 * day, monday + 7 * day),
        "last weekend": (monday - 2 * day, monday),
        "this month": (first, today + day),
        "last month": (before, first),
        "this year": (today.replace(month=1, day=1), today + day),
        "last year": (
            today.replace(year=today.year - 1, month=1, day=1),
            today.replace(month=1, day=1),
        ),
    }.get(words.removeprefix("the "))
    if whole is not None:
        return whole
    *start, last = words.removeprefix("last ").split()
    hours = _HOURS.get(last)
    named = " ".join(start) if hours else words.removeprefix("last ")
    if named in ("this", "today"):
        begin = today
    elif named == "yesterday":
        begin = today - day
    elif named.removesuffix("day") in _DAYS:
        back = (today.weekday() - _DAYS.index(named.removesuffix("day"))) % 7
        begin = today - (back or 7 * words.startswith("last ")) * day
    else:
        return None
    first_hour, last_hour = hours or (0, 24)
    return begin + timedelta(hours=first_hour), begin + timedelta(hours=last_hour)


def _back(count: str, unit: str, now: datetime, *, single: bool) -> tuple[datetime, datetime]:
    number = int(count) if count.isdigit() else _NUMBERS.get(" ".join(count.split()), 1)
    days = {"minute": 1 / 1440, "hour": 1 / 24, "day": 1, "week": 7, "fortnight": 14, "month": 30,
            "quarter": 91, "year": 365}[unit.rstrip("s")]  # fmt: skip
    length = timedelta(days=min(number * days, _LONG_AGO))
    if not single:
        return now - length, now
    begin = now - length
    if days < 1:
        return begin - timedelta(days=days), begin + timedelta(days=days)
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight, midnight + timedelta(days=days)


def _date(
    year: str | None, month: int, day: int, now: datetime
) -> tuple[datetime, datetime] | None:
    try:
        begin = now.replace(
            year=int(year or now.year), month=month, day=day,
            hour=0, minute=0, second=0, microsecond=0,
        )  # fmt: skip
    except ValueError:  # 31 June
        return None
    if not year and begin > now:
        begin = begin.replace(year=begin.year - 1)
    return begin, begin + timedelta(days=1)


def _month(year: str | None, month: int, now: datetime) -> tuple[datetime, datetime]:
    begin = now.replace(
        year=int(year or now.year), month=month, day=1, hour=0, minute=0, second=0, microsecond=0
    )
    if not year and begin > now:
        begin = begin.replace(year=begin.year - 1)
    return begin, (begin + timedelta(days=32)).replace(day=1)
