"""iCalendar (RFC 5545), as calendars really write it, to what is on in the next weeks.

Runs in a process of its own, for it is slow and what it reads is anybody's. One bad event spoils no
other: it is left out, and said so. Zones, recurrences, overrides and exceptions are those of
`icalendar` and `recurring-ical-events`.
"""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import phonenumbers
import recurring_ical_events

from encryptotel.calendars.entries import MAX_BYTES, CalendarError, Entry

MAX_EVENTS = 50_000
MAX_ENTRIES = 5_000
"Things that are on within the time asked for."
MAX_TITLE = 200
MAX_LOOKED_AT = 4_000
"Characters of a description in which a telephone number is looked for."
MAX_LEADS = 5
SECONDS, OF_ONE = 10.0, 0.5
"For all recurrences, and for one series, where one must be to blame."
_EDGE = re.compile(r"^(BEGIN|END):(VEVENT|VTODO|VTIMEZONE)\b", re.M | re.I)
_FOLD = re.compile(r"\r?\n[ \t]")
_START = re.compile(
    r"^(?:DTSTART|DUE)(?:;(?:\"[^\"\r\n]{0,200}\"|[^\":\r\n]){0,200})?:(\d{8})", re.M | re.I
)
_REPEATS = re.compile(r"^(?:RRULE|RDATE|RECURRENCE-ID|EXRULE)", re.M | re.I)
_UID = re.compile(r"^UID[^:\r\n]{0,200}:(.{1,400}?)\r?$", re.M | re.I)
_HEAD = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//EncryptoTel//EN\r\n"
_NUMBER_THEN = re.compile(r"[\s;:x-]*(?P<code>,[\d,#*]{3,40})")
_CODE = re.compile(
    r"(?:pin|passcode|access code|code|conference id|meeting id|id|kenncode|zugangscode)"
    r"\s*(?:is|number|:|#|-|=)*\s*(?P<code>\d[\d \t-]{2,18}\d)\s*#?",
    re.I,
)
_TEL = re.compile(r"tel:(?P<number>\+[\d.() -]{6,20})(?P<code>[,;][\d,;#*]{2,40})?", re.I)


@dataclass(frozen=True, slots=True)
class Read:
    """What was found, and what was left out, in words."""

    entries: list[Entry]
    left_out: list[str]
    name: str


def read(content: bytes, begin: datetime, end: datetime, zone: str) -> Read:
    """What is on from `begin` to `end`; times without a zone are those of `zone`. Raises
    `CalendarError`."""
    if len(content) > MAX_BYTES:
        raise CalendarError(f"the calendar is larger than {MAX_BYTES // 1_000_000} MB")
    text = _decoded(content)
    if "BEGIN:VCALENDAR" not in text[:10_000].upper():
        raise CalendarError("that is no calendar (iCalendar, .ics)")
    text = _FOLD.sub("", text)
    blocks = list(_blocks(text))
    zones = [block for kind, block in blocks if kind == "VTIMEZONE"]
    near = [block for kind, block in blocks if kind != "VTIMEZONE" and _near(block, begin, end)]
    left_out: list[str] = []
    found = _expanded(near, zones, begin, end, ZoneInfo(zone), left_out)
    entries = [one for one in found if begin <= one.start < end]
    entries.sort(key=lambda one: (one.start, one.uid))
    if len(entries) > MAX_ENTRIES:
        left_out.append(f"only the first {MAX_ENTRIES} of {len(entries)} are kept")
    return Read(entries[:MAX_ENTRIES], left_out, _name(text))


# ── text ────────────────────────────────────────────────────────────────────────────────────
def _decoded(content: bytes) -> str:
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    return text.replace("\0", "")


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """The events, tasks and zones of a file, each with what it is; in one pass, whatever is in
    it. Raises `CalendarError`."""
    kind, begin, count = "", 0, 0
    for edge in _EDGE.finditer(text):
        if edge[1].upper() == "BEGIN":
            kind, begin = edge[2].upper(), edge.start()
        elif edge[2].upper() == kind:
            count += 1
            if count > MAX_EVENTS:
                raise CalendarError(f"the calendar has more than {MAX_EVENTS} events")
            yield kind, text[begin : edge.end()]
            kind = ""


def _name(text: str) -> str:
    found = re.search(
        r"^(?:X-WR-CALNAME|NAME)[^:\r\n]{0,100}:(.{1,100}?)\r?$", text[:20_000], re.M | re.I
    )
    return found[1].strip() if found else ""


