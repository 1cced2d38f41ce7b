"""Who talks to the exchange: people, the accounts they write from, and invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class PersonRow(SQLModel, table=True):
    """Somebody with an extension. The owner's name and extension are the configuration's."""

    __tablename__ = "person"

    id: str = Field(primary_key=True, max_length=16)
    name: str = Field(default="", max_length=80)
    extension: str = Field(default="", max_length=16)
    role: str = Field(max_length=8)
    region: str = Field(default="US", max_length=2)
    timezone: str = Field(default="UTC", max_length=64)
    key: str = Field(default="", max_length=80)
    "Who can open their recordings (``age1…``)."
    records: bool = False
    "Whether all their calls are recorded."
    talk: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    "Where the conversation stands."
    talked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AccountRow(SQLModel, table=True):
    """Where a person writes from, as the front end names it."""

    __tablename__ = "account"

    channel: str = Field(primary_key=True, max_length=16)
    address: str = Field(primary_key=True, max_length=320)
    person_id: str = Field(foreign_key="person.id", index=True, max_length=16)
    since: datetime = Field(sa_type=UtcDateTime)


class ContactRow(SQLModel, table=True):
    """Somebody a person calls by name; `key` is the name as it is compared."""

    __tablename__ = "contact"

    person_id: str = Field(primary_key=True, max_length=16)
    key: str = Field(primary_key=True, max_length=80)
    name: str = Field(max_length=80)
    number: str = Field(max_length=20)
    "+E.164, or an extension."


class InvitationRow(SQLModel, table=True):
    """A code that lets one account in, once. Only its hash is kept."""

    __tablename__ = "invitation"

    code_hash: str = Field(primary_key=True, max_length=64)
    person_id: str = Field(default="", max_length=16)
    "Whose further account joins; empty: somebody new."
    name: str = Field(default="", max_length=80)
    role: str = Field(max_length=8)
    expires: datetime = Field(sa_type=UtcDateTime)


class InboxRow(SQLModel, table=True):
    """A message that was taken up, so that it is done once; its words are not kept."""

    __tablename__ = "inbox"

    channel: str = Field(primary_key=True, max_length=16)
    message_id: str = Field(primary_key=True, max_length=200)
    address: str = Field(max_length=320)
    at: datetime = Field(sa_type=UtcDateTime, index=True)
    done: bool = False


class ShelfRow(SQLModel, table=True):
    """What a front end keeps for itself, such as the keys of its encryption."""

    __tablename__ = "shelf"

    shelf: str = Field(primary_key=True, max_length=16)
    key: str = Field(primary_key=True, max_length=400)
    value: dict[str, Any] = Field(sa_type=JSON)
