"""The nodes of an exchange that is more than one program, and which of them everybody is at home
at."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class NodeRow(SQLModel, table=True):
    """A program that is alive `until` then, by the clock of the database, unless it says so again.
    The one that is here the longest leads."""

    __tablename__ = "node"

    name: str = Field(primary_key=True, max_length=16)
    address: str = Field(max_length=80)
    "Where the others reach it: host:port, SIP over UDP."
    since: datetime = Field(sa_type=UtcDateTime)
    until: datetime = Field(sa_type=UtcDateTime)
    leaving: bool = False
    "Whether nobody shall come home there any more."
    web: str = Field(default="", max_length=80)
    "Where the others reach its web, host:port; empty where it has none."


class HomeRow(SQLModel, table=True):
    """Where the calls of an extension are made and its money is spent; where a room is."""

    __tablename__ = "home"

    number: str = Field(primary_key=True, max_length=16)
    node: str = Field(index=True, max_length=16)
