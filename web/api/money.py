"""What the person has, and invoices to pay in with."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, StringConstraints

from bot.qr import qr_image
from web.api.caller import At, allowed
from web.api.problems import Refusal, documented
from web.api.shapes import Shape
from web.api.tagged import Tagged
from web.ports import Program

router = APIRouter(route_class=Tagged, tags=["money"])
Reads = Annotated[Program, Depends(allowed("money:read"))]


class Balance(BaseModel):
    """What somebody has, in words; `pays`: whether outside calls cost them anything."""

    pays: bool
    detail: str = Field(examples=["You have 12.50 EUR."])


class Entry(Shape):
    """Something that was paid or came in."""

    at: datetime
    amount: str = Field(examples=["-0.55 EUR"])
    what: str = Field(examples=["USA, 6 s"])


class NewInvoice(BaseModel):
    """So much of a coin to pay in."""

    amount: Annotated[str, StringConstraints(pattern=r"^\d{1,12}([.,]\d{1,8})?$")] = Field(
        examples=["10"]
    )
    coin: Literal["WAVES", "ETT"]


class InvoiceShown(Shape):
    """What is to be paid, to the last digit, with its id as the memo; `link` opens a wallet."""

    id: str
    address: str
    amount: str
    coin: str
    asset: str
    worth: str
    until: datetime
    link: str
    qr: str = Field("", description="An image of the link, to be scanned.")


@router.get("/balance", responses=documented())
async def balance(desk: At, program: Reads) -> Balance:
    """What the person has."""
    accounts = desk.operator.accounts
    return Balance(pays=accounts.pays(program.person), detail=accounts.balance(program.person))


@router.get("/statement", responses=documented(404))
async def statement(desk: At, program: Reads) -> list[Entry]:
    """The latest of the person's account, newest first."""
    lines = await desk.operator.accounts.lines(program.person)
    return [Entry.model_validate(line) for line in lines]


@router.post("/invoices", status_code=201, responses=documented(404, 409, 422))
async def invoice(
    order: NewInvoice, desk: At, program: Annotated[Program, Depends(allowed("money"))]
) -> InvoiceShown:
    """An invoice to pay in with a wallet."""
    if desk.operator.payments is None:
        raise Refusal(404, "money.off", "nobody can pay in here")
    one = await desk.operator.payments.top_up(program.person, order.amount, order.coin)
    shown = InvoiceShown.model_validate(one)
    shown.qr = await asyncio.to_thread(qr_image, one.link)
    return shown
