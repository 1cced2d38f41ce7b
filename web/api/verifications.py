"""Second factors: a code is sent by call, SMS or chat, and checked once."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, StringConstraints

from web.api.caller import At, allowed
from web.api.problems import documented
from web.api.shapes import NO_NUL, Shape, Who
from web.api.tagged import Tagged
from web.ports import Program

router = APIRouter(route_class=Tagged, tags=["two-factor"], prefix="/verifications")
May = Annotated[Program, Depends(allowed("verify"))]


class Way(StrEnum):
    """How a code is sent."""

    CALL = "call"
    SMS = "sms"
    CHAT = "chat"


class NewVerification(BaseModel):
    """A code to send, or something to approve."""

    to: Who
    by: Way = Way.CALL
    length: int = Field(6, ge=4, le=8)
    minutes: int = Field(10, ge=1, le=60, description="How long it is good.")
    approve: Annotated[str, StringConstraints(max_length=120, pattern=NO_NUL)] = Field(
        "",
        description="No code is sent: they are asked this, and answer with a button or a key.",
        examples=["Sign in to Example?"],
    )


class Code(BaseModel):
    """What somebody says the code is."""

    code: Annotated[str, StringConstraints(pattern=r"^\d{4,8}$")] = Field(examples=["271828"])


class Verified(Shape):
    """How a code or question stands: sent, approved, denied, failed or expired."""

    id: str
    to: str = Field(examples=["+442079460321"])
    by: str = Field(examples=["call"])
    state: str = Field(examples=["approved"])
    expires: datetime
    tries_left: int


@router.post("", status_code=202, responses=documented(404, 409, 422))
async def begin(order: NewVerification, desk: At, program: May) -> Verified:
    """Send somebody a code. The same way and number are limited by hour, country and success."""
    found = await desk.verifications.begin(
        program.person, order.to, order.by, order.length, order.minutes, order.approve
    )
    return Verified.model_validate(found)


@router.post("/{id}/check", responses=documented(404, 409, 422))
async def check(id: str, said: Code, desk: At, program: May) -> Verified:
    """Whether that was the code: `approved` once, and never again."""
    return Verified.model_validate(await desk.verifications.check(program.person, id, said.code))


@router.get("/{id}", responses=documented(404))
async def find(id: str, desk: At, program: May) -> Verified:
    """How a code stands."""
    return Verified.model_validate(await desk.verifications.find(program.person, id))
