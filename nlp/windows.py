"""Hours of the week: "weekdays after 6pm", "between 9 and 5", "on Sundays", "at night"."""

import re
from dataclasses import replace
from datetime import datetime

from nlp.commands import Window
from nlp.times import BYDAY, HOUR_WORDS, find_times, moment

_DAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:days?)?"
_CLOCK = (
    r"(?:(?P<{0}h>[01]?\d|2[0-4])(?:[:.h](?P<{0}m>[0-5]\d))?\s*(?P<{0}p>[ap]\.?m\b\.?)?(?:\s*o'?clock)?"
    r"|(?P<{0}w>noon|midday|midnight|(?:half\s+past\s+)?(?:one|two|three|four|five|six|seven|eight|nine|"
    r"ten|eleven|twelve))(?:\s*o'?clock)?(?:\s*(?P<{0}q>[ap]\.?m\b\.?))?)"
    r"(?:\s+(?P<{0}d>in\s+the\s+(?:morning|afternoon|evening)|at\s+night))?"
)
_RANGE = re.compile(
    rf"\b(?:from|between)?\s*{_CLOCK.format('a')}\s*(?:to|and|till|until|til|-|through)\s*{_CLOCK.format('b')}"
    r"(?!\s*(?:minutes?|seconds?|hours?|days?|rings?)|\d)",
    re.IGNORECASE,
)
_AFTER = re.compile(
    rf"\b(?:after|from|past|since|starting(?:\s+at)?)\s+{_CLOCK.format('a')}(?!\s*(?:minutes?|seconds?|secs?|"
    r"hours?|days?|rings?|tries)|\d)",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    rf"\b(?:before|until|till|til|up\s+to|by)\s+{_CLOCK.format('a')}(?!\d)", re.IGNORECASE
)
_DAYS = re.compile(rf"(?<![\w'])(?:every\s+)?(?P<one>{_DAY})(?![\w'])", re.IGNORECASE)
_DAY_RANGE = re.compile(
    rf"\b(?P<one>{_DAY})\s*(?:to|through|thru|till|until|-)\s*(?P<two>{_DAY})\b", re.IGNORECASE
)
_WEEKDAYS = re.compile(
    r"\b(?:week\s?days?|working\s+days?|work\s?days?|during\s+the\s+week)\b", re.I
)
_WEEKENDS = re.compile(r"\bweek-?ends?\b", re.I)
_OUTSIDE = re.compile(
    r"\b(?:outside|out\s+of|after)\s+(?:of\s+)?(?:office|business|working|work)\s+hours\b", re.I
)
_OFFICE = re.compile(r"\b(?:office|business|working|work)\s+hours\b", re.I)
_PARTS = (
    (
        re.compile(r"\b(?:at\s+night|over\s?night|nights?|during\s+the\s+night)\b", re.I),
        "22:00",
        "07:00",
    ),
    (re.compile(r"\b(?:in\s+the\s+|every\s+|during\s+the\s+)?mornings?\b", re.I), "06:00", "12:00"),
    (
        re.compile(r"\b(?:in\s+the\s+|every\s+|during\s+the\s+)?afternoons?\b", re.I),
        "12:00",
        "18:00",
    ),
    (re.compile(r"\b(?:in\s+the\s+|every\s+|during\s+the\s+)?evenings?\b", re.I), "18:00", "22:00"),
    (re.compile(r"\b(?:at|over|during)\s+lunch(?:\s?time)?\b", re.I), "12:00", "13:00"),
)
_WORDS = {**HOUR_WORDS, "noon": 12, "midday": 12, "midnight": 0}  # fmt: skip
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DATE = (
    rf"(?:(?:the\s+)?\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:\s+20\d\d)?|"
    rf"{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s+20\d\d)?|20\d\d-\d\d-\d\d|tomorrow|"
    rf"(?:next\s+)?{_DAY}(?!s)|the\s+\d{{1,2}}(?:st|nd|rd|th))\b"
)
_LAST_DAY = re.compile(
    rf"\b(?:until|till|til|up\s+to|through|thru|to)\s+(?P<date>{_DATE})(?!\s*(?:at\s+)?\d)", re.I
)
_FIRST_DAY = re.compile(
    rf"\b(?:from|starting(?:\s+on)?|beginning(?:\s+on)?|as\s+of)\s+(?P<date>{_DATE})(?!\s*at\s+\d)",
    re.I,
)


