"""Calls: placed, controlled, ended, and those that were."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field, StringConstraints

from bot.ports import ActiveCall, Control, Placed
from bot.wishes import party_said
from nlp.commands import Call, Conference
from web.api.caller import At, allowed
from web.api.problems import documented
from web.api.shapes import Cursor, Limit, Line, Page, Said, Shape, Who, cursor_at, place_of
from web.api.tagged import Tagged
from web.ports import Program

router = APIRouter(route_class=Tagged, tags=["calls"])
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

    id: str = Field(examples=["5f1d0c2a"])
    caller: str = Field(examples=["101"])
    callee: str = Field(examples=["+1 202-555-0143"])
    seconds: int = Field(examples=[42])
    joined: bool
    incoming: bool
    held: bool
    muted: bool
    conference: bool
    recording: bool
    levels: list[Level]


class Level(BaseModel):
    """How loud a side of a call is just now."""

    who: str
    dbfs: float = Field(description="Decibels below full scale; -100 is silence.")


class OldCall(Shape):
    """A call as it was, seen from the person."""

    id: str
    at: datetime
    peer: str
    back: str = Field(description="What to dial to reach them; empty if nobody knows.")
    incoming: bool
    answered: bool
    seconds: int


class Leg(Shape):
    """One side of a call, as the exchange measured it."""

    who: str
    line: str = Field(description="The trunk; empty for a phone of the exchange.")
    codec: str
    encrypted: bool
    received: int = Field(description="Packets.")
    sent: int
    lost: int
    jitter_ms: float
    round_trip_ms: float | None
    mos: float | None = Field(description="How good it sounded, from 1 to 4.5.")
    cause: str


class Sip(Shape):
    """A SIP message between the exchange and a peer."""

    at: datetime
    sent: bool = Field(description="By the exchange.")
    peer: str
    summary: str = Field(examples=["INVITE sip:102@encryptotel SIP/2.0"])


class WholeCall(Shape):
    """All that is known of a call: its sides, and its SIP messages in order."""

    call: OldCall
    cause: str
    private: bool
    legs: list[Leg]
    messages: list[Sip]


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
    operator, person = desk.operator, program.person
    return [
        _live(call, operator.levels(person, call.call_id)) for call in operator.active_calls(person)
    ]


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


@router.post("/calls/{id}/transfer", status_code=202, responses=documented(404, 409, 422))
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
    desk: At,
    program: Reads,
    missed: bool = False,
    q: Annotated[
        str, Query(max_length=80, description="A part of a name, or how a number begins.")
    ] = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[OldCall]:
    """Calls that were, newest first."""
    until, until_id = place_of(cursor) if cursor else (None, "")
    found = await desk.operator.past.calls(
        program.person,
        until=until,
        until_id=until_id,
        missed=missed,
        matching=q,
        limit=limit + 1,
    )
    old = [OldCall.model_validate(call) for call in found[:limit]]
    return Page(items=old, next=cursor_at(old[-1].at, old[-1].id) if len(found) > limit else None)


@router.get("/history/{id}", responses=documented(404))
async def whole(id: str, desk: At, program: Reads) -> WholeCall:
    """One call, also one that goes on: how good it was, and its SIP messages."""
    return WholeCall.model_validate(await desk.operator.past.call(program.person, id))


@router.get(
    "/menus/picture",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {"example": "<svg>…</svg>"}}}, **documented(404)},
)
async def menus(desk: At, program: Reads) -> Response:
    """The menus that answer callers, as a picture."""
    picture = await desk.operator.menus_drawn(program.person)
    return Response(picture, media_type="image/svg+xml")


def _placed(call: Placed) -> PlacedCall:
    return PlacedCall(id=call.call_id, to=call.to, line=call.line, back=call.back)


def _live(call: ActiveCall, levels: Sequence[tuple[str, float]]) -> LiveCall:
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
        levels=[Level(who=who, dbfs=round(loud, 1)) for who, loud in levels],
    )
