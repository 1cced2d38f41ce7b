"""What a message can ask for: commands as plain data, and their JSON form (the public contract).

Every command is a frozen, keyword-only dataclass with an ``intent`` and the slots that it cannot
do without (``asks``). Nothing here knows how the words were understood; the operator, the front
ends and the REST API share these types.
"""

from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError


@dataclass(frozen=True, kw_only=True)
class Party:
    """Somebody to talk to: a number (E.164), an extension, a name, or the person who writes."""

    number: str | None = None
    extension: str | None = None
    name: str | None = None
    me: bool = False


@dataclass(frozen=True, kw_only=True)
class When:
    """A moment (aware), or the first of many when there is an RFC 5545 recurrence rule."""

    at: datetime
    rrule: str | None = None


@dataclass(frozen=True, kw_only=True)
class Window:
    """Hours of the week: days as in RFC 5545 (none: every day), clock times "HH:MM" of the
    person's zone. A window whose end is before its start goes past midnight. `first` and `last`
    are dates, "YYYY-MM-DD", both included."""

    days: tuple[str, ...] = ()
    from_: str | None = None
    to: str | None = None
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True, kw_only=True)
class Money:
    """A sum as it was said: a decimal number, and ``WAVES``, ``ETT`` or another asset's name."""

    amount: str
    asset: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """One order. `asks` names the slots that are asked for when they are empty."""

    intent: ClassVar[str] = ""
    asks: ClassVar[tuple[str, ...]] = ()

    def missing(self) -> tuple[str, ...]:
        """The slots to ask for, as ``intent.slot``."""
        if getattr(self, "on", True) is False:
            return ()  # "stop forwarding": nothing more is needed
        empty = (slot for slot in self.asks if getattr(self, slot) in (None, "", ()))
        return tuple(f"{self.intent}.{slot}" for slot in empty)


# ── calls ───────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class Call(Command):
    """Connect `to`, called by `line`, with `callback`: the person's own phone if not given."""

    intent = "call"
    asks = ("to",)
    to: tuple[Party, ...] = ()
    line: str | None = None
    callback: Party | None = None
    at: When | None = None
    hide_number: bool = False
    record: bool = False
    video: bool = False


@dataclass(frozen=True, kw_only=True)
class Conference(Command):
    """Connect all `participants` with each other and the person."""

    intent = "conference"
    asks = ("participants",)
    participants: tuple[Party, ...] = ()
    line: str | None = None
    at: When | None = None


@dataclass(frozen=True, kw_only=True)
class Hangup(Command):
    """End the call in progress."""

    intent = "hangup"


@dataclass(frozen=True, kw_only=True)
class Hold(Command):
    """Let the other side wait."""

    intent = "hold"


@dataclass(frozen=True, kw_only=True)
class Resume(Command):
    """Go on with a call on hold."""

    intent = "resume"


@dataclass(frozen=True, kw_only=True)
class Mute(Command):
    """Let the other side hear nothing."""

    intent = "mute"


@dataclass(frozen=True, kw_only=True)
class Unmute(Command):
    """Let the other side hear again."""

    intent = "unmute"


@dataclass(frozen=True, kw_only=True)
class Answer(Command):
    """Take the call that rings."""

    intent = "answer"


@dataclass(frozen=True, kw_only=True)
class Reject(Command):
    """Do not take the call that rings."""

    intent = "reject"


@dataclass(frozen=True, kw_only=True)
class Transfer(Command):
    """Give the call in progress to somebody else."""

    intent = "transfer"
    asks = ("to",)
    to: Party | None = None


@dataclass(frozen=True, kw_only=True)
class Redial(Command):
    """Call the last one again."""

    intent = "redial"


# ── what happens to calls that come in, and how ours go out ─────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class Redirect(Command):
    """Send calls (those of `from_`, in the `window`, in a `condition`: always, busy, no_answer,
    offline) elsewhere: `to` somebody, and `also` to others, at once or `in_turn`. `after` is how
    many seconds it rings before nobody has answered."""

    intent = "redirect"
    asks = ("to",)
    to: Party | None = None
    also: tuple[Party, ...] = ()
    in_turn: bool = False
    after: int | None = None
    from_: Party | None = None
    window: Window | None = None
    condition: str = "always"
    on: bool = True


