"""What the conversation needs from the rest of the program."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from bot.replies import Attachment, Reply
from nlp.commands import (
    Call,
    Command,
    Conference,
    DoNotDisturb,
    HideNumber,
    Message,
    Party,
    Redirect,
    Remind,
    Scenario,
    SendMoney,
    Statistics,
    TrackingNumber,
    Understanding,
    When,
)


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

    @property
    def waiting(self) -> int:
        """Replies that are not sent yet."""

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


asking_program: ContextVar[str] = ContextVar("asking_program", default="")
"The name of the program by which somebody's wish comes just now; nothing for their own chat."


class OperatorError(Exception):
    """A command cannot be done. `id` is stable, for programs; the text says what to do next."""

    def __init__(self, id: str, message: str) -> None:  # the public name of it
        super().__init__(message)
        self.id = id
        self.message = message


def only_in_chats() -> None:
    """Raises `OperatorError` where it is a program that says what only a person may."""
    if asking_program.get():
        raise OperatorError("chat.only", "that can be said in a chat of yours only")


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
    PRIVATE = "private"
    "Encrypted from phone to phone: we cannot hear it."
    NOT_PRIVATE = "not private"
    TRANSFERRED = "transferred"
    CONFERRING = "conferring"
    NAMED = "named"
    "A caller who was asked said their name."
    BROADCAST = "broadcast"
    BROADCAST_OVER = "broadcast over"
    SPEAKING = "speaking"
    NOTICE = "notice"
    CODE = "code"
    "A second factor, for the person's own eyes."
    QUESTION = "question"
    APPROVE = "approve"
    "Whether something may be done or is theirs, for the person's own eyes; `about` is its id."
    DECIDED = "decided"
    "What somebody answered whom a program of the person's had asked; `about` is its id."
    MISSED = "missed"
    VOICEMAIL = "voicemail"
    TEXT = "text"
    REMINDER = "reminder"
    INVOICE = "invoice"
    REMINDER_AGAIN = "reminder again"
    "One of a series."
    CONSENT = "consent"
    "Whether somebody may remind them."
    MOVED = "moved"
    "Their clock is another; `about` is the zone."
    ENDED = "ended"


def kind_of(step: Step) -> str:
    """A step as programs know it."""
    return step.replace(" ", "_")


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
    locked: bool = False
    "Of a conference: whether nobody else comes in."
    moderates: bool = False
    "Whether the person may lock it and send others away."
    file: Attachment | None = None
    "What they said on the answerphone, or their name, or a recording, which is encrypted."
    about: str = ""
    "The id of a voice message or of what rang; of a consent who wants it."


Sent = Awaitable[object] | None
"""What telling somebody gives: done when it is sent or never will be, cancelled when we stopped
before."""


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

    id: str
    at: datetime
    peer: str
    back: str
    incoming: bool
    answered: bool
    seconds: int


@dataclass(frozen=True, kw_only=True)
class LegSeen:
    """One side of a call: packets as the exchange counted them, the round trip as the peer's
    reports tell, `mos` from 1 to 4.5."""

    who: str
    line: str
    codec: str
    encrypted: bool
    received: int
    sent: int
    lost: int
    jitter_ms: float
    round_trip_ms: float | None
    mos: float | None
    cause: str


@dataclass(frozen=True, kw_only=True)
class MessageSeen:
    """A SIP message between the exchange and a peer, as a line of a ladder."""

    at: datetime
    sent: bool
    peer: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class CallSeen:
    """All that is known of a call, without anybody's address."""

    call: PastCall
    cause: str
    private: bool
    legs: Sequence[LegSeen]
    messages: Sequence[MessageSeen]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What will be done at a time; `what` goes on “I shall”."""

    id: str
    at: datetime
    what: str


@dataclass(frozen=True, kw_only=True)
class Reminder:
    """What somebody is reminded of; `at` is its next moment, `rule` how it comes again (RFC 5545),
    `leads` how many minutes before, `to` who else it is for."""

    id: str
    at: datetime
    text: str
    by: str
    to: str = ""
    rule: str = ""
    leads: tuple[int, ...] = ()
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class Ringing:
    """One time that somebody was reminded; `by` is whose wish it was, if another's."""

    id: str
    text: str
    repeats: bool
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """A calendar that somebody follows: how many minutes before what is on it rings, of what with
    which `words`; of a new one how much is `coming`, and what could not be read of it."""

    id: str
    name: str
    kind: str
    leads: tuple[int, ...] = ()
    by: str = "message"
    words: str = ""
    checked: datetime | None = None
    failing: str = ""
    coming: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class VoiceMessage:
    """What somebody said on the person's answerphone."""

    id: str
    at: datetime
    peer: str
    back: str
    seconds: int
    file: Attachment


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recorded call; `file` is encrypted, and empty if it is gone."""

    id: str
    at: datetime
    peer: str
    seconds: int
    file: Attachment


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A broadcast: who shows, if there is something to see, and who watches, for people."""

    number: str
    name: str
    sender: str
    live: bool
    watching: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class SetupLink:
    """How a phone is set up: the page for people, and what the phone itself fetches."""

    name: str
    extension: str
    page: str = field(repr=False)
    phone: str = field(repr=False)
    minutes: int


