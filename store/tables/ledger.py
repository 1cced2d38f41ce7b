"""Money: entries that are only ever added, what they add up to, and calls that are paid for."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index
from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class EntryRow(SQLModel, table=True):
    """Something that happened, once: `key` says what."""

    __tablename__ = "entry"

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True, max_length=120)
    at: datetime = Field(sa_type=UtcDateTime)
    kind: str = Field(max_length=16)
    text: str = Field(default="", max_length=200)


class PostingRow(SQLModel, table=True):
    """What an entry moves: of one asset its postings add up to nothing."""

    __tablename__ = "posting"
    __table_args__ = (Index("ix_posting_account", "account", "asset"),)

    id: int | None = Field(default=None, primary_key=True)
    entry: int = Field(foreign_key="entry.id", index=True)
    account: str = Field(max_length=80)
    asset: str = Field(max_length=64)
    amount: int = Field(sa_type=BigInteger)


class BalanceRow(SQLModel, table=True):
    """The sum of an account's postings, kept with them."""

    __tablename__ = "balance"

    account: str = Field(primary_key=True, max_length=80)
    asset: str = Field(primary_key=True, max_length=64)
    amount: int = Field(sa_type=BigInteger)


class ChargeRow(SQLModel, table=True):
    """A side of a call that is paid for, from when it was answered on, with the price it had
    then; `seconds` and `cost` once it ended."""

    __tablename__ = "charge"

    leg: str = Field(primary_key=True, max_length=16)
    call: str = Field(index=True, max_length=16)
    extension: str = Field(index=True, max_length=16)
    "Who pays."
    number: str = Field(max_length=80)
    name: str = Field(max_length=80)
    price: int = Field(sa_type=BigInteger)
    fee: int = Field(sa_type=BigInteger)
    first: int
    step: int
    answered_at: datetime = Field(sa_type=UtcDateTime)
    seconds: int | None = Field(default=None)
    "None: it goes on."
    cost: int = Field(default=0, sa_type=BigInteger)
    zone: str = Field(default="", max_length=64)
    "The asset of the included seconds that are spent first …"
    included: int = 0
    "… and how many it took."
    node: str = Field(default="", max_length=16)
    "Which of several programs carries the call."


class SubscriptionRow(SQLModel, table=True):
    """Somebody's monthly plan, paid for `until` then."""

    __tablename__ = "subscription"

    extension: str = Field(primary_key=True, max_length=16)
    plan: str = Field(max_length=40)
    following: str = Field(default="", max_length=40)
    "What comes after; empty: it ends."
    since: datetime = Field(sa_type=UtcDateTime)
    until: datetime = Field(sa_type=UtcDateTime)
    state: str = Field(default="active", max_length=8)
    "active, or waiting to be paid for."
    warned: bool = False
