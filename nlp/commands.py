"""What a message can ask for: commands as plain data, and their JSON form (the public contract).

Every command is a frozen, keyword-only dataclass with an ``intent``. Nothing here knows how the
words were understood; the operator, the front ends and the REST API share these types.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar


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
class Call:
    """Connect `to`, called by `line`, with `callback`: the person's own phone if not given."""

    intent: ClassVar[str] = "call"
    to: tuple[Party, ...] = ()
    line: str | None = None
    callback: Party | None = None
    at: When | None = None
    hide_number: bool = False
    record: bool = False
    video: bool = False


@dataclass(frozen=True, kw_only=True)
class Hangup:
    """End the call in progress."""

    intent: ClassVar[str] = "hangup"


@dataclass(frozen=True, kw_only=True)
class Status:
    """Say how the exchange, its lines and phones are doing."""

    intent: ClassVar[str] = "status"


@dataclass(frozen=True, kw_only=True)
class Help:
    """Say what can be asked for."""

    intent: ClassVar[str] = "help"


@dataclass(frozen=True, kw_only=True)
class Yes:
    """Agree to what was asked."""

    intent: ClassVar[str] = "yes"


@dataclass(frozen=True, kw_only=True)
class No:
    """Refuse what was asked."""

    intent: ClassVar[str] = "no"


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Forget what is being talked about."""

    intent: ClassVar[str] = "cancel"


Command = Call | Hangup | Status | Help | Yes | No | Cancel


@dataclass(frozen=True, kw_only=True)
class Understanding:
    """What became of one message: its commands in order, what must be asked, and how sure."""

    text: str
    commands: tuple[Command, ...]
    missing: tuple[str, ...]
    confidence: float

    def to_json(self) -> dict[str, Any]:
        """The contract's JSON object; absent slots and default values are left out."""
        return {
            "text": self.text,
            "commands": [command_to_json(command) for command in self.commands],
            "missing": list(self.missing),
            "confidence": round(self.confidence, 2),
        }


def command_to_json(command: Command) -> dict[str, Any]:
    """One command as the contract writes it: ``intent`` first, then the slots that are set."""
    return {"intent": command.intent, **_slots(command)}


def _slots(value: Command | Party | When) -> dict[str, Any]:
    named = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: _plain(slot) for name, slot in named.items() if slot not in (None, False, ())}


def _plain(slot: object) -> object:
    if isinstance(slot, tuple):
        return [_plain(item) for item in slot]
    if isinstance(slot, Party | When):
        return _slots(slot)
    if isinstance(slot, datetime):
        return slot.isoformat()
    return slot
