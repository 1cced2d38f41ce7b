"""Registered devices, so that phones are reached again after a restart."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from store.types import UtcDateTime


class BindingRow(SQLModel, table=True):
    """One device of an extension and the address its packets came from."""

    __tablename__ = "binding"

    extension: str = Field(primary_key=True, max_length=16)
    contact: str = Field(primary_key=True, max_length=512)
    transport: str = Field(max_length=4)
    remote_host: str = Field(max_length=64)
    remote_port: int
    expires: datetime = Field(sa_type=UtcDateTime)
    user_agent: str = Field(default="", max_length=80)
    call_id: str = Field(default="", max_length=255)
    cseq: int = 0
    username: str = Field(max_length=24)
    "The account it proved itself with."
    since: datetime = Field(sa_type=UtcDateTime)
    path: str = Field(default="", max_length=3000)
    "The proxies to go through, as in a Route header."
    instance: str = Field(default="", max_length=200)
    reg_id: int = 0
