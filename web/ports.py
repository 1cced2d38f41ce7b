"""What the web server asks of the rest of the program."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bot.ports import Operator, Person
from bot.replies import Reply


@dataclass(frozen=True, kw_only=True)
class PhoneSettings:
    """All that a phone must know to register. The account is the phone's own."""

    name: str
    "What the person calls the phone."
    owner: str
    number: str
    username: str
    "For digest; the address of record stays the number."
    secret: str = field(repr=False)
    domain: str
    "The realm of digest."
    host: str
    tls_port: int
    must_encrypt: bool
    "Whether calls whose sound is not encrypted are refused."
    encrypts: bool


class SetupRefused(Exception):
    """A phone cannot be set up; the text says why and what to do."""


class Setup(Protocol):
    """Who gives phones their accounts, for tokens that are good once and not long."""

    async def is_open(self, token: str) -> bool:
        """Whether a token is still good."""

    async def redeem(self, token: str) -> PhoneSettings | None:
        """An account for a token, which is used up then; None if it is none or was used.
        Raises `SetupRefused`; then it stays good."""

    def authority(self) -> bytes | None:
        """The certificate authority that phones must trust, as PEM; None if they do already."""


# ── programs ────────────────────────────────────────────────────────────────────────────────
SCOPES = (
    "calls", "calls:read", "contacts", "contacts:read", "devices", "devices:read", "events",
    "lookup",
    "messages", "metrics", "money", "money:read", "numbers", "numbers:read", "recordings",
    "recordings:read", "redirects", "redirects:read", "reminders", "reminders:read", "say",
    "verify",
)  # fmt: skip
"""What a key can be for. Without “:read” it can also change things; `say` can do whatever its
person can by chat."""


SESSION = "console"
"The scope of somebody's own browser, which may all."


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that acts for a person."""

    key: str
    name: str
    person: Person
    scopes: Sequence[str]

    @property
    def is_session(self) -> bool:
        """Whether that is the person's own browser."""
        return SESSION in self.scopes

    def may(self, scope: str) -> bool:
        """Whether it was let do that."""
        mine = self.scopes
        return scope in mine or scope.removesuffix(":read") in mine or SESSION in mine


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that came before, whether it was the very same, and what was answered; without a
    status nobody knows what became of it."""

    same: bool
    status: int | None
    media_type: str = ""
    body: bytes = field(default=b"", repr=False)


class Keys(Protocol):
    """Who programs are, and what they asked for already."""

    async def find(self, token: str) -> Program | None:
        """Whose key that is; None for one that opens nothing (any more)."""

    def holds(self, program: Program) -> bool:
        """Whether its key opens something still."""

    async def begin(self, program: Program, word: str, digest: str) -> Asked | None:
        """A request that may come again begins; what was answered if it came before."""

    async def finish(self, program: Program, word: str, answer: Asked | None) -> None:
        """What was answered; None lets it be asked anew, for nothing was done."""


class Sessions(Protocol):
    """Who comes into the console page."""

    async def enter(self, token: str, browser: str) -> str | None:
        """The key of a session for a token, which is used up then; None if it is none."""

    async def leave(self, program: Program) -> None:
        """End a session."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """A code that somebody was sent."""

    id: str
    to: str
    by: str
    state: str
    expires: datetime
    tries_left: int


class Verifications(Protocol):
    """Second factors. Raises `OperatorError`."""

    async def begin(
        self, person: Person, to: str, by: str, length: int, minutes: int, approve: str = ""
    ) -> Verification:
        """Send somebody a code by call, sms or chat, or ask them to approve something by call or
        chat."""

    async def check(self, person: Person, id: str, code: str) -> Verification:
        """Whether that was the code; approved once."""

    async def find(self, person: Person, id: str) -> Verification:
        """How one stands."""


HERE = "here"
"The kind of what comes first: nothing happened yet, and its id is where one listens from."


@dataclass(frozen=True, kw_only=True)
class Happened:
    """Something that happened to a person: `kind` is a step of a call and the like, `gap` when
    there was more before it than is known, or `HERE`."""

    id: str
    kind: str
    call: str = ""
    peer: str = ""
    text: str = ""
    seconds: int = 0
    back: str = ""
    about: str = ""
    words: str = ""
    "The same for people."


class TooMany(Exception):
    """So many programs of one person listen already."""


class Events(Protocol):
    """What happens to people."""

    def listen(self, person: Person, after: str) -> AsyncGenerator[Happened]:
        """What happens to somebody from now on, or behind an event. Raises `TooMany`."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where a program hears of some kinds of events, or of all."""

    id: str
    url: str
    kinds: Sequence[str]
    secret: str = field(repr=False)
    failing: bool


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """An event that was told, or is to be: waiting, done or dead."""

    id: str
    kind: str
    at: datetime
    state: str
    tries: int
    status: int | None


class Webhooks(Protocol):
    """Programs that are told what happens. Raises `OperatorError`."""

    async def add(self, program: Program, url: str, kinds: Sequence[str]) -> Webhook:
        """Tell a program at an address, for as long as its key holds."""

    def of(self, person: Person) -> Sequence[Webhook]:
        """Somebody's webhooks, the oldest first."""

    async def remove(self, person: Person, id: str) -> None:
        """Tell one nothing more."""

    async def test(self, person: Person, id: str) -> None:
        """Tell something harmless."""

    async def deliveries(self, person: Person, id: str) -> Sequence[Delivery]:
        """What was told lately or is to be told, newest first."""

    async def replay(self, person: Person, id: str, message: str) -> None:
        """Tell something again."""


@dataclass(frozen=True, kw_only=True)
class Leader:
    """Which of several programs serves whoever asks, and how the others reach it."""

    where: Callable[[], str | None]
    "Its host:port; empty where that is here, None where nobody knows."
    proof: str = field(repr=False)
    "What a request that another passed on is known by."
    trust: ssl.SSLContext


@dataclass(frozen=True, kw_only=True)
class Desk:
    """All that the API is given: `talk` does what somebody says, as their chat would."""

    operator: Operator
    keys: Keys
    sessions: Sessions
    verifications: Verifications
    events: Events
    webhooks: Webhooks
    talk: Callable[[Person, str], Awaitable[Sequence[Reply]]]
    ready: Callable[[], bool]
    metrics: Callable[[], Awaitable[bytes]]
    "How the program does, for Prometheus."
    answered: Callable[[bool, int, float], None]
    "Told of each answer: whether to a program, its status, and the seconds until it began."
