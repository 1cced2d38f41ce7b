"""The conversation with one person: what was asked, what is being asked back, what happens.

Front ends give it what was said and show what it answers; it acts through the operator only.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from bot import phones
from bot.approvals import about_approvals
from bot.awaited import Awaited, naming
from bot.calendars import about_calendars, follow, put, sent
from bot.card import clock, pair, sentence
from bot.heard import (
    CalendarFile,
    CalendarLink,
    ContactFile,
    Heard,
    Place,
    SharedContact,
    VoiceNote,
)
from bot.in_call import InCall
from bot.in_room import in_room
from bot.keys import about_keys
from bot.moments import moment
from bot.money import about_money, money
from bot.news import News
from bot.numbers import about_numbers
from bot.past import deleted, past_calls, recordings, voice_messages
from bot.personal import about_oneself, at_place
from bot.planned import heard, planned
from bot.ports import (
    Listen,
    Operator,
    OperatorError,
    Person,
    Progress,
    Sent,
    State,
    Step,
    Talk,
    UnclearName,
    Understand,
    asking_program,
    only_in_chats,
)
from bot.questions import question_for
from bot.reminders import about_reminders, dropped, edited, listed, remind
from bot.replies import Button, Reply
from bot.scenarios import about_scenarios, with_pin
from bot.shown import who_watches
from bot.sign_in import about_console
from bot.wishes import about_calls
from nlp import commands
from nlp.commands import Party, command_from_json, command_to_json
from nlp.context import MAX_CHARACTERS

MAX_HISTORY = 8
"Commands that “him”, “again” and “the other one” may mean."
MAX_LISTED = 100
"Contacts shown at once."
MAX_REFUSED = 10
"Names told of contacts that could not be kept."
MAX_MESSAGE = MAX_CHARACTERS
"Characters of one message; longer ones are not read."

HELP = """\
I place calls for you. For example:
  Call +1 202 555 0143 from the USA line, then call me back on 101
  Call Bob · Call Bob at 5pm · Call again · Hang up
  Put her on hold · Mute me · Press 12# · Park this call · Call 102 when free
  Who called me today? · Any missed calls?
  Record this call · Always record my calls · My recordings
  Join the Team room · Lock the room · Kick Bob · Mute Bob
  Play my last voicemail · Block +1 202 555 0143
  If I don't answer send my calls to Bob · My redirections · Do not disturb me until 9
  Ask unknown callers for their name · Always let Bob through · Hide my number · My settings
  My greeting is: I am on holiday · My pin is …
  Text Bob: I am late
  Remind me by phone every weekday at 8 to take my pills · My reminders
  Remind me 15 minutes before the dentist on Friday at 3 · Snooze · Done
  Sync my calendar https://… · Call me 15 minutes before every meeting · My calendars
  What's on today? · Put lunch with Bob tomorrow at noon on my calendar
  A number for the Facebook ad · How did the Facebook number do last week?
  A relay number between Bob and +44 20 7946 0321
  Save Bob as +44 20 7946 0321 · Show my contacts
  Set up my phone · My phones · Invite Bob · Status · Who is watching?
  When I call *77 and enter my PIN send 5 WAVES to 3P… · My scenarios · My wallet
  Make an API key for my CRM · My API keys · Open the console
  Ask me by phone before dangerous commands
  My time zone is Europe/Berlin · I'm in Tokyo until Friday · Export my data · Forget me"""
NOT_UNDERSTOOD = "I did not understand that as a command. Say “help” for what I can do."
NOT_HEARD = (
    "I did not make that out. By voice I know for instance “call” with the name of a contact, "
    "“any missed calls” and “hang up”; please write anything else."
)
NOTHING_DONE = "All right, nothing done."
NO_QUESTION = "There is nothing waiting for a yes."
NO_LONGER_OPEN = "That is no longer open; please say again what you want."
INVITE_WHOM = (
    "Whom? Say for example “invite Bob”, “invite Bob as a guest” (who can call inside only), or "
    "“invite me” for another chat of yours."
)
_COSTLY = (
    commands.Call, commands.Message, commands.Conference, commands.Redirect, commands.Remind,
)  # fmt: skip
"What may leave through a trunk."
MAX_UNASKED = 12
"Commands that wait to be completed."
# What buttons say that are about one certain thing.
_PRESSED = re.compile(r"(yes|no|pick \d) #([0-9a-f]{6,16})")


