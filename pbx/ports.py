"""What the exchange asks of the rest of the program, as Protocols and the values they carry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pbx.calls.services import Service
from pbx.calls.wishes import Wishes
from pbx.events import Event
from pbx.media.srtp import SrtpPolicy
from pbx.sip.digest import Credentials
from pbx.sip.transport import Transport


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A user, a group, or with `script` a PyVoIP call-back script `module:function`."""

    number: str
    name: str = ""
    secret: str = field(default="", repr=False)
    srtp: SrtpPolicy = SrtpPolicy.OFFER
    script: str = ""
    members: Sequence[str] = ()
    "Of a group: the extensions and +E.164 numbers that are rung instead."
    in_turn: bool = False
    "Whether they are rung one after the other."
    countries: Sequence[str] = ()
    denied_countries: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Account:
    """What a phone proves itself with, and whose phone it is then. An extension may have several:
    each phone one of its own, so that a lost phone can be shut out alone."""

    username: str
    secret: str = field(repr=False)
    extension: Extension
    revoked: bool = False
    "Whoever proves to have it is refused, and not taken for somebody who guesses."
    node: bool = False
    "Whether it is another program of this exchange, and no extension at all."


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """A way to the telephone network. `zone` is what people call it: US, UK, DE.

    Without a port or a transport DNS says which (RFC 3263). `outbound_proxy` is a SIP URI with
    `lr`, passed by everything sent to the trunk.
    """

    name: str
    zone: str
    host: str
    port: int = 0
    transport: Transport | None = None
    outbound_proxy: str = ""
    numbers: Sequence[str] = ()
    credentials: Credentials | None = None
    register: bool = False
    dial: str = "+{number}"
    srtp: SrtpPolicy = SrtpPolicy.OFF
    max_calls: int = 20
    countries: Sequence[str] = ()
    denied_countries: Sequence[str] = ()
    verify_tls: bool = True
    ca_file: str = ""
    trusted: bool = False
    "Whether it is told who calls when the number is hidden, and believed who calls us."
    texts: bool = False
    "Whether it carries text messages (MESSAGE)."


class Directory(Protocol):
    """Who and what there is. Answers come from memory: these are asked in the middle of calls."""

    def extension(self, number: str) -> Extension | None:
        """The extension with this number."""

    def extensions(self) -> Sequence[Extension]:
        """All extensions."""

    def account(self, username: str) -> Account | None:
        """The account with this user name (RFC 7616 §3.4)."""

    def trunks(self) -> Sequence[Trunk]:
        """All trunks."""

    def route(self, number: str) -> str | None:
        """The extension, or the number of a service, that an incoming E.164 number leads to."""

    def wishes(self, number: str) -> Wishes:
        """What an extension wants done with its calls."""

    def service(self, dialled: str) -> tuple[Service, str] | None:
        """What of ours answers a number, and what was dialled behind it."""


@dataclass(frozen=True, kw_only=True)
class Permit:
    """Leave to make one trunk call: no longer than `seconds`, shown as `caller`. `since` is by
    the gatekeeper's clock; by `id` events tell which side of a call uses it."""

    id: str = ""
    user: str
    trunk: str
    number: str
    seconds: float
    caller: str
    since: float = 0.0


class CallRefused(Exception):
    """A call may not go. `status` is the SIP answer; the text is for the person. `redirects` are
    the URIs a far side said to try instead (3xx)."""

    def __init__(self, status: int, reason: str, redirects: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.redirects = redirects


class Gatekeeper(Protocol):
    """Whether a call may leave through a trunk."""

    def admit(self, user: str, trunk: Trunk, number: str, source: str = "") -> Permit:
        """Count the call in; raises `CallRefused`.

        `user` is the extension it is charged to: whoever dialled, or whoever sends their callers
        there. `source` is the address their phone called from; empty for a command, which its
        person has given in the chat.
        """

    def release(self, permit: Permit) -> None:
        """The call is over."""


EventSink = Callable[[Event], None]
"Takes every event, in order, on the event loop; must not block."


@dataclass(frozen=True, kw_only=True)
class SavedBinding:
    """A registration to be restored after a restart."""

    extension: str
    contact: str
    transport: Transport
    remote_host: str
    remote_port: int
    expires: datetime
    since: datetime
    username: str
    user_agent: str = ""
    call_id: str = ""
    cseq: int = 0
    path: tuple[str, ...] = ()
    instance: str = ""
    reg_id: int = 0