@dataclass(frozen=True, kw_only=True)
class Phone:
    """One of the person's phones. Without an id it has the extension's own account, which it may
    share with others; without `since` it is not connected."""

    id: str
    name: str
    agent: str
    since: datetime | None
    set_up: datetime | None


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


@dataclass(frozen=True, kw_only=True)
class Redirection:
    """Calls of a person that go elsewhere; `what` says which and where to. On `days` (as in
    RFC 5545, none: every day) from `begin` to `end`, past midnight if that is before it."""

    id: str
    what: str
    paused: bool
    days: Sequence[str] = ()
    begin: str = ""
    end: str = ""
    first: str = ""
    last: str = ""
    "Dates, both included."


class Handling(Protocol):
    """What is done with calls for a person, and how theirs are shown. Raises `OperatorError`;
    what comes back are sentences for the person."""

    def costs(self, person: Person, command: Redirect) -> str:
        """What to ask before calls go where they cost something; empty where they do not."""

    async def redirect(self, person: Person, command: Redirect) -> str:
        """Send calls elsewhere, or no more."""

    def redirections(self, person: Person) -> Sequence[Redirection]:
        """All redirections of a person, the oldest first."""

    async def pause(self, person: Person, id: str, *, on: bool) -> bool:
        """Let a redirection rest, or hold again; False if there is none such."""

    async def remove(self, person: Person, id: str) -> bool:
        """Forget a redirection; False if there is none such."""

    async def do_not_disturb(self, person: Person, command: DoNotDisturb) -> str:
        """Ring the person's phones no more, or again."""

    async def treat(self, person: Person, *, anonymous: bool, unknown: bool, how: str) -> str:
        """What is done with callers who hide their number, or whom the person does not know:
        ring, ask, answerphone or refuse."""

    async def allow(self, person: Person, party: Party, *, on: bool) -> str:
        """Always let somebody through, or no more than others."""

    async def block(self, person: Person, party: Party, *, on: bool) -> str:
        """Let somebody reach the person no more, or again; who that is."""

    async def unblock_hidden(self, person: Person) -> str:
        """Let those be heard of again who were blocked while they hid their number."""

    async def record(self, person: Person, party: Party, *, on: bool) -> str:
        """Record all calls with somebody, or no more."""

    async def wait(self, person: Person, *, on: bool) -> str:
        """Let another call come in while one is going on, or tell it that one is busy."""

    async def hide_number(self, person: Person, command: HideNumber) -> str:
        """Show no number on the next call, or on all, or do again."""

    async def set_greeting(self, person: Person, words: str) -> str:
        """What the person's answerphone says; nothing is the usual."""

    async def set_pin(self, person: Person, pin: str) -> str:
        """The PIN for listening to the answerphone by phone."""

    def settings(self, person: Person) -> str:
        """What a person wants done with their calls, a line each."""


