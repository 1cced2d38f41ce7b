"""Calls: placed, controlled, ended, and those that were."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field, StringConstraints

from bot.ports import ActiveCall, Control, Placed
from bot.wishes import party_said
from nlp.commands import Call, Conference
from web.api.caller import At, allowed
from web.api.once import Once
from web.api.problems import documented
from web.api.shapes import Cursor, Limit, Line, Page, Said, Shape, Who, moment_of, page_of
from web.ports import Program

router = APIRouter(route_class=Once, tags=["calls"])
May = Annotated[Program, Depends(allowed("calls"))]
Reads = Annotated[Program, Depends(allowed("calls:read"))]


class NewCall(BaseModel):
    """A call to place: `to` is called, then the person, or `callback`, and both are joined."""

    to: Who
    line: Line = None
    callback: Who | None = Field(None, examples=["101"])
    hide_number: bool = False
    record: bool = False


class PlacedCall(BaseModel):
    """A call that was begun."""

    id: str = Field(examples=["c-5f1d0c"])
    to: str = Field(examples=["+1 202-555-0143"])
    line: str = Field(examples=["US"])
    back: str = Field(examples=["101"])


class LiveCall(BaseModel):
    """A call that goes on."""

    id: str
    caller: str
    callee: str
    seconds: int
    joined: bool
    incoming: bool
    held: bool
    muted: bool
    conference: bool
    recording: bool


class OldCall(Shape):
    """A call as it was, seen from the person."""

    at: datetime
    peer: str
    back: str = Field(description="What to dial to reach them; empty if nobody knows.")
    incoming: bool
    answered: bool
    seconds: int


class What(StrEnum):
    """What can be done with a call that goes on."""

    HOLD = "hold"
    RESUME = "resume"
    MUTE = "mute"
    UNMUTE = "unmute"
    RECORD = "record"
    STOP_RECORDING = "stop recording"
    ANSWER = "answer"
    REJECT = "reject"
    MAILBOX = "mailbox"


class Order(BaseModel):
    """Something to do with a call."""

    do: What


class Keys(BaseModel):
    """Keys to press for the other side."""

    keys: Annotated[str, StringConstraints(pattern=r"^[0-9A-D*#]{1,32}$")] = Field(examples=["12#"])


class To(BaseModel):
    """Where a call goes."""

    to: Who


class NewConference(BaseModel):
    """Several to call together."""

    participants: list[Who] = Field(min_length=1, max_length=20)
    line: Line = None


@router.post("/calls", status_code=202, responses=documented(402, 404, 409, 422))
async def place(order: NewCall, desk: At, program: May) -> PlacedCall:
    """Call somebody, and the person back."""
    command = Call(
        to=(party_said(order.to),),
        line=order.line,
        callback=party_said(order.callback) if order.callback else None,
        hide_number=order.hide_number,
        record=order.record,
    )
    return _placed(await desk.operator.call(program.person, command))


@router.get("/calls", responses=documented())
async def live(desk: At, program: Reads) -> list[LiveCall]:
    """Calls that go on."""
    return [_live(call) for call in desk.operator.active_calls(program.person)]


@router.delete("/calls/{id}", status_code=204, responses=documented(404))
async def hang_up(id: str, desk: At, program: May) -> Response:
    """End a call."""
    await desk.operator.hang_up(program.person, id)
    return Response(status_code=204)


@router.post("/calls/{id}/control", status_code=202, responses=documented(404, 409, 422))
async def control(id: str, order: Order, desk: At, program: May) -> Said:
    """Hold, mute, record, answer and the like."""
    await desk.operator.control(program.person, id, Control(order.do))
    return Said(detail=f"{order.do}: done, or about to be")


@router.post("/calls/{id}/transfer", status_code=202, responses=documented(402, 404, 409, 422))
async def transfer(id: str, order: To, desk: At, program: May) -> Said:
    """Give the person's place in a call to somebody."""
    who = await desk.operator.transfer(program.person, id, party_said(order.to))
    return Said(detail=f"the call goes to {who}")


@router.post("/calls/{id}/keys", status_code=202, responses=documented(404, 409, 422))
async def press(id: str, order: Keys, desk: At, program: May) -> Said:
    """Press keys for the other side."""
    desk.operator.press(program.person, id, order.keys)
    return Said(detail="pressed")


@router.post("/conferences", status_code=202, responses=documented(402, 404, 409, 422))
async def confer(order: NewConference, desk: At, program: May) -> PlacedCall:
    """Call several together."""
    whom = tuple(party_said(one) for one in order.participants)
    command = Conference(participants=whom, line=order.line)
    return _placed(await desk.operator.conference(program.person, command))


@router.get("/history", responses=documented(422))
async def history(
    desk: At, program: Reads, missed: bool = False, limit: Limit = 50, cursor: Cursor = None
) -> Page[OldCall]:
    """Calls that were, newest first."""
    before = moment_of(cursor) if cursor else None
    found = await desk.operator.history(program.person, until=before, missed=missed)
    old = [OldCall.model_validate(call) for call in found]
    return page_of(old, limit, before, lambda one: one.at)


def _placed(call: Placed) -> PlacedCall:
    return PlacedCall(id=call.call_id, to=call.to, line=call.line, back=call.back)


def _live(call: ActiveCall) -> LiveCall:
    return LiveCall(
        id=call.call_id,
        caller=call.caller,
        callee=call.callee,
        seconds=call.seconds,
        joined=call.joined,
        incoming=call.incoming,
        held=call.held,
        muted=call.muted,
        conference=call.conference,
        recording=call.recording,
    )
