"""What shall be done at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class PlanRow(SQLModel, table=True):
    """A command of somebody's for later; gone when it was done."""

    __tablename__ = "plan"

    id: str = Field(primary_key=True, max_length=16)
    extension: str = Field(index=True, max_length=16)
    at: datetime = Field(sa_type=UtcDateTime)
    command: dict[str, Any] = Field(sa_type=JSON)
    begun: bool = False
    "Whether it was being done when we last wrote."
