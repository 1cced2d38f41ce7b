"""How people are reminded: how late at most, when not by phone, and by whom they let themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, or_, select

from encryptotel.people import PeopleOfExchange
from store.database import Database
from store.tables import ConsentRow, HabitRow


class Habits:
    """Kept in memory, and in the database."""

    def __init__(
        self, database: Database, people: PeopleOfExchange, now: Callable[[], datetime]
    ) -> None:
        self.now = now
        self._database, self._people = database, people
        self._rows: dict[str, HabitRow] = {}
        self._consents: dict[tuple[str, str], bool] = {}

    async def load(self) -> None:
        """Read all."""
        async with self._database.reading() as session:
            habits = (await session.execute(select(HabitRow))).scalars().all()
            consents = (await session.execute(select(ConsentRow))).scalars().all()
        self._rows = {row.extension: row for row in habits}
        self._consents = {(row.extension, row.to): row.given for row in consents}

    def of(self, extension: str) -> HabitRow:
        """Those of somebody; the usual ones of somebody who never said."""
        return self._rows.get(extension) or HabitRow(extension=extension)

    async def change(self, extension: str, **changes: object) -> None:
        """Other habits from now on."""
        row = HabitRow(**{**self.of(extension).model_dump(), **changes})
        self._rows[extension] = row

        async def change(session: AsyncSession) -> None:
            await session.merge(row)

        await self._database.together(change)

    def consent(self, by: str, to: str) -> bool | None:
        """Whether somebody wants to be reminded by another; None before they were asked."""
        return self._consents.get((by, to))

    async def note_consent(self, by: str, to: str, *, given: bool) -> None:
        """They said so."""
        self._consents[by, to] = given
        row = ConsentRow(extension=by, to=to, given=given, at=self.now())

        async def note(session: AsyncSession) -> None:
            await session.merge(row)

        await self._database.together(note)

    async def is_quiet(self, extension: str) -> bool:
        """Whether somebody's phone must not ring for what others want of them."""
        habit = self._rows.get(extension)
        person = await self._people.with_extension(extension) if habit else None
        if habit is None or person is None or not habit.quiet_from:
            return False
        clock = f"{self.now().astimezone(ZoneInfo(person.timezone)):%H:%M}"
        begin, end = habit.quiet_from, habit.quiet_to
        if begin <= end:
            return begin <= clock < end
        return clock >= begin or clock < end

    async def forget(self, extension: str) -> None:
        """Forget what somebody said, and what others said of them."""

        async def forget(session: AsyncSession) -> None:
            mine = or_(col(ConsentRow.extension) == extension, col(ConsentRow.to) == extension)
            await session.execute(delete(ConsentRow).where(mine))
            await session.execute(delete(HabitRow).where(col(HabitRow.extension) == extension))

        await self._database.together(forget)
        self._rows.pop(extension, None)
        for pair in [pair for pair in self._consents if extension in pair]:
            del self._consents[pair]