def _near(block: str, begin: datetime, end: datetime) -> bool:
    """Whether an event may be on in a time; what repeats always may."""
    if _REPEATS.search(block):
        return True
    start = _START.search(block)
    if start is None:
        return False
    try:
        day = datetime.strptime(start[1], "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return True  # so that it is said
    return begin - timedelta(days=2) <= day <= end + timedelta(days=2)


# ── events ──────────────────────────────────────────────────────────────────────────────────
def _expanded(
    blocks: Sequence[str],
    zones: Sequence[str],
    begin: datetime,
    end: datetime,
    zone: ZoneInfo,
    left_out: list[str],
) -> list[Entry]:
    """All events of all blocks; if that fails or takes too long, series by series."""
    # Whatever libraries make of what is anybody's.
    with contextlib.suppress(Exception, _TooLong), _within(SECONDS):
        return _series(blocks, zones, begin, end, zone)
    by_uid: dict[str, list[str]] = {}
    for number, block in enumerate(blocks):
        found = _UID.search(block)
        by_uid.setdefault(found[1] if found else f"#{number}", []).append(block)
    entries: list[Entry] = []
    try:
        with _within(SECONDS):
            for series in by_uid.values():
                try:
                    with _within(OF_ONE):
                        entries += _series(series, zones, begin, end, zone)
                except _TooLong:
                    left_out.append(
                        f"“{_title_of(series[0])}” repeats in a way that takes too long"
                    )
                except Exception:
                    left_out.append(f"“{_title_of(series[0])}” is not written as it should be")
    except _TooLong as error:
        raise CalendarError("the calendar takes too long to read") from error
    return entries


def _series(
    blocks: Sequence[str], zones: Sequence[str], begin: datetime, end: datetime, zone: ZoneInfo
) -> list[Entry]:
    if not blocks:
        return []
    text = _HEAD + "\r\n".join([*zones, *blocks]) + "\r\nEND:VCALENDAR\r\n"
    calendar = icalendar.Calendar.from_ical(text)
    known = recurring_ical_events.of(calendar, components=["VEVENT", "VTODO"])
    # A day more on both sides, for days begin elsewhere earlier and later.
    found = known.between(begin - timedelta(days=1), end + timedelta(days=1))
    return [entry for one in found if (entry := _entry(one, zone)) is not None]


def _entry(event: Any, zone: ZoneInfo) -> Entry | None:
    """An event as it happens; None for one that does not."""
    if str(event.get("STATUS", "")).upper() in ("CANCELLED", "COMPLETED"):
        return None
    todo = event.name == "VTODO"
    at = event.get("DUE" if todo and "DUE" in event else "DTSTART")
    if at is None:
        return None
    begun = at.dt
    start = _utc(begun, zone)
    original = event.get("RECURRENCE-ID")
    which = _utc(original.dt, zone) if original is not None else start
    words = _words(event)
    return Entry(
        uid=f"{str(event.get('UID', words))[:400]}@{which:%Y%m%dT%H%M}",
        start=start,
        title=_clean(str(event.get("SUMMARY", "")))[:MAX_TITLE] or "something without a title",
        all_day=not isinstance(begun, datetime),
        dial=dial_of(words),
        leads=_leads(event, begun, zone),
        people=_people(event),
        todo=todo,
    )


def _utc(at: date, zone: ZoneInfo) -> datetime:
    if not isinstance(at, datetime):
        at = datetime.combine(at, time())
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)


def _leads(event: Any, begun: date, zone: ZoneInfo) -> tuple[int, ...]:
    """Minutes before the start at which alarms are set; those after it are negative."""
    found: set[int] = set()
    for alarm in event.walk("VALARM"):
        trigger = getattr(alarm.get("TRIGGER"), "dt", None)
        if isinstance(trigger, timedelta):
            related = str(alarm.get("TRIGGER").params.get("RELATED", "START")).upper()
            if related == "END" and (end := event.get("DTEND")) is not None:
                trigger += _utc(end.dt, zone) - _utc(begun, zone)
            found.add(round(-trigger.total_seconds() / 60))
        elif isinstance(trigger, date):
            found.add(round((_utc(begun, zone) - _utc(trigger, zone)).total_seconds() / 60))
    return tuple(
        sorted((one for one in found if abs(one) <= 60 * 24 * 28), reverse=True)[:MAX_LEADS]
    )


def _people(event: Any) -> str:
    """Who takes part, for words to be looked for in."""
    found = [event.get("ORGANIZER"), *_listed(event.get("ATTENDEE"))]
    names = [f"{getattr(one, 'params', {}).get('CN', '')} {one}" for one in found if one]
    return _clean(" ".join(names).replace("mailto:", ""))[:1000]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _words(event: Any) -> str:
    parts = (
        str(event.get(name, ""))[:MAX_LOOKED_AT]
        for name in ("CONFERENCE", "X-GOOGLE-CONFERENCE", "URL", "LOCATION", "DESCRIPTION")
    )
    return "\n".join(parts)


def _clean(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _title_of(block: str) -> str:
    found = re.search(r"^SUMMARY[^:\r\n]{0,200}:(.{1,80})", block, re.M | re.I)
    return _clean(found[1])[:60] if found else "an event"


# ── numbers to dial ─────────────────────────────────────────────────────────────────────────
def dial_of(words: str) -> str:
    """The telephone number of a conference and the keys that let one in, from an invitation:
    “+13017158592,,84531234567#”; empty where there is none."""
    if tel := _TEL.search(words):
        return _e164(tel["number"]) + _keys(tel["code"] or "")
    for found in phonenumbers.PhoneNumberMatcher(words[:MAX_LOOKED_AT], None):
        number = phonenumbers.format_number(found.number, phonenumbers.PhoneNumberFormat.E164)
        rest = words[found.end : found.end + 300]
        if code := _NUMBER_THEN.match(rest):
            return number + _keys(code["code"])
        code = _CODE.search(rest) or _CODE.search(words)
        if code:
            return f"{number},,{re.sub(r'[^0-9]', '', code['code'])}#"
        if re.search(r"\b(?:dial|phone|call|telefon|conference|join)", words, re.I):
            return number
    return ""


def _e164(number: str) -> str:
    return "+" + re.sub(r"\D", "", number)


def _keys(code: str) -> str:
    return re.sub(r"[^\d,#*]", "", code.replace(";", ","))[:40]


# ── time ────────────────────────────────────────────────────────────────────────────────────
class _TooLong(BaseException):
    """No `Exception`, so that no library takes it for its own."""


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raises `_TooLong` in the middle of whatever takes longer; in the main thread only."""

    def ring(*_: object) -> None:
        raise _TooLong

    left, _ = signal.getitimer(signal.ITIMER_REAL)
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, left) if left else seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def summary(left_out: Iterable[str]) -> str:
    """What was left out, in a sentence."""
    found = list(left_out)
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"Left out: {'; '.join(found[:3])}{more}." if found else ""
