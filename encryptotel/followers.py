"""Whom what concerns: turns the events of the exchange into news for people's chats."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.ports import Person, Placed, Progress, Sent, Step
from bot.replies import Attachment
from encryptotel.contacts import Contacts
from encryptotel.mailbox import Mailbox
from pbx.calls.numbers import spoken
from pbx.calls.wishes import ANONYMOUS
from pbx.events import (
    AnswerphoneTook,
    CallAnswered,
    CallDiverted,
    CallEnded,
    CallerNamed,
    CallMeant,
    CallNotice,
    CallPrivate,
    CallStarted,
    CallTransferred,
    ConferenceChanged,
    Event,
    LegAnswered,
    LegRinging,
    MessageLeft,
    RoomEntered,
    SpeakerChanged,
)
from pbx.media import ogg
from pbx.ports import Directory
from pbx.texts import Text

log = logging.getLogger(__name__)

OWN_EYES = (Step.CODE, Step.APPROVE)
"What no program of the person's is told."
Tell = Callable[[Progress], Sent]


@dataclass
class _Told:
    """A call whose steps a person is told of; `caller` is set for one that came to them."""

    extension: str
    caller: str = ""
    joined: datetime | None = None
    recorded: bool = False
    instead: dict[str, str] = field(default_factory=dict)
    "Whom those are rung for who are rung instead of them."
    led: bool = False
    "Whether a menu, which had answered already, led the caller here."


class Followers:
    """Those who are told what happens to their calls."""

    def __init__(self, directory: Directory, contacts: Contacts, mailbox: Mailbox) -> None:
        self._directory = directory
        self._contacts = contacts
        self._mailbox = mailbox
        self._tells: dict[str, list[Tell]] = {}
        self._programs: dict[str, list[Tell]] = {}
        "The same for programs, which are no chats: they cannot be asked, and hear no codes."
        self._people: dict[str, Person] = {}
        "Who has an extension, of those who ever followed."
        self._told: dict[str, _Told] = {}
        self.mask: Callable[[str, str], str] = lambda extension, number: ""
        "What an extension sees instead of somebody's number; empty where it may see that."

    def follow(self, person: Person, tell: Tell) -> Callable[[], None]:
        """Tell of the person's calls from now on; the result stops it."""
        known = self._people.get(person.extension)
        if known is None or known.id != person.id:
            self._people[person.extension] = person
        tells = self._tells.setdefault(person.extension, [])
        tells.append(tell)
        return lambda: tells.remove(tell)

    def follow_for_program(self, person: Person, tell: Tell) -> Callable[[], None]:
        """Tell a program of what happens to a person; the result stops it."""
        tells = self._programs.setdefault(person.extension, [])
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
        """Whether any chat would hear what happens to an extension."""
        return bool(self._tells.get(extension))

    def spread(self, extension: str, progress: Progress) -> list[Sent]:
        """Tell everybody who follows a person; one who cannot be told is nobody's trouble."""
        sent = self.show(extension, progress)
        if progress.step not in OWN_EYES:
            _told_of(progress, self._programs.get(extension, ()))
        return sent

    def show(self, extension: str, progress: Progress) -> list[Sent]:
        """Tell a person's chats."""
        return _told_of(progress, self._tells.get(extension, ()))

    def tell_programs(self, extension: str, progress: Progress) -> None:
        """Tell a person's programs what is nothing for their chats."""
        for tell in list(self._programs.get(extension, ())):
            tell(progress)

    def announce(self, extension: str, text: str, *, question: bool = False) -> None:
        """Say something to a person that is about no call, or ask for a yes or no."""
        step = Step.QUESTION if question else Step.NOTICE
        self.spread(extension, Progress(call_id="", step=step, text=text))

    def placed(self, extension: str, placed: Placed, why: str) -> None:
        """Say of a call that was begun for a person, without a word of theirs just now, what it
        is."""
        title = f"{placed.to} ↔ {placed.back}, {why}"
        self.spread(extension, Progress(call_id=placed.call_id, step=Step.PLACED, text=title))

    # ── who somebody is ─────────────────────────────────────────────────────────────────
    def who(self, number: str, person: Person | None) -> str:
        """Somebody for people: as `person` calls them, or the exchange does."""
        if number == ANONYMOUS:
            return "somebody without a number"
        return self.named((person and self.mask(person.extension, number)) or number, person)

    def named(self, number: str, person: Person | None) -> str:
        """Whose number that is, though another may stand in its place for `person`."""
        known = self._directory.extension(number)
        mine = self._contacts.of(person).items() if person else ()
        name = next((name for name, theirs in mine if theirs == number), known and known.name)
        return f"{name} ({spoken(number)})" if name else spoken(number)

    def number_of(self, caller: str, extension: str = "") -> str:
        """What to dial to reach somebody from an extension; empty if they hid it."""
        caller = self.mask(extension, caller) or caller
        known = self._directory.extension(caller) or (
            caller.isdecimal() and self._directory.service(caller)
        )
        return caller if known or caller.startswith("+") else ""

    def _seen_by(self, extension: str, number: str) -> dict[str, Any]:
        """Who somebody is for the person of an extension, and how to reach them."""
        return {
            "peer": self.who(number, self._people.get(extension)),
            "back": self.number_of(number, extension),
        }

    # ── events ──────────────────────────────────────────────────────────────────────────
    def take(self, event: Event) -> None:
        """The event sink: turn what happens into news for those whom it concerns."""
        told = self._told.get(getattr(event, "call_id", ""))
        match event:
            case CallStarted():
                self._started(event)
            case CallMeant():
                self._meant(event, told)
            case RoomEntered() if self.has(event.peer):
                self._told[event.call_id] = _Told(event.peer, joined=event.at)
                self._tell(event.call_id, Step.PLACED, text=f"Room {event.room}")
                self._tell(event.call_id, Step.JOINED)
            case _ if told is None:
                pass
            case AnswerphoneTook():
                told.recorded = True
            case CallDiverted() if event.extension != told.extension:
                told.instead |= dict.fromkeys(event.to, event.extension)
            case CallDiverted():
                self._tell(event.call_id, Step.NOTICE, text=self._diverted(event))
            case CallAnswered() if not told.recorded:
                told.joined = event.at
                self._tell(event.call_id, Step.JOINED)
            case CallTransferred() if event.gone == told.extension:
                self._tell(event.call_id, Step.TRANSFERRED, peer=spoken(event.new))
                del self._told[event.call_id]
            case ConferenceChanged():
                self._tell(
                    event.call_id,
                    Step.CONFERRING,
                    text=self._there(event, told),
                    locked=event.locked,
                    moderates=told.extension in event.moderators,
                )
            case SpeakerChanged():
                who = self.who(event.peer, self._people.get(told.extension))
                self._tell(event.call_id, Step.SPEAKING, peer=who)
            case CallPrivate():
                step = Step.PRIVATE if event.private else Step.NOT_PRIVATE
                self._tell(event.call_id, step)
            case CallNotice():
                self._tell(event.call_id, Step.NOTICE, text=event.text)
            case LegAnswered() if told.led and event.peer == told.extension:
                told.joined = event.at
                self._tell(event.call_id, Step.JOINED)
            case LegRinging() if not told.caller:  # else one hears one's own phone ring
                self._tell(event.call_id, Step.RINGING, peer=self._peer(event, told))
            case LegAnswered() if not told.caller:
                self._tell(event.call_id, Step.ANSWERED, peer=self._peer(event, told))
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
        row, sound, words = await self._mailbox.take(event)
        left = Progress(
            call_id=event.call_id,
            step=Step.VOICEMAIL,
            seconds=row.seconds,
            file=voice(sound),
            about=row.id,
            text=words,
            **self._seen_by(row.extension, row.caller),
        )
        self.spread(row.extension, left)

    async def take_name(self, event: CallerNamed) -> None:
        """Give somebody the name that a caller said."""
        sound = await asyncio.to_thread(ogg.encoded, event.sound)
        progress = Progress(call_id=event.call_id, step=Step.NAMED, file=voice(sound))
        self.spread(event.extension, progress)

    def of_text(self, text: Text) -> Progress:
        """Words as whom they are for is told of them."""
        seen: dict[str, Any] = self._seen_by(text.recipient, text.sender)
        return Progress(call_id="", step=Step.TEXT, text=text.words, **seen)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _started(self, event: CallStarted) -> None:
        if event.kind in ("callback", "conference"):  # calls one makes by phone are heard, not read
            self._told[event.call_id] = _Told(event.user)
        if event.kind not in ("inbound", "internal"):
            return
        self._rings(event, event.user if event.kind == "inbound" else event.callee)

    def _rings(self, event: CallStarted | CallMeant, rung: str) -> None:
        """Tell somebody of a call that came for them."""
        wishes = self._directory.wishes(rung)
        if event.caller in wishes.blocked:
            return
        if self.has(rung) and rung != event.caller:
            self._told[event.call_id] = _Told(rung, event.shown)
            if not wishes.is_quiet(event.at) or event.caller in wishes.allowed:
                self._tell(event.call_id, Step.INCOMING, **self._seen_by(rung, event.shown))

    def _peer(self, event: LegRinging | LegAnswered, told: _Told) -> str:
        peer = told.instead.get(event.peer, event.peer)  # where they are is their business
        return spoken(self.mask(told.extension, peer) or peer)

    def _diverted(self, event: CallDiverted) -> str:
        """Where a call was sent, for the person who is told of it."""
        person = self._people.get(event.extension)
        to = ", ".join(self.who(number, person) for number in event.to)
        return f"Sent to {to}: {event.why}." if event.why else f"Sent to {to}."

    def _meant(self, event: CallMeant, told: _Told | None) -> None:
        """Somebody else is rung; whomever a menu tried before them has missed the caller."""
        if told is not None and told.led and told.joined is None:
            self._tell(event.call_id, Step.MISSED, **self._seen_by(told.extension, event.shown))
            del self._told[event.call_id]
        self._rings(event, event.callee)
        now = self._told.get(event.call_id)
        if now is not None and now.extension == event.callee:
            now.led = event.answered

    def _there(self, event: ConferenceChanged, told: _Told) -> str:
        """Who is in a conference, for the person who is told of it."""
        person = self._people.get(told.extension)
        names = []
        for number in sorted(event.parties, key=lambda number: number != told.extension):
            name = "you" if number == told.extension else self.who(number, person)
            names.append(f"{name} (muted)" if number in event.muted else name)
        locked = " It is locked." if event.locked else ""
        return f"In the conference: {', '.join(names) or 'nobody yet'}.{locked}"

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


def voice(sound: bytes, *, sealed: bool = False) -> Attachment:
    """Opus in Ogg, for people to play, or to open first."""
    if sealed:
        return Attachment("voice-message.ogg.age", "application/octet-stream", sound)
    return Attachment("voice-message.ogg", "audio/ogg", sound)


def _told_of(progress: Progress, tells: Iterable[Tell]) -> list[Sent]:
    sent: list[Sent] = []
    for tell in list(tells):
        try:
            sent.append(tell(progress))
        except Exception:
            log.exception("somebody could not be told of %s", progress.step)
    return sent
