"""What people want done with calls for them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class ListedRow(SQLModel, table=True):
    """Somebody whom an extension does not want to hear of ("blocked"), whom it always lets through
    ("allowed"), or whose calls it records ("recorded")."""

    __tablename__ = "listed"

    extension: str = Field(primary_key=True, max_length=16)
    number: str = Field(primary_key=True, max_length=80)
    kind: str = Field(primary_key=True, max_length=8)


class RuleRow(SQLModel, table=True):
    """Calls that go elsewhere. Days are as in RFC 5545, clocks "HH:MM", dates "YYYY-MM-DD"; what
    is empty does not matter."""

    __tablename__ = "rule"

    id: str = Field(primary_key=True, max_length=16)
    extension: str = Field(index=True, max_length=16)
    at: datetime = Field(sa_type=UtcDateTime)
    targets: list[str] = Field(sa_type=JSON)
    in_turn: bool = False
    condition: str = Field(max_length=16)
    after: int = 0
    caller: str = Field(default="", max_length=80)
    called: str = Field(default="", max_length=20)
    days: str = Field(default="", max_length=32)
    begin: str = Field(default="", max_length=5)
    end: str = Field(default="", max_length=5)
    first: str = Field(default="", max_length=10)
    last: str = Field(default="", max_length=10)
    paused: bool = False


class WishRow(SQLModel, table=True):
    """The rest of what an extension wants."""

    __tablename__ = "wish"

    extension: str = Field(primary_key=True, max_length=16)
    quiet_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    anonymous: str = Field(default="ring", max_length=16)
    unknown: str = Field(default="ring", max_length=16)
    waiting: bool = True
    hidden: bool = False
    greeting: str = Field(default="", max_length=500)
    "What its answerphone says, if not the usual."
    greeting_sound: bytes = b""
    "The same as somebody spoke it, Opus in Ogg."
    pin: str = Field(default="", max_length=200)
    "Asked for when its answerphone is listened to: scrypt, with salt and costs."
    approval: str = Field(default="", max_length=8)
    "How it is asked before what is dangerous: call, chat, or not."


class RelayRow(SQLModel, table=True):
    """A number by which two people reach each other, each an extension or +E.164; `public` is the
    number of a line that leads to it, `by` who wanted it."""

    __tablename__ = "relay"

    number: str = Field(primary_key=True, max_length=8)
    one: str = Field(max_length=20)
    other: str = Field(max_length=20)
    public: str = Field(default="", max_length=20)
    by: str = Field(max_length=16)
    at: datetime = Field(sa_type=UtcDateTime)
