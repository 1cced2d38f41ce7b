"""Calls as each person sees them: those that were, looked through and looked into."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from phonenumbers import country_code_for_region

from bot.ports import CallSeen, LegSeen, MessageSeen, OperatorError, PastCall, Person
from encryptotel.contacts import Contacts
from encryptotel.followers import Followers
from encryptotel.journal import Journal
from encryptotel.parties import Parties
from nlp.commands import Party
from pbx.calls.numbers import spoken, to_e164
from pbx.exchange import Exchange
from store.database import Database
from store.journal import forget_calls, legs_of, trace_of
from store.past import Between, calls_of
from store.tables import CallRow

MAX_CALLS = 500
"Calls looked through for “who called yesterday”."
MOST_NAMED = 50
"Numbers whose names have what is looked for."


class Sides(Protocol):
    """Who is in a call, as the journal has it or while it goes on."""

    kind: str
    caller: str
    callee: str
    user: str
    shown: str
    answered_at: datetime | None


class Side(Protocol):
    """A leg of it."""

    peer: str

    @property
    def started_at(self) -> datetime: ...


def seen_as(call: Sides, leg: Side, extension: str) -> str:
    """The number by which an extension may know a side of a call of its own: who hid their number
    stays hidden, and where somebody's calls are sent is theirs to know. Whoever came in later was
    brought by those who talked."""
    if leg.peer == extension:
        return leg.peer
    if leg.peer == call.caller:
        return call.caller if extension in _whose(call) else call.shown or call.caller
    if call.answered_at is not None and leg.started_at > call.answered_at:
        return leg.peer
    sent_by = call.user if call.kind == "inbound" else call.callee
    if extension == sent_by or leg.peer in call.callee.split(", "):
        return leg.peer
    return call.callee


def _whose(call: Sides) -> tuple[str, ...]:
    """Who placed a call."""
    return (call.caller, call.user) if call.kind in ("callback", "conference") else (call.caller,)


def _told(summary: str) -> str:
    """A SIP message without the addresses in it."""
    return summary if summary.startswith("SIP/2.0 ") else summary.partition(" ")[0]


class Past:
    """Implements `bot.ports.Past`."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        exchange: Exchange,
        contacts: Contacts,
        followers: Followers,
    ) -> None:
        self._database, self._journal, self._exchange = database, journal, exchange
        self._contacts, self._followers = contacts, followers
        self._parties = Parties(exchange.directory, contacts)

    async def rows(
        self, extension: str, limit: int = MAX_CALLS, which: Between | None = None
    ) -> Sequence[CallRow]:
        """The latest calls of an extension as the journal has them."""
        await self._journal.caught_up()
        return await calls_of(self._database, extension, limit=limit, which=which)

    async def forget(self, extension: str) -> None:
        """Forget the calls charged to an extension."""
        await self._journal.caught_up()
        async with self._database.writing() as session:
            await forget_calls(session, extension)

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
        limit: int = MAX_CALLS,
    ) -> Sequence[PastCall]:
        """Somebody's latest calls, newest first. Raises `OperatorError`."""
        wanted = self._parties.resolve(party, person) if party else ""
        numbers, begins = self._numbers_like(matching, person)
        which = Between(
            since=since,
            until=until,
            until_id=until_id,
            missed=missed,
            numbers=numbers,
            begins=begins,
            searched=bool(matching.strip()),
        )
        found = [self._seen(row, person) for row in await self.rows(person.extension, limit, which)]
        return [
            call
            for call in found
            if (not missed or (call.incoming and not call.answered))
            and (not wanted or call.back == wanted)
        ]

    async def call(self, person: Person, id: str) -> CallSeen:
        """One of somebody's calls with its legs and SIP messages. Raises `OperatorError`."""
        await self._journal.caught_up()
        async with self._database.reading() as session:
            row = await session.get(CallRow, id)
        if row is None or person.extension not in (row.user, row.caller, row.callee):
            raise OperatorError("call.unknown", "there is no such call of yours")
        legs = await legs_of(self._database, id)
        lines = await trace_of(self._database, id)
        if not lines:  # it goes on; what is secret is masked away from the calls
            traced = await asyncio.to_thread(self._exchange.trace, id)
            lines = [line.to_json() for line in traced]
        sides = {leg.id: self._name(seen_as(row, leg, person.extension), person) for leg in legs}
        names = {leg.device: sides[leg.id] for leg in legs if leg.device}
        lines_of = {leg.trunk for leg in legs if leg.trunk and not leg.device}
        elsewhere = next(iter(lines_of), "") if len(lines_of) == 1 else ""
        return CallSeen(
            call=self._seen(row, person),
            cause=row.cause,
            private=row.private,
            legs=[
                LegSeen(
                    who=sides[leg.id], line=leg.trunk, codec=leg.codec,
                    encrypted=leg.srtp, received=leg.received, sent=leg.sent, lost=leg.lost,
                    jitter_ms=leg.jitter_ms, round_trip_ms=leg.round_trip_ms, mos=leg.mos,
                    cause=leg.cause,
                )
                for leg in legs
            ],
            messages=[
                MessageSeen(
                    at=datetime.fromisoformat(line["at"]),
                    sent=line["sent"],
                    peer=names.get(line["peer"]) or elsewhere or "elsewhere",
                    summary=_told(line["summary"]),
                )
                for line in lines
            ],
        )  # fmt: skip

    def _name(self, number: str, person: Person) -> str:
        return spoken(self._followers.mask(person.extension, number) or number)

    def _numbers_like(self, text: str, person: Person) -> tuple[Sequence[str], Sequence[str]]:
        """The numbers of those whose names have a text in them, and how numbers begin that do."""
        said = " ".join(text.casefold().split())
        if not said:
            return (), ()
        names = {
            **{one.name: one.number for one in self._exchange.directory.extensions() if one.name},
            **self._contacts.of(person),
        }
        numbers = [number for name, number in names.items() if said in name.casefold()]
        digits = "".join(letter for letter in said if letter.isdigit())
        if not digits or len(digits) + sum(letter in " +-()/." for letter in said) < len(said):
            return numbers[:MOST_NAMED], ()
        inside = to_e164(digits, person.region) if digits.startswith("0") else ""
        here = f"+{country_code_for_region(person.region)}{digits}"
        begins = {digits, f"+{digits}", here, inside or ""} - {""}
        return numbers[:MOST_NAMED], sorted(f"+{digits}" if "+" in said else one for one in begins)

    def _seen(self, row: CallRow, person: Person) -> PastCall:
        incoming = row.kind != "callback" and row.caller != person.extension
        if row.kind == "callback" and row.user != person.extension:
            incoming = True  # somebody else had it placed
        other = (row.shown or row.caller) if incoming else row.callee
        answered, ended = row.answered_at, row.ended_at
        seconds = round((ended - answered).total_seconds()) if answered and ended else 0
        return PastCall(
            id=row.id,
            at=row.started_at,
            peer=self._followers.who(other, person),
            back=self._followers.number_of(other, person.extension),
            incoming=incoming,
            answered=answered is not None,
            seconds=seconds,
        )
