"""Hours of the week: "weekdays after 6pm", "between 9 and 5", "on Sundays", "at night"."""

import re

from nlp.commands import Window
from nlp.times import BYDAY, HOUR_WORDS

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


def find_window(words: str) -> Window | None:
    """The window a person's words name; None when they name none, which means always."""
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
        return start, end
    after, before = _AFTER.search(words), _BEFORE.search(words)
    return (_clock(after, "a") if after else None), (_clock(before, "a") if before else None)


def _clock(found: re.Match[str], which: str, mark: str = "") -> str | None:
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
        late = mark.startswith("p") or (not mark and "morning" not in part)
        hour = hour % 12 + (12 if late else 0)
    elif 1 <= hour <= 6 and len(group(f"{which}h") or "1") == 1:
        hour += 12  # "after 6", "until 5" are said of the afternoon
    return f"{hour % 24:02d}:{minute:02d}"
