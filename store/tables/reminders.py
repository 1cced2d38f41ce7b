"""What people are to be reminded of, and each time that it rings."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, Index
from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class ReminderRow(SQLModel, table=True):
    """A moment, or those of a rule (RFC 5545), from `start` on by the clocks of `zone`; gone when
    it was the last. `due` is when it rings next: `lead` minutes before `occurrence`. What is from
    a calendar stays until that drops it."""

    __tablename__ = "reminder"

    id: str = Field(primary_key=True, max_length=16)
    extension: str = Field(index=True, max_length=16)
    "Whose it is."
    text: str = Field(max_length=500)
    by: str = Field(max_length=8)
    "call, message (in the chat) or sms."
    to: str = Field(default="", max_length=20)
    "Another extension or +E.164; empty: whose it is."
    zone: str = Field(max_length=64)
    start: datetime = Field(sa_type=UtcDateTime)
    rule: str = Field(default="", max_length=200)
    leads: list[int] = Field(sa_type=JSON)
    "Minutes before, the longest first."
    due: datetime | None = Field(default=None, sa_type=UtcDateTime, index=True)
    "None: it is paused."
    occurrence: datetime = Field(sa_type=UtcDateTime)
    lead: int = 0
    calendar: str = Field(default="", max_length=16, index=True)
    "Which it is from."
    dial: str = Field(default="", max_length=64)
    "The number of a conference, with the keys to press."
    all_day: bool = False


class CalendarRow(SQLModel, table=True):
    """A calendar that somebody has elsewhere, and how it is rung for."""

    __tablename__ = "calendar"

    id: str = Field(primary_key=True, max_length=16)
    extension: str = Field(index=True, max_length=16)
    name: str = Field(max_length=80)
    kind: str = Field(max_length=8)
    "feed, dav, or file."
    url: str = Field(default="", max_length=2000)
    user: str = Field(default="", max_length=200)
    password: str = Field(default="", max_length=200)
    leads: list[int] = Field(sa_type=JSON)
    "Minutes before everything with a time; its own alarms ring as well."
    by: str = Field(default="message", max_length=8)
    words: str = Field(default="", max_length=80)
    "Only what has these in its title or people rings."
    etag: str = Field(default="", max_length=200)
    modified: str = Field(default="", max_length=100)
    content: bytes = b""
    "As it was fetched last, packed."
    checked: datetime | None = Field(default=None, sa_type=UtcDateTime)
    expanded: datetime | None = Field(default=None, sa_type=UtcDateTime)
    "When its events were last written out for the next weeks."
    failing: str = Field(default="", max_length=200)
    "Why it cannot be read, which was told."


class RingRow(SQLModel, table=True):
    """One time that somebody is reminded, until that is settled; what became of it stays a while,
    so that buttons of old messages know."""

    __tablename__ = "ring"
    __table_args__ = (Index("ix_ring_once", "reminder", "occurrence", "lead", unique=True),)

    id: str = Field(primary_key=True, max_length=16)
    reminder: str = Field(max_length=16)
    "Which may be gone."
    extension: str = Field(index=True, max_length=16)
    text: str = Field(max_length=500)
    by: str = Field(max_length=8)
    to: str = Field(default="", max_length=20)
    occurrence: datetime = Field(sa_type=UtcDateTime)
    lead: int = 0
    at: datetime = Field(sa_type=UtcDateTime)
    "When it was to ring first."
    skipped: int = 0
    "Times before this one that were slept through."
    repeats: bool = False
    due: datetime | None = Field(sa_type=UtcDateTime, index=True)
    "The next try; None: it waits for nothing but an answer."
    tries: int = 0
    by_whom: str = Field(default="", max_length=80)
    "Which exchange tries just now; `due` is then when another may."
    dial: str = Field(default="", max_length=64)
    state: str = Field(default="open", max_length=8)
    "open, done, snoozed or missed."


class ConsentRow(SQLModel, table=True):
    """Whether somebody (an extension or +E.164) wants to be reminded by another."""

    __tablename__ = "consent"

    extension: str = Field(primary_key=True, max_length=16)
    to: str = Field(primary_key=True, max_length=20)
    given: bool
    at: datetime = Field(sa_type=UtcDateTime)


class HabitRow(SQLModel, table=True):
    """How somebody is reminded. Clocks are "HH:MM" of theirs."""

    __tablename__ = "habit"

    extension: str = Field(primary_key=True, max_length=16)
    late: int = 15
    "Minutes a reminder may be late, after a power cut say, and still rings."
    quiet_from: str = Field(default="", max_length=5)
    quiet_to: str = Field(default="", max_length=5)
    home: str = Field(default="", max_length=64)
    "The zone to come back to from a journey …"
    away_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    "… then, if it is known when."
