"""What people say about the calls that come for them, and how theirs are shown: the part of the
operator that changes wishes and tells of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from bot.moments import moment
from bot.ports import OperatorError, Person, Redirection, Role
from encryptotel.contacts import Contacts
from encryptotel.followers import Followers
from encryptotel.parties import Parties
from encryptotel.pins import hashed
from encryptotel.wishes import DAYS, Kind, WishBook
from nlp.commands import DoNotDisturb, HideNumber, Party, Redirect, Window
from pbx.calls.diversion import loops_back
from pbx.calls.numbers import spoken
from pbx.calls.wishes import ANONYMOUS, ANSWERPHONE, ENDLESS, Condition, Treatment
from pbx.ports import Directory
from store.tables import RuleRow

NO_KEY = (
    "I record only so that you alone can listen, so tell me your key first: “my key is …” with "
    "the public key of your Waves account, or an age recipient (age1…)"
)
MAX_TARGETS = 10
"Of one redirection."
MAX_GREETING = 500
_ANSWERPHONES = ("voicemail", "voice mail", "the answerphone", "answerphone", "answering machine",
                 "mailbox", "my voicemail", "my mailbox", "my answerphone")  # fmt: skip
_NOBODY_KNOWN = ("anonymous", "anonymous callers", "hidden numbers", "unknown numbers")
_WHEN = {
    Condition.ALWAYS: "",
    Condition.BUSY: "when you are busy",
    Condition.NO_ANSWER: "when you do not answer",
    Condition.OFFLINE: "when no phone of yours is there",
    Condition.QUIET: "when you do not want to be disturbed",
}
_TREATED = {
    Treatment.RING: "ring as all others do",
    Treatment.ASK: "are asked for their name, and you choose",
    Treatment.ANSWERPHONE: "get your answerphone",
    Treatment.REFUSE: "are refused",
}
_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Handling:
    """Implements `bot.ports.Handling`. `blocked` is told whom somebody does not want to hear of
    from now on."""

    def __init__(
        self,
        directory: Directory,
        book: WishBook,
        contacts: Contacts,
        followers: Followers,
        blocked: Callable[[Person, str], None],
    ) -> None:
        self._directory = directory
        self._book = book
        self._parties = Parties(directory, contacts)
        self._followers = followers
        self._blocked = blocked

    # ── redirection ─────────────────────────────────────────────────────────────────────
    def costs(self, person: Person, command: Redirect) -> str:
        """What to ask before calls go where they cost something; empty where they do not. Raises
        `OperatorError`."""
        if not command.on:
            return ""
        row = self._row(person, command)
        outside = [spoken(to) for to in row.targets if to.startswith("+")]
        if not outside:
            return ""
        return (
            f"{self._described(row, person)}? Each of them costs what a call of yours to "
            f"{' and '.join(outside)} does."
        )

    async def redirect(self, person: Person, command: Redirect) -> str:
        """Send calls elsewhere, or no more. Raises `OperatorError`."""
        self._book.note(person)
        if not command.on:
            return await self._no_more(person, command)
        row = self._row(person, command)
        await self._book.add_rule(row)
        return f"{self._described(row, person)}."

    def redirections(self, person: Person) -> Sequence[Redirection]:
        """All redirections of a person, the oldest first."""
        return [
            Redirection(
                id=row.id, what=self._described(row, person), paused=row.paused,
                days=row.days.split(), begin=row.begin, end=row.end, first=row.first, last=row.last,
            )
            for row in self._book.rules(person.extension)
        ]  # fmt: skip

    async def pause(self, person: Person, id: str, *, on: bool) -> bool:
        """Let a redirection rest, or hold again; False if there is none such."""
        return await self._book.pause(person.extension, id, on=on) is not None

    async def remove(self, person: Person, id: str) -> bool:
        """Forget a redirection; False if there is none such."""
        there = any(row.id == id for row in self._book.rules(person.extension))
        await self._book.remove_rules(person.extension, [id])
        return there

    def _row(self, person: Person, command: Redirect) -> RuleRow:
        """The rule that a command asks for. Raises `OperatorError`."""
        wanted = (*([command.to] if command.to else ()), *command.also)
        targets = [self._target(person, party) for party in wanted]
        if not targets or len(targets) > MAX_TARGETS:
            raise OperatorError("redirect.targets", f"one to {MAX_TARGETS} targets are possible")
        if ANSWERPHONE in targets and len(targets) > 1:
            raise OperatorError("redirect.answerphone", "the answerphone can only be by itself")
        if any(to.startswith("+") for to in targets) and person.role is Role.GUEST:
            raise OperatorError("role.guest", "guests can send calls inside the exchange only")
        extension = self._directory.extension(person.extension)
        if extension is not None and command.condition == Condition.ALWAYS:
            loop = loops_back(extension, targets, self._directory, datetime.now(UTC))
            if loop:
                raise OperatorError(
                    "redirect.loop", "calls would go round: they are sent from there to you"
                )
        window = command.window or Window()
        return RuleRow(
            id=secrets.token_hex(4),
            extension=person.extension,
            at=datetime.now(UTC),
            targets=targets,
            in_turn=command.in_turn,
            condition=command.condition,
            after=command.after or 0,
            caller=self._caller(person, command.from_),
            days=" ".join(window.days),
            begin=window.from_ or "",
            end=window.to or "",
            first=window.first or "",
            last=window.last or "",
        )

    def _target(self, person: Person, party: Party) -> str:
        if (party.name or "").casefold() in _ANSWERPHONES and not (party.number or party.extension):
            return ANSWERPHONE
        found = self._directory.service(party.extension or "")
        if found is not None and found[0].outside:
            return party.extension or ""
        number = self._parties.resolve(party, person)
        if number == person.extension:
            raise OperatorError("redirect.self", "that is where they ring anyway")
        return number

    def _caller(self, person: Person, party: Party | None) -> str:
        if party is None:
            return ""
        if (party.name or "").casefold() in _NOBODY_KNOWN:
            return ANONYMOUS
        return self._parties.resolve(party, person)

    async def _no_more(self, person: Person, command: Redirect) -> str:
        """Forget the redirections that a command means: all, or those it describes."""
        rows = list(self._book.rules(person.extension))
        if not rows:
            raise OperatorError("redirect.none", "no calls of yours are redirected")
        if command.from_ is not None:
            caller = self._caller(person, command.from_)
            rows = [row for row in rows if row.caller == caller]
        if command.to is not None:
            target = self._target(person, command.to)
            rows = [row for row in rows if target in row.targets]
        if command.condition != Condition.ALWAYS:
            rows = [row for row in rows if row.condition == command.condition]
        if command.window is not None:
            wanted = _window(command.window)
            rows = [row for row in rows if (row.days, row.begin, row.end) == wanted]
        if not rows:
            raise OperatorError("redirect.none", "there is no such redirection")
        await self._book.remove_rules(person.extension, [row.id for row in rows])
        return "\n".join(f"No longer: {self._described(row, person)}." for row in rows)

    def _described(self, row: RuleRow, person: Person) -> str:
        whose = "Calls" if not row.caller else f"Calls from {self._who(row.caller, person)}"
        joined = ", then to " if row.in_turn else " and "
        to = joined.join(self._who(number, person) for number in row.targets)
        when = _WHEN[Condition(row.condition)]
        if row.after:
            when += f" within {row.after} seconds"
        parts = (f"{whose} go to {to}", when, *_hours(row))
        return " ".join(part for part in parts if part)

    def _who(self, number: str, person: Person) -> str:
        named = {ANSWERPHONE: "the answerphone", ANONYMOUS: "hidden numbers"}
        return named.get(number) or self._followers.who(number, person)

    # ── screening ───────────────────────────────────────────────────────────────────────
    async def do_not_disturb(self, person: Person, command: DoNotDisturb) -> str:
        """Ring nobody's phone for a person, or again. Raises `OperatorError`."""
        self._book.note(person)
        if not command.on:
            await self._book.change(person.extension, quiet_until=None)
            return "Your phones ring again."
        until = command.until.at.astimezone(UTC) if command.until else ENDLESS
        await self._book.change(person.extension, quiet_until=until)
        how_long = f" until {moment(until, person)}" if command.until else ""
        allowed = [self._who(n, person) for n in self._book.listed(person.extension, Kind.ALLOWED)]
        but = f" Only {', '.join(allowed)} still can." if allowed else ""
        return f"Nobody can ring you{how_long}.{but}"

    async def treat(self, person: Person, *, anonymous: bool, unknown: bool, how: str) -> str:
        """What is done with callers who hide their number, or whom the person does not know."""
        self._book.note(person)
        changes = {"anonymous": how} if anonymous else {}
        if unknown:
            changes["unknown"] = how
        await self._book.change(person.extension, **changes)
        whom = "Callers without a number" if anonymous else ""
        if unknown:
            whom = f"{whom} and callers you do not know" if whom else "Callers you do not know"
        return f"{whom} {_TREATED[Treatment(how)]}."

    async def allow(self, person: Person, party: Party, *, on: bool) -> str:
        """Always let somebody through, or no more than others. Raises `OperatorError`."""
        self._book.note(person)
        number = self._parties.resolve(party, person)
        who = self._who(number, person)
        if on:
            await self._book.put(person.extension, number, Kind.ALLOWED)
            return f"{who} can always ring you, even when you are not to be disturbed."
        if not await self._book.drop(person.extension, number, Kind.ALLOWED):
            raise OperatorError("allow.not_allowed", f"{who} is not among those who always can")
        return f"{who} can ring you when everybody can."

    async def unblock_hidden(self, person: Person) -> str:
        """Let those be heard of again who were blocked while they hid their number."""
        for number in self._book.listed(person.extension, Kind.UNSEEN):
            await self._book.drop(person.extension, number, Kind.UNSEEN)
        return "Whom you blocked while they hid their number can call you again."

    async def record(self, person: Person, party: Party, *, on: bool) -> str:
        """Record all calls with somebody, or no more. Raises `OperatorError`."""
        number = self._parties.resolve(party, person)
        who = self._who(number, person)
        if on:
            if not person.key:
                raise OperatorError("record.no_key", NO_KEY)
            await self._book.put(person.extension, number, Kind.RECORDED)
            return f"I record all your calls with {who}."
        if not await self._book.drop(person.extension, number, Kind.RECORDED):
            raise OperatorError("record.not_listed", f"calls with {who} are not recorded as a rule")
        return f"I record calls with {who} only when you say so."

    async def block(self, person: Person, party: Party, *, on: bool) -> str:
        """Let somebody reach the person no more, or again; who that is, for people. Raises
        `OperatorError`."""
        number = self._parties.resolve(party, person)
        if number == person.extension:
            raise OperatorError("block.self", "that would be yourself")
        who = self._who(number, person)
        if on:
            await self._book.put(person.extension, number, Kind.BLOCKED)
            self._blocked(person, number)
        elif not await self._book.drop(person.extension, number, Kind.BLOCKED):
            raise OperatorError("unblock.not_blocked", f"{who} is not blocked")
        return who

    async def wait(self, person: Person, *, on: bool) -> str:
        """Let another call come in while one is going on, or tell it that one is busy."""
        await self._book.change(person.extension, waiting=on)
        if on:
            return "A second call rings while you are talking."
        return "While you are talking a second caller hears that you are busy."

    # ── how one's own calls are shown ───────────────────────────────────────────────────
    async def hide_number(self, person: Person, command: HideNumber) -> str:
        """Show no number on the next call, or on all, or do again."""
        if command.scope == "next":
            self._book.hide_next(person.extension, on=command.on)
            shown = "does not show" if command.on else "shows"
            return f"Your next call {shown} your number."
        await self._book.change(person.extension, hidden=command.on)
        if not command.on:
            self._book.hide_next(person.extension, on=False)
            return "Your calls show your number."
        return "Your calls show no number. To show it on one call, dial *82 before it."

    # ── the answerphone ─────────────────────────────────────────────────────────────────
    async def set_greeting(self, person: Person, words: str) -> str:
        """What the person's answerphone says; nothing is the usual. Raises `OperatorError`."""
        if len(words) > MAX_GREETING:
            raise OperatorError("greeting.long", f"{MAX_GREETING} characters are the most")
        await self._book.change(person.extension, greeting=words, greeting_sound=b"")
        return f"Your answerphone says: “{words}”" if words else "Your answerphone greets as ever."

    async def set_pin(self, person: Person, pin: str) -> str:
        """The PIN that is asked for when the answerphone is listened to by phone. Raises
        `OperatorError` for one that is guessed too easily."""
        await self._book.change(person.extension, pin=await hashed(pin))
        return "That is your PIN from now on. Dial *97 to listen to your messages."

    # ── all of it ───────────────────────────────────────────────────────────────────────
    def settings(self, person: Person) -> str:
        """What a person wants done with their calls, a line each."""
        extension = person.extension
        rest = self._book.rest(extension)
        lines = [
            f"{one.what}{' (paused)' if one.paused else ''}." for one in self.redirections(person)
        ]
        if rest.quiet_until is not None and rest.quiet_until > datetime.now(UTC):
            until = (
                "" if rest.quiet_until == ENDLESS else f" until {moment(rest.quiet_until, person)}"
            )
            lines.append(f"Nobody can ring you{until}.")
        for who, how in (
            ("Callers without a number", rest.anonymous),
            ("Callers you do not know", rest.unknown),
        ):
            if how != Treatment.RING:
                lines.append(f"{who} {_TREATED[Treatment(how)]}.")
        for kind, text in (
            (Kind.ALLOWED, "Always let through"),
            (Kind.BLOCKED, "Blocked"),
            (Kind.RECORDED, "Recorded"),
        ):
            listed = [self._who(number, person) for number in self._book.listed(extension, kind)]
            if listed:
                lines.append(f"{text}: {', '.join(listed)}.")
        if unseen := len(self._book.listed(extension, Kind.UNSEEN)):
            lines.append(f"Blocked, and hidden: {unseen}. “Unblock hidden callers” lets them in.")
        if rest.approval:
            lines.append(f"Dangerous commands need your approval by {rest.approval}.")
        if rest.hidden:
            lines.append("Your calls show no number.")
        if not rest.waiting:
            lines.append("While you are talking a second caller hears that you are busy.")
        return "\n".join(lines) or "Your calls ring at your phones, whoever calls."


def _hours(row: RuleRow) -> Sequence[str]:
    """When a rule holds, for people."""
    found = []
    if row.days:
        days = [_DAY_NAMES[DAYS.index(day)] for day in row.days.split()]
        found.append(f"on {', '.join(days)}")
    if row.begin and row.end:
        found.append(f"from {row.begin} to {row.end}")
    elif row.begin or row.end:
        found.append(f"after {row.begin}" if row.begin else f"before {row.end}")
    if row.first:
        found.append(f"from {_day(row.first)} on" if not row.last else f"from {_day(row.first)}")
    if row.last:
        found.append(f"through {_day(row.last)}")
    return found


def _window(window: Window) -> tuple[str, str, str]:
    return " ".join(window.days), window.from_ or "", window.to or ""


def _day(iso: str) -> str:
    day = date.fromisoformat(iso)
    return f"{day.day} {day:%b %Y}"
