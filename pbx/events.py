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
    shown: str
    "The caller, as those who are called may see them."


@dataclass(frozen=True, kw_only=True)
class CallMeant:
    """What was dialled stood for somebody else: the call is for `callee`, and as `shown` from now
    on. `answered` when a menu led a caller there whom it had answered."""

    call_id: str
    at: datetime
    caller: str
    callee: str
    shown: str
    user: str
    answered: bool = False


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
    permit: str = ""
    inner: bool = False
    "Whether it leads to another program of this exchange, and no person is on it."


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
class LegMeasured:
    """A leg that has `ended`, with what whoever carried its media counted: it is told a moment
    later."""

    call_id: str
    at: datetime
    ended: LegEnded


@dataclass(frozen=True, kw_only=True)
class CallAnswered:
    """Two sides are joined, or an app took the call."""

    call_id: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class CallDiverted:
    """A call for an extension is sent on: to whom, and why, for people."""

    call_id: str
    at: datetime
    extension: str
    to: Sequence[str]
    why: str


@dataclass(frozen=True, kw_only=True)
class CallerNamed:
    """What a caller said who was asked for their name: PCM of the telephone's rate."""

    call_id: str
    at: datetime
    extension: str
    sound: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class CallPrivate:
    """All that the two phones of a call send each other is encrypted from one to the other from
    now on, which they agreed on in our sight; or with `private` False it is no more."""

    call_id: str
    at: datetime
    private: bool


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
    """Who is in a conference, who of them is muted, who may mute others and send them away, and
    whether it is locked."""

    call_id: str
    at: datetime
    parties: Sequence[str]
    muted: Sequence[str]
    moderators: Sequence[str] = ()
    locked: bool = False


@dataclass(frozen=True, kw_only=True)
class SpeakerChanged:
    """Somebody else speaks in a conference; no more often than every few seconds."""

    call_id: str
    at: datetime
    peer: str


@dataclass(frozen=True, kw_only=True)
class RoomEntered:
    """A call came into a room; `peer` is whoever is in it by that call."""

    call_id: str
    at: datetime
    peer: str
    room: str


@dataclass(frozen=True, kw_only=True)
class PinsGuessed:
    """Nobody from `source`, an extension or a trunk, is asked for the PIN of a room any more for
    a while: too many were wrong."""

    call_id: str
    at: datetime
    room: str
    source: str


@dataclass(frozen=True, kw_only=True)
class BroadcastChanged:
    """Who watches a broadcast, and whether there is something to see; `call_id` is the call of
    `sender`, or, while it is paused, their last one."""

    call_id: str
    number: str
    name: str
    sender: str
    live: bool
    watching: Sequence[str]
    over: bool = False


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
    username: str
    since: datetime
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
    | CallMeant
    | LegStarted
    | LegRinging
    | LegAnswered
    | LegEnded
    | LegMeasured
    | CallAnswered
    | CallPrivate
    | CallEnded
    | CallDiverted
    | CallerNamed
    | AnswerphoneTook
    | MessageLeft
    | CallTraced
    | CallNotice
    | CallTransferred
    | ConferenceChanged
    | BroadcastChanged
    | SpeakerChanged
    | RoomEntered
    | PinsGuessed
    | DeviceRegistered
    | DeviceUnregistered
    | TrunkChanged
    | AddressBanned
    | LoginFailed
    | HandshakeFailed
)
