"""What numbers brought: the calls that came in on them, and who had called before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import func
from sqlmodel import col, select

from store.database import Database
from store.tables import CallRow

MAX_CALLS = 50_000
"Looked at for one statistic; of more, the latest."


async def calls_to(
    database: Database,
    numbers: Collection[str],
    since: datetime | None = None,
    until: datetime | None = None,
) -> Sequence[CallRow]:
    """The calls from outside that came in on some numbers, the oldest first."""
    query = select(CallRow).where(col(CallRow.dialled).in_(numbers), col(CallRow.kind) == "inbound")
    if since is not None:
        query = query.where(col(CallRow.started_at) >= since)
    if until is not None:
        query = query.where(col(CallRow.started_at) < until)
    latest = query.order_by(col(CallRow.started_at).desc()).limit(MAX_CALLS)
    async with database.reading() as session:
        return list((await session.execute(latest)).scalars())[::-1]


async def first_calls(database: Database, callers: Collection[str]) -> Mapping[str, datetime]:
    """When each of some callers called from outside for the first time, on whatever number."""
    found: dict[str, datetime] = {}
    wanted = sorted(callers)
    for at in range(0, len(wanted), 500):  # SQLite binds no more than so many
        query = (
            select(CallRow.caller, func.min(CallRow.started_at))
            .where(col(CallRow.caller).in_(wanted[at : at + 500]), col(CallRow.kind) == "inbound")
            .group_by(CallRow.caller)
        )
        async with database.reading() as session:
            rows = (await session.execute(query)).all()
        found.update((caller, first) for caller, first in rows)
    return found
