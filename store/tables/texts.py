"""Text messages on their way."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class TextRow(SQLModel, table=True):
    """Words that have not reached their phone or carrier yet; gone when they have."""

    __tablename__ = "text"

    id: str = Field(primary_key=True, max_length=32)
    at: datetime = Field(sa_type=UtcDateTime)
    sender: str = Field(max_length=80)
    sender_name: str = Field(default="", max_length=80)
    recipient: str = Field(max_length=80, index=True)
    words: str
    told: bool = False
    "Whether the recipient's chats have it."
    tries: int = 0
    sending: bool = False
    "Whether a carrier may have it: it was being sent when we last wrote."
    node: str = Field(default="", max_length=16)
    "Which of several programs looks after it; empty: there is one, or the one is no more."
