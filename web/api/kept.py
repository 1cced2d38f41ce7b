"""What was kept of calls: voice messages, and recordings that only their owner can open."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from bot.replies import Attachment
from web.api.caller import At, allowed
from web.api.problems import Refusal, documented
from web.api.shapes import Shape
from web.api.tagged import Tagged
from web.ports import Program

router = APIRouter(route_class=Tagged, tags=["recordings"])
May = Annotated[Program, Depends(allowed("recordings"))]
Reads = Annotated[Program, Depends(allowed("recordings:read"))]
SOUND: dict[int | str, dict[str, Any]] = {
    200: {"content": {"audio/ogg": {"example": "OggS…"}, "application/octet-stream": {}}}
}


class VoiceMail(BaseModel):
    """What somebody said on the answerphone."""

    id: str
    at: datetime
    peer: str = Field(examples=["Bob (102)"])
    back: str = Field(examples=["102"])
    seconds: int
    media_type: str


class Recorded(Shape):
    """A recorded call, sealed for the person's key."""

    id: str
    at: datetime
    peer: str = Field(examples=["Bob (102)"])
    seconds: int


@router.get("/voicemail", responses=documented())
async def voicemail(desk: At, program: Reads) -> list[VoiceMail]:
    """The latest voice messages, newest first."""
    return [
        VoiceMail(
            id=one.id, at=one.at, peer=one.peer, back=one.back, seconds=one.seconds,
            media_type=one.file.media_type,
        )
        for one in await desk.operator.voicemail(program.person)
    ]  # fmt: skip


@router.get(
    "/voicemail/{id}/sound", response_class=Response, responses={**SOUND, **documented(404)}
)
async def voice(id: str, desk: At, program: Reads) -> Response:
    """What was said: Opus in Ogg, or sealed for the person's key."""
    for one in await desk.operator.voicemail(program.person):
        if one.id == id:
            return _file(one.file)
    raise Refusal(404, "voicemail.unknown", "there is no such message among the latest")


@router.delete("/voicemail/{id}", status_code=204, responses=documented(404))
async def delete(id: str, desk: At, program: May) -> Response:
    """Delete a message."""
    if not await desk.operator.delete_voicemail(program.person, id):
        raise Refusal(404, "voicemail.unknown", "that message is gone")
    return Response(status_code=204)


@router.get("/recordings", responses=documented())
async def recordings(desk: At, program: Reads) -> list[Recorded]:
    """The latest recordings, newest first."""
    return [Recorded.model_validate(one) for one in await desk.operator.recordings(program.person)]


@router.get(
    "/recordings/{id}/sound", response_class=Response, responses={**SOUND, **documented(404)}
)
async def recorded(id: str, desk: At, program: Reads) -> Response:
    """A recording as it is kept: only its owner can open it."""
    for one in await desk.operator.recordings(program.person):
        if one.id == id and one.file.content:
            return _file(one.file)
    raise Refusal(404, "recording.unknown", "there is no such recording among the latest")


def _file(file: Attachment) -> Response:
    sealed = file.media_type != "audio/ogg"
    return Response(
        file.content,
        media_type="application/octet-stream" if sealed else file.media_type,
        headers={"content-disposition": f'attachment; filename="{file.name}"'},
    )
