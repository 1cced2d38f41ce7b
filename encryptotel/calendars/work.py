"""What the process does that fetches and reads calendars."""

from __future__ import annotations

import json
import secrets
import zlib
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import icalendar

from encryptotel.calendars import dav
from encryptotel.calendars.entries import MAX_BYTES, Done, Job, Source, SourceError, packed
from encryptotel.calendars.reading import read, summary
from encryptotel.calendars.sources import fetch


def do(job: Job) -> Done:
    """Fetch a calendar, if anything changed, and read it. Raises `CalendarError`."""
    if job.kind == "dav":
        return _do_dav(job)
    content, etag, modified = job.content, job.etag, job.modified
    if job.kind == "feed":
        fetched = fetch(job.source, job.etag if content else "", job.modified if content else "")
        fresh = content if fetched.content is None else packed(fetched.content)
        if fresh != content:
            content, etag, modified = fresh, fetched.etag, fetched.modified
        elif not job.anew:
            return Done(entries=None)
    found = read(_unpacked(content), job.begin, job.end, job.zone)
    return Done(
        entries=found.entries,
        left_out=summary(found.left_out),
        name=found.name,
        content=content,
        etag=etag,
        modified=modified,
    )


def _do_dav(job: Job) -> Done:
    kept = _kept(job.content)
    if job.anew:  # other weeks: what is on then is asked for, though nothing changed
        kept = {url: replace(one, tag="") for url, one in kept.items()}
    fresh = dav.sync(job.source, kept, job.begin, job.end)
    if fresh == kept and not job.anew:
        return Done(entries=None)
    found = read(dav.together(fresh), job.begin, job.end, job.zone)
    names = ", ".join(one.name for one in fresh.values() if one.name)
    content = packed(json.dumps([asdict(one) for one in fresh.values()]).encode())
    return Done(
        entries=found.entries, left_out=summary(found.left_out), name=names, content=content
    )


def write(source: Source, content: bytes, title: str, at: datetime, minutes: int) -> None:
    """Put an event into the first calendar of an account. Raises `CalendarError`."""
    event = icalendar.Event()
    event.add("uid", f"{secrets.token_hex(16)}@encryptotel")
    event.add("dtstamp", datetime.now(UTC))
    event.add("dtstart", at)
    event.add("duration", timedelta(minutes=minutes))
    event.add("summary", title)
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//EncryptoTel//EN")
    calendar.add("version", "2.0")
    calendar.add_component(event)
    places = [one.url for one in _kept(content).values() if "VEVENT" in one.kinds]
    if not places:
        raise SourceError("the account has no calendar for events")
    dav.add(source, places[0], calendar.to_ical().decode())


def _kept(content: bytes) -> dict[str, dav.Kept]:
    if not content:
        return {}
    found = [dav.Kept(**one) for one in json.loads(_unpacked(content))]
    for one in found:
        one.objects = {href: (tag, text) for href, (tag, text) in one.objects.items()}
    return {one.url: one for one in found}


def _unpacked(content: bytes) -> bytes:
    unpack = zlib.decompressobj()
    return unpack.decompress(content, 2 * MAX_BYTES)
