"""Relay numbers: two people reach each other by a number in the place of the other, and neither
sees the other's own."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

from bot.ports import OperatorError, Person, Role
from encryptotel.directory import Directory
from encryptotel.followers import Followers
from encryptotel.parties import Parties
from nlp.commands import Party
from pbx.calls.cause import Ending, words
from pbx.calls.router import Refuse, RingExtension, dial_out
from pbx.calls.services import Service, Visit
from pbx.exchange import Exchange
from pbx.ports import CallRefused
from store.database import Database
from store.tables import RelayRow

FIRST, LAST = 8000, 8999
MAX_RELAYS = 200


class Relays:
    """Implements `bot.ports.Relays`; each relay number is a service of the exchange's."""

    def __init__(
        self,
        database: Database,
        exchange: Exchange,
        directory: Directory,
        parties: Parties,
        followers: Followers,
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._directory = directory
        self._parties = parties
        self._followers = followers
        self._relays: dict[str, RelayRow] = {}
        exchange.stands_for = self.stands_for
        exchange.mask = followers.mask = self.mask

    async def load(self) -> None:
        """Read them all, in the place of what was known."""
        async with self._database.reading() as session:
            rows = (await session.execute(select(RelayRow))).scalars().all()
        for number in self._relays.keys() - {row.number for row in rows}:
            del self._relays[number]
            self._directory.services.remove(number)
        for row in rows:
            self._take(row)

    # ── what is asked in the middle of calls ────────────────────────────────────────────
    def mask(self, extension: str, number: str) -> str:
        """What an extension sees instead of somebody's number; empty where it may see that."""
        for row in self._relays.values():
            if (extension, number) in ((row.one, row.other), (row.other, row.one)):
                return row.number
        return ""

    def stands_for(self, extension: str, number: str) -> str:
        """Whom a number stands for when an extension calls it; empty where it stands for nobody."""
        row = self._relays.get(number)
        return _other(row, extension) if row is not None else ""

    async def _serve(self, number: str, visit: Visit) -> Ending:
        """Somebody dialled a relay number, or from outside the number that leads there."""
        row, call = self._relays[number], visit.call
        to = _other(row, call.caller)
        if not to:
            raise CallRefused(404, "that number is for somebody else")
        extension = self._directory.extension(to)
        if extension is not None:
            call.user = call.user or to
            call.meant(to, row.number)
            plan = RingExtension(extension=extension, dialled=to)
            try:
                return await self._exchange.courses.serve(replace(visit, name=""), plan)
            except CallRefused as refused:  # whose words might name them
                raise CallRefused(refused.status, words(refused.status)) from None
        way = dial_out(to, self._directory.trunks(), None)
        if isinstance(way, Refuse):
            raise CallRefused(way.status, way.reason)
        call.user = call.user or row.by
        return await self._exchange.courses.outside(visit, way, shown=row.public)

    # ── for people ──────────────────────────────────────────────────────────────────────
    async def connect(self, person: Person, one: Party, other: Party) -> str:
        """Let two people reach each other without seeing the other's number. Raises
        `OperatorError`."""
        if person.role is Role.GUEST:
            raise OperatorError("role.guest", "guests cannot have relay numbers")
        first, second = (self._parties.resolve(party, person) for party in (one, other))
        if first == second:
            raise OperatorError("relay.same", "that is the same person twice")
        known = next((r for r in self._relays.values() if _other(r, first) == second), None)
        if known is not None:
            return self._described(known, person)
        if len(self._relays) >= MAX_RELAYS:
            raise OperatorError("relay.too_many", f"{MAX_RELAYS} relay numbers are the most")
        outside = [number for number in (first, second) if number.startswith("+")]
        public = next(iter(self._directory.free_numbers(None)), "") if outside else ""
        if len(outside) == 2 and not public:
            raise OperatorError(
                "relay.no_number",
                "for two people outside I need a free number of a line (`numbers` of a [[trunk]])",
            )
        row = RelayRow(
            number=self._fresh(),
            one=first,
            other=second,
            public=public,
            by=person.extension,
            at=datetime.now(UTC),
        )

        async def keep(session: AsyncSession) -> None:
            await session.merge(row)

        await self._database.together(keep)
        self._take(row)
        if public:
            await self._directory.add_route(public, row.number)
        return self._described(row, person)

    async def end(self, person: Person, number: str) -> str:
        """Let them do so no more. Raises `OperatorError`."""
        row = self._relays.get(number)
        if row is None or not (person.role is Role.OWNER or row.by == person.extension):
            raise OperatorError("relay.unknown", f"there is no relay number {number} of yours")
        await self._remove(row)
        return f"{number} leads nowhere any more."

    async def _remove(self, row: RelayRow) -> None:
        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(RelayRow).where(col(RelayRow.number) == row.number))

        await self._database.together(forget)
        del self._relays[row.number]
        self._directory.services.remove(row.number)
        if row.public:
            await self._directory.take_number(row.public)

    async def forget(self, extension: str) -> None:
        """Forget all relays that an extension is one side of, or wanted."""
        for row in [*self._relays.values()]:
            if extension in (row.one, row.other, row.by):
                await self._remove(row)

    def listed(self, person: Person) -> str:
        """All that a person may see."""
        rows: Sequence[RelayRow] = [
            row
            for row in self._relays.values()
            if person.role is Role.OWNER or row.by == person.extension
        ]
        if not rows:
            return "There are no relay numbers."
        return "\n".join(self._described(row, person) for row in rows)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _take(self, row: RelayRow) -> None:
        self._relays[row.number] = row
        self._directory.services.add(
            Service(
                number=row.number,
                says="connects two people without showing their numbers",
                app=partial(self._serve, row.number),
            )
        )

    def _fresh(self) -> str:
        """A number nobody has."""
        taken = {extension.number for extension in self._directory.extensions()}
        taken |= {service.number for service in self._directory.services.all()}
        free = [n for n in map(str, range(FIRST, LAST)) if n not in taken]
        return secrets.choice(free)

    def _described(self, row: RelayRow, person: Person) -> str:
        names = [self._followers.named(number, person) for number in (row.one, row.other)]
        dialled = [
            f"{name} dials {row.number if not number.startswith('+') else _or_any(row.public)}"
            for name, number in zip(names, (row.one, row.other), strict=True)
        ]
        return f"{row.number}: {' and '.join(dialled)}; neither sees the other's number."


def _other(row: RelayRow, who: str) -> str:
    """The other one of two; empty for a third."""
    return {row.one: row.other, row.other: row.one}.get(who, "")


def _or_any(public: str) -> str:
    return public or "your line's number"
