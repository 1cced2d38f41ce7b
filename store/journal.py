"""What the rest of the program asks of the journal and the registrations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import or_
from sqlmodel import col, delete, select
from sqlmodel.sql.expression import SelectOfScalar

from store.database import Database
from store.tables import BindingRow, CallRow, LegRow, TraceRow

INTERRUPTED = "the exchange was interrupted"


async def recent_calls(
    database: Database, *, limit: int = 20, user: str | None = None
) -> list[tuple[CallRow, list[LegRow]]]:
    """The latest calls with their legs, newest first; `user` restricts to one extension."""
    query: SelectOfScalar[CallRow] = select(CallRow).order_by(col(CallRow.started_at).desc())
    if user is not None:
        query = query.where(
            or_(col(CallRow.user) == user, col(CallRow.caller) == user, col(CallRow.callee) == user)
        )
    async with database.reading() as session:
        calls = list((await session.execute(query.limit(limit))).scalars())
        ids = [call.id for call in calls]
        found = await session.execute(
            select(LegRow).where(col(LegRow.call_id).in_(ids)).order_by(col(LegRow.started_at))
        )
        legs: dict[str, list[LegRow]] = {call.id: [] for call in calls}
        for leg in found.scalars():
            legs[leg.call_id].append(leg)
    return [(call, legs[call.id]) for call in calls]


async def find_call(database: Database, prefix: str) -> CallRow | None:
    """A call by the beginning of its id; "last" is the latest one."""
    query: SelectOfScalar[CallRow] = select(CallRow).order_by(col(CallRow.started_at).desc())
    if prefix != "last":
        query = query.where(col(CallRow.id).startswith(prefix, autoescape=True))
    async with database.reading() as session:
        return (await session.execute(query.limit(1))).scalars().first()


async def trace_of(database: Database, call_id: str) -> list[dict[str, Any]]:
    """The SIP messages of a call in order, as `TraceRow` keeps them."""
    async with database.reading() as session:
        row = await session.get(TraceRow, call_id)
    return row.messages if row else []


async def live_bindings(database: Database, now: datetime) -> Sequence[BindingRow]:
    """Registrations that have not expired; expired ones are deleted."""
    async with database.writing() as session:
        await session.execute(delete(BindingRow).where(col(BindingRow.expires) <= now))
        return list((await session.execute(select(BindingRow))).scalars())


async def close_interrupted(database: Database, now: datetime) -> int:
    """End the calls that a crash left open, at the last moment anything is known of them."""
    async with database.writing() as session:
        open_calls = list(
            (
                await session.execute(select(CallRow).where(col(CallRow.ended_at).is_(None)))
            ).scalars()
        )
        for call in open_calls:
            legs = list(
                (await session.execute(select(LegRow).where(LegRow.call_id == call.id))).scalars()
            )
            known = [
                moment
                for leg in legs
                for moment in (leg.started_at, leg.ringing_at, leg.answered_at, leg.ended_at)
                if moment is not None
            ]
            call.ended_at = max([call.started_at, *known])
            call.status, call.cause = 500, INTERRUPTED
            for leg in legs:
                if leg.ended_at is None:
                    leg.ended_at, leg.status, leg.cause = call.ended_at, 500, INTERRUPTED
    return len(open_calls)
