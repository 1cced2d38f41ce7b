"""A million calls of one person, looked through: pages near the end and far back, and searches for
numbers that called often, seldom, and never. The database is a file, as the exchange has it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.report import Row, quantile
from bench.rows import Options
from store.database import Database
from store.past import Between, calls_of

CALLS, PEERS = 1_000_000, 50_000
LIMIT_MS = 50.0
PAGE = 51
ME = "101"
BEGAN = datetime(2016, 1, 1, tzinfo=UTC)
APART = timedelta(minutes=5)


def _number(peer: int) -> str:
    """Numbers of four countries; few of them call often."""
    return f"+{('4930', '4420', '1202', '3314')[peer % 4]}{1_000_000 + peer * 37 % 9_000_000}"


def _rows(calls: int) -> Iterator[tuple[object, ...]]:
    rng = random.Random(1)
    for number in range(calls):
        peer = _number(min(PEERS - 1, int(rng.paretovariate(0.35)) - 1))
        at = (BEGAN + number * APART).replace(tzinfo=None).isoformat(" ", "microseconds")
        out = rng.random() < 0.5
        caller, callee = (ME, peer) if out else (peer, ME)
        kind = "outbound" if out else "inbound"
        yield (f"{number:x}", at, at, at, caller, callee, callee, ME, kind, "", 200, "hung up", 0)


def _fill(file: Path, calls: int) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executemany(
            'INSERT INTO "call" (id, started_at, answered_at, ended_at, caller, callee, dialled, '
            '"user", kind, shown, status, cause, private) '
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _rows(calls),
        )


async def _took(folder: Path, calls: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of look."""
    database = Database(folder / "history.db")
    await database.open()
    await asyncio.to_thread(_fill, folder / "history.db", calls)
    rng = random.Random(2)
    took: dict[str, list[float]] = {}

    async def look(kind: str, which: Between) -> int:
        began = time.perf_counter()
        found = await calls_of(database, ME, limit=PAGE, which=which)
        took.setdefault(kind, []).append(1000 * (time.perf_counter() - began))
        return len(found)

    for turn in range(rounds):
        until = BEGAN + rng.randrange(calls) * APART
        await look("newest page", Between())
        await look("page far back", Between(until=until))
        often, seldom = _number(turn % 20), _number(rng.randrange(1_000, PEERS))
        await look("often called", Between(numbers=[often], searched=True))
        await look("seldom called", Between(numbers=[seldom], searched=True))
        await look("begins as a seldom one", Between(begins=[seldom[:9]], searched=True))
        await look("begins as a country", Between(begins=[seldom[:3]], searched=True))
        await look("begins as none", Between(begins=["+999"], searched=True))
        await look("seldom, far back", Between(numbers=[seldom], until=until, searched=True))
    await database.close()
    return took


def measure(options: Options) -> list[Row]:
    """One row: all looks together."""
    calls, rounds = (50_000, 20) if options.quick else (CALLS, 100)
    row = Row("history", f"a page of {calls:,} calls of one person, paged or searched, p99", "ms")
    (options.folder / "history").mkdir()
    took = asyncio.run(_took(options.folder / "history", calls, rounds))
    everything = [one for kind in took.values() for one in kind]
    row.against(quantile(everything, 0.99), LIMIT_MS)
    row.detail = "; ".join(
        f"{kind} p50 {statistics.median(times):.1f}, p99 {quantile(times, 0.99):.1f}"
        for kind, times in took.items()
    )
    return [row]
