"""What the rest of the program asks of the journal and the registrations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_
from sqlalchemy import select as select_columns
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col, delete, select, update
from sqlmodel.sql.expression import SelectOfScalar

from store.database import Database
from store.tables import BindingRow, CallRow, LegRow, TraceRow

INTERRUPTED = "the exchange stopped unexpectedly"
MAX_TRUNK_CALLS = 20_000


@dataclass(frozen=True, kw_only=True)
class TrunkCall:
    """A leg that left through a trunk: who is charged, when and how long since dialled, whom it
    called, and from which device (`transport:host:port`, empty when a command placed it)."""

    user: str
    at: datetime
    seconds: float
    number: str
    device: str


async def recent_calls(
    database: Database, *, limit: int = 20
) -> list[tuple[CallRow, list[LegRow]]]:
    """The latest calls with their legs, newest first."""
    async with database.reading() as session:
        calls = list((await session.execute(_latest().limit(limit))).scalars())
        ids = [call.id for call in calls]
        found = await session.execute(
            select(LegRow).where(col(LegRow.call_id).in_(ids)).order_by(col(LegRow.started_at))
        )
        legs: dict[str, list[LegRow]] = {call.id: [] for call in calls}
        for leg in found.scalars():
            legs[leg.call_id].append(leg)
    return [(call, legs[call.id]) for call in calls]


def _latest() -> SelectOfScalar[CallRow]:
    return select(CallRow).order_by(col(CallRow.started_at).desc())


async def forget_calls(session: AsyncSession, user: str) -> None:
    """Forget the calls charged to an extension, with all that was written about them."""
    theirs = select(CallRow.id).where(col(CallRow.user) == user)
    for table in (LegRow, TraceRow):
        await session.execute(delete(table).where(col(table.call_id).in_(theirs)))
    await session.execute(delete(CallRow).where(col(CallRow.user) == user))
    for side in ("caller", "callee"):  # whoever has the extension next was not there
        theirs_too = update(CallRow).where(getattr(CallRow, side) == user)
        await session.execute(theirs_too.values({side: f"former {user}"}))


async def find_call(database: Database, prefix: str) -> CallRow | None:
    """A call by the beginning of its id; "last" is the latest one."""
    query = _latest()
    if prefix != "last":
        query = query.where(col(CallRow.id).startswith(prefix, autoescape=True))
    async with database.reading() as session:
        return (await session.execute(query.limit(1))).scalars().first()


async def open_legs_outside(session: AsyncSession, node: str) -> list[tuple[str, str]]:
    """The legs of a node's calls that go on and lead outside, with their calls: (call, leg)."""
    calls = select(LegRow.call_id).where(
        col(LegRow.node) == node, col(LegRow.ended_at).is_(None), col(LegRow.trunk) != ""
    )
    query = select_columns(col(LegRow.call_id), col(LegRow.id)).where(
        col(LegRow.call_id).in_(calls), col(LegRow.ended_at).is_(None)
    )
    return [(call, leg) for call, leg in (await session.execute(query)).all()]


async def legs_of(database: Database, call_id: str) -> Sequence[LegRow]:
    """The legs of a call, in the order in which they began."""
    query = select(LegRow).where(col(LegRow.call_id) == call_id).order_by(col(LegRow.started_at))
    async with database.reading() as session:
        return list((await session.execute(query)).scalars())


async def trace_of(database: Database, call_id: str) -> list[dict[str, Any]]:
    """The SIP messages of a call in order, as `TraceRow` keeps them."""
    async with database.reading() as session:
        row = await session.get(TraceRow, call_id)
    return row.messages if row else []


async def live_bindings(database: Database, now: datetime) -> Sequence[BindingRow]:
    """Registrations that have not expired. Only reads: a start must not need room on the disk."""
    async with database.reading() as session:
        found = await session.execute(select(BindingRow).where(col(BindingRow.expires) > now))
        return list(found.scalars())


async def settle(
    session: AsyncSession, *, started: datetime, alive: datetime | None, nodes: Collection[str]
) -> tuple[int, int]:
    """Put in order what the last run left, of these of several programs: its open calls ended when
    it was last `alive` (None: when something was last known of them), registrations that expired
    before we `started` deleted. To be done before anything of this run is written. The numbers of
    both."""
    left = select(CallRow).where(col(CallRow.ended_at).is_(None), col(CallRow.node).in_(nodes))
    open_calls = list((await session.execute(left)).scalars())
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
        # A mark from the future (the clock was set back) would make the call last for years.
        latest = min(alive or call.started_at, started)
        call.ended_at = max([call.started_at, latest, *known])
        call.status, call.cause = 500, INTERRUPTED
        for leg in legs:
            if leg.ended_at is None:
                leg.ended_at, leg.status, leg.cause = call.ended_at, 500, INTERRUPTED
    theirs = col(LegRow.ended_at).is_(None) & col(LegRow.node).in_(nodes)  # in calls of others
    over = {"ended_at": alive or started, "status": 500, "cause": INTERRUPTED}
    await session.execute(update(LegRow).where(theirs).values(**over))
    expired = await session.execute(delete(BindingRow).where(col(BindingRow.expires) <= started))
    return len(open_calls), getattr(expired, "rowcount", 0)


async def trunk_calls(database: Database, since: datetime, now: datetime) -> list[TrunkCall]:
    """The answered calls through trunks since a moment, oldest first, of very many the latest;
    one that goes on lasts until `now`."""
    phone = aliased(LegRow)
    query = (
        select_columns(
            col(CallRow.user),
            col(LegRow.started_at),
            col(LegRow.ended_at),
            col(LegRow.peer),
            col(phone.device),
        )
        .join(CallRow, col(CallRow.id) == col(LegRow.call_id))
        .outerjoin(
            phone,
            and_(
                col(phone.call_id) == col(LegRow.call_id),
                col(phone.direction) == "in",
                col(phone.trunk) == "",
                col(phone.node) == col(LegRow.node),  # not again where it was passed on from
            ),
        )
        .where(
            col(LegRow.trunk) != "",
            col(LegRow.direction) == "out",
            col(LegRow.answered_at).is_not(None),
            col(LegRow.started_at) >= since,
        )
        .order_by(col(LegRow.started_at).desc())
        .limit(MAX_TRUNK_CALLS)
    )
    async with database.reading() as session:
        rows = list((await session.execute(query)).all())
    return [
        TrunkCall(
            user=user,
            at=started,
            seconds=((ended or now) - started).total_seconds(),
            number=number,
            device=device or "",
        )
        for user, started, ended, number, device in reversed(rows)
    ]


async def forget_traces(session: AsyncSession, *, before: datetime) -> None:
    """Delete the SIP messages of calls that ended before a moment."""
    old = select(CallRow.id).where(col(CallRow.ended_at) < before)
    await session.execute(delete(TraceRow).where(col(TraceRow.call_id).in_(old)))
