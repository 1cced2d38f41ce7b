"""What is sent and answered, as the API's document has it. `make client` writes this file."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

Moment = str
"ISO 8601 with an offset; `datetime.fromisoformat` reads it."
Day = str
"ISO 8601; `date.fromisoformat` reads it."


class Answer(TypedDict):
    """What the exchange answers."""

    text: str
    call: NotRequired[str]
    choices: NotRequired[list[Choice]]
    picture: NotRequired[str]
    """A picture that goes with it, as a data URL."""


class Balance(TypedDict):
    """What somebody has, in words; `pays`: whether outside calls cost them anything."""

    pays: bool
    detail: str
    """For example `You have 12.50 EUR.`."""


class Brought(TypedDict):
    """What numbers brought in calls."""

    title: str
    days: list[str]
    answered_by_day: list[int]
    missed_by_day: list[int]
    answered_by_hour: list[int]
    missed_by_hour: list[int]
    sources: dict[str, int]
    new: int
    known: int


By = Literal["call", "message"]
"""How somebody is reminded."""


class Choice(TypedDict):
    """What can be said next."""

    label: str
    says: str


class Code(TypedDict):
    """What somebody says the code is."""

    code: str
    """For example `271828`."""


Condition = Literal["always", "busy", "no_answer", "offline"]
"""When calls go elsewhere."""


class Contact(TypedDict):
    """Somebody under a name."""

    name: str
    """For example `Bob`."""
    number: str
    """For example `+44 20 7946 0321`."""


class Delivered(TypedDict):
    """An event that was told, or is to be: waiting, done or dead."""

    id: str
    kind: str
    """For example `incoming`."""
    at: Moment
    state: str
    tries: int
    status: int | None


class Due(TypedDict):
    """Something there is to think of."""

    at: Moment
    what: str
    """For example `Lunch with Bob`."""


class Entry(TypedDict):
    """Something that was paid or came in."""

    at: Moment
    amount: str
    """For example `-0.55 EUR`."""
    what: str
    """For example `USA, 6 s`."""


class FieldError(TypedDict):
    """What is wrong with one part of a request."""

    field: str
    """For example `body.to`."""
    message: str
    """For example `Field required`."""


class Health(TypedDict):
    """Whether the program lives."""

    status: str
    """For example `ok`."""


class InvoiceShown(TypedDict):
    """What is to be paid, to the last digit, with its id as the memo; `link` opens a wallet."""

    id: str
    address: str
    amount: str
    coin: str
    asset: str
    worth: str
    until: Moment
    link: str
    qr: NotRequired[str]
    """An image of the link, to be scanned."""


class Keys(TypedDict):
    """Keys to press for the other side."""

    keys: str
    """For example `12#`."""


class Leg(TypedDict):
    """One side of a call, as the exchange measured it."""

    who: str
    line: str
    """The trunk; empty for a phone of the exchange."""
    codec: str
    encrypted: bool
    received: int
    """Packets."""
    sent: int
    lost: int
    jitter_ms: float
    round_trip_ms: float | None
    mos: float | None
    """How good it sounded, from 1 to 4.5."""
    cause: str


class Level(TypedDict):
    """How loud a side of a call is just now."""

    who: str
    dbfs: float
    """Decibels below full scale; -100 is silence."""


class LiveCall(TypedDict):
    """A call that goes on."""

    id: str
    """For example `5f1d0c2a`."""
    caller: str
    """For example `101`."""
    callee: str
    """For example `+1 202-555-0143`."""
    seconds: int
    """For example `42`."""
    joined: bool
    incoming: bool
    held: bool
    muted: bool
    conference: bool
    recording: bool
    levels: list[Level]


class Me(TypedDict):
    """Whom the key acts for, and what it is for."""

    name: str
    """For example `Alice`."""
    extension: str
    """For example `101`."""
    timezone: str
    """For example `Europe/Berlin`."""
    role: str
    """For example `owner`."""
    key: str
    """For example `CRM`."""
    scopes: list[str]
    """For example `["calls", "contacts:read"]`."""


class NewCall(TypedDict):
    """A call to place: `to` is called, then the person, or `callback`, and both are joined."""

    to: str
    """A number (+12025550143), an extension (102), or the name of a contact. For example
    `+12025550143`."""
    line: NotRequired[str | None]
    """The zone of the line to call from. For example `US`."""
    callback: NotRequired[str | None]
    """For example `101`."""
    hide_number: NotRequired[bool]
    record: NotRequired[bool]


class NewConference(TypedDict):
    """Several to call together."""

    participants: list[str]
    line: NotRequired[str | None]
    """The zone of the line to call from. For example `US`."""


class NewInvoice(TypedDict):
    """So much of a coin to pay in."""

    amount: str
    """For example `10`."""
    coin: Literal["WAVES", "ETT"]


class NewMessage(TypedDict):
    """Words for somebody."""

    to: str
    """A number (+12025550143), an extension (102), or the name of a contact. For example
    `+12025550143`."""
    text: str
    """For example `I am late`."""


class NewNumber(TypedDict):
    """A number for an advertisement or the like."""

    label: str
    """For example `Facebook`."""
    line: NotRequired[str | None]
    """The zone of the line to call from. For example `US`."""


class NewPhone(TypedDict):
    """A phone to set up."""

    name: str
    """For example `desk`."""


NewRedirect = TypedDict(
    "NewRedirect",
    {
        "to": str,
        "from": NotRequired[str | None],
        "condition": NotRequired[Condition],
        "after": NotRequired[int | None],
    },
)
"""Calls that go elsewhere. `to`: A number (+12025550143), an extension (102), or the name of
a contact. `from`: Only those of this caller. `after`: Seconds it rings before."""


class NewReminder(TypedDict):
    """Something to think of."""

    text: str
    """For example `take my pills`."""
    at: Moment
    """For example `2030-01-01T08:00:00+01:00`."""
    rule: NotRequired[str | None]
    """How it comes again (RFC 5545). For example `FREQ=DAILY`."""
    by: NotRequired[By]
    to: NotRequired[str | None]


class NewVerification(TypedDict):
    """A code to send, or something to approve."""

    to: str
    """A number (+12025550143), an extension (102), or the name of a contact. For example
    `+12025550143`."""
    by: NotRequired[Way]
    length: NotRequired[int]
    minutes: NotRequired[int]
    """How long it is good."""
    approve: NotRequired[str]
    """No code is sent: they are asked this, and answer with a button or a key. For example `Sign
    in to Example?`."""


class NewWebhook(TypedDict):
    """A program to tell."""

    url: str
    """For example `https://crm.example.org/calls`."""
    kinds: NotRequired[list[str]]
    """Of events; none: all. One with `lookup` is asked who calls before it rings. For example
    `["incoming", "ended"]`."""


class Number(TypedDict):
    """Where somebody is reached."""

    number: str
    """A number (+12025550143), an extension (102), or the name of a contact. For example
    `+12025550143`."""


class NumberOf(TypedDict):
    """A number for an advertisement, and whom it rings."""

    label: str
    """For example `Facebook`."""
    number: str
    """For example `+12025550143`."""
    to: str
    """For example `Bob (102)`."""


class OldCall(TypedDict):
    """A call as it was, seen from the person."""

    id: str
    at: Moment
    peer: str
    back: str
    """What to dial to reach them; empty if nobody knows."""
    incoming: bool
    answered: bool
    seconds: int


class Order(TypedDict):
    """Something to do with a call."""

    do: What


class PageOldCall(TypedDict):
    """Page[OldCall]."""

    items: list[OldCall]
    next: NotRequired[str | None]
    """For example `MjAyNi0xMS0zMFQwODowMDowMCswMDowMA`."""


class PhoneShown(TypedDict):
    """A phone of the person's; without `since` it is not connected."""

    id: str
    name: str
    """For example `desk`."""
    agent: str
    """For example `Linphone/5.1`."""
    since: Moment | None
    set_up: Moment | None


