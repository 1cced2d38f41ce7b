"""Moments and recurrences in running text.

A grammar in three steps: **pieces** (a clock time, a day, a part of the day, a delay, a recurrence,
a zone) are found by pattern; neighbouring pieces form one **expression**; the expression is
**computed** against the person's clock. An expression that cannot be computed ("before my dentist
appointment") is still found, without a value, so that it is asked for and never guessed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from nlp.commands import When
from nlp.spans import Kind, Span

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
BYDAY = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_NUMBER_WORDS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20,
    "thirty": 30, "forty": 40, "forty-five": 45, "forty five": 45, "fifty": 50, "sixty": 60,
    "ninety": 90, "a couple of": 2, "couple of": 2, "a few": 3, "few": 3, "half an": 0.5,
    "half a": 0.5, "a half": 0.5, "a quarter of an": 0.25, "quarter of an": 0.25,
    "three quarters of an": 0.75, "one and a half": 1.5, "two and a half": 2.5, "three and a half": 3.5,
    "twenty-five": 25, "twenty five": 25, "thirty-five": 35, "thirty five": 35,
}  # fmt: skip
HOUR_WORDS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip
_UNITS = {
    "s": "seconds",
    "sec": "seconds",
    "second": "seconds",
    "m": "minutes",
    "min": "minutes",
    "minute": "minutes",
    "h": "hours",
    "hr": "hours",
    "hour": "hours",
    "d": "days",
    "day": "days",
    "w": "weeks",
    "week": "weeks",
    "fortnight": "fortnights",
    "month": "months",
    "year": "years",
}
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14,
    "fifteenth": 15, "sixteenth": 16, "seventeenth": 17, "eighteenth": 18, "nineteenth": 19,
    "twentieth": 20, "twenty-first": 21, "twenty-second": 22, "twenty-third": 23, "twenty-fourth": 24,
    "twenty-fifth": 25, "twenty-sixth": 26, "twenty-seventh": 27, "twenty-eighth": 28,
    "twenty-ninth": 29, "thirtieth": 30, "thirty-first": 31, "last": -1,
}  # fmt: skip
_PARTS = {"morning": time(9), "afternoon": time(15), "evening": time(19), "night": time(20)}
_ZONES = {
    "utc": "UTC", "gmt": "UTC", "z": "UTC", "est": "America/New_York", "et": "America/New_York",
    "eastern": "America/New_York", "edt": "America/New_York", "cst": "America/Chicago",
    "central": "America/Chicago", "mst": "America/Denver", "pst": "America/Los_Angeles",
    "pt": "America/Los_Angeles", "pdt": "America/Los_Angeles", "pacific": "America/Los_Angeles",
    "cet": "Europe/Berlin", "cest": "Europe/Berlin", "bst": "Europe/London", "msk": "Europe/Moscow",
    "uk": "Europe/London", "german": "Europe/Berlin", "french": "Europe/Paris",
    "japan": "Asia/Tokyo", "san francisco": "America/Los_Angeles",
}  # fmt: skip
_CITIES = {
    name.rsplit("/", 1)[1].replace("_", " ").lower(): name
    for name in sorted(available_timezones())
    if "/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/"))
}

_DAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?s?"
_FULL_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_COUNT = r"(?:\d+(?:\.\d+)?|" + "|".join(sorted(map(re.escape, _NUMBER_WORDS), key=len)[::-1]) + ")"
_UNIT = r"(?:seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|fortnights?|months?|years?)"
_ORDINAL = "(?:" + "|".join(sorted(_ORDINALS, key=len)[::-1]).replace("-", "[ -]") + ")"
_IN_MONTH = r"(?:first|second|third|fourth|last|1st|2nd|3rd|4th)"
_HOUR = r"(?:[01]?\d|2[0-3])"
_HOUR_WORD = "(?:" + "|".join(HOUR_WORDS) + ")"
_MERIDIEM = r"[ap]\.?\s?m(?:\.(?=\s|$|,)|\b)"
_AT = r"(?:(?:at|@|by|around|about|from)\s+)?"
# What makes "8" an hour when neither minutes nor am/pm do.
_AT_NEEDED = r"(?:at|@|around|about)\s*"
_NOT_MORE = r"(?![\w+]|[:.,/-]\d|\s?\d)"

_PIECES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("monthly", rf"(?<!\w)(?:on\s+)?(?:the\s+|every\s+|each\s+)?(?P<which>{_IN_MONTH})\s+(?P<wd>{_FULL_DAY}|day|weekday)"
                    r"\s+(?:of|in)\s+(?:each|every|the|a)\s+month(?!\w)"),
        ("past", r"(?<!\w)(?:yesterday(?:\s+(?:morning|afternoon|evening|night))?|last\s+(?:night|"
                 rf"week|month|year|{_DAY})|this past \w+|{_COUNT}\s+{_UNIT}\s+ago|ago)(?!\w)"),
        ("event", r"(?<!\w)(?:an?\s+\w+\s+)?(?:\d+\s+\w+\s+)?(?:before|after|during|until|till)\s+"
                  r"(?:(?:my|the|our|his|her)\s+)(?:\w+\s+){0,2}"
                  r"(?:appointment|meeting|lunch|dinner|flight|class|lecture|event|interview)"
                  r"(?!\w)"),
        ("delay", rf"(?<!\w)(?:in|after)\s+(?:about\s+)?(?P<n>{_COUNT})\s*(?P<u>{_UNIT}|[hm](?!\w))"
                  rf"(?:\s+(?:and\s+)?(?P<half>a\s+half)|\s*(?:and\s+)?(?P<n2>{_COUNT})\s*"
                  r"(?P<u2>minutes?|mins?|m(?!\w)))?(?:\s+from\s+now|\s+time)?(?!\w)"),
        ("delay", r"(?<!\w)in\s+(?P<n>\d{1,2})(?P<u>h)(?P<n2>\d{1,2})(?P<u2>m?)(?!\w)"),
        ("ahead", rf"(?<!\w)(?<!every )(?P<n>{_COUNT})\s+weeks?\s+(?P<how>on|from)\s+(?P<wd>{_FULL_DAY}|today|tomorrow|now)(?!\w)"),
        ("delay", rf"(?<!\w)(?P<n>{_COUNT})\s+(?P<u>{_UNIT})(?:\s+and\s+(?P<half>a\s+half))?"
                  r"\s+from\s+now(?!\w)"),
        ("monthday", r"(?<!\w)on\s+the\s+(?P<dom>first|last|\d{1,2}(?:st|nd|rd|th))"
                     r"(?:\s+day)?\s+of\s+"
                     r"(?:each|every)\s+month(?!\w)"),
        ("often", rf"(?<!\w)every\s+(?:(?P<n>{_COUNT}|other)\s+)?(?P<u>hours?|minutes?|mins?|hrs?)(?!\w)"),
        ("recur", r"(?<!\w)(?:every|each)\s+(?:(?P<nth>other|second|\d+|two|three|four)\s+)?"
                  rf"(?P<what>weekday|working\s+day|weekend|day|week|month|year|morning|afternoon|"
                  rf"evening|night|{_FULL_DAY}(?:\s*(?:,|and|,\s*and)\s*{_FULL_DAY})*)s?(?!\w)"),
        ("recur", rf"(?<!\w)(?:on\s+)?(?P<what>weekdays|weekends|daily|weekly|monthly|"
                  r"(?:mon|tues|wednes|thurs|fri|satur|sun)days"
                  rf"(?:\s*(?:,|and)\s*{_FULL_DAY})*)(?!\w)"),
        ("isotime", r"(?<!\w)(?:at\s+)?(?P<y>20\d\d)-(?P<mo>\d\d)-(?P<d>\d\d)t(?P<h>[01]\d|2[0-3]):(?P<m>[0-5]\d)(?::[0-5]\d)?(?![\w:])"),
        ("iso", r"(?<!\w)(?:on\s+)?(?P<y>20\d\d)-(?P<mo>\d\d)-(?P<d>\d\d)(?:t(?=\d))?"),
        ("date", rf"(?<!\w)(?:on\s+)?(?:the\s+)?(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?"
                 rf"(?P<mo>{_MONTH})\b\.?(?:,?\s+(?P<y>20\d\d))?(?!\w)"),
        ("date", rf"(?<!\w)(?:on\s+)?(?P<mo>{_MONTH})\.?\s+(?:the\s+)?(?P<d>\d{{1,2}})"
                 r"(?:st|nd|rd|th)?(?:,?\s+(?P<y>20\d\d))?(?![\w:]|\s?[ap]\.?m)"),
        ("numeric", r"(?<![\w/.-])(?:on\s+)?(?P<a>\d{1,2})(?P<sep>[/.-])(?P<b>\d{1,2})(?P=sep)(?P<y>(?:20)?\d\d)(?![\w/-]|\.\d)"),
        ("date", rf"(?<!\w)(?:on\s+)?(?:the\s+)?(?P<ord>{_ORDINAL})\s+(?:of\s+)?(?P<mo>{_MONTH})(?:,?\s+(?P<y>20\d\d))?(?!\w)"),
        ("dom", r"(?<!\w)on\s+the\s+(?P<d>\d{1,2})(?:st|nd|rd|th)(?!\w)"),
        ("day", r"(?<!\w)(?P<rel>(?:the\s+)?day\s+after\s+tomorrow|today|tomorrow|tomorow|tommorow|"
                r"tmrw|tmr)(?!\w)"),
        ("day", rf"(?<!\w)(?:on\s+)?(?P<next>next|this|coming)\s+(?P<wd>{_DAY})(?!\w)"),
        ("day", rf"(?<!\w)(?:on\s+)(?P<wd>{_DAY})(?!\w)"),
        ("day", rf"(?<!\w)(?P<wd>{_FULL_DAY})(?!\w)"),
        ("vague", r"(?<!\w)(?:next\s+(?:week|month|year)|later(?:\s+(?:today|on))?|soon|sometime|"
                  r"this\s+week|end\s+of\s+the\s+(?:day|week|month))(?!\w)"),
        ("part", r"(?<!\w)(?:(?:in\s+the|this)\s+(?P<part>morning|afternoon|evening)|"
                 r"at\s+(?P<night>night)|(?P<bare>(?:(?<=day )|(?<=tomorrow ))(?:morning|afternoon|"
                 r"evening|night))|(?P<tonight>tonight|tonite))(?!\w)"),
        ("clock", rf"(?<!\w){_AT}(?P<past>half|quarter|ten|five|twenty|\d{{1,2}})\s+(?:minutes\s+)?(?P<dir>past|to|before|after)\s+"
                  r"(?P<noon>noon|midday|midnight)(?!\w)"),
        ("clock", rf"(?<!\w){_AT}(?P<noon>noon|midday|midnight)(?!\w)"),
        ("clock", rf"(?<!\w){_AT_NEEDED}(?P<past>half)\s+(?P<h>{_HOUR_WORD})(?!\w)"),
        ("clock", rf"(?<!\w){_AT}(?P<past>half|quarter|ten|five|twenty|\d{{1,2}})\s+"
                  rf"(?:minutes\s+)?(?P<dir>past|to|after)\s+(?P<h>{_HOUR_WORD}|[1-9]|1[0-2])"
                  rf"(?:\s*(?P<ap>{_MERIDIEM}))?(?![\w:]|\s?\d)"),
        ("clock", rf"(?<!\w){_AT}(?P<h>{_HOUR_WORD}|{_HOUR})(?:\s*o'?\s?clock)?(?=\s+(?:in\s+the\s+(?:morning|afternoon|evening)|at\s+night)(?!\w))"),
        ("clock", rf"(?<![\w+:.]){_AT}(?P<h>{_HOUR})(?:[:.h](?P<m>[0-5]\d))?"
                  rf"\s*(?P<ap>{_MERIDIEM})"),
        ("clock", rf"(?<![\w+:.]){_AT}(?P<h>[1-9]|1[0-2])(?P<m>[0-5]\d)\s*(?P<ap>{_MERIDIEM})"),
        ("clock", rf"(?<![\w+:.]){_AT}(?P<h>{_HOUR}):(?P<m>[0-5]\d)(?::[0-5]\d)?(?![\w:]|\.\d)"),
        ("clock", rf"(?<![\w+:.]){_AT_NEEDED}(?P<h>{_HOUR})[.h](?P<m>[0-5]\d){_NOT_MORE}"),
        ("clock", rf"(?<![\w+]){_AT_NEEDED}(?P<h>[01]\d|2[0-3])(?P<m>[0-5][05]){_NOT_MORE}"),
        ("clock", rf"(?<![\w+]){_AT_NEEDED}(?P<h>{_HOUR})(?:\s*o'?\s?clock)?{_NOT_MORE}"),
        ("clock", rf"(?<![\w+]){_AT}(?P<h>{_HOUR}|{_HOUR_WORD})\s*o'?\s?clock(?!\w)"),
        ("clock", rf"(?<!\w){_AT}(?P<h>{_HOUR_WORD})(?:\s+(?P<mw>thirty|fifteen|forty[ -]five))?"
                  rf"\s*(?P<ap>{_MERIDIEM})"),
        ("clock", rf"(?<!\w){_AT_NEEDED}(?P<h>{_HOUR_WORD})(?:\s+(?P<mw>thirty|fifteen|"
                  r"forty[ -]five))?(?![\w-]|\s+of\b|\s+(?:point|time|zero|one|two|three|four|five|"
                  r"six|seven|eight|nine|oh|double)\b)"),
        ("zone", r"(?<!\w)(?:utc|gmt|est|edt|cst|mst|pst|pdt|cet|cest|bst|msk)(?!\w)"),
        ("zone", r"(?<!\w)(?:(?:in\s+)?(?P<city>[a-z]+(?:\s+[a-z]+)?)\s+time)(?!\w)"),
        ("place", r"(?<!\w)in\s+(?P<city>[a-z]+(?:\s+[a-z]+)?)(?!\w)"),
    )
)  # fmt: skip
_STRETCH = re.compile(
    rf"(?P<n>{_COUNT})\s*(?P<u>{_UNIT}|[hm](?!\w))(?P<half>\s+and\s+a\s+half)?", re.IGNORECASE
)
_BARE_HOUR = re.compile(
    rf"(?:half\s+(?:past\s+)?)?(?:{_HOUR}(?:[:.][0-5]\d)?|{_HOUR_WORD})(?:\s+o'?clock)?"
)
_LASTING = re.compile(
    rf"\bfor\s+(?:the\s+)?(?:next\s+|another\s+|about\s+)?(?P<span>{_COUNT}\s*{_UNIT}(?:\s+and\s+a\s+half)?)"
    r"(?!\w)|\bfor\s+the\s+(?:next\s+)?(?P<unit>hour)(?!\w)",
    re.IGNORECASE,
)
# Words that may stand between the pieces of one expression: "tomorrow, at 8", "8 in the morning".
_BETWEEN = re.compile(r"[\s,]*(?:(?:at|on|in|the|of|for)\s+)*", re.IGNORECASE)


@dataclass(frozen=True)
class _Piece:
    name: str
    start: int
    end: int
    groups: dict[str, str]


def zone_of(place: str) -> str:
    """The time zone of a city or zone as people call it; empty for what is none."""
    name = place.partition(",")[0].strip().lower()
    return _CITIES.get(name) or _ZONES.get(name) or ""


def find_times(text: str, now: datetime, *, month_first: bool = False) -> Iterator[Span]:
    """Every expression of time; `now` is the person's local time and carries their zone.
    `month_first`: 12/24/2026 is in December."""
    pieces = _pieces(text)
    for piece in pieces:
        if piece.name == "numeric":
            piece.groups["order"] = "month" if month_first else "day"
    for expression in _expressions(text, pieces):
        start, end = expression[0].start, expression[-1].end
        if any(piece.name == "past" for piece in expression):
            yield Span(start, end, Kind.PAST)
        else:
            value = _compute(expression, now)
            yield Span(start, end, Kind.TIME, value, parts=tuple(expression))


def moment(spans: Sequence[Span], now: datetime, *, whole_days: bool = False) -> When | None:
    """What several expressions of one sentence mean together ("on Friday … at 5"); None where
    they contradict each other. `whole_days`: a day without an hour is its beginning."""
    if len(spans) == 1 and isinstance(spans[0].value, When):
        return spans[0].value
    pieces = [piece for span in spans for piece in span.parts]
    found = _compute(pieces, now)
    if (
        found is None
        and whole_days
        and not any(piece.name in ("clock", "part") for piece in pieces)
    ):
        midnight = _Piece("clock", 0, 0, {"noon": "midnight"})
        found = _compute([*pieces, midnight], now)
    return found


def lasting(words: str, now: datetime) -> When | None:
    """The end of a stretch that begins now: "for the next two hours", "for half an hour"."""
    found = _LASTING.search(words)
    if found is None:
        return None
    minutes = 60 if found["unit"] else minutes_of(found["span"])
    return When(at=_later(now, timedelta(minutes=minutes))) if minutes else None


def bare_hour(words: str, now: datetime) -> When | None:
    """ "9", "half seven", where nothing but an hour can be meant; None for anything else."""
    if not _BARE_HOUR.fullmatch(words.strip(" .,!?").lower()):
        return None
    spans = list(find_times(f"at {words.strip(' .,!?')}", now))
    value = spans[0].value if len(spans) == 1 else None
    return value if isinstance(value, When) else None


def minutes_of(words: str) -> int | None:
    """The minutes of a stretch of time such as "a quarter of an hour"."""
    found = _STRETCH.fullmatch(words.strip().lower())
    if found is None:
        return None
    unit = _UNITS[found["u"].rstrip("s") or "s"]
    delta = timedelta(**{unit: _count(found["n"])})
    if found["half"]:
        delta += timedelta(**{unit: 0.5})
    return round(delta.total_seconds() / 60) or None


def _pieces(text: str) -> list[_Piece]:
    found: list[_Piece] = []
    for name, pattern in _PIECES:
        for match in pattern.finditer(text):
            groups = {k: v.lower() for k, v in match.groupdict().items() if v is not None}
            if name == "place":
                words = groups["city"]
                known = next((w for w in (words, words.split()[0]) if w in _CITIES), None)
                if known is None:
                    continue
                groups["city"] = known
                end = match.start("city") + len(known)
                if all(end <= p.start or match.start() >= p.end for p in found):
                    found.append(_Piece("zone", match.start(), end, groups))
                continue
            if name == "zone" and not _zone_named(groups.setdefault("city", match[0].lower())):
                continue
            if all(match.end() <= p.start or match.start() >= p.end for p in found):
                found.append(_Piece(name, match.start(), match.end(), groups))
    return sorted(found, key=lambda piece: piece.start)


def _expressions(text: str, pieces: list[_Piece]) -> Iterator[list[_Piece]]:
    """Runs of neighbouring pieces; a zone alone ("UTC") is no time."""
    run: list[_Piece] = []
    for piece in pieces:
        if run and not _BETWEEN.fullmatch(text[run[-1].end : piece.start]):
            if any(p.name != "zone" for p in run):
                yield run
            run = []
        run.append(piece)
    if any(p.name != "zone" for p in run):
        yield run


def _zone_named(words: str) -> str | None:
    if words in _ZONES:
        return _ZONES[words]
    # "at 5 berlin time": the pattern may have taken a word too many.
    return _CITIES.get(words) or _CITIES.get(words.rsplit(" ", 1)[-1])


def _compute(expression: list[_Piece], now: datetime) -> When | None:
    """The moment an expression means, always after `now`; None if it cannot be told."""
    by_name: dict[str, list[_Piece]] = {}
    for piece in expression:
        by_name.setdefault(piece.name, []).append(piece)
    if "event" in by_name or "vague" in by_name or len(by_name.get("clock", ())) > 1:
        return None
    if any(len(found) > 1 for name, found in by_name.items() if name != "zone"):
        same = all(len({tuple(p.groups.items()) for p in found}) == 1 for found in by_name.values())
        if not same:
            return None  # "today or tomorrow at 5"
    first = {name: found[0].groups for name, found in by_name.items()}
    if "zone" in first:
        zone = ZoneInfo(_zone_named(first["zone"]["city"]) or "UTC")
        now = now.astimezone(zone)
    try:
        return _compose(first, now)
    except (ValueError, OverflowError):  # the 31st of February, a delay of a billion weeks
        return None


def _compose(first: dict[str, dict[str, str]], now: datetime) -> When | None:
    if "delay" in first:
        return _delayed(first, now)
    if "often" in first:
        return _often(first, now)
    if "isotime" in first:
        groups = first["isotime"]
        exact = time(int(groups["h"]), int(groups["m"]))
        moment = _local(
            date(int(groups["y"]), int(groups["mo"]), int(groups["d"])), exact, now.tzinfo
        )
        return When(at=moment) if moment > now else None
    clock, flexible = _clock(first)
    if "recur" in first or "monthday" in first or "monthly" in first:
        return _recurring(first, clock, now)
    day = _day(first, now)
    if clock is None:
        return None  # a day without an hour is not a moment to call at
    zone = now.tzinfo
    if day is not None:
        moment = _local(day, clock, zone)
        if flexible and moment <= now:
            moment = _local(day, clock.replace(hour=clock.hour + 12), zone)
        if moment <= now and "wd" in first.get("day", {}):
            moment = _local(day + timedelta(days=7), clock, zone)  # today's hour has passed
        if moment <= now and _part_alone(first):
            moment = _local(day + timedelta(days=1), clock, zone)
        return When(at=moment) if moment > now else None
    candidates = [_local(now.date(), clock, zone)]
    if flexible:
        candidates.append(_local(now.date(), clock.replace(hour=clock.hour + 12), zone))
    later = [moment for moment in candidates if moment > now]
    if later:
        return When(at=min(later))
    return When(at=_local(now.date() + timedelta(days=1), candidates[0].time(), zone))


def _part_alone(first: dict[str, dict[str, str]]) -> bool:
    """ "In the morning", "at 7 in the evening": of today if that is still to come."""
    days = ("day", "date", "dom", "iso", "numeric", "ahead")
    return "part" in first and not any(name in first for name in days)


def _local(day: date, clock: time, zone: tzinfo | None) -> datetime:
    """A moment on the person's clock. One that is left out when clocks go forward comes as much
    later as they do; of one that comes twice it is the first."""
    moment = datetime.combine(day, clock, tzinfo=zone or UTC)
    return moment.astimezone(UTC).astimezone(moment.tzinfo)


def _later(now: datetime, delta: timedelta) -> datetime:
    """Elapsed time: across a change of the clocks it is counted in UTC."""
    return (now.astimezone(UTC) + delta).astimezone(now.tzinfo)


def _delayed(first: dict[str, dict[str, str]], now: datetime) -> When | None:
    groups = first["delay"]
    unit = _UNITS[groups["u"].rstrip("s") or "s"]
    if unit in ("months", "years"):
        return _months_later(first, now, _count(groups["n"]) * (12 if unit == "years" else 1))
    if unit == "fortnights":
        groups, unit = {**groups, "n": str(2 * _count(groups["n"]))}, "weeks"
    delta = timedelta(**{unit: _count(groups["n"])})
    if "half" in groups:
        delta += timedelta(**{unit: 0.5})
    if "n2" in groups:
        delta += timedelta(minutes=_count(groups["n2"]))
    clock, _ = _clock(first)
    if clock is not None:
        return When(at=_local((now + delta).date(), clock, now.tzinfo))
    if not delta:
        return None
    if unit in ("days", "weeks"):  # these keep the time of day
        ahead = now + delta
        return When(at=_local(ahead.date(), ahead.time(), now.tzinfo))
    return When(at=_later(now, delta))


def _months_later(first: dict[str, dict[str, str]], now: datetime, months: float) -> When | None:
    """The same day some months on, or the last one where that month is shorter."""
    if months != int(months) or months > 1200:
        return None
    month = now.year * 12 + now.month - 1 + int(months)
    year, index = month // 12, month % 12 + 1
    last = (date(year + index // 12, index % 12 + 1, 1) - timedelta(days=1)).day
    clock, _ = _clock(first)
    day = date(year, index, min(now.day, last))
    return When(at=_local(day, clock or now.time(), now.tzinfo))


def _often(first: dict[str, dict[str, str]], now: datetime) -> When | None:
    """ "Every 3 hours": from now on, unless it is said when to begin."""
    groups = first["often"]
    words = groups.get("n", "1")
    count = 2.0 if words == "other" else _count(words)
    minutes = groups["u"].startswith("m")
    if count != int(count):
        count, minutes = count * 60, True
    if not 1 <= count < 10_000 or count != int(count) or "clock" in first:
        return None
    interval = f";INTERVAL={int(count)}" if count > 1 else ""
    ahead = timedelta(minutes=count) if minutes else timedelta(hours=count)
    return When(
        at=_later(now, ahead), rrule=f"FREQ={'MINUTELY' if minutes else 'HOURLY'}{interval}"
    )


def _count(words: str) -> float:
    return _NUMBER_WORDS.get(words) or float(words)


def _minutes_past(words: str) -> int:
    """The minutes of "half past", "quarter to", "ten past"."""
    named = {"half": 30, "quarter": 15, "ten": 10, "five": 5, "twenty": 20}
    return named.get(words) or int(words)


def _clock(first: dict[str, dict[str, str]]) -> tuple[time | None, bool]:
    """The time of day, and whether it may as well be twelve hours later ("at 8")."""
    part = next(iter(first["part"].values())) if "part" in first else None
    part = "night" if part in ("tonight", "tonite") else part
    if "clock" not in first:
        return (_PARTS[part], False) if part else (None, False)
    groups = first["clock"]
    if "noon" in groups:
        named = 0 if groups["noon"] == "midnight" else 12
        if "past" in groups:
            minute = _minutes_past(groups["past"])
            before = groups["dir"] in ("to", "before")
            return time(
                (named - 1) % 24 if before else named, 60 - minute if before else minute
            ), False
        return time(named), False
    hour = HOUR_WORDS.get(groups["h"]) or int(groups["h"])
    minute = int(groups.get("m", 0))
    if "mw" in groups:
        minute = {"thirty": 30, "fifteen": 15}.get(groups["mw"], 45)
    if "past" in groups:
        minute = _minutes_past(groups["past"])
        if groups.get("dir") == "to":
            hour, minute = (hour - 1) % 12 or 12, 60 - minute
    if "ap" in groups:
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + (12 if groups["ap"].startswith("p") else 0)
        return time(hour, minute), False
    if part is not None and hour <= 12:
        hour = hour % 12 + (0 if part == "morning" or (part == "night" and hour == 12) else 12)
        return time(hour, minute), False
    written_in_full = len(groups["h"]) == 2 and groups["h"].isdigit() and groups["h"][0] == "0"
    if 1 <= hour <= 6 and not written_in_full:
        return time(hour + 12, minute), False  # an unmarked "at 4" is no call before dawn
    return time(hour, minute), 7 <= hour < 12 and not written_in_full


def _day(first: dict[str, dict[str, str]], now: datetime) -> date | None:
    today = now.date()
    if "iso" in first:
        groups = first["iso"]
        return date(int(groups["y"]), int(groups["mo"]), int(groups["d"]))
    if "numeric" in first:
        groups = first["numeric"]
        one, two = int(groups["a"]), int(groups["b"])
        month_first = groups["order"] == "month" and groups["sep"] == "/"
        day_of, month = (two, one) if month_first else (one, two)
        return date(int(groups["y"]) % 100 + 2000, month, day_of)
    if "ahead" in first:
        groups = first["ahead"]
        start = today
        if groups["wd"] == "tomorrow":
            start += timedelta(days=1)
        elif groups["wd"] not in ("today", "now"):
            start += timedelta(days=(_weekday(groups["wd"]) - today.weekday()) % 7)
        return start + timedelta(weeks=_count(groups["n"]))
    if "date" in first:
        groups = first["date"]
        month = next(i for i, m in enumerate(_MONTHS, 1) if m.startswith(groups["mo"][:3]))
        number = _ORDINALS[groups["ord"].replace(" ", "-")] if "ord" in groups else int(groups["d"])
        day = date(int(groups.get("y", today.year)), month, number)
        return day if day >= today or "y" in groups else day.replace(year=today.year + 1)
    if "dom" in first:
        return _next_day_of_month(today, int(first["dom"]["d"]))
    midnight = first.get("clock", {}).get("noon") == "midnight" and "past" not in first["clock"]
    if midnight and next(iter(first.get("part", {}).values()), "") in (
        "tonight",
        "tonite",
        "night",
    ):
        return today + timedelta(days=1)
    if "day" in first:
        return _named_day(first["day"], today)
    return today if "part" in first else None


def _rule_in_month(groups: dict[str, str]) -> tuple[str | None, Callable[[date], bool]]:
    """ "The last Friday of every month"."""
    words = groups["which"]
    number = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4}.get(words) or _ORDINALS[words]
    if groups["wd"] in ("day", "weekday"):
        if groups["wd"] == "weekday" or number > 1:
            return None, lambda d: False
        return (
            f"FREQ=MONTHLY;BYMONTHDAY={number}",
            lambda d: d.day == 1 if number == 1 else (d + timedelta(days=1)).day == 1,
        )
    weekday = _weekday(groups["wd"])

    def falls(day: date) -> bool:
        if day.weekday() != weekday:
            return False
        return (
            (day + timedelta(days=7)).month != day.month
            if number < 0
            else (day.day - 1) // 7 == number - 1
        )

    return f"FREQ=MONTHLY;BYDAY={number}{BYDAY[weekday]}", falls


def _named_day(groups: dict[str, str], today: date) -> date:
    if "wd" in groups:
        weekday = _weekday(groups["wd"])
        if groups.get("next") == "next":  # that of the next week, which begins on Monday
            return today + timedelta(days=7 - today.weekday() + weekday)
        return today + timedelta(days=(weekday - today.weekday()) % 7)
    relative = groups["rel"]
    return today + timedelta(days=2 if "after" in relative else 0 if relative == "today" else 1)


def _weekday(word: str) -> int:
    return next(i for i, day in enumerate(_WEEKDAYS) if day.startswith(word[:3]))


def _next_day_of_month(today: date, day: int) -> date:
    for ahead in range(12):
        months = today.year * 12 + today.month - 1 + ahead
        try:
            candidate = date(months // 12, months % 12 + 1, day)
        except ValueError:
            continue
        if candidate >= today:
            return candidate
    raise ValueError(day)


def _recurring(first: dict[str, dict[str, str]], clock: time | None, now: datetime) -> When | None:
    rule, days = _rule(first, now)
    if clock is None:
        what = first.get("recur", {}).get("what", "")
        clock = next((at for part, at in _PARTS.items() if part in what), None)
    if rule is None or clock is None:
        return None
    for ahead in range(400):
        day = now.date() + timedelta(days=ahead)
        if days(day) and (moment := _local(day, clock, now.tzinfo)) > now:
            return When(at=moment, rrule=rule)
    return None


def _rule(
    first: dict[str, dict[str, str]], now: datetime
) -> tuple[str | None, Callable[[date], bool]]:
    """The RFC 5545 rule, and which days it can fall on."""
    if "monthly" in first:
        return _rule_in_month(first["monthly"])
    if "monthday" in first:
        word = first["monthday"]["dom"]
        if word == "last":
            return "FREQ=MONTHLY;BYMONTHDAY=-1", lambda d: (d + timedelta(days=1)).day == 1
        number = 1 if word == "first" else int(word[:-2])
        return f"FREQ=MONTHLY;BYMONTHDAY={number}", lambda d: d.day == number
    groups = first["recur"]
    what, nth = groups["what"], groups.get("nth")
    times = {"other": 2, "second": 2, "two": 2, "three": 3, "four": 4}.get(nth or "")
    times = times or int(nth or 1)
    interval = f";INTERVAL={times}" if times > 1 else ""
    if what in ("weekday", "weekdays") or what.startswith("working"):
        return "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", lambda d: d.weekday() < 5
    if what in ("weekend", "weekends"):
        return "FREQ=WEEKLY;BYDAY=SA,SU", lambda d: d.weekday() >= 5
    named = sorted({_weekday(word) for word in re.findall(_FULL_DAY, what)})
    if named:
        by_day = ",".join(BYDAY[i] for i in named)
        return f"FREQ=WEEKLY{interval};BYDAY={by_day}", lambda d: d.weekday() in named
    if "week" in what and "wd" in first.get("day", {}):
        weekday = _weekday(first["day"]["wd"])
        return f"FREQ=WEEKLY{interval};BYDAY={BYDAY[weekday]}", lambda d: d.weekday() == weekday
    if "month" in what and "dom" in first:
        number = int(first["dom"]["d"])
        return f"FREQ=MONTHLY{interval};BYMONTHDAY={number}", lambda d: d.day == number
    if "year" in what and "date" in first:
        chosen = _day(first, now)
        return f"FREQ=YEARLY{interval}", lambda d: d == chosen
    for period, frequency in (("week", "WEEKLY"), ("month", "MONTHLY"), ("year", "YEARLY")):
        if period in what:
            return f"FREQ={frequency}{interval}", lambda d: True
    return f"FREQ=DAILY{interval}", lambda d: True
