"""What the person wants done: redirections, reminders, numbers of their own, phones."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from bot.qr import qr_image
from bot.wishes import party_said
from nlp.commands import Redirect, Remind, Statistics, TrackingNumber, When
from web.api.caller import At, allowed
from web.api.problems import Refusal, documented
from web.api.shapes import NO_NUL, Line, Said, Shape, Who
from web.api.tagged import Tagged
from web.ports import Program

router = APIRouter(route_class=Tagged)
Label = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=NO_NUL)
]


FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2999, 12, 31)


class Condition(StrEnum):
    """When calls go elsewhere."""

    ALWAYS = "always"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    OFFLINE = "offline"


class NewRedirect(BaseModel):
    """Calls that go elsewhere."""

    to: Who
    from_: Who | None = Field(None, alias="from", description="Only those of this caller.")
    condition: Condition = Condition.ALWAYS
    after: int | None = Field(None, ge=5, le=120, description="Seconds it rings before.")


class Redirected(Shape):
    """Calls that go elsewhere, in words, with their hours by the person's clock."""

    id: str
    what: str
    paused: bool
    days: list[str] = Field(examples=[["MO", "TU"]], description="None: every day.")
    begin: str = Field(examples=["18:00"])
    end: str = Field(examples=["08:00"], description="Past midnight if that is before it.")
    first: str
    last: str


class By(StrEnum):
    """How somebody is reminded."""

    CALL = "call"
    MESSAGE = "message"


class NewReminder(BaseModel):
    """Something to think of."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=NO_NUL)] = Field(
        examples=["take my pills"]
    )
    at: AwareDatetime = Field(examples=["2030-01-01T08:00:00+01:00"])
    rule: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="How it comes again (RFC 5545).", examples=["FREQ=DAILY"]
    )
    by: By = By.CALL
    to: Who | None = None


class Reminded(Shape):
    """Something that somebody is reminded of, with its next moment."""

    id: str
    at: datetime
    text: str = Field(examples=["take my pills"])
    by: str = Field(examples=["call"])
    to: str = Field(description="Whom else it is for.")
    rule: str = Field(examples=["FREQ=DAILY"])
    paused: bool


class NewNumber(BaseModel):
    """A number for an advertisement or the like."""

    label: Label = Field(examples=["Facebook"])
    line: Line = None


class NumberOf(Shape):
    """A number for an advertisement, and whom it rings."""

    label: str = Field(examples=["Facebook"])
    number: str = Field(examples=["+12025550143"])
    to: str = Field(examples=["Bob (102)"])


class Brought(Shape):
    """What numbers brought in calls."""

    title: str
    days: list[str]
    answered_by_day: list[int]
    missed_by_day: list[int]
    answered_by_hour: list[int]
    missed_by_hour: list[int]
    sources: dict[str, int]
    new: int
    known: int


class Due(BaseModel):
    """Something there is to think of."""

    at: datetime
    what: str = Field(examples=["Lunch with Bob"])


class NewPhone(BaseModel):
    """A phone to set up."""

    name: Label = Field(examples=["desk"])


class SetUp(Shape):
    """How a phone is set up: a page for people, and what the phone itself fetches."""

    name: str
    extension: str
    page: str
    phone: str
    minutes: int
    qr: str = Field("", description="An image of what the phone fetches, to be scanned.")


class PhoneShown(Shape):
    """A phone of the person's; without `since` it is not connected."""

    id: str
    name: str = Field(examples=["desk"])
    agent: str = Field(examples=["Linphone/5.1"])
    since: datetime | None
    set_up: datetime | None


Redirects = Annotated[Program, Depends(allowed("redirects"))]
Reminds = Annotated[Program, Depends(allowed("reminders"))]
Devices = Annotated[Program, Depends(allowed("devices"))]


@router.get("/redirects", tags=["redirects"], responses=documented())
async def redirects(
    desk: At, program: Annotated[Program, Depends(allowed("redirects:read"))]
) -> list[Redirected]:
    """Where the person's calls go, the oldest wish first."""
    found = desk.operator.handling.redirections(program.person)
    return [Redirected.model_validate(one) for one in found]


@router.post("/redirects", tags=["redirects"], status_code=201, responses=documented(404, 409, 422))
async def redirect(order: NewRedirect, desk: At, program: Redirects) -> Said:
    """Send calls elsewhere, in the place of a wish for the very same calls."""
    command = Redirect(
        to=party_said(order.to),
        from_=party_said(order.from_) if order.from_ else None,
        condition=order.condition,
        after=order.after,
    )
    return Said(detail=await desk.operator.handling.redirect(program.person, command))


@router.delete("/redirects/{id}", tags=["redirects"], status_code=204, responses=documented(404))
async def drop_redirect(id: str, desk: At, program: Redirects) -> Response:
    """Let calls come again."""
    if not await desk.operator.handling.remove(program.person, id):
        raise Refusal(404, "redirect.unknown", "there is no such redirection")
    return Response(status_code=204)