class PlacedCall(TypedDict):
    """A call that was begun."""

    id: str
    """For example `c-5f1d0c`."""
    to: str
    """For example `+1 202-555-0143`."""
    line: str
    """For example `US`."""
    back: str
    """For example `101`."""


class Problem(TypedDict):
    """Why a request was refused."""

    type: str
    """For example `/problems/party.unknown_name`."""
    title: str
    """For example `Not Found`."""
    status: int
    """For example `404`."""
    detail: str
    """For example `I know no Bob`."""
    id: str
    """Stable, for programs. For example `party.unknown_name`."""
    errors: NotRequired[list[FieldError] | None]


class Recorded(TypedDict):
    """A recorded call, sealed for the person's key."""

    id: str
    at: Moment
    peer: str
    """For example `Bob (102)`."""
    seconds: int


class Redirected(TypedDict):
    """Calls that go elsewhere, in words, with their hours by the person's clock."""

    id: str
    what: str
    paused: bool
    days: list[str]
    """None: every day. For example `["MO", "TU"]`."""
    begin: str
    """For example `18:00`."""
    end: str
    """Past midnight if that is before it. For example `08:00`."""
    first: str
    last: str


class Reminded(TypedDict):
    """Something that somebody is reminded of, with its next moment."""

    id: str
    at: Moment
    text: str
    """For example `take my pills`."""
    by: str
    """For example `call`."""
    to: str
    """Whom else it is for."""
    rule: str
    """For example `FREQ=DAILY`."""
    paused: bool


