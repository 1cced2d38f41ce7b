"""Small things kept by key, for parts of the program that need no table of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from store.database import Database
from store.tables import ShelfRow


class Shelf:
    """One part's things; `name` keeps them from those of others."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    async def all(self) -> dict[str, dict[str, Any]]:
        """Everything by its key."""
        async with self._database.reading() as session:
            found = await session.execute(select(ShelfRow).where(col(ShelfRow.shelf) == self._name))
            return {row.key: row.value for row in found.scalars()}

    async def keep(self, changes: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Keep things under their keys, all of them or, when it fails, none; None drops one."""

        async def keep(session: AsyncSession) -> None:
            for key, value in changes.items():
                if value is not None:
                    await session.merge(ShelfRow(shelf=self._name, key=key, value=dict(value)))
                elif (row := await session.get(ShelfRow, (self._name, key))) is not None:
                    await session.delete(row)

        await self._database.together(keep)
