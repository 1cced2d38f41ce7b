"""Several exchanges on one PostgreSQL database: programs of their own, one of them killed."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, func, select

from scheduler.reminders import LEASE
from store.database import Database
from store.tables import ReminderRow, RingRow
from tests.peers.postgres import Postgres

WITHIN = 90.0


class Exchange:
    """A running program, and what rang there."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.rang: list[tuple[str, str]] = []
        self.ready = asyncio.Event()
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            words = line.decode().split()
            if words == ["ready"]:
                self.ready.set()
            else:
                self.rang.append((words[0], words[1]))

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.reading


@asynccontextmanager
async def exchange(url: URL, node: str, ahead: float = 0.0) -> AsyncIterator[Exchange]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.scheduler.ringing", node, str(ahead),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(url.render_as_string(hide_password=False).encode() + b"\n")
    found = Exchange(process)
    try:
        async with asyncio.timeout(WITHIN):
            await found.ready.wait()
        yield found
    finally:
        await found.kill()


@asynccontextmanager
async def opened(postgres: Postgres) -> AsyncIterator[tuple[URL, Database]]:
    with postgres.database() as url:
        database = Database(url)
        await database.open()
        yield url, database
        await database.close()


async def ordered(database: Database, count: int, seconds: Sequence[int]) -> None:
    """So many reminders, due in some seconds, one after the other of these."""
    begin = datetime.now(UTC) + timedelta(seconds=3)
    async with database.writing() as session:
        for number in range(count):
            at = begin + timedelta(seconds=seconds[number * len(seconds) // count])
            session.add(
                ReminderRow(
                    id=f"{number:04d}", extension="101", text="water", by="message", zone="UTC",
                    leads=[0], start=at, occurrence=at, due=at, rule="FREQ=HOURLY;COUNT=3",
                )
            )  # fmt: skip


async def settled(database: Database, count: int) -> None:
    """Return when so many rang and are done with."""
    query = select(func.count()).where(col(RingRow.state) == "done", col(RingRow.due).is_(None))
    async with asyncio.timeout(WITHIN):
        while True:
            with contextlib.suppress(DBAPIError):  # the server is away
                async with database.reading() as session:
                    if (await session.execute(query)).scalar_one() >= count:
                        return
            await asyncio.sleep(0.1)


async def left_open(database: Database) -> set[str]:
    """What was claimed and whose outcome nobody noted: it waits for its time to be up."""
    async with database.reading() as session:
        claimed = select(RingRow.reminder).where(col(RingRow.due).is_not(None))
        return set((await session.execute(claimed)).scalars())


async def nothing_due(database: Database) -> None:
    """Return when no reminder waits to be moved on any more, nor a ring to be claimed."""
    async with asyncio.timeout(WITHIN):
        while True:
            now = datetime.now(UTC)
            async with database.reading() as session:
                waiting = [
                    (await session.execute(select(func.count()).where(due <= now))).scalar_one()
                    for due in (col(ReminderRow.due), col(RingRow.due))
                ]
            if waiting == [0, 0]:
                return
            await asyncio.sleep(0.1)


async def the_rest_rings_later(
    url: URL, database: Database, before: list[tuple[str, str]], count: int
) -> None:
    """So far each rang once at most, all but what was being tried; and that rings when its time
    is up, once, be it that it rang already."""
    assert set(Counter(before).values()) <= {1}
    open_yet = await left_open(database)
    assert len({id for id, _ in before} | open_yet) == count
    async with exchange(url, "later", ahead=LEASE.total_seconds() + 60) as later:
        await settled(database, count)
    assert {id for id, _ in later.rang} == open_yet
    assert len(later.rang) == len(open_yet)


async def test_three_exchanges_ring_each_once(postgres: Postgres) -> None:
    """One clock is eight seconds ahead of the others'."""
    async with opened(postgres) as (url, database):
        async with (
            exchange(url, "one") as one,
            exchange(url, "two") as two,
            exchange(url, "fast", ahead=8) as fast,
        ):
            await ordered(database, 600, [0, 1, 2, 12])
            await settled(database, 600)
        rang = [ring for each in (one, two, fast) for ring in each.rang]
        assert len(rang) == len(set(rang)) == 600


async def test_a_dead_exchange_leaves_what_it_had_not_begun_to_the_others(
    postgres: Postgres,
) -> None:
    async with opened(postgres) as (url, database):
        async with exchange(url, "dies") as dies, exchange(url, "lives") as lives:
            await ordered(database, 400, range(10))
            await settled(database, 60)
            await dies.kill()
            await settled(database, 400 - len(await left_open(database)))
            await nothing_due(database)
        await the_rest_rings_later(url, database, dies.rang + lives.rang, 400)


async def test_a_server_that_is_killed_loses_nothing_and_doubles_nothing(
    postgres: Postgres,
) -> None:
    async with opened(postgres) as (url, database):
        async with exchange(url, "one") as one, exchange(url, "two") as two:
            await ordered(database, 300, range(10))
            await settled(database, 40)
            await asyncio.to_thread(postgres.kill)
            await asyncio.to_thread(postgres.start)
            await settled(database, 41)  # they are at it again
            await settled(database, 300 - len(await left_open(database)))
            await nothing_due(database)
        await the_rest_rings_later(url, database, one.rang + two.rang, 300)
