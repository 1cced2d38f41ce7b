"""Which programs are alive. Each says so in the database every two seconds, by its clock; one that
has not for a lease is dead, and whoever sees that first settles what it left, in one transaction.

The oldest leads: it does what is to be done once for all, chats and reminders among it. A program
that finds itself declared dead has lost its calls and its people to others, and must begin anew.
While the database is away nobody dies of that: only who has seen it for a whole lease may declare
others dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select, update

from store.database import Database
from store.tables import NodeRow
from store.types import UtcDateTime

log = logging.getLogger(__name__)

LEASE = 6.0
"Seconds that somebody is taken to be alive after they last said so."
RENEW_EVERY = 2.0
ABOUT = timedelta(seconds=1)
"Less than that, two clocks show the same: what is measured is as wrong as the look took."
TAKES = 4.0
"Seconds after which a look that has not come to an end is given up."

NOW = func.timezone("utc", func.clock_timestamp(), type_=UtcDateTime)
"The database's clock: programs may be half a minute apart, and nobody dies or pays for that."


@dataclass(frozen=True, kw_only=True)
class Node:
    """A program of this exchange."""

    name: str
    address: str
    "host:port, SIP over UDP."
    since: datetime
    leaving: bool = False
    "It takes nobody in: it is about to go, or not ready yet."
    web: str = ""
    "host:port of its web, if others can reach it."


Settle = Callable[[AsyncSession, Node, datetime, Mapping[str, Node]], Awaitable[None]]
"Settles what a dead node left, which was alive until then, with those that are left."


Bequeath = Callable[[AsyncSession, Node, Mapping[str, Node]], Awaitable[None]]
"The same for one that leaves in order."


class Membership:
    """This program among the others. `changed` is told when others came or went, `lost` when this
    one was declared dead."""

    def __init__(self, database: Database, name: str, address: str, settle: Settle) -> None:
        self._database = database
        self._lease = Database(database.url, name)
        "Of its own: saying that we are alive waits for nothing else that is written."
        self.name = name
        self._address = address
        self._settle = settle
        self.nodes: dict[str, Node] = {}
        "All of them, this one too, the oldest first."
        self.changed: Callable[[], None] = lambda: None
        self.lost: Callable[[], None] = lambda: None
        self.ahead = timedelta()
        "How far the database's clock is before ours."
        self._seen_since: float | None = None
        "From when on every look at the database was good, by the loop's clock …"
        self._seen = 0.0
        "… and when the last was."
        self.buried = 0
        "Dead ones whose calls this one settled."
        self._burying: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def leader(self) -> str:
        """Who does what is done once for all."""
        return next(iter(self.nodes), "")

    @property
    def leads(self) -> bool:
        return self.leader == self.name

    @property
    def sees(self) -> bool:
        """Whether the last look is not so long ago that the others may take this one for dead."""
        return asyncio.get_running_loop().time() - self._seen < LEASE

    async def join(self) -> None:
        """Be one of them, in the place of an earlier run of this program; one that takes nobody in
        before it is ready. Raises DBAPIError."""
        async with self._lease.writing() as session:
            await session.execute(delete(NodeRow).where(col(NodeRow.name) == self.name))
            now = await self._compare_clocks(session)
            session.add(
                NodeRow(
                    name=self.name,
                    address=self._address,
                    since=now,
                    until=now + timedelta(seconds=LEASE),
                    leaving=True,
                )
            )
        await self.look()
        self._task = asyncio.ensure_future(self._live())

    async def enter(self, web: str) -> None:
        """Take people in from now on, and requests of the others' at `web`. Raises DBAPIError."""
        await self._say(leaving=False, web=web)

    async def leave(self) -> None:
        """Take nobody in any more; what goes on here goes on. Raises DBAPIError."""
        await self._say(leaving=True)

    async def _say(self, **values: Any) -> None:
        async def say(session: AsyncSession) -> None:
            mine = col(NodeRow.name) == self.name
            await session.execute(update(NodeRow).where(mine).values(**values))

        await self._lease.together(say)
        await self.look()

    async def close(self, bequeath: Bequeath) -> None:
        """Be none of them any more; `bequeath` passes on what is left. Raises DBAPIError."""
        await self.stop()
        left = {name: node for name, node in self.nodes.items() if name != self.name}
        async with self._database.writing() as session:
            await bequeath(session, self.nodes[self.name], left)
            await session.execute(delete(NodeRow).where(col(NodeRow.name) == self.name))

    async def stop(self) -> None:
        """Say no more that we are alive."""
        for task in (self._task, self._burying):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        await self._lease.close()

    # ── inside ──────────────────────────────────────────────────────────────────────────
    async def _live(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            try:
                async with asyncio.timeout(TAKES):
                    alive = await self.look()
            except (DBAPIError, OSError, TimeoutError) as error:
                if self._seen_since is not None:
                    log.warning("the other nodes cannot be seen: %s", type(error).__name__)
                self._seen_since = None
            else:
                if not alive:
                    log.error("the other nodes took this one for dead")
                    self.lost()
                    return

    async def look(self) -> bool:
        """Say that we are alive, and see who else is; False if we are none of them."""
        began = asyncio.get_running_loop().time()
        async with self._lease.writing() as session:
            mine = col(NodeRow.name) == self.name
            until = NOW + text(f"interval '{LEASE} seconds'")
            renewed = await session.execute(
                update(NodeRow).where(mine).values(until=until).returning(col(NodeRow.name))
            )
            if renewed.scalar() is None:
                return False
            rows = (await session.execute(select(NodeRow))).scalars().all()
            overdue = select(col(NodeRow.name)).where(col(NodeRow.until) < NOW)
            late = set((await session.execute(overdue)).scalars())
            await self._compare_clocks(session)
        if self._seen_since is None or began - self._seen > LEASE:  # we may have been held up
            self._seen_since = began
        self._seen = began
        found = {
            row.name: Node(
                name=row.name,
                address=row.address,
                since=row.since,
                leaving=row.leaving,
                web=row.web,
            )
            for row in sorted(rows, key=lambda row: (row.since, row.name))
        }
        if found != self.nodes:
            self.nodes = found
            self.changed()
        if late and began - self._seen_since >= LEASE and self._is_free():
            left = {name: node for name, node in found.items() if name not in late}
            self._burying = asyncio.ensure_future(self._bury([found[n] for n in late], left))
        return True

    async def _compare_clocks(self, session: AsyncSession) -> datetime:
        """What the database's clock says."""
        before = datetime.now(UTC)
        now: datetime = (await session.execute(select(NOW))).scalar_one()
        after = datetime.now(UTC)
        ahead = now - before - (after - before) / 2
        if abs(ahead - self.ahead) > ABOUT + (after - before) / 2:
            log.warning("the clock here is %.0f s behind the database's", ahead.total_seconds())
            self.ahead = ahead
        return now

    def _is_free(self) -> bool:
        return self._burying is None or self._burying.done()

    async def _bury(self, dead: Sequence[Node], left: Mapping[str, Node]) -> None:
        """Settle what dead nodes left, however long that takes."""
        for one in dead:
            try:
                if await self._settled(one, left):
                    self.buried += 1
                    log.error("node %s at %s is dead", one.name, one.address)
            except (DBAPIError, OSError) as error:
                log.warning("a dead node cannot be settled: %s", type(error).__name__)
            except Exception:
                log.exception("a dead node cannot be settled")
        with contextlib.suppress(DBAPIError, OSError):
            await self.look()

    async def _settled(self, dead: Node, left: Mapping[str, Node]) -> bool:
        """Settle what a dead node left; False when somebody else does, or it lives."""
        async with self._database.writing() as session:
            theirs = select(NodeRow).where(col(NodeRow.name) == dead.name, col(NodeRow.until) < NOW)
            row = (await session.execute(theirs.with_for_update(skip_locked=True))).scalar()
            if row is None:
                return False
            alive = row.until - timedelta(seconds=LEASE)
            await self._settle(session, dead, alive, left)
            await session.delete(row)
        return True
