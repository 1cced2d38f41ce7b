"""CalDAV (RFC 4791): the calendars of an account, what in them changed, and new events in them.

Our own hundred lines: a client that bounds what servers send was not to be had.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as Xml

import httpx

from encryptotel.calendars.entries import MAX_BYTES, Source, SourceError
from encryptotel.calendars.sources import connected, request

MAX_CALENDARS = 30
MAX_OBJECTS = 50_000
AT_ONCE = 100
"Objects fetched by one request."
_NAMES = {
    "d": "DAV:", "c": "urn:ietf:params:xml:ns:caldav", "s": "http://calendarserver.org/ns/",
}  # fmt: skip
_SPACES = " ".join(f'xmlns:{short}="{name}"' for short, name in _NAMES.items())
_FIND = """<d:propfind {spaces}><d:prop><d:current-user-principal/><c:calendar-home-set/>
<d:resourcetype/><d:displayname/><s:getctag/><d:sync-token/>
<c:supported-calendar-component-set/></d:prop></d:propfind>"""
_QUERY = """<c:calendar-query {spaces}><d:prop><d:getetag/></d:prop><c:filter>
<c:comp-filter name="VCALENDAR"><c:comp-filter name="{kind}">{when}</c:comp-filter>
</c:comp-filter></c:filter></c:calendar-query>"""
_GET = """<c:calendar-multiget {spaces}><d:prop><d:getetag/><c:calendar-data/></d:prop>{hrefs}
</c:calendar-multiget>"""


@dataclass
class Kept:
    """A calendar as it was fetched last: what tells whether it changed, and its objects by place,
    each with its tag."""

    url: str
    name: str
    tag: str = ""
    kinds: list[str] = field(default_factory=lambda: ["VEVENT"])
    objects: dict[str, tuple[str, str]] = field(default_factory=dict)


def sync(
    source: Source, kept: Mapping[str, Kept], begin: datetime, end: datetime
) -> dict[str, Kept]:
    """All calendars of an account, with what may be on in a time; only what changed since `kept`
    is fetched. Raises `SourceError`."""
    with connected(source) as client:
        found = _calendars(client, source)
        fresh: dict[str, Kept] = {}
        for calendar in found:
            before = kept.get(calendar.url)
            if before is not None and before.tag and before.tag == calendar.tag:
                fresh[calendar.url] = before
                continue
            _fetch(client, source, calendar, before, begin, end)
            fresh[calendar.url] = calendar
        return fresh


def add(source: Source, url: str, content: str) -> None:
    """Put a new event into a calendar (§5.3.2). Raises `SourceError`."""
    place = urljoin(url if url.endswith("/") else f"{url}/", f"{secrets.token_hex(16)}.ics")
    headers = {"Content-Type": "text/calendar; charset=utf-8", "If-None-Match": "*"}
    with connected(source) as client:
        response, _, _ = request(
            client, source, "PUT", place, headers=headers, content=content.encode()
        )
    if response.status_code not in (200, 201, 204):
        raise SourceError(f"the calendar's server does not take it ({response.status_code})")


def together(calendars: Mapping[str, Kept]) -> bytes:
    """All objects as one file."""
    inner = "\r\n".join(
        line
        for calendar in calendars.values()
        for _, text in calendar.objects.values()
        for line in text.splitlines()
        if not line.upper().startswith(("BEGIN:VCALENDAR", "END:VCALENDAR"))
    )
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{inner}\r\nEND:VCALENDAR\r\n".encode()


# ── which calendars there are ───────────────────────────────────────────────────────────────
def _calendars(client: httpx.Client, source: Source) -> list[Kept]:
    """Those of the account at an address: of itself, of its principal's home (§6.2.1), or of what
    the host's well-known place leads to (RFC 6764)."""
    starts = [source.url, urljoin(source.url, "/.well-known/caldav")]
    for start in starts:
        try:
            url, found = _properties(client, source, start, 0)
        except SourceError as error:
            if start is starts[-1] or "password" in str(error):
                raise
            continue
        if itself := _as_calendars(url, found):
            return itself
        for home in _homes(client, source, url, found):
            if calendars := _as_calendars(*_properties(client, source, home, 1)):
                return calendars
        if calendars := _as_calendars(*_properties(client, source, url, 1)):
            return calendars
    raise SourceError("there is no calendar at that address")


def _homes(
    client: httpx.Client, source: Source, url: str, found: list[tuple[str, Xml.Element]]
) -> Iterator[str]:
    for _, properties in found:
        for home in properties.iterfind("c:calendar-home-set/d:href", _NAMES):
            yield _inside(source, urljoin(url, home.text or ""))
        for principal in properties.iterfind("d:current-user-principal/d:href", _NAMES):
            place = _inside(source, urljoin(url, principal.text or ""))
            if place != url:
                there, theirs = _properties(client, source, place, 0)
                for _, more in theirs:
                    for home in more.iterfind("c:calendar-home-set/d:href", _NAMES):
                        yield _inside(source, urljoin(there, home.text or ""))


