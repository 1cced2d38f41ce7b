"""Commands for later: each is done once, at its time or as soon as we are there again."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

from scheduler.alarm import Alarm
from store.database import Database
from store.tables import PlanRow

log = logging.getLogger(__name__)

AGAIN = 10.0
"Seconds until a plan is tried again when the database failed."
MAX_PLANS = 100
"Of one person."

KIND = "plan"
"What the alarm knows them as."

Do = Callable[[PlanRow], Awaitable[None]]


class TooManyPlans(Exception):
    """A person has as many as one may have."""


class Plans:
    """`do` does one when its time has come; `interrupted` is told of one that was being done
    when the last run ended."""

    def __init__(
        self, database: Database, alarm: Alarm, do: Do, interrupted: Callable[[PlanRow], None]
    ) -> None:
        self._database = database
        self._do = do
        self._interrupted = interrupted
        self._alarm = alarm
        alarm.on(KIND, self._ring)
        self._doing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Go on with what the last run left."""
        async with self._database.reading() as session:
            rows = (await session.execute(select(PlanRow))).scalars().all()
        await self._alarm.start()
        for row in rows:
            if row.begun:
                await self._drop(row.id)
                self._interrupted(row)
            else:
                await self._alarm.set(KIND, row.id, row.at)

    async def stop(self) -> None:
        """Finish what is begun; the alarm must have been stopped."""
        await asyncio.gather(*self._doing, return_exceptions=True)

    async def add(self, extension: str, at: datetime, command: Mapping[str, Any]) -> PlanRow:
        """Do something at a time. Raises `TooManyPlans`."""
        if len(await self.of(extension)) >= MAX_PLANS:
            raise TooManyPlans
        row = PlanRow(id=secrets.token_hex(6), extension=extension, at=at, command=dict(command))
        kept = row.model_copy()

        async def add(session: AsyncSession) -> None:
            session.add(kept)

        await self._database.together(add)
        try:
            await self._alarm.set(KIND, row.id, at)
        except DBAPIError as error:  # it is kept all the same, and must not be asked for twice
            log.error("a plan rings in this run only, the database fails: %s", error.orig)
            wait = max(0.0, (at - datetime.now(UTC)).total_seconds())
            asyncio.get_running_loop().call_later(wait, self._ring, row.id)
        return row

    async def of(self, extension: str) -> Sequence[PlanRow]:
        """What somebody has planned, the next first."""
        async with self._database.reading() as session:
            found = await session.execute(
                select(PlanRow)
                .where(col(PlanRow.extension) == extension, col(PlanRow.begun).is_(False))
                .order_by(col(PlanRow.at))
            )
            return found.scalars().all()

    async def cancel(self, id: str) -> bool:
        """Do not do it; False if that is too late."""
        cancelled = await self._drop(id, unless_begun=True)
        await self._alarm.clear(KIND, id)
        return cancelled

    async def forget(self, extension: str) -> None:
        """Cancel all that somebody planned."""
        for row in await self.of(extension):
            await self.cancel(row.id)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _ring(self, id: str) -> None:
        task = asyncio.ensure_future(self._carry_out(id))
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _carry_out(self, id: str) -> None:
        try:
            row = await self._database.together(lambda session: _begin(session, id))
            if row is not None:
                await self._do(row)
                await self._drop(id)
        except DBAPIError as error:
            log.error("a plan waits, the database fails: %s", error.orig)
            asyncio.get_running_loop().call_later(AGAIN, self._ring, id)
        except Exception:
            log.exception("a plan failed")
            await self._drop(id)

    async def _drop(self, id: str, *, unless_begun: bool = False) -> bool:
        async def drop(session: AsyncSession) -> bool:
            wanted = col(PlanRow.id) == id
            if unless_begun:
                wanted &= col(PlanRow.begun).is_(False)
            row = (await session.execute(select(PlanRow).where(wanted))).scalars().first()
            await session.execute(delete(PlanRow).where(wanted))
            return row is not None

        return await self._database.together(drop)


async def _begin(session: AsyncSession, id: str) -> PlanRow | None:
    """Mark that it is being done; None if it was, or was cancelled."""
    row = await session.get(PlanRow, id)
    if row is None or row.begun:
        return None
    row.begun = True
    return row.model_copy()