class Dialogue:
    """One person's conversation. `push` is called with what happens later, unasked."""

    def __init__(
        self,
        person: Person,
        operator: Operator,
        understand: Understand,
        push: Callable[[Reply], Sent],
        learn: Callable[[str, str, str], None] | None = None,
        *,
        trust_contacts: bool = False,
        listen: Listen | None = None,
        follow: bool = True,
    ) -> None:
        self.person = person
        self._operator = operator
        self._understand = understand
        self._push = push
        self._history: tuple[commands.Command, ...] = ()
        self._learn = learn
        self._trust_contacts = trust_contacts
        self._listen = listen
        self._asked_by = ""
        "The message that made us ask."
        self._asked = ""
        "The slot a question of ours is about, as `intent.slot`: of the last command."
        self._unasked = deque[tuple[commands.Command, str]](maxlen=MAX_UNASKED)
        "Commands that lack something as well, to be asked about one after another."
        self._in_call = InCall(operator)
        self._awaiting: Awaited | None = None
        self._asked_yes_elsewhere = False
        "Whether the latest question is one of the exchange, and a yes is for that."
        self._news = News(lambda: ZoneInfo(self.person.timezone))
        self._stop_following: Callable[[], None] = lambda: None
        if follow:
            self._stop_following = operator.follow(person, self._on_progress)

    def close(self) -> None:
        """Stop telling of calls."""
        self._stop_following()

    # ── what outlasts a restart ─────────────────────────────────────────────────────────
    def talk(self) -> Mapping[str, Any]:
        """Where the conversation stands, for `resume`."""
        return {
            "history": [command_to_json(command) for command in self._history],
            "asked": self._asked,
            "asked_by": self._asked_by,
            "unasked": [[command_to_json(command), slot] for command, slot in self._unasked],
            "awaiting": self._awaiting and self._awaiting.to_json(),
        }

    def resume(self, talk: Mapping[str, Any]) -> None:
        """Go on where `talk` left off; what cannot be read (of another version) is forgotten."""
        try:
            history = tuple(command_from_json(command) for command in talk["history"])
            unasked = [(command_from_json(command), str(slot)) for command, slot in talk["unasked"]]
            awaiting = talk["awaiting"] and Awaited.from_json(talk["awaiting"])
            asked, asked_by = str(talk["asked"]), str(talk["asked_by"])
        except (AttributeError, KeyError, TypeError, ValueError):
            return
        self._history, self._awaiting = history, awaiting
        self._unasked.extend(unasked)
        self._asked, self._asked_by = asked, asked_by

    async def hear(self, heard: Heard, *, confirm: bool = False) -> list[Reply]:
        """Answer one message. With `confirm` what costs money is done after a yes only."""
        try:
            match heard:
                case str():
                    return await self._read(heard.strip(), confirm=confirm)
                case SharedContact():
                    return [await self._keep([(heard.name, heard.number)])]
                case ContactFile():
                    return [await self._keep(await self._operator.read_contacts(heard.content))]
                case CalendarFile():
                    return [await sent(self._operator, self.person, heard.content)]
                case CalendarLink():
                    return [await put(self._operator, self.person, heard.url)]
                case Place():
                    return [await at_place(self._operator, heard.latitude, heard.longitude)]
                case VoiceNote():
                    return await self._listen_to(heard.content)
        except OperatorError as error:
            return [Reply(text=sentence(error.message))]

    async def _read(self, text: str, *, confirm: bool) -> list[Reply]:
        if not text:
            return []
        if len(text) > MAX_MESSAGE:
            return [Reply(text=f"That is too long for me: {MAX_MESSAGE} characters at most.")]
        if pressed := _PRESSED.fullmatch(text):
            return await self._press(*pressed.groups())
        if about_call := await self._in_call.heard(self.person, text):
            return about_call.replies or self._ask_for(self._in_call.asking)
        moderated = in_room(self._operator, self.person, text)
        if moderated is not None:
            return moderated
        if dropping := await heard(self._operator, self.person, text):
            return [dropping]
        if decided := await about_approvals(self._operator, self.person, text):
            return [decided]
        if about := await about_calendars(self._operator, self.person, text, self._understand):
            return [about]
        if reminding := await about_reminders(self._operator, self.person, text):
            return [reminding]
        if paid := await about_money(self._operator, self.person, text):
            return [paid]
        if about_programs := await about_keys(self._operator, self.person, text):
            return [about_programs]
        if signing_in := await about_console(self._operator, self.person, text):
            return [signing_in]
        if by_pin := await about_scenarios(self._operator, self.person, text):
            return [by_pin]
        if deleting := await deleted(self._operator, self.person, text):
            return [deleting]
        if wished := await about_calls(self._operator, self.person, text):
            return wished
        if numbered := await about_numbers(self._operator, self.person, text):
            return numbered
        if about_phone := await phones.heard(self._operator, self.person, text):
            return [about_phone]
        if personal := await about_oneself(self._operator, self.person, text, self._understand):
            self.person, reply = personal
            return [reply]
        if watching := who_watches(self._operator, self.person, text):
            return [watching]
        picked = self._awaiting and self._awaiting.open and self._awaiting.chosen(text)
        if picked and text.isdecimal():
            self._awaiting = None
            return await self._do(picked)
        return await self._understood(text, confirm=confirm)

    def _ask_for(self, slot: str) -> list[Reply]:
        """Ask what a button wants to know; the answer completes the command."""
        self._in_call.asking = ""
        if not slot:
            return []
        self._remember(commands.COMMANDS[slot.partition(".")[0]]())
        self._asked = self._asked_by = slot
        self._unasked.clear()
        return [Reply(text=question_for(slot))]

    async def _listen_to(self, sound: bytes) -> list[Reply]:
        """Read back what was heard, and do it after a yes."""
        said = await self._listen(sound, self.person) if self._listen else ""
        if not said:
            return [Reply(text=NOT_HEARD)]
        understood = await self._understand(said, self.person, Talk(history=self._history))
        if len(understood.commands) != 1 or understood.lacks[0]:
            return [Reply(text=NOT_HEARD)]
        command = understood.commands[0]
        self._remember(command)
        question = ""
        if isinstance(command, _COSTLY):
            question = self._operator.quote(self.person, command)
        self._awaiting, self._asked_yes_elsewhere = Awaited(commands=(command,)), False
        question = question or "Shall I do that?"
        return [Reply(text=f"I heard: “{said}”. {question}", buttons=self._awaiting.buttons)]

    async def _understood(self, text: str, *, confirm: bool) -> list[Reply]:
        """Do what a sentence means."""
        talk = Talk(history=self._history, asked=self._asked)
        understood = await self._understand(text, self.person, talk)
        awaiting, self._awaiting = self._awaiting, None
        self._in_call.forget_choice()
        if not understood.commands:
            self._awaiting = awaiting
            return [Reply(text=NOT_UNDERSTOOD, buttons=(Button(label="Help", says="help"),))]
        if talk.asked:
            lesson = (self._asked_by, talk.asked, text)
            # Answered or given up: “again” must not find half a command.
            self._asked, self._history = "", self._history[:-1]
            if not _gives(talk.asked, understood.commands):
                self._unasked.clear()
            elif self._learn:
                self._learn(*lesson)
        if awaiting is not None and awaiting.open and not self._asked_yes_elsewhere:
            meant = awaiting.chosen("yes")
            if understood.commands == (commands.Yes(),) and meant is not None:
                return await self._do(meant)
            if understood.commands == (commands.No(),):
                return [Reply(text=NOTHING_DONE)]
        replies: list[Reply] = []
        incomplete: list[tuple[commands.Command, str]] = []
        for command, lacks in zip(understood.commands, understood.lacks, strict=True):
            if lacks:
                incomplete.append((command, lacks[0]))
            else:
                self._remember(command)
                do = self._ask_first if confirm else self._do
                replies += await do(command)
        self._unasked.extendleft(reversed(incomplete))
        if self._unasked:
            command, self._asked = self._unasked.popleft()
            self._asked_by = text
            self._remember(command)
            replies.append(Reply(text=question_for(self._asked)))
        return replies

    async def _press(self, what: str, token: str) -> list[Reply]:
        """A button that is about one certain question."""
        awaiting = self._awaiting
        if awaiting is None or awaiting.token != token or not awaiting.open:
            return [Reply(text=NO_LONGER_OPEN)]
        self._awaiting = None
        command = awaiting.chosen(what)
        return [Reply(text=NOTHING_DONE)] if command is None else await self._do(command)

    async def act(self, command: commands.Command) -> str:
        """Do a command that was said at another time; what came of it."""
        replies = await self._do(command)
        return " ".join(reply.text for reply in replies if reply.text)

    def _remember(self, command: commands.Command) -> None:
        self._history = (*self._history, command)[-MAX_HISTORY:]

    async def _do(self, command: commands.Command) -> list[Reply]:
        handling = self._operator.handling
        try:
            match command:
                case commands.Call():
                    return await self._call(command)
                case commands.Message():
                    return [Reply(text=await self._operator.message(self.person, command))]
                case commands.Hangup():
                    return await self._in_call.do(self.person, "hang up")
                case commands.Transfer() if command.to:
                    return await self._in_call.transfer(self.person, command.to)
                case commands.Conference():
                    return await self._confer(command)
                case commands.Record(scope="current"):
                    what = "record" if command.on else "stop recording"
                    return await self._in_call.do(self.person, what)
                case commands.Record():
                    return [await self._record_later(command)]
                case commands.Recordings():
                    return await recordings(self._operator, self.person)
                case commands.Hold() | commands.Resume() | commands.Mute() | commands.Unmute():
                    return await self._in_call.do(self.person, command.intent)
                case commands.Reject() | commands.Answer():
                    return await self._in_call.do(self.person, command.intent)
                case commands.Reminders():
                    return [await listed(self._operator, self.person)]
                case commands.CancelReminder():
                    return [await dropped(self._operator, self.person, command.which or "")]
                case commands.EditReminder():
                    return [await edited(self._operator, self.person, command)]
                case commands.TopUp() | commands.Balance() | commands.Tariff():
                    return await money(self._operator, self.person, command)
                case commands.SendMoney() | commands.Scenario():
                    return [await with_pin(self._operator, self.person, command)]
                case commands.Calendar():
                    return [await follow(self._operator, self.person, command)]
                case commands.Remind():
                    return [await remind(self._operator, self.person, command)]
                case commands.Redial():
                    return await self._ask_first(await self._operator.last_called(self.person))
                case commands.History():
                    return [await past_calls(self._operator, self.person, command)]
                case commands.Voicemail():
                    return await voice_messages(self._operator, self.person)
                case commands.AddDevice():
                    return [await phones.set_up(self._operator, self.person, command.name or "")]
                case commands.Devices():
                    return [await phones.listed(self._operator, self.person)]
                case commands.Status():
                    return [Reply(text=describe(self._operator.state(self.person)))]
                case commands.Help():
                    return [Reply(text=f"{HELP}\n{_codes(self._operator.codes())}")]
                case commands.Invite():
                    return await self._invite(command)
                case commands.ContactAdd() if command.name and command.party:
                    number = await self._operator.save_contact(
                        self.person, command.name, command.party
                    )
                    return [Reply(text=f"I keep {command.name} as {number}.")]
                case commands.ContactRemove() if command.name:
                    name = await self._operator.remove_contact(self.person, command.name)
                    return [Reply(text=f"{name} is no longer among your contacts.")]
                case commands.TrackingNumber():
                    return [Reply(text=await self._operator.tracking.take(self.person, command))]
                case commands.Statistics():
                    return [await self._operator.tracking.statistics(self.person, command)]
                case commands.Redirect():
                    return [Reply(text=await handling.redirect(self.person, command))]
                case commands.DoNotDisturb():
                    return [Reply(text=await handling.do_not_disturb(self.person, command))]
                case commands.HideNumber():
                    return [Reply(text=await handling.hide_number(self.person, command))]
                case commands.Block() | commands.Unblock() if command.party:
                    on = isinstance(command, commands.Block)
                    who = await handling.block(self.person, command.party, on=on)
                    done = "cannot call you any more" if on else "can call you again"
                    return [Reply(text=f"{who} {done}.")]
                case commands.Contacts():
                    return [Reply(text=self._contacts())]
                case commands.Cancel():
                    return [Reply(text=NOTHING_DONE)]
                case commands.Yes() | commands.No():
                    return [self._answered(yes=isinstance(command, commands.Yes))]
                case _:
                    return [Reply(text=NOT_UNDERSTOOD)]  # half of one, from an old conversation
        except UnclearName as unclear:
            return self._ask_who(command, unclear)
        except OperatorError as error:
            return [Reply(text=sentence(error.message))]

    def _ask_who(self, command: commands.Command, unclear: UnclearName) -> list[Reply]:
        """Ask which of the people with such a name is meant."""
        meant = tuple(naming(command, unclear.name, party) for party, _ in unclear.candidates)
        known = [f"{party.name} ({number})" for party, number in unclear.candidates]
        if len(known) == 1:
            self._awaiting = Awaited(commands=meant)
            text = f"I know no {unclear.name}. Did you mean {known[0]}?"
        else:
            labels = tuple(party.name or number for party, number in unclear.candidates)
            self._awaiting = Awaited(commands=meant, labels=labels)
            lines = [f"  {n}. {who}" for n, who in enumerate(known, 1)]
            text = "\n".join([f"Which {unclear.name}?", *lines])
        self._asked_yes_elsewhere = False
        return [Reply(text=text, buttons=self._awaiting.buttons)]

    async def _keep(self, contacts: Sequence[tuple[str, str]]) -> Reply:
        kept = await self._operator.save_contacts(self.person, contacts)
        text = f"I keep {kept.count} of {len(contacts)} contacts."
        if kept.count == len(contacts) == 1:
            text = f"I keep {contacts[0][0]} as {contacts[0][1]}."
        if kept.refused:
            names = ", ".join(kept.refused[:MAX_REFUSED])
            text += f" These have no number I can call: {names}."
        return Reply(text=text)

    async def _ask_first(self, command: commands.Command) -> list[Reply]:
        """Do a command, or ask for a yes if it costs money."""
        if not isinstance(command, _COSTLY):
            return await self._do(command)
        try:
            question = self._operator.quote(self.person, command)
        except UnclearName as unclear:
            return self._ask_who(command, unclear)
        except OperatorError as error:
            return [Reply(text=sentence(error.message))]
        if isinstance(command, commands.Call) and command.at and question:
            question = f"{question[:-1]}, {moment(command.at.at, self.person)}?"
        if not question or (self._trust_contacts and all(one.name for one in _whom(command))):
            return await self._do(command)
        if self._awaiting is not None:
            return [Reply(text="One thing at a time, please: I have asked you something.")]
        self._awaiting = Awaited(commands=(command,))
        self._asked_yes_elsewhere = False
        return [Reply(text=question, buttons=self._awaiting.buttons)]

    async def _call(self, command: commands.Call) -> list[Reply]:
        if command.at is not None:
            return [planned(await self._operator.plan(self.person, command), self.person)]
        placed = await self._operator.call(self.person, command)
        line = f" from the {placed.line} line" if placed.line else ""
        text = f"Calling {placed.to}{line}, then calling back {placed.back}."
        over = f" over the {placed.line} line" if placed.line else ""
        card = self._news.card(placed.call_id, f"{placed.to}{over} ↔ {placed.back}")
        return [Reply(text=text, call_id=placed.call_id, card=card.text, buttons=card.buttons)]

    async def _record_later(self, command: commands.Record) -> Reply:
        always = command.scope == "always"
        self.person = await self._operator.record_calls(self.person, on=command.on, always=always)
        if not command.on:
            return Reply(text="I record no calls of yours unless you say so.")
        which = "all your calls" if always else "your next call"
        return Reply(text=f"I shall record {which}.")

    async def _confer(self, command: commands.Conference) -> list[Reply]:
        placed = await self._operator.conference(self.person, command)
        card = self._news.card(placed.call_id, f"Conference with {placed.to}")
        text = f"Calling {placed.to} into a conference."
        return [Reply(text=text, call_id=placed.call_id, card=card.text, buttons=card.buttons)]

    async def _invite(self, command: commands.Invite) -> list[Reply]:
        if not command.name:  # nobody must become the person by accident
            return [Reply(text=INVITE_WHOM)]
        only_in_chats()
        name = "" if command.name.lower() in ("me", "myself") else command.name
        ways = await self._operator.invite(self.person, name, guest=command.guest)
        first = (
            f"Send {name} one of these; the first to use it is let in, within a week:"
            if name
            else "Open one of these in your other chat; it becomes yours as well, within a week:"
        )
        return [Reply(text="\n".join([first, *ways]))]

    def _answered(self, *, yes: bool) -> Reply:
        """The person's word on what the exchange asked; no program's."""
        done = "" if asking_program.get() else self._operator.answer(self.person, yes=yes)
        return Reply(text=done or (NO_QUESTION if yes else NOTHING_DONE))

    def _contacts(self) -> str:
        found = self._operator.contacts(self.person)
        if not found:
            return "You have no contacts yet. Say, for example: save Bob as +1 202 555 0143."
        lines = [f"{name}: {number}" for name, number in found[:MAX_LISTED]]
        left = len(found) - len(lines)
        return "\n".join([*lines, f"… and {left} more"] if left else lines)

    def _on_progress(self, progress: Progress) -> Sent:
        if progress.step is Step.MOVED:
            self.person = replace(self.person, timezone=progress.about)
            return None
        self._asked_yes_elsewhere |= not progress.call_id and progress.step is Step.QUESTION
        return self._push(self._news.take(progress))


