"""Whom what concerns: turns the events of the exchange into news for people's chats."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.ports import Person, Progress, Step
from bot.replies import Attachment
from encryptotel.blocked import Blocked
from encryptotel.contacts import Contacts
from encryptotel.mailbox import Mailbox
from pbx.calls.numbers import spoken
from pbx.events import (
    AnswerphoneTook,
    CallAnswered,
    CallEnded,
    CallNotice,
    CallStarted,
    CallTransferred,
    ConferenceChanged,
    Event,
    LegAnswered,
    LegRinging,
    MessageLeft,
)
from pbx.ports import Directory
from pbx.texts import Text

log = logging.getLogger(__name__)

Tell = Callable[[Progress], None]


@dataclass
class _Told:
    """A call whose steps a person is told of; `caller` is set for one that came to them."""

    extension: str
    caller: str = ""
    joined: datetime | None = None
    recorded: bool = False


class Followers:
    """Those who are told what happens to their calls."""

    def __init__(
        self, directory: Directory, contacts: Contacts, blocked: Blocked, mailbox: Mailbox
    ) -> None:
        self._directory = directory
        self._contacts = contacts
        self._blocked = blocked
        self._mailbox = mailbox
        self._tells: dict[str, list[Tell]] = {}
        self._people: dict[str, Person] = {}
        "Who has an extension, of those who ever followed."
        self._told: dict[str, _Told] = {}

    def follow(self, person: Person, tell: Tell) -> Callable[[], None]:
        """Tell of the person's calls from now on; the result stops it."""
        known = self._people.get(person.extension)
        if known is None or known.id != person.id:
            self._people[person.extension] = person
        tells = self._tells.setdefault(person.extension, [])
        tells.append(tell)
        return lambda: tells.remove(tell)

    def person(self, extension: str) -> Person | None:
        """Whose an extension is, of those who follow."""
        return self._people.get(extension)

    def forget(self, extension: str) -> None:
        """Nobody has that extension any more."""
        self._people.pop(extension, None)

    def note(self, person: Person) -> None:
        """Somebody changed something about themselves."""
        self._people[person.extension] = person

    def has(self, extension: str) -> bool:
        """Whether anybody would hear what happens to an extension."""
        return bool(self._tells.get(extension))

    def spread(self, extension: str, progress: Progress) -> None:
        """Tell everybody who follows a person; one who cannot be told is nobody's trouble."""
        for tell in list(self._tells.get(extension, ())):
            try:
                tell(progress)
            except Exception:
                log.exception("somebody could not be told of %s", progress.step)

    def announce(self, extension: str, text: str, *, question: bool = False) -> None:
        """Say something to a person that is about no call, or ask for a yes or no."""
        step = Step.QUESTION if question else Step.NOTICE
        self.spread(extension, Progress(call_id="", step=step, text=text))

    # ── who somebody is ─────────────────────────────────────────────────────────────────
    def who(self, number: str, person: Person | None) -> str:
        """Somebody for people: as `person` calls them, or the exchange does."""
        known = self._directory.extension(number)
        mine = self._contacts.of(person).items() if person else ()
        name = next((name for name, theirs in mine if theirs == number), known and known.name)
        return f"{name} ({spoken(number)})" if name else spoken(number)

    def number_of(self, caller: str) -> str:
        """What to dial to reach somebody; empty if they hid it."""
        known = self._directory.extension(caller)
        return caller if known or caller.startswith("+") else ""

    def _seen_by(self, extension: str, number: str) -> dict[str, str]:
        """Who somebody is for the person of an extension, and how to reach them."""
        return {
            "peer": self.who(number, self._people.get(extension)),
            "back": self.number_of(number),
        }

    # ── events ──────────────────────────────────────────────────────────────────────────
    def take(self, event: Event) -> None:
        """The event sink: turn what happens into news for those whom it concerns."""
        told = self._told.get(getattr(event, "call_id", ""))
        match event:
            case CallStarted():
                self._started(event)
            case _ if told is None:
                pass
            case AnswerphoneTook():
                told.recorded = True
            case CallAnswered() if not told.recorded:
                told.joined = event.at
                self._tell(event.call_id, Step.JOINED)
            case CallTransferred() if event.gone == told.extension:
                self._tell(event.call_id, Step.TRANSFERRED, peer=spoken(event.new))
                del self._told[event.call_id]
            case ConferenceChanged():
                self._tell(event.call_id, Step.CONFERRING, text=self._there(event, told))
            case CallNotice():
                self._tell(event.call_id, Step.NOTICE, text=event.text)
            case LegRinging() if not told.caller:  # else one hears one's own phone ring
                self._tell(event.call_id, Step.RINGING, peer=spoken(event.peer))
            case LegAnswered() if not told.caller:
                self._tell(event.call_id, Step.ANSWERED, peer=spoken(event.peer))
            case CallEnded():
                self._ended(event, told)
            case _:
                pass

    def take_recording(self, extension: str, call_id: str, peer: str, **what: Any) -> None:
        """Give somebody a recording of theirs."""
        who = self.who(peer, self._people.get(extension))
        progress = Progress(call_id=call_id, step=Step.RECORDED, peer=who, **what)
        self.spread(extension, progress)

    async def take_message(self, event: MessageLeft) -> None:
        """Keep what somebody said on the answerphone, and give it to whom it is for."""
        row = await self._mailbox.take(event)
        left = Progress(
            call_id=event.call_id,
            step=Step.VOICEMAIL,
            seconds=row.seconds,
            file=voice(row.sound),
            **self._seen_by(row.extension, row.caller),
        )
        self.spread(row.extension, left)

    def take_text(self, text: Text) -> None:
        """Give words to whom they are for."""
        seen: dict[str, Any] = self._seen_by(text.recipient, text.sender)
        progress = Progress(call_id="", step=Step.TEXT, text=text.words, **seen)
        self.spread(text.recipient, progress)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _started(self, event: CallStarted) -> None:
        if event.kind in ("callback", "conference"):  # calls one makes by phone are heard, not read
            self._told[event.call_id] = _Told(event.user)
            return
        rung = event.user if event.kind == "inbound" else event.callee
        if self._blocked.has(rung, event.caller):
            return
        if event.kind in ("inbound", "internal") and self.has(rung):
            self._told[event.call_id] = _Told(rung, event.caller)
            self._tell(event.call_id, Step.INCOMING, **self._seen_by(rung, event.caller))

    def _there(self, event: ConferenceChanged, told: _Told) -> str:
        """Who is in a conference, for the person who is told of it."""
        person = self._people.get(told.extension)
        names = []
        for number in sorted(event.parties, key=lambda number: number != told.extension):
            name = "you" if number == told.extension else self.who(number, person)
            names.append(f"{name} (muted)" if number in event.muted else name)
        return f"In the conference: {', '.join(names) or 'nobody yet'}."

    def _ended(self, event: CallEnded, told: _Told) -> None:
        if told.caller and told.joined is None and event.status != 603:
            seen = self._seen_by(told.extension, told.caller)
            self._tell(event.call_id, Step.MISSED, **seen)
        else:
            seconds = round((event.at - told.joined).total_seconds()) if told.joined else 0
            self._tell(event.call_id, Step.ENDED, text=event.cause, seconds=seconds)
        del self._told[event.call_id]

    def _tell(self, call_id: str, step: Step, **details: Any) -> None:
        progress = Progress(call_id=call_id, step=step, **details)
        self.spread(self._told[call_id].extension, progress)


def voice(sound: bytes) -> Attachment:
    """Opus in Ogg, for people to play."""
    return Attachment("voice-message.ogg", "audio/ogg", sound)
