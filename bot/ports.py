"""What the conversation needs from the rest of the program."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from bot.replies import Attachment
from nlp.commands import Call, Command, Conference, Message, Party, Understanding


class Role(StrEnum):
    """What a person may do: everything, all but running the exchange, only calls inside it."""

    OWNER = "owner"
    MEMBER = "member"
    GUEST = "guest"


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who is talking: a name, and the extension that is theirs."""

    name: str
    extension: str
    region: str = "US"
    timezone: str = "UTC"
    id: str = "owner"
    role: Role = Role.OWNER
    key: str = ""
    "Who can open their recordings, as an age recipient."
    records: bool = False
    "Whether all their calls are recorded."


@dataclass(frozen=True)
class Account:
    """Where somebody writes from: a front end and the address it has for them."""

    channel: str
    address: str


class Shelf(Protocol):
    """Where a front end keeps what must outlast a restart, by key, as JSON objects."""

    async def all(self) -> dict[str, dict[str, Any]]:
        """Everything by its key."""

    async def keep(self, changes: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Keep things under their keys, all of them or, when it fails, none; None drops one."""


class FrontEnd(Protocol):
    """A chat network, connected or not."""

    ready: asyncio.Event
    "Set while the network knows us."

    def start(self) -> None:
        """Begin to connect, for as long as that takes."""

    async def stop(self) -> None:
        """Answer what was asked, then leave."""

    def link(self, code: str) -> str:
        """How somebody comes in with a code."""


class People(Protocol):
    """Who is known, and what was said with them."""

    async def person_of(self, account: Account) -> Person | None:
        """Whose account that is; None for a stranger's."""

    async def everybody(self) -> Sequence[tuple[Person, Sequence[Account]]]:
        """All who have an account, with their accounts."""

    async def join(self, code: str, account: Account, name: str) -> Person | None:
        """Let an account in with a code that is good once; None if it is not."""

    async def take(self, account: Account, message_id: str) -> bool:
        """Note that a message is being dealt with; False if it was before."""

    async def finish(self, account: Account, message_id: str) -> None:
        """Note that a message was dealt with."""

    async def unfinished(self) -> Sequence[Account]:
        """Who wrote what the last run did not finish; told once."""

    async def recall(self, person: Person) -> Mapping[str, Any]:
        """Where the conversation with somebody stands; empty if nowhere."""

    async def remember(self, person: Person, talk: Mapping[str, Any]) -> None:
        """Keep where the conversation stands."""


class OperatorError(Exception):
    """A command cannot be done. `id` is stable, for programs; the text says what to do next."""

    def __init__(self, id: str, message: str) -> None:  # the public name of it
        super().__init__(message)
        self.id = id
        self.message = message


class UnclearName(OperatorError):
    """A name that is nobody's, but like some: `candidates`, with their numbers for people."""

    def __init__(self, name: str, candidates: Sequence[tuple[Party, str]]) -> None:
        super().__init__("party.unclear_name", f"I know no {name}, but somebody like it")
        self.name = name
        self.candidates = candidates


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A call that was begun: who is called over which line, and who is called back."""

    call_id: str
    to: str
    line: str
    back: str


class Step(StrEnum):
    """A step of a call, as people hear of it."""

    PLACED = "placed"
    INCOMING = "incoming"
    RINGING = "ringing"
    ANSWERED = "answered"
    JOINED = "joined"
    HELD = "held"
    RESUMED = "resumed"
    MUTED = "muted"
    UNMUTED = "unmuted"
    RECORDING = "recording"
    NOT_RECORDING = "not recording"
    RECORDED = "recorded"
    TRANSFERRED = "transferred"
    CONFERRING = "conferring"
    NOTICE = "notice"
    QUESTION = "question"
    MISSED = "missed"
    VOICEMAIL = "voicemail"
    TEXT = "text"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One step of one call. `text` is who with whom of one that was placed, a notice, how it
    ended, or what was written; `peer` is for ringing and answered; `seconds` the time both sides
    were joined. Of an incoming and of a missed call and of a text `peer` is who it is from, and
    `back` what to dial to reach them, if known."""

    call_id: str
    step: Step
    peer: str = ""
    text: str = ""
    seconds: int = 0
    back: str = ""
    file: Attachment | None = None
    "What they said on the answerphone, or a recording, which is encrypted."


@dataclass(frozen=True, kw_only=True)
class ActiveCall:
    """A call going on, for people to choose from."""

    call_id: str
    caller: str
    callee: str
    seconds: int
    joined: bool
    incoming: bool = False
    "Whether it rings at the person's phone just now."
    held: bool = False
    muted: bool = False
    conference: bool = False
    recording: bool = False


class Availability(StrEnum):
    """How somebody's phones are."""

    OFF = "off"
    FREE = "free"
    BUSY = "busy"


class Control(StrEnum):
    """What can be done with a call going on."""

    HOLD = "hold"
    RESUME = "resume"
    MUTE = "mute"
    UNMUTE = "unmute"
    RECORD = "record"
    STOP_RECORDING = "stop recording"
    ANSWER = "answer"
    "On the person's phone, if that lets itself be told to."
    REJECT = "reject"
    MAILBOX = "mailbox"
    "Not to be answered: let them leave a message."


@dataclass(frozen=True, kw_only=True)
class PastCall:
    """A call of the person's, as it was. `peer` is the other side for people, `back` what to
    dial to reach it, if that is known; `incoming` is seen from the person."""

    at: datetime
    peer: str
    back: str
    incoming: bool
    answered: bool
    seconds: int


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What will be done at a time; `what` goes on “I shall”."""

    id: str
    at: datetime
    what: str


@dataclass(frozen=True, kw_only=True)
class VoiceMessage:
    """What somebody said on the person's answerphone."""

    at: datetime
    peer: str
    back: str
    seconds: int
    file: Attachment


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recorded call; `file` is encrypted, and empty if it is gone."""

    at: datetime
    peer: str
    seconds: int
    file: Attachment


@dataclass(frozen=True, kw_only=True)
class LineState:
    """A trunk: up or down, and what it last said."""

    name: str
    zone: str
    numbers: Sequence[str]
    up: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class PhoneState:
    """An extension and how many devices it has registered."""

    extension: str
    name: str
    devices: int


@dataclass(frozen=True, kw_only=True)
class State:
    """How the exchange is doing."""

    addresses: Mapping[str, str]
    lines: Sequence[LineState]
    phones: Sequence[PhoneState]
    calls: Sequence[ActiveCall]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What became of contacts: how many were kept, and those whose number is none."""

    count: int
    refused: Sequence[str]


class Operator(Protocol):
    """One method a command: may they, do it, answer. Raises `OperatorError`."""

    async def call(self, person: Person, command: Call) -> Placed:
        """Call somebody and call the person back."""

    def quote(self, person: Person, command: Call | Message | Conference) -> str:
        """What to ask before a command that costs money; empty when it costs nothing."""

    async def message(self, person: Person, command: Message) -> str:
        """Send words to somebody; what became of them, for people."""

    async def hang_up(self, person: Person, call_id: str) -> None:
        """End one of the person's calls."""

    async def control(self, person: Person, call_id: str, what: Control) -> None:
        """Do something with one of the person's calls; their chats are told when it is done."""

    async def transfer(self, person: Person, call_id: str, to: Party) -> str:
        """Begin to give one's place in a call to somebody; who that is, for people."""

    async def conference(self, person: Person, command: Conference) -> Placed:
        """Call several together, or into the call that the person has."""

    def press(self, person: Person, call_id: str, keys: str) -> None:
        """Press keys for the other side of one of the person's calls."""

    async def plan(self, person: Person, command: Call) -> Planned:
        """Place a call at its time."""

    async def plans(self, person: Person) -> Sequence[Planned]:
        """What the person has planned, the next first."""

    async def drop_plan(self, person: Person, id: str) -> bool:
        """Do not do what was planned; False if that is too late."""

    async def call_back_later(self, person: Person, call_id: str) -> Planned:
        """Tell a caller that the person cannot take the call and calls back, and plan that."""

    async def history(
        self,
        person: Person,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        missed: bool = False,
        party: Party | None = None,
    ) -> Sequence[PastCall]:
        """The person's latest calls, newest first."""

    async def voicemail(self, person: Person) -> Sequence[VoiceMessage]:
        """The person's latest voice messages, newest first."""

    async def recordings(self, person: Person) -> Sequence[Recording]:
        """The person's latest recordings, newest first."""

    async def record_calls(self, person: Person, *, on: bool, always: bool) -> Person:
        """Record the person's next call, or all from now on, or no more."""

    async def set_key(self, person: Person, key: str) -> Person:
        """Recordings are for this key from now on."""

    async def last_called(self, person: Person) -> Call:
        """The command that calls again whom the person called last."""

    async def save_contact(self, person: Person, name: str, party: Party) -> str:
        """Keep somebody's number under a name; the number for people."""

    async def save_contacts(self, person: Person, contacts: Sequence[tuple[str, str]]) -> Kept:
        """Keep names with numbers as they were written elsewhere."""

    async def remove_contact(self, person: Person, name: str) -> str:
        """Forget a contact; the name as it was kept."""

    def contacts(self, person: Person) -> Sequence[tuple[str, str]]:
        """The person's contacts by name, with their numbers for people."""

    async def block(self, person: Person, party: Party, *, on: bool) -> str:
        """Let somebody ring the person no more, or again; who that is, for people."""

    async def zone_at(self, latitude: float, longitude: float) -> str:
        """The time zone of a place."""

    async def read_contacts(self, content: bytes) -> Sequence[tuple[str, str]]:
        """The names and numbers of a file of contacts."""

    async def set_timezone(self, person: Person, zone: str) -> Person:
        """The person lives in another time zone from now on."""

    async def export(self, person: Person) -> bytes:
        """All that is known of a person, as JSON."""

    async def forget(self, person: Person) -> None:
        """Forget all of that, and their accounts."""

    async def invite(self, person: Person, name: str, *, guest: bool = False) -> Sequence[str]:
        """Ways in for somebody new, or with no name for a further account of the person."""

    def answer(self, person: Person, *, yes: bool) -> str:
        """The person's word on what they were asked first; empty when nothing was."""

    def active_calls(self, person: Person) -> Sequence[ActiveCall]:
        """The person's calls going on, the latest last."""

    def state(self, person: Person) -> State:
        """How the exchange is doing."""

    def availability(self, number: str) -> Availability:
        """How an extension, or a phone number, is."""

    def is_reachable(self, person: Person, party: Party) -> bool:
        """Whether the person could call or write to somebody."""

    def watch(self, look: Callable[[str], None]) -> Callable[[], None]:
        """Tell of every extension whose availability changed; the result stops it."""

    def follow(self, person: Person, tell: Callable[[Progress], None]) -> Callable[[], None]:
        """Tell of the person's calls from now on; the result stops it."""


@dataclass(frozen=True, kw_only=True)
class Talk:
    """Where a conversation stands: its last commands, oldest first, and the slot just asked for."""

    history: tuple[Command, ...] = ()
    asked: str = ""


Understand = Callable[[str, Person, Talk], Awaitable[Understanding]]
"Text to commands, with what is known of the person and was said before."

Listen = Callable[[bytes, Person], Awaitable[str]]
"A voice message (Opus in Ogg) to a sentence; empty when nothing certain was heard."
