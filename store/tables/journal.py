"""The call journal: every call, its legs, and its SIP messages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlmodel import JSON, Field, SQLModel

from store.types import UtcDateTime


class CallRow(SQLModel, table=True):
    """One call. `status` is the SIP status that ended it, `cause` the same in words."""

    __tablename__ = "call"
    __table_args__ = (
        *(Index(f"ix_call_{side}_at", side, "started_at") for side in ("user", "caller", "callee")),
        *(
            Index(f"ix_call_{side}_begins", side, postgresql_ops={side: "text_pattern_ops"})
            for side in ("caller", "callee")
        ),
        *(
            Index(
                f"ix_call_{side}_missed",
                side,
                "started_at",
                sqlite_where=text("answered_at IS NULL"),
                postgresql_where=text("answered_at IS NULL"),
            )
            for side in ("user", "callee")
        ),
    )

    id: str = Field(primary_key=True, max_length=16)
    started_at: datetime = Field(sa_type=UtcDateTime, index=True)
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime, index=True)
    caller: str = Field(max_length=80)
    callee: str = Field(max_length=80)
    dialled: str = Field(default="", max_length=80, index=True)
    "What was dialled, or the number of ours that a call came in by; `callee` is who that meant."
    user: str = Field(default="", max_length=16)
    kind: str = Field(max_length=12)
    shown: str = Field(default="", max_length=80)
    "The caller as those who were called saw them; empty: as they are."
    status: int | None = None
    cause: str = Field(default="", max_length=200)
    private: bool = False
    "Whether what was said could be read by the two phones only, as far as we saw."
    node: str = Field(default="", max_length=16)
    "Which of several programs carries it."


class LegRow(SQLModel, table=True):
    """One side of a call. Packets and jitter (in milliseconds) as the exchange measured them,
    `lost_by_peer` and the round trip as the peer's reports tell; `mos` from 1 to 4.5."""

    __tablename__ = "leg"

    id: str = Field(primary_key=True, max_length=16)
    call_id: str = Field(foreign_key="call.id", index=True, max_length=16)
    peer: str = Field(max_length=80)
    direction: str = Field(max_length=3)
    trunk: str = Field(default="", max_length=40)
    device: str = Field(default="", max_length=120)
    started_at: datetime = Field(sa_type=UtcDateTime)
    ringing_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    status: int | None = None
    cause: str = Field(default="", max_length=200)
    codec: str = Field(default="", max_length=40)
    srtp: bool = False
    received: int = 0
    sent: int = 0
    lost: int = 0
    jitter_ms: float = 0.0
    lost_by_peer: int = 0
    round_trip_ms: float | None = None
    mos: float | None = None
    node: str = Field(default="", max_length=16)


class TraceRow(SQLModel, table=True):
    """The SIP messages of a call, secrets masked: a list of objects with at, sent, peer,
    summary and text."""

    __tablename__ = "trace"

    call_id: str = Field(primary_key=True, foreign_key="call.id", max_length=16)
    messages: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)


class VoicemailRow(SQLModel, table=True):
    """What a caller said on the answerphone of an extension: Opus in Ogg, or that sealed."""

    __tablename__ = "voicemail"

    id: str = Field(primary_key=True, max_length=16)
    extension: str = Field(index=True, max_length=16)
    caller: str = Field(max_length=80)
    at: datetime = Field(sa_type=UtcDateTime)
    seconds: int
    sound: bytes
    words: str = Field(default="", max_length=2_000)
    "The same as a recogniser heard it, if there is one, and it is not sealed."
    heard: bool = False
    sealed: bool = False
    "Whether only the person's key opens it (age)."
