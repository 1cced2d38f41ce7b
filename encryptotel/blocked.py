"""Whose calls people do not want."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

from bot.ports import OperatorError
from store.database import Database
from store.tables import BlockRow

MAX_BLOCKED = 1_000
"Of one extension."


class Blocked:
    """Numbers and extensions that may not ring an extension; in memory, because every call asks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_extension: dict[str, set[str]] = {}

    async def load(self) -> None:
        """Read them all."""
        async with self._database.reading() as session:
            rows = (await session.execute(select(BlockRow))).scalars().all()
        for row in rows:
            self._by_extension.setdefault(row.extension, set()).add(row.number)

    def has(self, extension: str, caller: str) -> bool:
        """Whether a caller may not ring an extension."""
        return caller in self._by_extension.get(extension, ())

    def of(self, extension: str) -> Sequence[str]:
        """Whom an extension blocks."""
        return sorted(self._by_extension.get(extension, ()))

    async def add(self, extension: str, number: str) -> None:
        """Let somebody ring no more. Raises `OperatorError`."""
        blocked = self._by_extension.setdefault(extension, set())
        if len(blocked) >= MAX_BLOCKED:
            raise OperatorError("block.too_many", f"{MAX_BLOCKED} blocked callers are the most")

        async def add(session: AsyncSession) -> None:
            await session.merge(BlockRow(extension=extension, number=number))

        await self._database.together(add)
        blocked.add(number)

    async def remove(self, extension: str, number: str) -> bool:
        """Let somebody ring again; False if they could."""
        blocked = self._by_extension.get(extension, set())
        if number not in blocked:
            return False

        async def remove(session: AsyncSession) -> None:
            row = await session.get(BlockRow, (extension, number))
            if row is not None:
                await session.delete(row)

        await self._database.together(remove)
        blocked.discard(number)
        return True

    async def forget(self, extension: str) -> None:
        """Forget whom an extension blocked."""

        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(BlockRow).where(col(BlockRow.extension) == extension))

        await self._database.together(forget)
        self._by_extension.pop(extension, None)
