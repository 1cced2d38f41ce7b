"""What is in calendars, where they are, and what the process that reads them is asked and says."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime

MAX_BYTES = 10_000_000
"Of one calendar."
MAX_URL = 2_000


class CalendarError(ValueError):
    """A calendar cannot be read; the text says why."""


class SourceError(CalendarError):
    """A calendar cannot be had just now; the text says why, without its address, which may be
    secret."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that is on. `uid` names it and, of a series, which one of it; all in UTC.

    `dial` is a telephone number with the keys to press, as E.164 and commas; `leads` are the
    minutes before the start at which its own alarms ring, None where it has none.
    """

    uid: str
    start: datetime
    title: str
    all_day: bool
    dial: str
    leads: tuple[int, ...]
    people: str
    todo: bool


@dataclass(frozen=True, kw_only=True)
class Source:
    """An address, and what is needed there."""

    url: str = field(repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    private: bool = False
    "Whether it may be in a private network."
    ca_file: str = ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the process is to do: fetch a calendar, if anything changed or `anew`, and read it."""

    kind: str
    source: Source
    etag: str
    modified: str
    content: bytes
    anew: bool
    begin: datetime
    end: datetime
    zone: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """What it found; `entries` is None when all is as before."""

    entries: list[Entry] | None
    left_out: str = ""
    name: str = ""
    content: bytes = b""
    etag: str = ""
    modified: str = ""


def cleaned(url: str) -> str:
    """An address as people paste it, for https. Raises `SourceError`."""
    url = re.sub(r"^webcals?://", "https://", url.strip(), flags=re.I)
    if len(url) > MAX_URL or not re.fullmatch(r"https?://[^\s<>\"]+", url, re.I):
        raise SourceError("that is no address of a calendar; it begins with https://")
    return url


def packed(content: bytes) -> bytes:
    """As it is kept."""
    return zlib.compress(content, 6)