@dataclass(frozen=True, kw_only=True)
class NumberShown:
    """A number for an advertisement; `to` is whom it rings, for people."""

    label: str
    number: str
    to: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What numbers brought: calls by day, by hour of the day and by source, answered and missed,
    of new and of known callers."""

    title: str
    days: Sequence[str]
    answered_by_day: Sequence[int]
    missed_by_day: Sequence[int]
    answered_by_hour: Sequence[int]
    missed_by_hour: Sequence[int]
    sources: Mapping[str, int]
    new: int
    known: int


class Tracking(Protocol):
    """Numbers for advertisements, and what they brought. Raises `OperatorError`; what comes back
    are sentences for the person."""

    async def take(self, person: Person, command: TrackingNumber) -> str:
        """A number from the pool for something."""

    async def send(self, person: Person, label: str, party: Party) -> str:
        """Let a number ring somebody else of ours."""

    def knows(self, person: Person, label: str) -> bool:
        """Whether some words are about one of the person's numbers."""

    async def give_back(self, person: Person, label: str) -> str:
        """Give a number back to the pool."""

    def listed(self, person: Person) -> str:
        """All numbers of a person."""

    def numbers(self, person: Person) -> Sequence[NumberShown]:
        """The same, one by one."""

    async def figures(self, person: Person, command: Statistics) -> Figures:
        """What one number, or all of them, brought."""

    async def statistics(self, person: Person, command: Statistics) -> Reply:
        """What one number, or all of them, brought: as a picture or as a table."""


class Reminding(Protocol):
    """Reminders, and what is done with one that rings. Raises `OperatorError`."""

    async def remind(
        self, person: Person, command: Remind, leads: Sequence[int] = (0,)
    ) -> Reminder:
        """Remind somebody of something, so many minutes before as well."""

    async def of(self, person: Person) -> Sequence[Reminder]:
        """What the person is reminded of, the next first."""

    async def on_day(self, person: Person, day: date) -> Sequence[tuple[datetime, str]]:
        """What there is to think of on a day of the person's."""

    async def change(
        self, person: Person, id: str, when: When | None = None, text: str | None = None
    ) -> Reminder:
        """Another time, or other words."""

    async def pause(self, person: Person, id: str, *, on: bool) -> Reminder:
        """Let one rest, or ring again."""

    async def cancel(self, person: Person, id: str) -> bool:
        """Ring for one no more; False if it is gone."""

    async def rang(self, person: Person, id: str = "") -> Ringing:
        """One that rang, or the latest that waits for an answer."""

    async def done(self, person: Person, id: str) -> None:
        """It was done."""

    async def snooze(self, person: Person, id: str, after: timedelta) -> None:
        """Remind again after a time."""

    async def stop_series(self, person: Person, id: str) -> None:
        """Never remind of it again."""

    async def consent(self, person: Person, by: str, *, given: bool) -> str:
        """Let somebody's reminders through, or not; who that is."""

    async def travel(self, person: Person, zone: str, until: datetime | None) -> Person:
        """The person is in another zone, until a time if that is known."""

    async def come_home(self, person: Person) -> Person:
        """The person is back."""

    async def be_late(self, person: Person, minutes: int) -> None:
        """How late a reminder still rings."""

    async def be_quiet(self, person: Person, begin: str, end: str) -> None:
        """Between which clocks the phone does not ring for what others want."""


class Calendars(Protocol):
    """Calendars people have elsewhere. Raises `OperatorError`."""

    async def follow(
        self, person: Person, url: str, user: str = "", password: str = ""
    ) -> Calendar:
        """Follow a calendar at an address."""

    async def take_file(self, person: Person, content: bytes) -> Calendar:
        """Keep a calendar that somebody sent as a file."""

    async def take_link(self, person: Person, url: str) -> Calendar:
        """Fetch such a file once, and keep it."""

    async def of(self, person: Person) -> Sequence[Calendar]:
        """All calendars of a person."""

    async def ring(
        self, person: Person, id: str, leads: Sequence[int], by: str, words: str = ""
    ) -> Sequence[Calendar]:
        """How long before things of a calendar, or of all, the person is reminded."""

    async def look(self, person: Person, id: str) -> Calendar:
        """Look at a calendar now."""

    async def leave(self, person: Person, id: str) -> str:
        """Follow a calendar no more; its name."""

    async def write(self, person: Person, title: str, at: datetime, minutes: int = 60) -> str:
        """Put something into a calendar of the person's; its name."""


class Relays(Protocol):
    """Numbers in the place of people. Raises `OperatorError`; what comes back are sentences."""

    async def connect(self, person: Person, one: Party, other: Party) -> str:
        """Let two people reach each other without seeing the other's number."""

    async def end(self, person: Person, number: str) -> str:
        """Let them do so no more."""

    def listed(self, person: Person) -> str:
        """All that a person may see."""


@dataclass(frozen=True, kw_only=True)
class AccountLine:
    """Something that somebody paid or got: a sum with its unit, and what for."""

    at: datetime
    amount: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """What is to be paid: so much of a coin to an address, with its id as the memo; `worth` in the
    unit of account, if it comes until then. `link` opens a wallet."""

    id: str
    address: str
    amount: str
    coin: str
    asset: str
    worth: str
    until: datetime
    minutes: int
    link: str