def _inside(source: Source, url: str) -> str:
    """Raises `SourceError` for a place that is asked for less safely than the source."""
    if urlsplit(source.url).scheme == "https" and urlsplit(url).scheme != "https":
        raise SourceError("the calendar's server leads to where nothing is encrypted")
    return url


def _as_calendars(url: str, found: list[tuple[str, Xml.Element]]) -> list[Kept]:
    calendars = []
    for href, properties in found:
        if properties.find("d:resourcetype/c:calendar", _NAMES) is None:
            continue
        kinds = [
            one.get("name", "").upper()
            for one in properties.iterfind("c:supported-calendar-component-set/c:comp", _NAMES)
        ]
        wanted = [kind for kind in ("VEVENT", "VTODO") if not kinds or kind in kinds]
        tag = properties.findtext("s:getctag", "", _NAMES)
        tag = tag or properties.findtext("d:sync-token", "", _NAMES)
        name = properties.findtext("d:displayname", "", _NAMES)
        calendars.append(Kept(urljoin(url, href), name[:60], tag[:500], wanted))
    return calendars[:MAX_CALENDARS]


def _properties(
    client: httpx.Client, source: Source, url: str, depth: int
) -> tuple[str, list[tuple[str, Xml.Element]]]:
    body = _FIND.format(spaces=_SPACES)
    return _answers(client, source, "PROPFIND", url, body, depth)


# ── what is in one ──────────────────────────────────────────────────────────────────────────
def _fetch(
    client: httpx.Client,
    source: Source,
    calendar: Kept,
    before: Kept | None,
    begin: datetime,
    end: datetime,
) -> None:
    """Fill a calendar with what may be on; what has the tag it had is not fetched again."""
    tags: dict[str, str] = {}
    span = f'<c:time-range start="{begin:%Y%m%dT%H%M%SZ}" end="{end:%Y%m%dT%H%M%SZ}"/>'
    for kind in calendar.kinds:
        body = _QUERY.format(spaces=_SPACES, kind=kind, when=span if kind == "VEVENT" else "")
        _, found = _answers(client, source, "REPORT", calendar.url, body, 1)
        tags |= {href: prop.findtext("d:getetag", "", _NAMES) for href, prop in found}
    if len(tags) > MAX_OBJECTS:
        raise SourceError(f"the calendar has more than {MAX_OBJECTS} events")
    known = before.objects if before is not None else {}
    same = {href for href, tag in tags.items() if tag and href in known and known[href][0] == tag}
    calendar.objects = {href: known[href] for href in same}
    size = sum(len(text) for _, text in calendar.objects.values())
    missing = [href for href in tags if href not in same]
    for at in range(0, len(missing), AT_ONCE):
        hrefs = "".join(f"<d:href>{_escaped(one)}</d:href>" for one in missing[at : at + AT_ONCE])
        body = _GET.format(spaces=_SPACES, hrefs=hrefs)
        _, found = _answers(client, source, "REPORT", calendar.url, body, 1)
        for href, prop in found:
            text = prop.findtext("c:calendar-data", "", _NAMES)
            size += len(text)
            if size > MAX_BYTES:
                raise SourceError(f"the calendar is larger than {MAX_BYTES // 1_000_000} MB")
            calendar.objects[href] = (prop.findtext("d:getetag", "", _NAMES), text)


def _answers(
    client: httpx.Client, source: Source, method: str, url: str, body: str, depth: int
) -> tuple[str, list[tuple[str, Xml.Element]]]:
    """Where it was answered in the end, and the properties of each place (RFC 4918 §14.24)."""
    headers = {"Content-Type": "application/xml; charset=utf-8", "Depth": str(depth)}
    what: dict[str, Any] = {"headers": headers, "content": body.encode()}
    response, content, url = request(client, source, method, url, **what)
    if response.status_code != 207:
        raise SourceError(f"that is no CalDAV server (it says {response.status_code})")
    try:
        root = Xml.fromstring(content)  # noqa: S314 - expat itself refuses what explodes
    except Xml.ParseError:
        raise SourceError("the calendar's server answers strangely") from None
    found: list[tuple[str, Xml.Element]] = []
    for one in root.iterfind("d:response", _NAMES):
        for part in one.iterfind("d:propstat", _NAMES):
            properties = part.find("d:prop", _NAMES)
            if " 200" in part.findtext("d:status", "", _NAMES) and properties is not None:
                found.append((one.findtext("d:href", "", _NAMES), properties))
    return url, found


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