class Said(TypedDict):
    """What was done, in words."""

    detail: str
    """For example `Calls go to Bob (102).`."""


class Sentence(TypedDict):
    """Something to say to the exchange, as in a chat."""

    text: str
    """For example `Call Bob, then call me back on 101`."""


class SetUp(TypedDict):
    """How a phone is set up: a page for people, and what the phone itself fetches."""

    name: str
    extension: str
    page: str
    phone: str
    minutes: int
    qr: NotRequired[str]
    """An image of what the phone fetches, to be scanned."""


class Sip(TypedDict):
    """A SIP message between the exchange and a peer."""

    at: Moment
    sent: bool
    """By the exchange."""
    peer: str
    summary: str
    """For example `INVITE sip:102@encryptotel SIP/2.0`."""


class To(TypedDict):
    """Where a call goes."""

    to: str
    """A number (+12025550143), an extension (102), or the name of a contact. For example
    `+12025550143`."""


class Verified(TypedDict):
    """How a code or question stands: sent, approved, denied, failed or expired."""

    id: str
    to: str
    """For example `+442079460321`."""
    by: str
    """For example `call`."""
    state: str
    """For example `approved`."""
    expires: Moment
    tries_left: int


class VoiceMail(TypedDict):
    """What somebody said on the answerphone."""

    id: str
    at: Moment
    peer: str
    """For example `Bob (102)`."""
    back: str
    """For example `102`."""
    seconds: int
    media_type: str


Way = Literal["call", "sms", "chat"]
"""How a code is sent."""


class WebhookMade(TypedDict):
    """The same with the secret that signs, which is shown once."""

    id: str
    url: str
    """For example `https://crm.example.org/calls`."""
    kinds: list[str]
    failing: bool
    secret: str


class WebhookShown(TypedDict):
    """A program that is told; an event of which no kind is named is of all kinds."""

    id: str
    url: str
    """For example `https://crm.example.org/calls`."""
    kinds: list[str]
    failing: bool


What = Literal[
    "hold", "resume", "mute", "unmute", "record", "stop recording", "answer", "reject", "mailbox"
]
"""What can be done with a call that goes on."""


class WholeCall(TypedDict):
    """All that is known of a call: its sides, and its SIP messages in order."""

    call: OldCall
    cause: str
    private: bool
    legs: list[Leg]
    messages: list[Sip]