class Payments(Protocol):
    """Paying in. Raises `OperatorError`."""

    async def top_up(self, person: Person, amount: str, coin: str) -> Invoice:
        """What somebody has to pay, and where."""


@dataclass(frozen=True, kw_only=True)
class WalletShown:
    """A wallet that a PIN opens: `holds` are sums of coins, none with `trouble`; `link` opens
    another wallet that pays into it."""

    address: str
    holds: Sequence[str]
    trouble: str
    locked: bool
    link: str


class Wallets(Protocol):
    """What people send from their wallets. Raises `OperatorError`."""

    async def shown(self, person: Person) -> WalletShown:
        """What there is to know of somebody's wallet."""

    async def send(self, person: Person, command: SendMoney) -> str:
        """Ring the person's phones for the PIN, and send then; what is done, for people."""

    async def unlock(self, person: Person) -> None:
        """Let PINs be tried again."""

    async def drop(self, person: Person) -> None:
        """Throw an empty wallet away."""


@dataclass(frozen=True, kw_only=True)
class ScenarioShown:
    """What is done when somebody calls `trigger` and keys their PIN."""

    name: str
    trigger: str
    action: Command
    paused: bool


class Scenarios(Protocol):
    """What is done when people call a number and key their PIN. Raises `OperatorError`."""

    async def add(self, person: Person, command: Scenario) -> ScenarioShown:
        """Have a scenario from now on, instead of one with that name or number."""

    def of(self, person: Person) -> Sequence[ScenarioShown]:
        """Somebody's scenarios, by their numbers."""

    async def pause(self, person: Person, which: str, *, on: bool) -> ScenarioShown:
        """Let one rest, or run again, by its name or number."""

    async def remove(self, person: Person, which: str) -> ScenarioShown:
        """Have one no more."""


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """What a program acts for somebody with, without its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    expires: datetime
    used: datetime | None


class ApiKeys(Protocol):
    """Keys for programs. Raises `OperatorError`."""

    def of(self, extension: str) -> Sequence[ApiKey]:
        """Somebody's keys, the oldest first."""

    async def revoke(self, extension: str, which: str) -> str:
        """Let a key open nothing from now on; its name."""


@dataclass(frozen=True, kw_only=True)
class ConsoleLink:
    """A way into the console page, good once."""

    url: str = field(repr=False)
    minutes: int


class Approvals(Protocol):
    """A second yes. Raises `OperatorError`."""

    def answer(self, person: Person, id: str, *, yes: bool) -> str:
        """Somebody's word on what they were asked; what that was."""

    def wanted_by(self, person: Person) -> str:
        """How somebody is asked before what is dangerous; empty if they are not."""

    async def want(self, person: Person, by: str) -> str:
        """Be asked before what is dangerous, by call or chat, or with nothing no more; what that
        means, for people."""


class Accounts(Protocol):
    """Money. Raises `OperatorError`."""

    def pays(self, person: Person) -> bool:
        """Whether outside calls cost somebody anything."""

    def balance(self, person: Person) -> str:
        """What somebody has, for people."""

    async def lines(self, person: Person) -> Sequence[AccountLine]:
        """The latest of somebody's account, newest first."""

    async def plans(self, person: Person) -> str:
        """What monthly plans there are, and which somebody has, for people."""

    async def choose(self, person: Person, plan: str) -> str:
        """Have a plan; what that means, for people."""

    async def cancel_plan(self, person: Person) -> str:
        """Let a plan end; when, for people."""

    def price(self, person: Person, party: Party) -> str:
        """What calling somebody costs, for people."""

    def prices(self, person: Person, place: str) -> str:
        """What calling somewhere costs, for people; empty when no such place is known."""


class Past(Protocol):
    """Calls that were. Raises `OperatorError`."""

    async def calls(
        self,
        person: Person,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        until_id: str = "",
        missed: bool = False,
        party: Party | None = None,
        matching: str = "",
        limit: int = 500,
    ) -> Sequence[PastCall]:
        """Somebody's latest calls, newest first; of those of the moment `until` the ones whose ids
        are before `until_id`. `matching` is a part of a name, or how a number begins."""

    async def call(self, person: Person, id: str) -> CallSeen:
        """One of somebody's calls, also one that goes on."""


