"""Programs that act for people: their keys, what they asked for already, and codes they sent."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class ApiKeyRow(SQLModel, table=True):
    """What a program shows to act for somebody; `digest` is all that is kept of its secret."""

    __tablename__ = "apikey"

    id: str = Field(primary_key=True, max_length=16)
    extension: str = Field(index=True, max_length=16)
    name: str = Field(max_length=40)
    scopes: str = Field(max_length=300)
    "With spaces between."
    digest: str = Field(max_length=64)
    made: datetime = Field(sa_type=UtcDateTime)
    expires: datetime = Field(sa_type=UtcDateTime)
    used: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ConsoleLinkRow(SQLModel, table=True):
    """A way into the console page, good once; of its token only a digest is kept."""

    __tablename__ = "console_link"

    token_hash: str = Field(primary_key=True, max_length=64)
    extension: str = Field(max_length=16)
    expires: datetime = Field(sa_type=UtcDateTime)


class ReplayRow(SQLModel, table=True):
    """What was answered to a request that may come again; no status: it was begun."""

    __tablename__ = "replay"

    key: str = Field(primary_key=True, max_length=16)
    "The program's."
    word: str = Field(primary_key=True, max_length=64)
    "What it calls the request."
    digest: str = Field(max_length=64)
    at: datetime = Field(sa_type=UtcDateTime, index=True)
    status: int | None = None
    media_type: str = Field(default="", max_length=80)
    body: bytes = b""


class VerificationRow(SQLModel, table=True):
    """A code that somebody was sent, of which only a keyed digest is kept."""

    __tablename__ = "verification"

    id: str = Field(primary_key=True, max_length=24)
    extension: str = Field(index=True, max_length=16)
    "Who had it sent."
    to: str = Field(index=True, max_length=20)
    country: str = Field(default="", max_length=2, index=True)
    by: str = Field(max_length=8)
    digest: str = Field(max_length=64)
    made: datetime = Field(sa_type=UtcDateTime, index=True)
    expires: datetime = Field(sa_type=UtcDateTime)
    tries: int = 0
    state: str = Field(default="sent", max_length=10)
    "sent, approved, failed (too many tries, or it did not arrive)."


class WebhookRow(SQLModel, table=True):
    """Where a program hears what happens to somebody; `secret` signs what it is told."""

    __tablename__ = "webhook"

    id: str = Field(primary_key=True, max_length=16)
    extension: str = Field(index=True, max_length=16)
    key: str = Field(max_length=16)
    "Of the program that made it: without that it ends."
    url: str = Field(max_length=500)
    secret: str = Field(max_length=64)
    kinds: str = Field(default="", max_length=300)
    "Of which kinds of events, with spaces between; empty: of all."
    made: datetime = Field(sa_type=UtcDateTime)
    failing: bool = False
    "Whether it was given up for a day, and its person told."


class DeliveryRow(SQLModel, table=True):
    """An event on its way to a webhook."""

    __tablename__ = "delivery"

    id: int | None = Field(default=None, primary_key=True)
    webhook: str = Field(index=True, max_length=16)
    message: str = Field(max_length=40)
    "What the receiver knows it by."
    kind: str = Field(max_length=30)
    body: str
    made: datetime = Field(sa_type=UtcDateTime)
    due: datetime = Field(sa_type=UtcDateTime)
    tries: int = 0
    state: str = Field(default="waiting", max_length=8, index=True)
    "waiting, done or dead."
    status: int | None = None