@dataclass(frozen=True, kw_only=True)
class DoNotDisturb(Command):
    """Ring nobody, `until` when it is said."""

    intent = "do_not_disturb"
    on: bool = True
    until: When | None = None


@dataclass(frozen=True, kw_only=True)
class Block(Command):
    """Take no more calls of somebody."""

    intent = "block"
    asks = ("party",)
    party: Party | None = None


@dataclass(frozen=True, kw_only=True)
class Unblock(Command):
    """Take their calls again."""

    intent = "unblock"
    asks = ("party",)
    party: Party | None = None


@dataclass(frozen=True, kw_only=True)
class HideNumber(Command):
    """Do not show the person's number: on the ``next`` call, or ``always``."""

    intent = "hide_number"
    on: bool = True
    scope: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record(Command):
    """Record the ``current`` call, the ``next`` one, or ``always``."""

    intent = "record"
    on: bool = True
    scope: str = "current"


# ── messages and reminders ──────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class Message(Command):
    """Send words to somebody."""

    intent = "message"
    asks = ("to", "text")
    to: Party | None = None
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class Remind(Command):
    """Remind the person (or `to`) of `text`, `by` message or call."""

    intent = "remind"
    asks = ("when", "text")
    when: When | None = None
    text: str | None = None
    by: str = "message"
    to: Party | None = None


@dataclass(frozen=True, kw_only=True)
class Reminders(Command):
    """List reminders."""

    intent = "reminders"
    which: str | None = None


@dataclass(frozen=True, kw_only=True)
class CancelReminder(Command):
    """Forget a reminder."""

    intent = "cancel_reminder"
    which: str | None = None


@dataclass(frozen=True, kw_only=True)
class EditReminder(Command):
    """Give a reminder another moment or other words."""

    intent = "edit_reminder"
    which: str | None = None
    when: When | None = None
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class Calendar(Command):
    """Follow a calendar; ring `lead` minutes before what is in it."""

    intent = "calendar"
    url: str | None = None
    lead: int | None = None
    on: bool = True


# ── what was ────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class History(Command):
    """Tell of past calls."""

    intent = "history"
    period: str | None = None
    party: Party | None = None
    missed: bool = False


@dataclass(frozen=True, kw_only=True)
class Voicemail(Command):
    """Play messages left on the answerphone."""

    intent = "voicemail"
    which: str | None = None
    party: Party | None = None
    period: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recordings(Command):
    """Give recordings of calls."""

    intent = "recordings"
    which: str | None = None
    party: Party | None = None
    period: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrackingNumber(Command):
    """A number of its own for an advertisement."""

    intent = "tracking_number"
    asks = ("label",)
    label: str | None = None
    line: str | None = None


@dataclass(frozen=True, kw_only=True)
class Statistics(Command):
    """How calls, or an advertisement's number, did; as ``chart`` or ``csv``."""

    intent = "statistics"
    period: str | None = None
    label: str | None = None
    format: str = "chart"


# ── people and phones ───────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class ContactAdd(Command):
    """Keep somebody's number or extension under a name."""

    intent = "contact_add"
    asks = ("name", "party")
    name: str | None = None
    party: Party | None = None


@dataclass(frozen=True, kw_only=True)
class ContactRemove(Command):
    """Forget a name."""

    intent = "contact_remove"
    asks = ("name",)
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Contacts(Command):
    """List the contacts, or tell one's number."""

    intent = "contacts"
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class AddDevice(Command):
    """Set up a phone."""

    intent = "add_device"
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Devices(Command):
    """List the phones."""

    intent = "devices"


@dataclass(frozen=True, kw_only=True)
class Invite(Command):
    """Let somebody else in; a `guest` may be called, and call inside, and no more."""

    intent = "invite"
    name: str | None = None
    guest: bool = False


# ── money ───────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class Balance(Command):
    """How much is left."""

    intent = "balance"


