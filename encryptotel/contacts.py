"""Everybody's address book: in the database, and in memory for the language."""

from __future__ import annotations

from collections.abc import Mapping

from rapidfuzz import fuzz, process
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

from bot.ports import OperatorError, Person
from store.database import Database
from store.tables import ContactRow

MAX_CONTACTS = 2_000
"Of one person."
MAX_NAME = 80
_LIKE = 75.0
"How alike two names are, of 100, when one may be the other with a typo or another ending."
_MOST_LIKE = 5


class Contacts:
    """Names are the same whatever their capitals and spaces."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_person: dict[str, dict[str, str]] = {}

    async def load(self) -> None:
        """Read everybody's, in the place of what was known: the language wants them with each
        message."""
        async with self._database.reading() as session:
            rows = (await session.execute(select(ContactRow))).scalars().all()
        self._by_person = {}
        for row in rows:
            self._by_person.setdefault(row.person_id, {})[row.name] = row.number

    def of(self, person: Person) -> Mapping[str, str]:
        """A person's: +E.164 or extension by name."""
        return self._by_person.get(person.id, {})

    async def save(self, person: Person, contacts: Mapping[str, str]) -> None:
        """Keep numbers under names, in the place of those there were. Raises `OperatorError`
        when they are too many, and then keeps none."""
        mine = self._by_person.setdefault(person.id, {})
        tidy = {" ".join(name.split())[:MAX_NAME]: number for name, number in contacts.items()}
        known = {name.casefold(): name for name in mine}
        replaced = {name: known.get(name.casefold()) for name in tidy}
        if len(mine) + sum(before is None for before in replaced.values()) > MAX_CONTACTS:
            raise OperatorError("contact.too_many", f"{MAX_CONTACTS} contacts are the most I keep")

        async def save(session: AsyncSession) -> None:
            for name, number in tidy.items():
                key = name.casefold()[:MAX_NAME]
                row = ContactRow(person_id=person.id, key=key, name=name, number=number)
                await session.merge(row)

        await self._database.together(save)
        for name, number in tidy.items():
            before = replaced[name]
            if before is not None:
                mine.pop(before, None)
            mine[name] = number

    async def remove(self, person: Person, name: str) -> str:
        """Forget one; the name as it was kept. Raises `OperatorError`."""
        mine = self._by_person.get(person.id, {})
        wanted = " ".join(name.split()).casefold()
        kept = next((known for known in mine if known.casefold() == wanted), None)
        if kept is None:
            raise OperatorError("contact.unknown", f"{name} is not among your contacts")

        async def remove(session: AsyncSession) -> None:
            row = await session.get(ContactRow, (person.id, kept.casefold()[:MAX_NAME]))
            if row is not None:
                await session.delete(row)

        await self._database.together(remove)
        del mine[kept]
        return kept

    async def forget(self, person: Person) -> None:
        """Forget all of a person's."""

        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(ContactRow).where(col(ContactRow.person_id) == person.id))

        await self._database.together(forget)
        self._by_person.pop(person.id, None)


def similar(names: Mapping[str, str], wanted: str) -> list[tuple[str, str]]:
    """Whom a name that is nobody's may mean: people with that first or last name, else those
    whose name, or a part of it, is nearly that. The likeliest first, with their numbers."""
    said = " ".join(wanted.split()).casefold()
    if not said:
        return []
    parts = [(part, name) for name in names for part in {name.casefold(), *name.casefold().split()}]
    found = [name for part, name in parts if part == said]
    if not found:
        nearly = process.extract(
            said, [part for part, _ in parts], scorer=fuzz.ratio, score_cutoff=_LIKE, limit=20
        )
        found = [parts[index][1] for _, _, index in nearly]
    found = list(dict.fromkeys(found))
    return [(name, names[name]) for name in found[:_MOST_LIKE]]
