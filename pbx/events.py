"""Everything that happens in the exchange, as data. Times are UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class CallStarted:
    """Somebody or some command began a call. `user` is the extension it is charged to."""

    call_id: str
    at: datetime
    caller: str
    callee: str
    user: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class LegStarted:
    """One side of a call: `direction` is "in" or "out" seen from the exchange."""

    call_id: str
    leg_id: str
    at: datetime
    peer: str
    direction: str
    trunk: str = ""
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class LegRinging:
    call_id: str
    leg_id: str
    at: datetime
    peer: str


@dataclass(frozen=True, kw_only=True)
class LegAnswered:
    call_id: str
    leg_id: str
    at: datetime
    peer: str
    codec: str
    srtp: bool


@dataclass(frozen=True, kw_only=True)
class LegEnded:
    """`cause` is in words, `status` the SIP status behind them; packets as counted by us, `lost`
    and jitter of those sent to us, `lost_by_peer` as the peer reported. `mos` is the opinion to
    expect, 1 to 4.5, in the worse direction; None where nothing was heard."""

    call_id: str
    leg_id: str
    at: datetime
    peer: str
    status: int
    cause: str
    codec: str = ""
    srtp: bool = False
    received: int = 0
    sent: int = 0
    lost: int = 0
    jitter_ms: float = 0.0
    lost_by_peer: int = 0
    round_trip_ms: float | None = None
    mos: float | None = None


@dataclass(frozen=True, kw_only=True)
class CallAnswered:
    """Two sides are joined, or an app took the call."""

    call_id: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class AnswerphoneTook:
    """A call that nobody took is on the answerphone of an extension."""

    call_id: str
    at: datetime
    extension: str


@dataclass(frozen=True, kw_only=True)
class MessageLeft:
    """What a caller said on the answerphone: PCM of the telephone's rate."""

    call_id: str
    at: datetime
    extension: str
    caller: str
    sound: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class TraceLine:
    """One SIP message of a call, secrets masked. `sent` is by us."""

    at: datetime
    sent: bool
    peer: str
    summary: str
    text: str

    def to_json(self) -> dict[str, object]:
        """As the journal and programs get it."""
        return {
            "at": self.at.isoformat(),
            "sent": self.sent,
            "peer": self.peer,
            "summary": self.summary,
            "text": self.text,
        }


@dataclass(frozen=True, kw_only=True)
class CallEnded:
    call_id: str
    at: datetime
    status: int
    cause: str


@dataclass(frozen=True, kw_only=True)
class CallTraced:
    """The SIP messages of a call, shortly after its end, when the last answers are in."""

    call_id: str
    at: datetime
    lines: Sequence[TraceLine]


@dataclass(frozen=True, kw_only=True)
class CallNotice:
    """A step of an app that people want to hear about, in words."""

    call_id: str
    at: datetime
    text: str


@dataclass(frozen=True, kw_only=True)
class CallTransferred:
    """Somebody gave their place in a call to somebody else."""

    call_id: str
    at: datetime
    gone: str
    new: str


@dataclass(frozen=True, kw_only=True)
class ConferenceChanged:
    """Who is in a conference, and who of them is muted."""

    call_id: str
    at: datetime
    parties: Sequence[str]
    muted: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class DeviceRegistered:
    """A phone registered or refreshed; `expires` is when the binding ends."""

    extension: str
    at: datetime
    contact: str
    transport: str
    remote_host: str
    remote_port: int
    expires: datetime
    user_agent: str
    call_id: str
    cseq: int
    refreshed: bool
    path: tuple[str, ...] = ()
    instance: str = ""
    reg_id: int = 0


@dataclass(frozen=True, kw_only=True)
class DeviceUnregistered:
    extension: str
    at: datetime
    contact: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class TrunkChanged:
    """A trunk came up or went down; sent once a change."""

    trunk: str
    at: datetime
    up: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class AddressBanned:
    host: str
    at: datetime
    seconds: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class LoginFailed:
    """Somebody gave a wrong password; `extension` is empty when there is none of that name."""

    host: str
    at: datetime
    extension: str


@dataclass(frozen=True, kw_only=True)
class HandshakeFailed:
    """A TLS connection did not come about; `reason` as OpenSSL names it."""

    host: str
    at: datetime
    reason: str


Event = (
    CallStarted
    | LegStarted
    | LegRinging
    | LegAnswered
    | LegEnded
    | CallAnswered
    | CallEnded
    | AnswerphoneTook
    | MessageLeft
    | CallTraced
    | CallNotice
    | CallTransferred
    | ConferenceChanged
    | DeviceRegistered
    | DeviceUnregistered
    | TrunkChanged
    | AddressBanned
    | LoginFailed
    | HandshakeFailed
)
