"""Recordings of calls: what there is, not what is said in them."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class RecordingRow(SQLModel, table=True):
    """One file."""

    __tablename__ = "recording"

    id: str = Field(primary_key=True, max_length=16)
    extension: str = Field(index=True, max_length=16)
    call_id: str = Field(max_length=16)
    peer: str = Field(max_length=80)
    at: datetime = Field(sa_type=UtcDateTime)
    seconds: int = 0
    failed: str = Field(default="", max_length=200)
    "Why it ended before the call did."
