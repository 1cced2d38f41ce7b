"""Extensions, trunks and routes added at run time; those of the config file are not here."""

from __future__ import annotations

from sqlmodel import Field, SQLModel


class ExtensionRow(SQLModel, table=True):
    """One extension. The secret is kept readable: digest needs it under every algorithm."""

    __tablename__ = "extension"

    number: str = Field(primary_key=True, max_length=16)
    name: str = Field(default="", max_length=80)
    secret: str = Field(default="", max_length=128, repr=False)
    srtp: str = Field(default="offer", max_length=8)
    script: str = Field(default="", max_length=200)


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
    """Which extension an incoming number rings."""

    __tablename__ = "route"

    number: str = Field(primary_key=True, max_length=20)
    to: str = Field(max_length=16)


class BlockRow(SQLModel, table=True):
    """Somebody, by +E.164 or extension, who may not ring an extension."""

    __tablename__ = "block"

    extension: str = Field(primary_key=True, max_length=16)
    number: str = Field(primary_key=True, max_length=20)
