"""What people send besides words, as data; a front end only receives it."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_CARDS_BYTES = 1_000_000
"Of a file of contacts."
MAX_CALENDAR_BYTES = 10_000_000
MAX_VOICE_BYTES = 1_000_000
MAX_VOICE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class SharedContact:
    """Somebody's name and number, as another program had them."""

    name: str
    number: str


@dataclass(frozen=True, kw_only=True)
class ContactFile:
    """vCards (RFC 6350 and before), unread."""

    content: bytes


@dataclass(frozen=True, kw_only=True)
class CalendarFile:
    """iCalendar (RFC 5545), unread."""

    content: bytes


@dataclass(frozen=True, kw_only=True)
class CalendarLink:
    """Where such a file was put for us; it may not stay there."""

    url: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where somebody is, in degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True, kw_only=True)
class VoiceNote:
    """Something said: Opus in Ogg, unread."""

    content: bytes


Heard = str | SharedContact | ContactFile | CalendarFile | CalendarLink | Place | VoiceNote