def find_window(words: str, now: datetime | None = None) -> Window | None:
    """The window a person's words name; None when they name none, which means always. With `now`,
    the person's local time, dates are found too."""
    first = last = None
    if now is not None and not _DAY_RANGE.search(words):
        words, first = _without_date(_FIRST_DAY, words, now)
        words, last = _without_date(_LAST_DAY, words, now)
    weekly = _weekly(words)
    if first is None and last is None:
        return weekly
    return replace(weekly or Window(), first=first, last=last)


def _without_date(pattern: re.Pattern[str], words: str, now: datetime) -> tuple[str, str | None]:
    """The words without a date that stands in them so, and the date."""
    found = pattern.search(words)
    if found is None:
        return words, None
    when = moment(list(find_times(found["date"], now)), now, whole_days=True)
    if when is None:
        return words, None
    left = words[: found.start()] + " " * len(found.group()) + words[found.end() :]
    return left, when.at.date().isoformat()


def _weekly(words: str) -> Window | None:
    """The hours of the week that words name."""
    days = _days(words)
    start, end = _hours(words)
    if _OUTSIDE.search(words):
        start, end = start or "17:00", end or "09:00"
    elif _OFFICE.search(words):
        days, start, end = days or BYDAY[:5], start or "09:00", end or "17:00"
    if start is None and end is None:
        for pattern, first, last in _PARTS:
            if pattern.search(words):
                start, end = first, last
                break
    if not days and start is None and end is None:
        return None
    return Window(days=days, from_=start, to=end)


def _days(words: str) -> tuple[str, ...]:
    ranged = _DAY_RANGE.search(words)
    if ranged:
        first, last = _index(ranged["one"]), _index(ranged["two"])
        return tuple(BYDAY[(first + i) % 7] for i in range((last - first) % 7 + 1))
    if _WEEKDAYS.search(words):
        return BYDAY[:5]
    named = {_index(found["one"]) for found in _DAYS.finditer(words)}
    if _WEEKENDS.search(words):
        named |= {5, 6}
    return tuple(BYDAY[i] for i in sorted(named))


def _index(day: str) -> int:
    return ("mo", "tu", "we", "th", "fr", "sa", "su").index(day[:2].lower())


def _hours(words: str) -> tuple[str | None, str | None]:
    if found := _RANGE.search(words):
        start, end = _clock(found, "a"), _clock(found, "b")
        marked = found["bp"] or found["bq"]
        if marked and not (found["ap"] or found["aq"] or found["ad"]) and found["ah"]:
            # "6 to 9pm": the mark counts for both, where that makes the first the earlier.
            both = _clock(found, "a", marked)
            if both is not None and end is not None and both < end:
                start = both
        exact = found["am"] or found["bm"] or (end or "") >= "13"
        if exact and not marked and start and end and end < start:
            early = _clock(found, "a", late=False)
            start = early if early and early < end else start  # “between 6:00 and 14:00”
        return start, end
    after, before = _AFTER.search(words), _BEFORE.search(words)
    return (_clock(after, "a") if after else None), (_clock(before, "a") if before else None)


def _clock(found: re.Match[str], which: str, mark: str = "", *, late: bool = True) -> str | None:
    group = found.group
    minute = int(group(f"{which}m") or 0)
    word = (group(f"{which}w") or "").lower()
    if word:
        half = word.startswith("half")
        hour = _WORDS[word.split()[-1]]
        minute = 30 if half else 0
        if word in ("noon", "midday", "midnight"):
            return f"{hour:02d}:00"
    else:
        hour = int(group(f"{which}h"))
    mark = (group(f"{which}p") or group(f"{which}q") or mark or "").lower()
    part = (group(f"{which}d") or "").lower()
    if hour > 24 or (mark and not 1 <= hour <= 12):
        return None
    if mark or part:
        after_noon = mark.startswith("p") or (not mark and "morning" not in part)
        hour = hour % 12 + (12 if after_noon else 0)
    elif late and 1 <= hour <= 6 and len(group(f"{which}h") or "1") == 1:
        hour += 12  # "after 6", "until 5" are said of the afternoon
    return f"{hour % 24:02d}:{minute:02d}"
