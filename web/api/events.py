"""What happens to the person, as it happens: server-sent events (WHATWG HTML §9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, WebSocket, status
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketState

from web.api.caller import At, admitted, allowed, desk_of
from web.api.problems import Refusal, documented, refused_now
from web.api.shapes import Shape
from web.listeners import while_there
from web.ports import HERE, Desk, Happened, Program, TooMany

router = APIRouter(tags=["events"])
BEAT = 15.0
"Seconds of silence after which a comment shows that the line is there."
MOST = 2_000
"Programs that listen at the same time."
AGAIN = 3_000
"Milliseconds after which a client that was cut off should come again."


EXAMPLE = """\
id: 5a0c3f11-7
event: incoming
data: {"id": "5a0c3f11-7", "kind": "incoming", "call": "5f1d0c2a", "peer": "Bob (102)", …}
"""


class Event(Shape):
    """Something that happened: a step of a call (placed, ringing, answered, joined, ended …), a
    message, a reminder, a payment; `gap`, when there was more before it than is known; or, on a
    WebSocket, `here`: the id from which one listens."""

    id: str = Field(description="For `Last-Event-ID`.")
    kind: str
    call: str
    peer: str
    text: str
    seconds: int
    back: str
    about: str
    words: str = Field(description="The same for people, as the chat would tell it.")


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE}},
            "model": None,
        },
        **documented(409),
    },
)
async def events(
    request: Request,
    desk: At,
    program: Annotated[Program, Depends(allowed("events"))],
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> StreamingResponse:
    """What happens to the person. With `Last-Event-ID` what was missed comes first."""
    stream = _listening(request, desk, program, last_event_id or "")
    return StreamingResponse(
        _lines(stream, desk, program),
        media_type="text/event-stream",
        headers={"connection": "close", "x-accel-buffering": "no"},  # it has left its place
    )


@router.websocket("/ws")
async def socket(socket: WebSocket, last: Annotated[str, Query(max_length=40)] = "") -> None:
    """The same as JSON, an event a message with its `id`; `?last=` is the id that was heard last,
    for browsers cannot send a header there. What comes in is not read."""
    desk = desk_of(socket)
    try:
        program = await admitted(socket)
        if not program.may("events"):
            raise Refusal(403, "key.scope", "that key is not for events")
        stream = _listening(socket, desk, program, last)
    except Refusal as refusal:
        await socket.send_denial_response(refused_now(refusal))
        return
    await socket.accept()
    await while_there(_send(socket, stream, desk, program), socket.receive)
    if socket.application_state is not WebSocketState.DISCONNECTED:
        with contextlib.suppress(RuntimeError):  # it went in this moment
            await socket.close(status.WS_1001_GOING_AWAY)


async def _send(
    socket: WebSocket, stream: AsyncGenerator[Happened], desk: Desk, program: Program
) -> None:
    async for one in _happening(stream, desk, program):
        if one is not None:
            await socket.send_text(_data(one))


def _listening(
    connection: HTTPConnection, desk: Desk, program: Program, after: str
) -> AsyncGenerator[Happened]:
    """What happens to somebody. Raises `Refusal`."""
    state = connection.app.state
    try:
        if state.listening >= MOST:
            raise TooMany
        stream = desk.events.listen(program.person, after)
    except TooMany as error:
        raise Refusal(409, "events.too_many", "so many programs listen already") from error
    leave = getattr(connection.state, "leave", None)
    if leave is not None:  # the connection is theirs, and no stranger's any more
        leave()
    return _counted(stream, state)


async def _counted(stream: AsyncGenerator[Happened], state: Any) -> AsyncGenerator[Happened]:
    state.listening += 1
    try:
        async for one in stream:
            yield one
    finally:
        state.listening -= 1
        await stream.aclose()


async def _happening(
    stream: AsyncGenerator[Happened], desk: Desk, program: Program
) -> AsyncIterator[Happened | None]:
    """What happens, for as long as the key holds; None where nothing did for a while."""
    coming: asyncio.Future[Happened] | None = None
    try:
        while desk.keys.holds(program):
            coming = coming or asyncio.ensure_future(anext(stream))
            done, _ = await asyncio.wait((coming,), timeout=BEAT)
            if not done:
                yield None
                continue
            try:
                one = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            if desk.keys.holds(program):
                yield one
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await stream.aclose()


async def _lines(
    stream: AsyncGenerator[Happened], desk: Desk, program: Program
) -> AsyncIterator[str]:
    yield f"retry: {AGAIN}\n\n"
    async for one in _happening(stream, desk, program):
        yield _line(one) if one is not None else ":\n\n"


def _line(one: Happened) -> str:
    if one.kind == HERE:  # a client keeps the id, and tells nobody of an event without data
        return f"id: {one.id}\n\n"
    return f"id: {one.id}\nevent: {one.kind}\ndata: {_data(one)}\n\n"


def _data(one: Happened) -> str:
    return Event.model_validate(one).model_dump_json()
