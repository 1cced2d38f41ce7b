"""Invoices in crypto, and what came in for them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class InvoiceRow(SQLModel, table=True):
    """Somebody wants to pay: so much of an asset, at a price that holds until it `expires`."""

    __tablename__ = "invoice"

    id: str = Field(primary_key=True, max_length=16)
    "Also the memo that a payment is known by."
    extension: str = Field(index=True, max_length=16)
    asset: str = Field(max_length=64)
    amount: int = Field(sa_type=BigInteger, index=True)
    "Its last digits tell it from the others that are open."
    price: int = Field(sa_type=BigInteger)
    "Of a whole coin, in millionths of the unit of account."
    made: datetime = Field(sa_type=UtcDateTime)
    expires: datetime = Field(sa_type=UtcDateTime, index=True)
    state: str = Field(default="new", max_length=12)
    "new, seen, paid, underpaid, overpaid or expired."


class PaymentRow(SQLModel, table=True):
    """Something that came to our address."""

    __tablename__ = "payment"

    key: str = Field(primary_key=True, max_length=80)
    "The transaction's id, and which of its transfers."
    asset: str = Field(max_length=64)
    amount: int = Field(sa_type=BigInteger)
    sender: str = Field(max_length=64)
    memo: str = Field(default="", max_length=140)
    height: int = Field(sa_type=BigInteger, index=True)
    at: datetime = Field(sa_type=UtcDateTime)
    "When it says it was made."
    seen: datetime = Field(sa_type=UtcDateTime)
    invoice: str = Field(default="", max_length=16, index=True)
    extension: str = Field(default="", max_length=16, index=True)
    "Whose it is; empty: nobody has claimed it."
    state: str = Field(default="seen", max_length=12, index=True)
    "seen, credited, gone (rolled back) or ignored (nothing we take)."
    credited: int = Field(default=0, sa_type=BigInteger)
    times: int = 0
    "How often it was credited: a rollback may bring it twice."
