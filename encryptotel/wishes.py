"""What people want done with calls for them: rules, lists and the rest, on the database and in
memory, because every call asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from datetime import date, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

from bot.ports import OperatorError, Person, Role
from encryptotel.config import Config
from encryptotel.contacts import Contacts
from encryptotel.directory import Directory
from encryptotel.people import PeopleOfExchange
from pbx.calls.wishes import Condition, Hours, Rule, Treatment, Wishes, in_order
from store.database import Database
from store.tables import ListedRow, RuleRow, WishRow

MAX_LISTED = 1_000
"Callers on one extension's lists."
MAX_RULES = 200
"Of one extension."

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
"As RFC 5545 names them, in the order of the week."

_zone = lru_cache(ZoneInfo)


class Kind(StrEnum):
    """Lists of callers that an extension has."""

    BLOCKED = "blocked"
    ALLOWED = "allowed"
    "Always let through."
    UNSEEN = "unseen"
    "Blocked, and not to be told who they are."
    RECORDED = "recorded"


_OPPOSITE = {Kind.BLOCKED: Kind.ALLOWED, Kind.ALLOWED: Kind.BLOCKED}


class WishBook:
    """Everybody's wishes. `has_answerphone` says for which extensions messages are taken."""

    def __init__(
        self, database: Database, contacts: Contacts, has_answerphone: Callable[[str], bool]
    ) -> None:
        self._database = database
        self._contacts = contacts
        self._has_answerphone = has_answerphone
        self._people: dict[str, Person] = {}
        "Whose an extension is."
        self._rows: dict[str, list[RuleRow]] = {}
        "Rules by extension, the oldest first."
        self._rules: dict[str, tuple[Rule, ...]] = {}
        "Those that are not paused, in the order in which they are tried."
        self._lists: dict[Kind, dict[str, set[str]]] = {kind: {} for kind in Kind}
        self._rest: dict[str, WishRow] = {}
        self._hide_next: set[str] = set()
        "Extensions whose next call shows no number."

    async def load(self) -> None:
        """Read them all, in the place of what was known."""
        async with self._database.reading() as session:
            listed = (await session.execute(select(ListedRow))).scalars().all()
            rules = (await session.execute(select(RuleRow).order_by(col(RuleRow.at)))).scalars()
            rest = (await session.execute(select(WishRow))).scalars().all()
        self._rows, self._rules, self._lists = {}, {}, {kind: {} for kind in Kind}
        for one in listed:
            self._lists[Kind(one.kind)].setdefault(one.extension, set()).add(one.number)
        for row in rules:
            self._rows.setdefault(row.extension, []).append(row)
        for extension in self._rows:
            self._sort(extension)
        self._rest = {row.extension: row for row in rest}

    def note(self, person: Person) -> None:
        """Whose an extension is, and where they live."""
        self._people[person.extension] = person

    def _blocked(self, extension: str) -> Set[str]:
        blocked = self._lists[Kind.BLOCKED].get(extension, _NOBODY)
        unseen = self._lists[Kind.UNSEEN].get(extension, _NOBODY)
        return blocked | unseen if unseen else blocked

    def is_guest(self, extension: str) -> bool:
        """Whether the person of an extension may call and write inside only."""
        person = self._people.get(extension)
        return person is not None and person.role is Role.GUEST

    def of(self, extension: str) -> Wishes:
        """What an extension wants done with its calls."""
        person = self._people.get(extension)
        rest = self.rest(extension)
        known = self._contacts.of(person) if person else {}
        return Wishes(
            rules=self._rules.get(extension, ()),
            zone=_zone(person.timezone if person else "UTC"),
            blocked=self._blocked(extension),
            allowed=self._lists[Kind.ALLOWED].get(extension, _NOBODY),
            known=known.values(),
            quiet_until=rest.quiet_until,
            anonymous=Treatment(rest.anonymous),
            unknown=Treatment(rest.unknown),
            waiting=rest.waiting,
            answerphone=self._has_answerphone(extension),
        )

    # ── lists of callers ────────────────────────────────────────────────────────────────
    def is_blocked(self, extension: str, caller: str) -> bool:
        """Whether a caller may not reach an extension."""
        return caller in self._blocked(extension)

    def is_listed(self, extension: str, number: str, kind: Kind) -> bool:
        """Whether somebody is on one of an extension's lists."""
        return number in self._lists[kind].get(extension, ())

    def listed(self, extension: str, kind: Kind) -> Sequence[str]:
        """Who is on one of an extension's lists."""
        return sorted(self._lists[kind].get(extension, ()))

    async def put(self, extension: str, number: str, kind: Kind) -> None:
        """Put somebody on a list; who is blocked is let through no more, and the other way round.
        Raises `OperatorError`."""
        mine = self._lists[kind].setdefault(extension, set())
        if len(mine) >= MAX_LISTED:
            raise OperatorError("listed.too_many", f"{MAX_LISTED} callers are the most I keep")
        row = ListedRow(extension=extension, number=number[:80], kind=kind)

        async def put(session: AsyncSession) -> None:
            await session.merge(row)

        await self._database.together(put)
        mine.add(number)
        if kind in _OPPOSITE:
            await self.drop(extension, number, _OPPOSITE[kind])

    async def drop(self, extension: str, number: str, kind: Kind) -> bool:
        """Take somebody off a list; False if they were not on it."""
        mine = self._lists[kind].get(extension, set())
        if number not in mine:
            return False

        async def drop(session: AsyncSession) -> None:
            row = await session.get(ListedRow, (extension, number[:80], str(kind)))
            if row is not None:
                await session.delete(row)

        await self._database.together(drop)
        mine.discard(number)
        return True

    # ── rules ───────────────────────────────────────────────────────────────────────────
    def rules(self, extension: str) -> Sequence[RuleRow]:
        """The rules of an extension, the oldest first."""
        return tuple(self._rows.get(extension, ()))

    async def add_rule(self, row: RuleRow) -> None:
        """Keep a rule, in the place of one for the very same calls. Raises `OperatorError`."""
        mine = self._rows.setdefault(row.extension, [])
        same = [known for known in mine if _meant_for(known) == _meant_for(row)]
        if len(mine) - len(same) >= MAX_RULES:
            raise OperatorError("redirect.too_many", f"{MAX_RULES} redirections are the most")

        async def add(session: AsyncSession) -> None:
            for known in same:
                await session.execute(delete(RuleRow).where(col(RuleRow.id) == known.id))
            await session.merge(row)

        await self._database.together(add)
        self._rows[row.extension] = [*(known for known in mine if known not in same), row]
        self._sort(row.extension)

    async def pause(self, extension: str, id: str, *, on: bool) -> RuleRow | None:
        """Let a rule rest, or hold again; None if there is none such."""
        row = next((row for row in self.rules(extension) if row.id == id), None)
        if row is None:
            return None
        changed = RuleRow(**{**row.model_dump(), "paused": on})

        async def pause(session: AsyncSession) -> None:
            await session.merge(changed)

        await self._database.together(pause)
        mine = self._rows[extension]
        mine[mine.index(row)] = changed
        self._sort(extension)
        return changed

    async def remove_rules(self, extension: str, ids: Sequence[str]) -> None:
        """Forget rules."""

        async def remove(session: AsyncSession) -> None:
            await session.execute(delete(RuleRow).where(col(RuleRow.id).in_(ids)))

        await self._database.together(remove)
        self._rows[extension] = [row for row in self.rules(extension) if row.id not in ids]
        self._sort(extension)

    def _sort(self, extension: str) -> None:
        rules = [rule_of(row) for row in self._rows[extension] if not row.paused]
        self._rules[extension] = in_order(rules)

    # ── the rest ────────────────────────────────────────────────────────────────────────
    def rest(self, extension: str) -> WishRow:
        """What else an extension wants."""
        return self._rest.get(extension) or WishRow(extension=extension)

    async def change(self, extension: str, **values: Any) -> None:
        """Want something else from now on."""
        row = WishRow(**{**self.rest(extension).model_dump(), **values})

        async def change(session: AsyncSession) -> None:
            await session.merge(row)

        await self._database.together(change)
        self._rest[extension] = row

    def hide_next(self, extension: str, *, on: bool) -> None:
        """Show no number on the next call of an extension, or do."""
        if on:
            self._hide_next.add(extension)
        else:
            self._hide_next.discard(extension)

    def hides(self, extension: str) -> bool:
        """Whether the call that an extension makes now shows no number; the next one may."""
        if extension in self._hide_next:
            self._hide_next.discard(extension)
            return True
        return self.rest(extension).hidden

    async def forget(self, extension: str) -> None:
        """Forget all that an extension wants."""

        async def forget(session: AsyncSession) -> None:
            for kind in (ListedRow, RuleRow, WishRow):
                await session.execute(delete(kind).where(col(kind.extension) == extension))

        await self._database.together(forget)
        self.hide_next(extension, on=False)
        for names in self._lists.values():
            names.pop(extension, None)
        for kept in (self._rows, self._rules, self._rest, self._people):
            kept.pop(extension, None)


