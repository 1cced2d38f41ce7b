"""Small things kept by key, for parts of the program that need no table of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from store.database import Database
from store.tables import ShelfRow


class Shelf:
    """One part's things; `name` keeps them from those of others."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    async def get(self, key: str) -> dict[str, Any] | None:
        """What is kept under a key; None if nothing is."""
        async with self._database.reading() as session:
            row = await session.get(ShelfRow, (self._name, key))
        return row.value if row is not None else None

    async def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep something, in the place of what there was."""

        async def put(session: AsyncSession) -> None:
            await session.merge(ShelfRow(shelf=self._name, key=key, value=dict(value)))

        await self._database.together(put)

    async def drop(self, key: str) -> None:
        """Keep nothing there any more."""

        async def drop(session: AsyncSession) -> None:
            row = await session.get(ShelfRow, (self._name, key))
            if row is not None:
                await session.delete(row)

        await self._database.together(drop)
