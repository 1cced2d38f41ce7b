"""What happens to the person, as it happens: server-sent events (WHATWG HTML §9.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.responses import StreamingResponse
from pydantic import Field

from web.api.caller import At, allowed
from web.api.problems import Refusal, documented
from web.api.shapes import Shape
from web.ports import Desk, Happened, Program, TooMany

router = APIRouter(tags=["events"])
BEAT = 15.0
"Seconds of silence after which a comment shows that the line is there."
AGAIN = 3_000
"Milliseconds after which a client that was cut off should come again."


class Event(Shape):
    """Something that happened: a step of a call (placed, ringing, answered, joined, ended …), a
    message, a reminder, a payment; or `gap`, when there was more before it than is known."""

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
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "model": None},
        **documented(409),
    },
)
async def events(
    desk: At,
    program: Annotated[Program, Depends(allowed("events"))],
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> StreamingResponse:
    """What happens to the person. With `Last-Event-ID` what was missed comes first."""
    try:
        stream = desk.events.listen(program.person, last_event_id or "")
    except TooMany as error:
        raise Refusal(409, "events.too_many", "so many programs listen already") from error
    return StreamingResponse(
        _lines(stream, desk, program),
        media_type="text/event-stream",
        headers={"x-accel-buffering": "no"},
    )


async def _lines(
    stream: AsyncGenerator[Happened], desk: Desk, program: Program
) -> AsyncIterator[str]:
    yield f"retry: {AGAIN}\n\n"
    coming: asyncio.Future[Happened] | None = None
    try:
        while desk.keys.holds(program):
            coming = coming or asyncio.ensure_future(anext(stream))
            done, _ = await asyncio.wait((coming,), timeout=BEAT)
            if not done:
                yield ":\n\n"
                continue
            try:
                one = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            if desk.keys.holds(program):
                yield _line(one)
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await stream.aclose()


def _line(one: Happened) -> str:
    return f"id: {one.id}\nevent: {one.kind.replace(' ', '_')}\ndata: {_data(one)}\n\n"


def _data(one: Happened) -> str:
    return json.dumps(Event.model_validate(one).model_dump(), ensure_ascii=False)
