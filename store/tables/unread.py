"""What people are to read."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class UnreadRow(SQLModel, table=True):
    """News for somebody's chats that are not known to be sent; gone when they are."""

    __tablename__ = "unread"

    id: str = Field(primary_key=True, max_length=16)
    at: datetime = Field(sa_type=UtcDateTime)
    extension: str = Field(max_length=16, index=True)
    step: str = Field(max_length=16)
    text: str
    peer: str = Field(default="", max_length=200)
    back: str = Field(default="", max_length=80)
    about: str = Field(default="", max_length=80)