@dataclass(frozen=True, kw_only=True)
class Tariff(Command):
    """What calls cost, or with `plan` another plan."""

    intent = "tariff"
    plan: str | None = None


@dataclass(frozen=True, kw_only=True)
class TopUp(Command):
    """Pay into the account."""

    intent = "top_up"
    asks = ("money",)
    money: Money | None = None


@dataclass(frozen=True, kw_only=True)
class SendMoney(Command):
    """Pay somebody's address."""

    intent = "send_money"
    asks = ("money", "to_address")
    money: Money | None = None
    to_address: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scenario(Command):
    """Do `action` when the person calls `trigger` and keys a PIN."""

    intent = "scenario"
    asks = ("name",)
    name: str | None = None
    action: Command | None = None
    trigger: str | None = None
    on: bool = True


# ── the conversation itself ─────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class Status(Command):
    """Say how the exchange, its lines and phones are doing."""

    intent = "status"


@dataclass(frozen=True, kw_only=True)
class Help(Command):
    """Say what can be asked for."""

    intent = "help"


@dataclass(frozen=True, kw_only=True)
class Yes(Command):
    """Agree to what was asked."""

    intent = "yes"


@dataclass(frozen=True, kw_only=True)
class No(Command):
    """Refuse what was asked."""

    intent = "no"


@dataclass(frozen=True, kw_only=True)
class Cancel(Command):
    """Forget what is being talked about."""

    intent = "cancel"


COMMANDS: dict[str, type[Command]] = {kind.intent: kind for kind in Command.__subclasses__()}
"Every command by its intent."


@dataclass(frozen=True, kw_only=True)
class Understanding:
    """What became of one message: its commands in order, what must be asked, and how sure."""

    text: str
    commands: tuple[Command, ...]
    lacks: tuple[tuple[str, ...], ...]
    "Beside each command what it lacks, as ``intent.slot``."
    confidence: float

    @property
    def missing(self) -> tuple[str, ...]:
        """What must be asked, of whichever command."""
        return tuple(dict.fromkeys(slot for slots in self.lacks for slot in slots))

    def to_json(self) -> dict[str, Any]:
        """The contract's JSON object; absent slots and default values are left out."""
        return {
            "text": self.text,
            "commands": [command_to_json(command) for command in self.commands],
            "missing": list(self.missing),
            "confidence": round(self.confidence, 2),
        }


# ── JSON ────────────────────────────────────────────────────────────────────────────────────
def command_to_json(command: Command) -> dict[str, Any]:
    """One command as the contract writes it: ``intent`` first, then the slots that are set."""
    return {"intent": command.intent, **_slots(command)}


def command_from_json(data: dict[str, Any]) -> Command:
    """The command that `command_to_json` wrote. Raises ValueError."""
    kind = COMMANDS.get(str(data.get("intent")))
    if kind is None:
        raise ValueError(f"there is no intent {data.get('intent')!r}")
    slots = {_field(name): value for name, value in data.items() if name != "intent"}
    if isinstance(slots.get("action"), dict):
        slots["action"] = command_from_json(slots["action"])
    if isinstance(slots.get("window"), dict):
        slots["window"] = {_field(name): value for name, value in slots["window"].items()}
    try:
        return _adapter_of(kind.intent).validate_python(slots)
    except ValidationError as error:
        raise ValueError(f"not a {kind.intent}: {error.errors()[0]['msg']}") from error


@cache
def _adapter_of(intent: str) -> TypeAdapter[Command]:
    return TypeAdapter(COMMANDS[intent])


def _field(name: str) -> str:
    return "from_" if name == "from" else name


def _slots(value: object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(value):  # type: ignore[arg-type]  # all that comes here is a dataclass
        slot = getattr(value, field.name)
        if field.default is MISSING or slot != field.default:
            found[field.name.rstrip("_")] = _plain(slot)
    return found


def _plain(slot: object) -> object:
    if isinstance(slot, tuple):
        return [_plain(item) for item in slot]
    if isinstance(slot, Command):
        return command_to_json(slot)
    if isinstance(slot, Party | When | Money | Window):
        return _slots(slot)
    if isinstance(slot, datetime):
        return slot.isoformat()
    return slot
