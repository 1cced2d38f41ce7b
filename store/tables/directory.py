"""Extensions, phones, trunks and routes added at run time; what the config file has is not here."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class ExtensionRow(SQLModel, table=True):
    """One extension. The secret is kept readable: digest needs it under every algorithm."""

    __tablename__ = "extension"

    number: str = Field(primary_key=True, max_length=16)
    name: str = Field(default="", max_length=80)
    secret: str = Field(default="", max_length=128, repr=False)
    srtp: str = Field(default="offer", max_length=8)
    script: str = Field(default="", max_length=200)


class DeviceRow(SQLModel, table=True):
    """A phone with an account of its own, so that it can be shut out alone."""

    __tablename__ = "device"

    username: str = Field(primary_key=True, max_length=24)
    "For digest: the extension, a dot and four characters."
    extension: str = Field(index=True, max_length=16)
    name: str = Field(max_length=40)
    secret: str = Field(max_length=128, repr=False)
    since: datetime = Field(sa_type=UtcDateTime)
    revoked: datetime | None = Field(default=None, sa_type=UtcDateTime)
    "Kept for a while, so that the phone can be told to give up."


class SetupLinkRow(SQLModel, table=True):
    """A link that sets one phone up, once. Only its token's hash is kept."""

    __tablename__ = "setup_link"

    token_hash: str = Field(primary_key=True, max_length=64)
    extension: str = Field(index=True, max_length=16)
    name: str = Field(max_length=40)
    expires: datetime = Field(sa_type=UtcDateTime)


class TrunkRow(SQLModel, table=True):
    """One trunk. `numbers` are E.164, separated by spaces."""

    __tablename__ = "trunk"

    name: str = Field(primary_key=True, max_length=40)
    zone: str = Field(max_length=8)
    host: str = Field(max_length=255)
    port: int = 5060
    transport: str = Field(default="udp", max_length=4)
    numbers: str = Field(default="", max_length=2000)
    username: str = Field(default="", max_length=128)
    secret: str = Field(default="", max_length=128, repr=False)
    register_there: bool = False
    dial: str = Field(default="+{number}", max_length=40)
    srtp: str = Field(default="off", max_length=8)


class RouteRow(SQLModel, table=True):
    """Which extension an incoming number rings, and what somebody has the number for."""

    __tablename__ = "route"

    number: str = Field(primary_key=True, max_length=20)
    to: str = Field(max_length=16)
    label: str = Field(default="", max_length=80)
    "The advertisement, or whatever else brings calls by this number."
    extension: str = Field(default="", max_length=16)
    "Whose number it is, of one with a label."
    since: datetime | None = Field(default=None, sa_type=UtcDateTime)
