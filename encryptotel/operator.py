"""The operator: one method a command. Chat, command line and later REST and keypad go through
it, so that a feature exists once."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from bot.ports import (
    ActiveCall,
    Availability,
    ConsoleLink,
    Control,
    Kept,
    LineState,
    OperatorError,
    Person,
    Phone,
    PhoneState,
    Placed,
    Planned,
    Progress,
    Recording,
    Role,
    Sent,
    SetupLink,
    Shown,
    State,
    Step,
    VoiceMessage,
)
from bot.replies import Attachment
from encryptotel.accounts import Accounts
from encryptotel.agenda import Agenda
from encryptotel.api_keys import ApiKeys
from encryptotel.approvals import Approvals
from encryptotel.broadcasts import Broadcasts
from encryptotel.calendars.syncing import Calendars
from encryptotel.config import Config
from encryptotel.contacts import Contacts
from encryptotel.directory import Directory
from encryptotel.followers import Followers, voice
from encryptotel.habits import Habits
from encryptotel.handling import NO_KEY, Handling
from encryptotel.keys import BadKey, recipient_of
from encryptotel.mailbox import Mailbox
from encryptotel.metering import Metering
from encryptotel.parties import Parties, named, party_of
from encryptotel.past import Past, seen_as
from encryptotel.people import PeopleOfExchange
from encryptotel.phones import Phones
from encryptotel.postman import pages_of
from encryptotel.presence import Presence
from encryptotel.recordings import Recordings
from encryptotel.relays import Relays
from encryptotel.reminding import Reminding
from encryptotel.ringing import Ringer
from encryptotel.rooms import Moderation
from encryptotel.scenarios import Scenarios
from encryptotel.sessions import Sessions
from encryptotel.tariffs import Tariffs
from encryptotel.texts import Texts
from encryptotel.tracking import Tracking
from encryptotel.unread import Unread
from encryptotel.wallets import Wallets
from encryptotel.webhooks import Webhooks
from encryptotel.when_free import WhenFree
from encryptotel.wishes import Kind, WishBook
from nlp.commands import Call, Conference, Message, Party, Redirect, Remind, When
from pbx.calls.bridge import Bridge
from pbx.calls.call import Call as RunningCall
from pbx.calls.cause import DECLINED
from pbx.calls.conference import Conference as MixedCall
from pbx.calls.leg import Leg
from pbx.calls.numbers import spoken, to_e164
from pbx.calls.router import ECHO, DialTrunk, dial_out
from pbx.exchange import Exchange
from pbx.media.music import hold_music
from pbx.orders import Orders
from pbx.ports import CallRefused
from pbx.vocabulary import CallState
from scheduler.alarm import Alarm
from store.database import Database
from store.past import Between
from store.tables import RecordingRow

if TYPE_CHECKING:
    from encryptotel.payments import Payments

log = logging.getLogger(__name__)

_NOT_YET = {
    "video": "I can only place sound calls from here; video works from phone to phone.",
}


DANGEROUS = ("say", "money", "devices", "verify")
"What a key can do that needs a second yes of whose it is."
_STEPS = {
    Control.HOLD: Step.HELD,
    Control.RESUME: Step.RESUMED,
    Control.MUTE: Step.MUTED,
    Control.UNMUTE: Step.UNMUTED,
}
NOTICE = "This call is being recorded."
LATER = timedelta(minutes=10)
"Until somebody is called back who was told so."
EXCUSE = "{name} cannot take your call now, and will call you back in ten minutes. Goodbye."
MAX_VOICEMAIL = 5
"Voice messages given at once."


def _refusal(what: str, refused: CallRefused) -> OperatorError:
    """Why something was not done, for people; that there is no money for it is always the same."""
    spent = refused.status == 402
    return OperatorError("money.spent" if spent else f"{what}.refused", refused.reason)


class Operator:
    """Implements `bot.ports.Operator` on an exchange."""

    def __init__(
        self,
        exchange: Exchange,
        directory: Directory,
        orders: Orders,
        database: Database,
        addresses: dict[str, str],
        answer: Callable[..., str],
        people: PeopleOfExchange,
        contacts: Contacts,
        book: WishBook,
        mailbox: Mailbox,
        followers: Followers,
        presence: Presence,
        texts: Texts,
        unread: Unread,
        recordings: Recordings,
        broadcasts: Broadcasts,
        phones: Phones,
        moderation: Moderation,
        past: Past,
        config: Config,
        folder: Path,
        metering: Metering | None,
        payments: Payments | None,
        tariffs: Tariffs | None,
        alarm: Alarm,
        wallets: Wallets,
        scenarios: Scenarios,
        keys: ApiKeys,
        console: Sessions,
        approvals: Approvals,
    ) -> None:
        self._exchange = exchange
        self._orders = orders
        self._answer = answer
        self._people = people
        self._contacts = contacts
        self._book = book
        self._mailbox = mailbox
        self.past = past
        self._jobs: set[asyncio.Task[None]] = set()
        self._ways: list[Callable[[str], str]] = []
        "How a code is given to somebody, by chat."
        self._addresses = addresses
        self._followers = followers
        self._presence = presence
        self._texts, self._unread = texts, unread
        self._parties = Parties(exchange.directory, contacts)
        self.agenda = Agenda(database, alarm, people, followers, self._sides_of, self.call)
        habits = Habits(database, people, alarm.now)
        ringer = Ringer(
            config.reminders,
            people,
            followers,
            habits,
            orders,
            texts,
            presence,
            exchange.speaker,
            unread,
        )
        self.reminding = Reminding(
            database, alarm, exchange.directory, people, self._parties, followers, habits, ringer
        )
        self.calendars = Calendars(
            database, config.calendars, folder, people, followers, self.reminding.reminders
        )
        self.accounts = Accounts(database, metering, tariffs, self._parties)
        self.payments = payments
        self.wallets, self.scenarios = wallets, scenarios
        self.keys, self._console, self.approvals = keys, console, approvals
        self._recordings = recordings
        self._broadcasts = broadcasts
        self._phones = phones
        self._moderation = moderation
        self._notice = config.recording.notice
        self.when_free = WhenFree(exchange.directory, presence, followers, self.call)
        self.webhooks: Webhooks | None = None
        "Programs that are told what happens, where the web is served."
        self.read_codes: Callable[[], Sequence[tuple[str, str]]] = lambda: ()
        self.draw_menus: Callable[[], str] = lambda: ""
        self.tracking = Tracking(
            database, directory, self._parties, followers, self.accounts.require
        )
        if tariffs is not None:
            tariffs.keep_numbers = self.tracking.keep
        self._tariffs = tariffs
        self.relays = Relays(database, exchange, directory, self._parties, followers)
        self.handling = Handling(exchange.directory, book, contacts, followers, self._hang_up_on)
        self._next_recorded: set[str] = set()
        "Extensions whose next call is recorded."
        self._to_record: dict[str, str] = {}
        "Who wants which call recorded once it is answered."

    async def start(self) -> None:
        """Do what is planned, and follow what goes on elsewhere."""
        if self._tariffs is not None:
            self._tariffs.subscriptions.start()
        await self.agenda.start()
        await self.reminding.start()
        self.calendars.start()
        self.wallets.start()

    async def stop(self) -> None:
        """Begin nothing more."""
        await self.agenda.stop()
        await self.reminding.stop()
        await self.calendars.stop()
        await self.wallets.stop()
        self.when_free.close()
        await self.tracking.close()

    # ── commands ────────────────────────────────────────────────────────────────────────
    def quote(
        self, person: Person, command: Call | Message | Conference | Redirect | Remind
    ) -> str:
        """What to ask before a call or a message that leaves through a trunk; empty for one
        inside. Raises `OperatorError` for one that cannot be placed."""
        if isinstance(command, Redirect):
            return self.handling.costs(person, command)
        if isinstance(command, Conference):
            numbers = [self._parties.reachable(person, party) for party in command.participants]
            names = ", ".join(self._followers.who(number, person) for number in numbers)
            costs = any(number.startswith("+") for number in numbers)
            return f"Call {names} into a conference?" if costs else ""
        if isinstance(command, Remind):
            to = self._parties.reachable(person, command.to) if command.to else ""
            who = self._followers.who(to, person)
            return f"Remind {who} of “{command.text}”?" if to.startswith("+") else ""
        if isinstance(command, Message):
            to = self._recipient(person, command)
            who = self._followers.who(to, person)
            price = self.accounts.text_quoted(person, pages_of(command.text or ""))
            return f"Send “{command.text}” to {who}?{price}" if to.startswith("+") else ""
        number, back = self._sides_of(person, command)
        if not (number.startswith("+") or back.startswith("+")):
            return ""
        line = f" over the {command.line} line" if command.line else ""
        who = named(command.to[0], number)
        down = self._down(number, command.line) or self._down(back, None)
        anyway = f" anyway (the {down} line is down just now)" if down else ""
        price = self.accounts.quoted(person, number, back)
        return f"Call {who}{line}, then call {spoken(back)} back{anyway}?{price}"

    def _down(self, number: str, line: str | None) -> str:
        """The line that a number would be called over, if it is known to be down."""
        plan = dial_out(number, self._exchange.directory.trunks(), line)
        if not number.startswith("+") or not isinstance(plan, DialTrunk):
            return ""
        link = self._exchange.trunks.get(plan.trunk.name)
        return plan.trunk.zone if link is not None and link.up is False else ""

    async def call(self, person: Person, command: Call) -> Placed:
        """Call the party of a command and call the person, or whom they named, back."""
        number, back = self._sides_of(person, command)
        if command.record:
            self._key(person)
        hidden = self._book.hides(person.extension) or command.hide_number
        try:
            call = self._orders.call_back(
                number=number,
                back=back,
                line=command.line,
                user=person.extension,
                hidden=hidden,
            )
        except CallRefused as refused:
            if hidden and not command.hide_number:
                self._book.hide_next(person.extension, on=True)  # it was none yet
            raise _refusal("call", refused) from refused
        if command.record:
            self._to_record[call.id] = person.extension
            call.on_end.append(partial(self._forget_wish, call.id))
        return Placed(
            call_id=call.id,
            to=named(command.to[0], number),
            line=command.line or "",
            back=spoken(back),
        )

    def _sides_of(self, person: Person, command: Call) -> tuple[str, str]:
        """Who is called, and who is called back. Raises `OperatorError`."""
        for slot, sorry in _NOT_YET.items():
            if getattr(command, slot):
                raise OperatorError(f"call.{slot}_unavailable", sorry)
        if len(command.to) != 1:
            raise OperatorError("call.one_at_a_time", "I can call one party at a time")
        if command.to[0].me:
            raise OperatorError("call.whom", "say whom to connect you with: call 102, for example")
        number = self._parties.resolve(command.to[0], person)
        back = self._parties.resolve(command.callback or Party(me=True), person)
        if back == ECHO:
            raise OperatorError("call.back_is_echo", f"{ECHO} is the echo test, not a phone")
        if number == back:
            raise OperatorError("call.same_party", f"{spoken(number)} would be calling itself")
        if command.line and self._exchange.directory.extension(number):
            raise OperatorError(
                "call.line_not_needed", f"{number} is one of our extensions, no line is needed"
            )
        if person.role is Role.GUEST and (number.startswith("+") or back.startswith("+")):
            raise OperatorError("role.guest", "guests can call inside the exchange only")
        return number, back

    async def message(self, person: Person, command: Message) -> str:
        """Send words to somebody; what became of them. Raises `OperatorError`."""
        to = self._recipient(person, command)
        try:
            await self._texts.say(person.extension, person.name, to, command.text or "")
        except CallRefused as refused:
            raise _refusal("message", refused) from refused
        who = self._followers.who(to, person)
        if to.startswith("+"):
            return f"On its way to {who}. You hear of it if it cannot be delivered."
        here = self._followers.has(to) or self._exchange.registrar.bindings(to)
        return f"Sent to {who}." if here else f"{who} gets it as soon as their phone is there."

    def _recipient(self, person: Person, command: Message) -> str:
        """Whom a message is for. Raises `OperatorError`."""
        to = self._parties.resolve(command.to or Party(), person)
        if to in (ECHO, person.extension):
            raise OperatorError("message.whom", "that is nobody to write to")
        if person.role is Role.GUEST and to.startswith("+"):
            raise OperatorError("role.guest", "guests can write inside the exchange only")
        return to

    async def plan(self, person: Person, command: Call) -> Planned:
        """Place a call at its time. Raises `OperatorError`."""
        return await self.agenda.plan(person, command)

    async def plans(self, person: Person) -> Sequence[Planned]:
        """What the person has planned, the next first."""
        return await self.agenda.plans(person)

    async def drop_plan(self, person: Person, id: str) -> bool:
        """Do not do what was planned; False if that is too late."""
        return await self.agenda.drop_plan(person, id)

    async def call_back_later(self, person: Person, call_id: str) -> Planned:
        """Tell a caller that the person cannot take the call and calls back, and plan that.
        Raises `OperatorError`."""
        call = self._mine(person, call_id)
        if call.diverted or not _rings_at(call, person):
            raise OperatorError("later.too_late", "that call rings no more")
        back = self._followers.number_of(call.shown, person.extension)
        if not back:
            raise OperatorError("later.hidden", "they hide their number, so nobody can call back")
        at = When(at=datetime.now(UTC) + LATER)
        call.diverted = True  # the button may be tapped twice
        planned = await self.plan(person, Call(to=(party_of(None, back),), at=at))
        call.divert(EXCUSE.format(name=person.name))
        return planned

    async def invite(self, person: Person, name: str, *, guest: bool = False) -> Sequence[str]:
        """Ways in for somebody new, or with no name for a further account of the person."""
        if name and person.role is not Role.OWNER:
            raise OperatorError("role.owner_only", "only the owner of the exchange can invite")
        if not name:
            self.approvals.require(person, "another chat")
        if not self._ways:
            raise OperatorError(
                "invite.no_chat",
                "no chat is set up; fill in [telegram] or [xmpp] in the configuration first",
            )
        mine = "" if name else person.id
        new = Role.GUEST if guest else Role.MEMBER
        role = new if name else person.role
        code = await self._people.invite(name or person.name, role=role, person_id=mine)
        return [way(code) for way in self._ways]

    async def hang_up(self, person: Person, call_id: str) -> None:
        """End one of the person's calls."""
        self._mine(person, call_id)
        self._exchange.hang_up(call_id)

    async def control(self, person: Person, call_id: str, what: Control) -> None:
        """Hold, mute or reject one of the person's calls, or undo that; tells their chats."""
        call = self._mine(person, call_id)
        if what is Control.REJECT:
            if not _rings_at(call, person):
                raise OperatorError("reject.too_late", "that call rings no more")
            call.hang_up(DECLINED, 603)
            return
        if what is Control.ANSWER:
            await self._answer_phone(person, call)
            return
        if what is Control.MAILBOX:
            if not (_rings_at(call, person) and self._exchange.has_answerphone(person.extension)):
                raise OperatorError("mailbox.not_now", "that call cannot go to the answerphone")
            call.divert()
            return
        if call.conference is not None and what in (Control.MUTE, Control.UNMUTE):
            self._mute_in(call.conference, person, call, on=what is Control.MUTE)
            return
        if what is Control.RECORD:
            await self._record(person, call)
            return
        if what is Control.STOP_RECORDING:
            if not self._recordings.is_of(call, person.extension):
                raise OperatorError("record.not_yours", "that recording is somebody else's")
            self._recordings.end(call)
            step = Progress(call_id=call.id, step=Step.NOT_RECORDING)
            self._followers.spread(person.extension, step)
            return
        if what is Control.HOLD:
            await asyncio.to_thread(hold_music)  # made once
        bridge, leg = self._bridge(person, call)
        try:
            match what:
                case Control.HOLD:
                    bridge.hold(leg)
                case Control.RESUME:
                    bridge.resume()
                case Control.MUTE | Control.UNMUTE:
                    bridge.mute(leg, on=what is Control.MUTE)
        except CallRefused as refused:
            raise _refusal("call", refused) from refused
        peer = spoken(call.seen(bridge.other(leg)))
        self._followers.spread(
            person.extension, Progress(call_id=call.id, step=_STEPS[what], peer=peer)
        )

    async def transfer(self, person: Person, call_id: str, to: Party) -> str:
        """Begin to give one's place in a call to somebody; who that is, for people. That it
        came about, or not, is told later. Raises `OperatorError`."""
        call = self._mine(person, call_id)
        _, leg = self._bridge(person, call)
        number = self._parties.reachable(person, to)

        async def transfer() -> None:
            try:
                await self._orders.transfer(call, leg, number, user=person.extension)
            except CallRefused as refused:
                self._notice_to(person, call, f"Not transferred: {refused.reason}.")
                traceback.clear_frames(refused.__traceback__)  # they hold the call in a circle

        self._spawn(transfer())
        return self._followers.who(number, person)

    async def conference(self, person: Person, command: Conference) -> Placed:
        """Call several together, or into the call that the person has. Raises `OperatorError`."""
        numbers = [self._parties.reachable(person, party) for party in command.participants]
        names = ", ".join(self._followers.who(number, person) for number in numbers)
        joined = [
            call
            for call in self._exchange.calls.values()
            if (call.bridge or call.conference) and person.extension in _sides(call)
        ]
        line, user = command.line, person.extension
        if joined:
            call = joined[-1]
            for number in numbers:
                if not self._moderation.bring(person, call, number, line):
                    self._spawn(self._bring(person, call, number, line))
        else:
            try:
                call = self._orders.conference([user, *numbers], line=line, user=user)
            except CallRefused as refused:
                raise _refusal("conference", refused) from refused
        return Placed(call_id=call.id, to=names, line=line or "", back=user)

    def park(self, person: Person, call_id: str) -> str:
        """Let the other side of a call wait in a place; its number. Raises `OperatorError`."""
        call = self._mine(person, call_id)
        _, leg = self._bridge(person, call)
        try:
            place = self._orders.park(call, leg)
        except CallRefused as refused:
            raise _refusal("call", refused) from refused
        leg.hang_up("parked")
        return place

    def wait_for(self, person: Person, party: Party) -> str:
        """Call somebody once they are free; what to tell the person. Raises `OperatorError`."""
        return self.when_free.wait(person, self._parties.resolve(party, person))

    def codes(self) -> Sequence[tuple[str, str]]:
        """What can be dialled on a phone, and what that does."""
        return self.read_codes()

    async def _bring(
        self, person: Person, call: RunningCall, number: str, line: str | None
    ) -> None:
        try:
            await self._orders.add_party(call, number, line=line, user=person.extension)
        except CallRefused as refused:
            self._notice_to(person, call, f"{spoken(number)}: {refused.reason}.")
            traceback.clear_frames(refused.__traceback__)  # they hold the call in a circle

    def enter_room(self, person: Person, name: str) -> str:
        """Ring the person's phones and let them into a room; its name. Raises `OperatorError`."""
        return self._moderation.enter(person, name)

    def lock(self, person: Person, call_id: str, *, on: bool) -> None:
        """Let nobody else into a conference, or anybody again. Raises `OperatorError`."""
        self._moderation.lock(person, self._mine(person, call_id), on=on)

    def kick(self, person: Person, call_id: str, who: str) -> str:
        """Send somebody away from a conference; who that was. Raises `OperatorError`."""
        return self._moderation.kick(person, self._mine(person, call_id), who)

    def mute_other(self, person: Person, call_id: str, who: str, *, on: bool) -> str:
        """Let nobody hear somebody in a conference, or let everybody again; who that is. Raises
        `OperatorError`."""
        return self._moderation.mute(person, self._mine(person, call_id), who, on=on)

    def others(self, person: Person, call_id: str) -> Sequence[tuple[str, str]]:
        """The others in a conference: what to call each, and who it is. Raises
        `OperatorError`."""
        return self._moderation.there(person, self._mine(person, call_id))

    def _spawn(self, job: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def record_calls(self, person: Person, *, on: bool, always: bool) -> Person:
        """Record the person's next call, or all from now on, or no more. Raises
        `OperatorError`."""
        if on:
            self._key(person)
        if on and not always:
            self._next_recorded.add(person.extension)
            return person
        self._next_recorded.discard(person.extension)
        person = await self._people.set_recording(person, records=on)
        self._followers.note(person)
        return person

    async def set_key(self, person: Person, key: str) -> Person:
        """Recordings are for this key from now on. Raises `OperatorError`."""
        try:
            recipient = recipient_of(key)
        except BadKey as error:
            raise OperatorError("key.bad", str(error)) from error
        person = await self._people.set_recording(person, key=recipient)
        self._followers.note(person)
        return person

    async def recordings(self, person: Person) -> Sequence[Recording]:
        """The person's latest recordings, newest first."""
        rows = await self._recordings.latest(person.extension, MAX_VOICEMAIL)
        return [
            Recording(
                id=row.id,
                at=row.at,
                peer=self._followers.who(row.peer, person),
                seconds=row.seconds,
                file=await self._sealed(row),
            )
            for row in rows
        ]

    async def take_recording(self, row: RecordingRow) -> None:
        """Give a recording that is finished to whom it is for."""
        file = await self._sealed(row)
        self._followers.take_recording(
            row.extension,
            row.call_id,
            row.peer,
            text=row.failed,
            seconds=row.seconds,
            file=file if file.content else None,
        )

    async def _sealed(self, row: RecordingRow) -> Attachment:
        """A recording's file; empty if it is gone, or too large to be sent."""
        content = await self._recordings.content(row)
        name = self._recordings.path(row).name
        return Attachment(name, "application/octet-stream", content)

    def _forget_wish(self, call_id: str) -> None:
        self._to_record.pop(call_id, None)

    def joined(self, call_id: str) -> None:
        """Two sides talk now: record it if somebody in it wants that."""
        call = self._exchange.calls.get(call_id)
        if call is None or call.recorder is not None:
            return
        ordered = self._to_record.pop(call_id, "")
        for extension in sorted(_sides(call), key=lambda one: one != ordered):
            person = self._followers.person(extension)
            wanted = extension == ordered or extension in self._next_recorded
            wanted = wanted or any(
                self._book.is_listed(extension, other, Kind.RECORDED)
                for other in (call.caller, call.callee, *(leg.peer for leg in call.legs))
            )
            if person is not None and (person.records or wanted):
                self._next_recorded.discard(extension)
                self._spawn(self._record_if_possible(person, call))
                return

    async def _record_if_possible(self, person: Person, call: RunningCall) -> None:
        try:
            await self._record(person, call)
        except OperatorError as error:
            self._notice_to(person, call, f"Not recorded: {error.message}.")

    async def _record(self, person: Person, call: RunningCall) -> None:
        if not call.answered_at or (call.bridge is None and call.conference is None):
            raise OperatorError("call.not_joined", "there is nobody to talk to in that call")
        try:
            call.privacy.check()
        except CallRefused as refused:
            raise OperatorError("record.refused", refused.reason) from refused
        mine = _phones(person, call)
        other = next((call.seen(leg) for leg in call.legs if leg.peer not in mine), call.callee)
        notice = await self._exchange.speaker.say(NOTICE) if self._notice else b""
        await self._recordings.begin(
            call, person.extension, mine, other, [self._key(person)], notice
        )
        step = Progress(call_id=call.id, step=Step.RECORDING)
        self._followers.spread(person.extension, step)
        await call.announce(notice)

    def _notice_to(self, person: Person, call: RunningCall, text: str) -> None:
        """Tell somebody, and nobody else, something about a call."""
        step = Progress(call_id=call.id, step=Step.NOTICE, text=text)
        self._followers.spread(person.extension, step)

    def _key(self, person: Person) -> str:
        if not person.key:
            raise OperatorError("record.no_key", NO_KEY)
        return person.key

    def press(self, person: Person, call_id: str, keys: str) -> None:
        """Press keys for the other side of one of the person's calls."""
        bridge, leg = self._bridge(person, self._mine(person, call_id))
        for key in keys:
            bridge.press(leg, key)

    async def _answer_phone(self, person: Person, call: RunningCall) -> None:
        """Let one of the person's phones that ring take a call. Raises `OperatorError`."""
        if not _rings_at(call, person):
            raise OperatorError("answer.too_late", "that call rings no more")
        ringing = [leg for leg in call.legs if leg.peer == person.extension and not leg.answered]
        for leg in ringing:
            if await leg.talk():
                return
        raise OperatorError(
            "answer.by_hand", "your phone cannot be told to from here; please pick it up"
        )

    def _mute_in(
        self, conference: MixedCall, person: Person, call: RunningCall, *, on: bool
    ) -> None:
        mine = next((leg for leg in conference.legs if leg.peer in _phones(person, call)), None)
        if mine is None:
            raise OperatorError("call.not_in_it", "none of your phones is in that conference")
        conference.mute(mine, on=on)
        step = Progress(call_id=call.id, step=Step.MUTED if on else Step.UNMUTED)
        self._followers.spread(person.extension, step)

    def _mine(self, person: Person, call_id: str) -> RunningCall:
        call = self._exchange.calls.get(call_id)
        if call is None or call.ending is not None or person.extension not in _sides(call):
            raise OperatorError("call.over", "that call has ended already")
        return call

    def _bridge(self, person: Person, call: RunningCall) -> tuple[Bridge, Leg]:
        """Where a person's call is joined, and their side of it."""
        bridge = call.bridge
        if call.conference is not None:
            raise OperatorError("call.conference", "that cannot be done in a conference")
        if bridge is None:
            raise OperatorError("call.not_joined", "nobody has answered that call yet")
        if bridge.dissolved:
            raise OperatorError("call.parked", "that call is parked")
        if bridge.leaving is not None:
            raise OperatorError("call.transferring", "that call is being transferred just now")
        mine = _phones(person, call)
        for leg in (bridge.first, bridge.second):
            if leg.peer in mine and leg.ending is None:
                return bridge, leg
        raise OperatorError("call.not_in_it", "none of your phones is in that call")

    async def menus_drawn(self, person: Person) -> str:
        """The menus for callers as one picture (SVG). Raises `OperatorError`."""
        if person.role is not Role.OWNER:
            raise OperatorError("role.owner_only", "only the owner sees the menus")
        picture = await asyncio.to_thread(self.draw_menus)
        if not picture:
            raise OperatorError("menus.unknown", "no menus answer callers here: see [menus]")
        return picture

    def broadcasts(self, person: Person) -> Sequence[Shown]:
        """The broadcasts that the person may know of."""
        return self._broadcasts.of(person)

    # ── answers ─────────────────────────────────────────────────────────────────────────
    def active_calls(self, person: Person) -> Sequence[ActiveCall]:
        """The person's calls going on, the latest last."""
        return [
            self._active(call, person)
            for call in self._exchange.calls.values()
            if person.extension in _sides(call) and call.ending is None
        ]

    def _active(self, call: RunningCall, person: Person) -> ActiveCall:
        since = call.answered_at or call.started_at
        bridge = call.bridge if call.conference is None else None
        placed = {person.extension}
        if call.kind in ("callback", "conference"):
            placed.add(call.user)
        return ActiveCall(
            call_id=call.id,
            caller=self._seen(person, call.caller if call.caller in placed else call.shown),
            callee=self._seen(person, call.callee),
            seconds=round((datetime.now(UTC) - since).total_seconds()),
            joined=call.state is CallState.ANSWERED,
            incoming=_rings_at(call, person),
            conference=call.conference is not None,
            recording=call.recorder is not None,
            held=bridge is not None and bridge.waiting is not None,
            muted=self._is_muted(person, call),
        )

    def levels(self, person: Person, call_id: str) -> Sequence[tuple[str, float]]:
        """How loud each side of a call is just now. Raises `OperatorError`."""
        call = self._mine(person, call_id)
        return [
            (self._seen(person, seen_as(call, leg, person.extension)), loudness)
            for leg in call.legs
            if leg.answered and (loudness := leg.loudness()) is not None
        ]

    def _seen(self, person: Person, number: str) -> str:
        """A number as somebody may see it."""
        return spoken(self._followers.mask(person.extension, number) or number)

    def _is_muted(self, person: Person, call: RunningCall) -> bool:
        muted = call.conference.muted if call.conference else call.bridge and call.bridge.muted
        return any(leg.peer in _phones(person, call) for leg in muted or ())

    async def voicemail(self, person: Person) -> Sequence[VoiceMessage]:
        """The person's latest voice messages, newest first."""
        rows = await self._mailbox.latest(person.extension, MAX_VOICEMAIL)
        await self._mailbox.listened(person.extension, [row.id for row in rows])
        return [
            VoiceMessage(
                id=row.id,
                at=row.at,
                peer=self._followers.who(row.caller, person),
                back=self._followers.number_of(row.caller, person.extension),
                seconds=row.seconds,
                file=voice(row.sound, sealed=row.sealed),
            )
            for row in rows
        ]

    async def delete_voicemail(self, person: Person, id: str) -> bool:
        """Delete a voice message; False if it is gone."""
        return await self._mailbox.remove(person.extension, id)

    async def last_called(self, person: Person) -> Call:
        """The command that calls again whom the person called last. Raises `OperatorError`."""
        for past in await self.past.calls(person):
            if not past.incoming and past.back:
                return Call(to=(party_of(None, past.back),))
        raise OperatorError("redial.nobody", "you have called nobody yet")

    def state(self, person: Person) -> State:
        """How the exchange is doing; of calls members see their own."""
        exchange = self._exchange
        return State(
            addresses=self._addresses,
            lines=[
                LineState(
                    name=link.trunk.name,
                    zone=link.trunk.zone,
                    numbers=[spoken(number) for number in link.trunk.numbers],
                    up=bool(link.up),
                    detail=link.detail,
                )
                for link in exchange.trunks.values()
            ],
            phones=[
                PhoneState(
                    extension=extension.number,
                    name=extension.name,
                    devices=len(exchange.registrar.bindings(extension.number)),
                )
                for extension in exchange.directory.extensions()
                if not (extension.script or extension.members)
            ],
            calls=[
                self._active(call, person)
                for call in exchange.calls.values()
                if person.role is Role.OWNER or person.extension in _sides(call)
            ],
        )

    def availability(self, number: str) -> Availability:
        """How an extension, or a phone number, is."""
        return self._presence.of(number)

    def is_reachable(self, person: Person, party: Party) -> bool:
        """Whether the person could call or write to somebody."""
        try:
            self._parties.reachable(person, party)
        except OperatorError:
            return False
        return True

    def watch(self, look: Callable[[str], None]) -> Callable[[], None]:
        """Tell of every extension whose availability changed; the result stops it."""
        return self._presence.watch(look)

    def follow(self, person: Person, tell: Callable[[Progress], Sent]) -> Callable[[], None]:
        """Tell of the person's calls from now on; the result stops it."""
        return self._followers.follow(person, tell)

    # ── contacts ────────────────────────────────────────────────────────────────────────
    async def save_contact(self, person: Person, name: str, party: Party) -> str:
        """Keep somebody's number under a name; the number for people."""
        number = self._parties.resolve(party, person)
        await self._contacts.save(person, {name: number})
        return spoken(number)

    async def save_contacts(self, person: Person, contacts: Sequence[tuple[str, str]]) -> Kept:
        """Keep names with numbers as they were written elsewhere."""

        def read() -> dict[str, str | None]:  # a tenth of a millisecond each, and they may be many
            return {name: to_e164(written, person.region) for name, written in contacts}

        numbers = await asyncio.to_thread(read)
        good = {name: number for name, number in numbers.items() if number}
        await self._contacts.save(person, good)
        return Kept(count=len(good), refused=[name for name in numbers if not numbers[name]])

    async def read_contacts(self, content: bytes) -> Sequence[tuple[str, str]]:
        """The names and numbers of a file of vCards."""
        from encryptotel.vcards import VCardError, read_vcards

        try:
            return await asyncio.to_thread(read_vcards, content)
        except VCardError as error:
            raise OperatorError("contact.bad_file", str(error)) from error

    async def remove_contact(self, person: Person, name: str) -> str:
        """Forget a contact; the name as it was kept."""
        return await self._contacts.remove(person, name)

    def contacts(self, person: Person) -> Sequence[tuple[str, str]]:
        """The person's contacts by name, with their numbers for people."""
        mine = self._contacts.of(person)
        return [(name, spoken(mine[name])) for name in sorted(mine, key=str.casefold)]

    def _hang_up_on(self, person: Person, number: str) -> None:
        """Whoever rings somebody who does not want to hear of them is declined."""
        for call in self._exchange.calls.values():
            if call.caller == number and _rings_at(call, person):
                call.hang_up(DECLINED, 603)

    # ── the person ──────────────────────────────────────────────────────────────────────
    async def zone_at(self, latitude: float, longitude: float) -> str:
        """The time zone of a place."""
        import tzfpy  # its map takes 20 MB, and not everybody moves

        return await asyncio.to_thread(tzfpy.get_tz, longitude, latitude)

    async def set_timezone(self, person: Person, zone: str) -> Person:
        """The person lives in another time zone from now on."""
        if zone not in available_timezones():
            raise OperatorError("timezone.unknown", f"I know no time zone {zone}")
        person = await self._people.set_timezone(person, zone)
        await self.reminding.reminders.move(person.extension, zone)
        self._book.note(person)
        return person

    async def export(self, person: Person) -> bytes:
        """All that is known of a person, as JSON."""
        calls = await self.past.rows(person.extension, which=Between(reminders=True))
        known = {
            **await self._people.everything_of(person),
            "contacts": dict(self._contacts.of(person)),
            **{str(kind): self._book.listed(person.extension, kind) for kind in Kind},
            "redirections": [row.what for row in self.handling.redirections(person)],
            "phones": [phone.name for phone in self._phones.of(person) if phone.id],
            "reminders": [one.text for one in await self.reminding.of(person)],
            "account": [
                {"at": line.at.isoformat(), "amount": line.amount, "what": line.what}
                for line in (
                    await self.accounts.lines(person) if self.accounts.pays(person) else ()
                )
            ],
            "calendars": [one.name for one in await self.calendars.of(person)],
            "scenarios": [f"{one.trigger} {one.name}" for one in self.scenarios.of(person)],
            "payments": await self.wallets.sent(person.extension),
        }

        def written() -> bytes:
            told = [call.model_dump(mode="json") for call in calls]
            for call in told:
                if (call["shown"] and person.extension not in (call["caller"], call["user"])) or (
                    call["shown"] and call["kind"] == "inbound"
                ):
                    call["caller"] = call["shown"]
            return json.dumps({**known, "calls": told}, indent=2, ensure_ascii=False).encode()

        return await asyncio.to_thread(written)

    async def forget(self, person: Person) -> None:
        """Forget a person: accounts, conversation, contacts and calls. Raises `OperatorError`
        while there is money in their wallet."""
        await self.wallets.empty(person)
        for call in self.active_calls(person):
            self._exchange.hang_up(call.call_id)
        await self._contacts.forget(person)
        await self.past.forget(person.extension)
        await self._mailbox.forget(person.extension)
        await self._texts.forget(person.extension)
        await self._unread.forget(person.extension)
        await self.agenda.forget(person.extension)
        await self.reminding.forget(person.extension)
        await self.calendars.forget(person.extension)
        await self._recordings.forget(person.extension)
        self._followers.forget(person.extension)
        self._next_recorded.discard(person.extension)
        await self._book.forget(person.extension)
        self.when_free.forget(person.extension)
        await self.relays.forget(person.extension)
        await self.tracking.forget(person.extension)
        await self._phones.forget(person.extension)
        await self.scenarios.forget(person.extension)
        await self.wallets.forget(person.extension)
        await self.keys.forget(person.extension)
        await self._console.forget(person.extension)
        self.approvals.forget(person.extension)
        if self.webhooks is not None:
            await self.webhooks.forget(person)
        await self.accounts.forget(person.extension)
        await self._people.forget(person)
        if self._exchange.directory.extension(person.extension) is None:
            self._exchange.registrar.drop(person.extension, "its person left")

    async def make_key(self, person: Person, name: str, scopes: Sequence[str]) -> str:
        """A key for a program of the person's. Raises `OperatorError`."""
        if person.role is Role.GUEST:
            raise OperatorError("role.guest", "guests cannot have keys")
        first = sorted(scopes, key=lambda scope: (scope not in DANGEROUS, scope))
        what = f"an API key {name[:40]} that can {', '.join(first)}"
        self.approvals.require(person, what, always=any(one in DANGEROUS for one in scopes))
        return await self.keys.make(person.extension, name, scopes)

    async def open_console(self, person: Person) -> ConsoleLink:
        """A link into the console page. Raises `OperatorError`."""
        if person.role is Role.GUEST:
            raise OperatorError("role.guest", "guests have no console page")
        self.approvals.require(person, "a way into the console page")
        return await self._console.offer(person.extension)

    async def set_up_phone(self, person: Person, name: str) -> SetupLink:
        """A link that gives a phone of the person's an account. Raises `OperatorError`."""
        self.approvals.require(person, "a new phone")
        return await self._phones.offer(person.extension, name)

    async def phones(self, person: Person) -> Sequence[Phone]:
        """The person's phones."""
        return self._phones.of(person)

    async def revoke_phone(self, person: Person, id: str) -> str:
        """Shut one of the person's phones out; its name. Raises `OperatorError`."""
        return await self._phones.revoke(person, id)

    def answer(self, person: Person, *, yes: bool) -> str:
        """The person's word on what they were asked first; empty when nothing was."""
        return self._answer(yes=yes) if person.role is Role.OWNER else ""

    def offer_way(self, way: Callable[[str], str]) -> None:
        """A chat that people can be invited to: `way` makes a link of a code."""
        self._ways.append(way)


def _sides(call: RunningCall) -> set[str]:
    """Who is in a call: while it rings those it is between, then whoever has a phone in it, and
    whoever had it placed for a phone that is."""
    if call.answered_at is None:
        return {call.user, call.caller, call.callee} - call.left
    there = {leg.peer for leg in call.legs if leg.answered and leg.ending is None}
    if call.kind == "callback" and call.caller in there:
        there.add(call.user)
    return there - {""}


def _phones(person: Person, call: RunningCall) -> set[str]:
    """What the person's side of a call may be called."""
    if call.kind == "callback" and call.user == person.extension:
        return {person.extension, call.caller}  # the phone they wanted to be called back on
    return {person.extension}


def _rings_at(call: RunningCall, person: Person) -> bool:
    if call.state is not CallState.RINGING or call.kind == "callback":
        return False
    return person.extension == (call.user if call.kind == "inbound" else call.callee)
