"""What people send by telephone: their sealed seeds, what they sent, and their scenarios."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, UniqueConstraint
from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class VaultRow(SQLModel, table=True):
    """The seed of somebody's wallet, sealed by their PIN."""

    __tablename__ = "vault"

    extension: str = Field(primary_key=True, max_length=16)
    address: str = Field(max_length=64)
    sealed: bytes
    secret: str = Field(max_length=16)
    "Which secret of a machine it is sealed with: the first bytes of its hash."
    tries: int = 0
    "PINs tried since the last right one."
    made: datetime = Field(sa_type=UtcDateTime)


class SendingRow(SQLModel, table=True):
    """A transfer that somebody signed, or the host, who has no extension here: `tx` is it, as
    nodes take it."""

    __tablename__ = "sending"

    id: str = Field(primary_key=True, max_length=64)
    "The transaction's."
    extension: str = Field(index=True, max_length=16)
    asset: str = Field(max_length=64)
    amount: int = Field(sa_type=BigInteger)
    recipient: str = Field(max_length=64)
    at: datetime = Field(sa_type=UtcDateTime, index=True)
    state: str = Field(default="signed", max_length=12, index=True)
    "signed, sent (a node has it), confirmed or failed."
    reason: str = Field(default="", max_length=200)
    about: str = Field(default="", max_length=80)
    "Of a refund: credit, or the key of the payment that goes back."
    tx: str = Field(max_length=2_000)


class ScenarioRow(SQLModel, table=True):
    """What is done when somebody calls a number and keys their PIN."""

    __tablename__ = "scenario"
    __table_args__ = (UniqueConstraint("extension", "trigger"),)

    id: str = Field(primary_key=True, max_length=16)
    extension: str = Field(max_length=16)
    trigger: str = Field(max_length=16)
    name: str = Field(max_length=40)
    action: str = Field(max_length=4_000)
    "A command, as JSON."
    paused: bool = False
    made: datetime = Field(sa_type=UtcDateTime)
