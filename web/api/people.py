"""Who the person is, whom they know, what they write, and what they say to their exchange."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field, StringConstraints

from bot.replies import Attachment
from bot.wishes import party_said
from nlp.commands import Message
from web.api.caller import At, allowed, program_of
from web.api.problems import documented
from web.api.shapes import NO_NUL, Said, Who
from web.api.tagged import Tagged
from web.ports import Program

router = APIRouter(route_class=Tagged, tags=["people"])
Name = Annotated[str, Path(min_length=1, max_length=80, pattern=NO_NUL, examples=["Bob"])]


class Me(BaseModel):
    """Whom the key acts for, and what it is for."""

    name: str = Field(examples=["Alice"])
    extension: str = Field(examples=["101"])
    timezone: str = Field(examples=["Europe/Berlin"])
    role: str = Field(examples=["owner"])
    key: str = Field(examples=["CRM"])
    scopes: list[str] = Field(examples=[["calls", "contacts:read"]])


class Contact(BaseModel):
    """Somebody under a name."""

    name: str = Field(examples=["Bob"])
    number: str = Field(examples=["+44 20 7946 0321"])


class Number(BaseModel):
    """Where somebody is reached."""

    number: Who


class NewMessage(BaseModel):
    """Words for somebody."""

    to: Who
    text: Annotated[str, StringConstraints(min_length=1, max_length=1_000, pattern=NO_NUL)] = Field(
        examples=["I am late"]
    )


class Sentence(BaseModel):
    """Something to say to the exchange, as in a chat."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=1_000, pattern=NO_NUL)] = Field(
        examples=["Call Bob, then call me back on 101"]
    )


class Choice(BaseModel):
    """What can be said next."""

    label: str
    says: str


class Answer(BaseModel):
    """What the exchange answers."""

    text: str
    call: str = ""
    choices: list[Choice] = []
    picture: str = Field("", description="A picture that goes with it, as a data URL.")


@router.get("/me", responses=documented())
async def me(program: Annotated[Program, Depends(program_of)]) -> Me:
    """Whom the key acts for."""
    person = program.person
    return Me(
        name=person.name,
        extension=person.extension,
        timezone=person.timezone,
        role=person.role,
        key=program.name,
        scopes=list(program.scopes),
    )


@router.delete("/session", status_code=204, responses=documented())
async def leave(desk: At, program: Annotated[Program, Depends(program_of)]) -> Response:
    """End the session of a console page; keys are not ended by it."""
    await desk.sessions.leave(program)
    return Response(status_code=204)


@router.get("/contacts", responses=documented())
async def contacts(
    desk: At, program: Annotated[Program, Depends(allowed("contacts:read"))]
) -> list[Contact]:
    """The person's contacts, by name."""
    found = desk.operator.contacts(program.person)
    return [Contact(name=name, number=number) for name, number in found]


@router.put("/contacts/{name:path}", responses=documented(404, 422))
async def keep(
    name: Name, number: Number, desk: At, program: Annotated[Program, Depends(allowed("contacts"))]
) -> Contact:
    """Keep somebody's number under a name, in the place of another."""
    name = name.strip()
    kept = await desk.operator.save_contact(program.person, name, party_said(number.number))
    return Contact(name=name, number=kept)


@router.delete("/contacts/{name:path}", status_code=204, responses=documented(404, 422))
async def forget(
    name: Name, desk: At, program: Annotated[Program, Depends(allowed("contacts"))]
) -> Response:
    """Forget a contact."""
    await desk.operator.remove_contact(program.person, name)
    return Response(status_code=204)


@router.post("/messages", status_code=202, responses=documented(402, 404, 409, 422))
async def write(
    order: NewMessage, desk: At, program: Annotated[Program, Depends(allowed("messages"))]
) -> Said:
    """Send words to somebody's phones and chats, or as an SMS."""
    command = Message(to=party_said(order.to), text=order.text)
    return Said(detail=await desk.operator.message(program.person, command))


@router.post("/say", responses=documented(422))
async def say(
    order: Sentence, desk: At, program: Annotated[Program, Depends(allowed("say"))]
) -> list[Answer]:
    """Say something as the person would in a chat: whatever they can do there is done."""
    replies = await desk.talk(program.person, order.text)
    return [
        Answer(
            text=reply.text,
            call=reply.call_id,
            choices=[Choice(label=b.label, says=b.says) for b in reply.buttons if b.says],
            picture=_picture(reply.file),
        )
        for reply in replies
        if reply.text
    ]


def _picture(file: Attachment | None) -> str:
    if file is None or not file.is_picture:
        return ""
    return f"data:{file.media_type};base64,{base64.b64encode(file.content).decode()}"