def _whom(
    command: commands.Call
    | commands.Message
    | commands.Conference
    | commands.Redirect
    | commands.Remind,
) -> Sequence[Party]:
    """Whom a command would reach."""
    match command:
        case commands.Call():
            return command.to
        case commands.Conference():
            return command.participants
        case commands.Redirect(to=Party() as first):
            return (first, *command.also)
    return (command.to,) if command.to else ()


def _gives(slot: str, found: Sequence[commands.Command]) -> bool:
    """Whether an answer gave the slot that was asked for."""
    intent, _, name = slot.partition(".")
    return any(c.intent == intent and getattr(c, name, None) for c in found)


def _codes(codes: Sequence[tuple[str, str]]) -> str:
    """What can be dialled on a phone."""
    return "\n".join(["From your phone:", *(f"  {one} {does}" for one, does in codes)])


def describe(state: State) -> str:
    """How the exchange is doing, for people."""
    lines = ["The exchange is up."]
    for line in state.lines:
        condition = "up" if line.up else f"DOWN ({line.detail})"
        numbers = f" {', '.join(line.numbers)}" if line.numbers else ""
        lines.append(f"  line {line.zone}{numbers}: {condition}")
    if not state.lines:
        lines.append("  no line to the telephone network; see [[trunk]] in the configuration")
    for phone in state.phones:
        devices = {0: "no phone", 1: "1 phone"}.get(phone.devices, f"{phone.devices} phones")
        lines.append(f"  {phone.extension} {phone.name}: {devices}")
    for call in state.calls:
        lines.append(f"  call {pair(call)}, {clock(call.seconds)}")
    if not state.calls:
        lines.append("  no calls")
    return "\n".join(lines)