@router.get("/reminders", tags=["reminders"], responses=documented())
async def reminders(
    desk: At, program: Annotated[Program, Depends(allowed("reminders:read"))]
) -> list[Reminded]:
    """What the person is reminded of, the next first."""
    return [
        Reminded.model_validate(one) for one in await desk.operator.reminding.of(program.person)
    ]


@router.get("/agenda", tags=["reminders"], responses=documented(422))
async def agenda(
    desk: At,
    program: Annotated[Program, Depends(allowed("reminders:read"))],
    day: Annotated[
        date, Query(ge=FIRST_DAY, le=LAST_DAY, description="By the person's clock, in our times.")
    ],
) -> list[Due]:
    """What there is to think of on a day: reminders and what is in calendars."""
    found = await desk.operator.reminding.on_day(program.person, day)
    return [Due(at=at, what=what) for at, what in found]


@router.post("/reminders", tags=["reminders"], status_code=201, responses=documented(404, 409, 422))
async def remind(order: NewReminder, desk: At, program: Reminds) -> Reminded:
    """Remind the person, or somebody who has allowed it."""
    command = Remind(
        when=When(at=order.at, rrule=order.rule),
        text=order.text,
        by=order.by,
        to=party_said(order.to) if order.to else None,
    )
    return Reminded.model_validate(await desk.operator.reminding.remind(program.person, command))


@router.delete("/reminders/{id}", tags=["reminders"], status_code=204, responses=documented(404))
async def drop_reminder(id: str, desk: At, program: Reminds) -> Response:
    """Remind of it no more."""
    if not await desk.operator.reminding.cancel(program.person, id):
        raise Refusal(404, "reminder.unknown", "there is no such reminder")
    return Response(status_code=204)


@router.get("/numbers", tags=["numbers"], responses=documented())
async def numbers(
    desk: At, program: Annotated[Program, Depends(allowed("numbers:read"))]
) -> list[NumberOf]:
    """The person's numbers for advertisements."""
    return [NumberOf.model_validate(one) for one in desk.operator.tracking.numbers(program.person)]


@router.get("/numbers/figures", tags=["numbers"], responses=documented(404, 422))
async def figures(
    desk: At,
    program: Annotated[Program, Depends(allowed("numbers:read"))],
    label: Annotated[str | None, Query(max_length=40)] = None,
    period: Annotated[str | None, Query(max_length=40, examples=["last week"])] = None,
) -> Brought:
    """What numbers brought, by day, hour and source."""
    command = Statistics(label=label, period=period)
    return Brought.model_validate(await desk.operator.tracking.figures(program.person, command))


@router.post("/numbers", tags=["numbers"], status_code=201, responses=documented(402, 409, 422))
async def number(
    order: NewNumber, desk: At, program: Annotated[Program, Depends(allowed("numbers"))]
) -> Said:
    """A number from the pool for something."""
    command = TrackingNumber(label=order.label, line=order.line)
    return Said(detail=await desk.operator.tracking.take(program.person, command))


@router.delete("/numbers/{label}", tags=["numbers"], responses=documented(404, 422))
async def give_back(
    label: str, desk: At, program: Annotated[Program, Depends(allowed("numbers"))]
) -> Said:
    """Give a number back to the pool."""
    return Said(detail=await desk.operator.tracking.give_back(program.person, label))


@router.get(
    "/numbers/statistics",
    tags=["numbers"],
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}, **documented(404, 422)},
)
async def statistics(
    desk: At,
    program: Annotated[Program, Depends(allowed("numbers:read"))],
    label: Annotated[str | None, Query(max_length=40)] = None,
    period: Annotated[str | None, Query(max_length=40, examples=["last week"])] = None,
) -> Response:
    """What numbers brought, a call a line, as CSV."""
    command = Statistics(label=label, period=period, format="csv")
    reply = await desk.operator.tracking.statistics(program.person, command)
    if reply.file is None:
        raise Refusal(404, "statistics.none", reply.text)
    return Response(reply.file.content, media_type="text/csv")


@router.get("/devices", tags=["devices"], responses=documented())
async def devices(
    desk: At, program: Annotated[Program, Depends(allowed("devices:read"))]
) -> list[PhoneShown]:
    """The person's phones, the oldest first."""
    return [
        PhoneShown.model_validate(phone) for phone in await desk.operator.phones(program.person)
    ]


@router.post("/devices", tags=["devices"], status_code=201, responses=documented(409, 422))
async def set_up(order: NewPhone, desk: At, program: Devices) -> SetUp:
    """A link that gives a phone an account of its own; good once, and not long."""
    link = await desk.operator.set_up_phone(program.person, order.name)
    shown = SetUp.model_validate(link)
    shown.qr = await asyncio.to_thread(qr_image, link.phone)
    return shown


@router.delete("/devices/{id}", tags=["devices"], responses=documented(404, 422))
async def revoke(id: str, desk: At, program: Devices) -> Said:
    """Shut a phone out, at once."""
    return Said(detail=f"{await desk.operator.revoke_phone(program.person, id)} is shut out")
