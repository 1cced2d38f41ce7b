"""Where programs are told what happens, signed (standardwebhooks.com)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field, StringConstraints

from web.api.caller import At, allowed
from web.api.problems import documented
from web.api.shapes import Said, Shape
from web.api.tagged import Tagged
from web.ports import Program

router = APIRouter(route_class=Tagged, tags=["webhooks"], prefix="/webhooks")
May = Annotated[Program, Depends(allowed("events"))]
Kind = Annotated[str, StringConstraints(max_length=30)]


class NewWebhook(BaseModel):
    """A program to tell."""

    url: Annotated[str, StringConstraints(min_length=8, max_length=500)] = Field(
        examples=["https://crm.example.org/calls"]
    )
    kinds: list[Kind] = Field(
        [],
        max_length=40,
        description="Of events; none: all. One with `lookup` is asked who calls before it rings.",
        examples=[["incoming", "ended"]],
    )


class WebhookShown(Shape):
    """A program that is told; an event of which no kind is named is of all kinds."""

    id: str
    url: str = Field(examples=["https://crm.example.org/calls"])
    kinds: list[str]
    failing: bool


class WebhookMade(WebhookShown):
    """The same with the secret that signs, which is shown once."""

    secret: str


class Delivered(Shape):
    """An event that was told, or is to be: waiting, done or dead."""

    id: str
    kind: str = Field(examples=["incoming"])
    at: datetime
    state: str
    tries: int
    status: int | None


@router.post("", status_code=201, responses=documented(409, 422))
async def add(order: NewWebhook, desk: At, program: May) -> WebhookMade:
    """Tell a program what happens to the person."""
    made = await desk.webhooks.add(program, order.url, order.kinds)
    return WebhookMade.model_validate(made)


@router.get("", responses=documented())
async def listed(desk: At, program: May) -> list[WebhookShown]:
    """The person's webhooks, the oldest first."""
    return [WebhookShown.model_validate(one) for one in desk.webhooks.of(program.person)]


@router.delete("/{id}", status_code=204, responses=documented(404))
async def remove(id: str, desk: At, program: May) -> Response:
    """Tell it nothing more."""
    await desk.webhooks.remove(program.person, id)
    return Response(status_code=204)


@router.post("/{id}/test", status_code=202, responses=documented(404, 422))
async def test(id: str, desk: At, program: May) -> Said:
    """Tell it something harmless, to see whether it arrives."""
    await desk.webhooks.test(program.person, id)
    return Said(detail="a test is on its way")


@router.get("/{id}/deliveries", responses=documented(404))
async def deliveries(id: str, desk: At, program: May) -> list[Delivered]:
    """What was told lately or is to be told, newest first."""
    return [
        Delivered.model_validate(one) for one in await desk.webhooks.deliveries(program.person, id)
    ]


@router.post("/{id}/deliveries/{event}/replay", status_code=202, responses=documented(404, 422))
async def replay(id: str, event: str, desk: At, program: May) -> Said:
    """Tell it something again, under its own id."""
    await desk.webhooks.replay(program.person, id, event)
    return Said(detail="on its way again")