class Operator(Protocol):
    """One method a command: may they, do it, answer. Raises `OperatorError`."""

    @property
    def handling(self) -> Handling:
        """What concerns the calls that come for people."""

    @property
    def tracking(self) -> Tracking:
        """What concerns numbers for advertisements."""

    @property
    def relays(self) -> Relays:
        """What concerns numbers in the place of people."""

    @property
    def reminding(self) -> Reminding:
        """What concerns reminders."""

    @property
    def calendars(self) -> Calendars:
        """What concerns calendars elsewhere."""

    @property
    def accounts(self) -> Accounts:
        """What concerns money."""

    @property
    def payments(self) -> Payments | None:
        """Paying in, where that can be."""

    @property
    def wallets(self) -> Wallets:
        """What people send."""

    @property
    def scenarios(self) -> Scenarios:
        """What is done for a PIN."""

    @property
    def keys(self) -> ApiKeys:
        """Keys for programs."""

    @property
    def approvals(self) -> Approvals:
        """A second yes."""

    @property
    def past(self) -> Past:
        """Calls that were."""

    async def call(self, person: Person, command: Call) -> Placed:
        """Call somebody and call the person back."""

    def quote(
        self, person: Person, command: Call | Message | Conference | Redirect | Remind
    ) -> str:
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

    def park(self, person: Person, call_id: str) -> str:
        """Let the other side of a call wait in a place that anybody can dial; its number."""

    def wait_for(self, person: Person, party: Party) -> str:
        """Call somebody once they are free; what to tell the person."""

    def codes(self) -> Sequence[tuple[str, str]]:
        """What can be dialled on a phone, and what that does."""

    def enter_room(self, person: Person, name: str) -> str:
        """Ring the person's phones and let them into a room; its name."""

    def lock(self, person: Person, call_id: str, *, on: bool) -> None:
        """Let nobody else into a conference, or anybody again."""

    def kick(self, person: Person, call_id: str, who: str) -> str:
        """Send somebody away from a conference; who that was."""

    def mute_other(self, person: Person, call_id: str, who: str, *, on: bool) -> str:
        """Let nobody hear somebody in a conference, or let everybody again; who that is."""

    def others(self, person: Person, call_id: str) -> Sequence[tuple[str, str]]:
        """The others in a conference: what to call each, and who it is for people."""

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

    async def voicemail(self, person: Person) -> Sequence[VoiceMessage]:
        """The person's latest voice messages, newest first."""

    async def delete_voicemail(self, person: Person, id: str) -> bool:
        """Delete one of them; False if it is gone."""

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

    async def make_key(self, person: Person, name: str, scopes: Sequence[str]) -> str:
        """A key for a program of the person's; what is to be shown once and kept nowhere."""

    async def open_console(self, person: Person) -> ConsoleLink:
        """A link into the console page."""

    async def set_up_phone(self, person: Person, name: str) -> SetupLink:
        """A link that gives a phone of the person's an account of its own."""

    async def phones(self, person: Person) -> Sequence[Phone]:
        """The person's phones, the oldest first."""

    async def revoke_phone(self, person: Person, id: str) -> str:
        """Shut one of the person's phones out, at once; its name."""

    def answer(self, person: Person, *, yes: bool) -> str:
        """The person's word on what they were asked first; empty when nothing was."""

    def active_calls(self, person: Person) -> Sequence[ActiveCall]:
        """The person's calls going on, the latest last."""

    def levels(self, person: Person, call_id: str) -> Sequence[tuple[str, float]]:
        """How loud each side of a call of the person's is just now, in dBFS; those that can be
        heard by us."""

    def state(self, person: Person) -> State:
        """How the exchange is doing."""

    async def menus_drawn(self, person: Person) -> str:
        """The menus for callers as one picture (SVG)."""

    def broadcasts(self, person: Person) -> Sequence[Shown]:
        """The broadcasts that the person may know of."""

    def availability(self, number: str) -> Availability:
        """How an extension, or a phone number, is."""

    def is_reachable(self, person: Person, party: Party) -> bool:
        """Whether the person could call or write to somebody."""

    def watch(self, look: Callable[[str], None]) -> Callable[[], None]:
        """Tell of every extension whose availability changed; the result stops it."""

    def follow(self, person: Person, tell: Callable[[Progress], Sent]) -> Callable[[], None]:
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