async def book_of(directory: Directory, config: Config) -> WishBook:
    """Everybody's wishes as they are on the disk, for looking at."""
    database = directory.database
    contacts = Contacts(database)
    owner = Person(
        name=config.owner.name,
        extension=config.owner.extension,
        region=config.owner.region,
        timezone=config.owner.timezone,
    )
    people = PeopleOfExchange(database, directory, owner, timedelta(days=config.chat.keep_days))
    everybody = [owner, *(person for person, _ in await people.everybody())]
    reached = {person.extension for person in everybody}
    book = WishBook(database, contacts, lambda number: config.answerphone.on and number in reached)
    await contacts.load()
    await book.load()
    for person in everybody:
        book.note(person)
    return book


_NOBODY: frozenset[str] = frozenset()


def rule_of(row: RuleRow) -> Rule:
    """A rule as the router reads it."""
    hours = Hours(
        days=frozenset(DAYS.index(day) for day in row.days.split()),
        begin=time.fromisoformat(row.begin) if row.begin else None,
        end=time.fromisoformat(row.end) if row.end else None,
        first=date.fromisoformat(row.first) if row.first else None,
        last=date.fromisoformat(row.last) if row.last else None,
    )
    return Rule(
        id=row.id,
        to=tuple(row.targets),
        in_turn=row.in_turn,
        condition=Condition(row.condition),
        after=row.after,
        caller=row.caller,
        called=row.called,
        hours=hours if hours != Hours() else None,
    )


def _meant_for(row: RuleRow) -> tuple[str, ...]:
    """For which calls a rule is."""
    return (
        row.condition,
        row.caller,
        row.called,
        row.days,
        row.begin,
        row.end,
        row.first,
        row.last,
    )
