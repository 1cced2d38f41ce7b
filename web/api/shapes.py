"""What several paths speak of: people as they are written, pages, words for people."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from web.api.problems import Refusal

T = TypeVar("T")
NO_NUL = r"^[^\x00]*$"
"PostgreSQL keeps no text with a NUL in it."
Who = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=NO_NUL),
    Field(
        description="A number (+12025550143), an extension (102), or the name of a contact.",
        examples=["+12025550143"],
    ),
]
Line = Annotated[
    str | None,
    StringConstraints(min_length=2, max_length=40),
    Field(description="The zone of the line to call from.", examples=["US"]),
]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=80, description="`next` of the page before.")]


class Shape(BaseModel):
    """What is shown of something that the operator gave: its fields of the same names."""

    model_config = ConfigDict(from_attributes=True)


class Page(BaseModel, Generic[T]):
    """A part of a list, newest first; `next` asks for what follows."""

    items: list[T]
    next: str | None = Field(None, examples=["MjAyNi0xMS0zMFQwODowMDowMCswMDowMA"])


class Said(BaseModel):
    """What was done, in words."""

    detail: str = Field(examples=["Calls go to Bob (102)."])


def cursor_at(moment: datetime, id: str) -> str:
    """What asks for all before something of a moment."""
    place = f"{moment.astimezone(UTC).isoformat()} {id}"
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def place_of(cursor: str) -> tuple[datetime, str]:
    """The moment and the id of a cursor. Raises `Refusal`."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, _, id = text.partition(" ")
        moment = datetime.fromisoformat(at)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise Refusal(422, "page.cursor", "that is no cursor of a page before") from error
    if not id.isalnum() or not id.isascii():
        raise Refusal(422, "page.cursor", "that is no cursor of a page before")
    return moment, id
