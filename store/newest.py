"""Tables that keep the newest rows of somebody, and no more."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select


async def keep_newest(
    session: AsyncSession, table: Any, whose: ColumnElement[bool], most: int
) -> None:
    """Delete all but the newest of `whose` rows, by `at`; the table's key is `id`."""
    await session.flush()
    older = select(table.id).where(whose).order_by(col(table.at).desc()).offset(most)
    ids = list((await session.execute(older)).scalars())
    await session.execute(delete(table).where(col(table.id).in_(ids)))
