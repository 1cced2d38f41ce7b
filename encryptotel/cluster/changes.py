"""Word of what other programs wrote to tables that this one knows by heart (LISTEN, NOTIFY).

The word is only which table and whose row; what it says now is read from there. After the
connection broke anything may have changed.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection

import psycopg
from sqlalchemy import URL

from store.database import WATCHED

log = logging.getLogger(__name__)

CHANNEL = "encryptotel"
GATHER_SECONDS = 0.05
"What comes together is looked up together."
AGAIN_SECONDS = 1.0
MOST = 500
"Rows of one table that are looked up one by one; of more, all are."

Take = Callable[[Collection[str]], Awaitable[None]]
"Reads rows again, by what says whose they are, or all when none is named."


class Changes:
    """Listens. `takers` by table."""

    def __init__(self, url: URL, node: str, takers: dict[str, Take]) -> None:
        plain = url.set(drivername="postgresql").update_query_dict(
            {"application_name": node, **WATCHED}
        )
        self._address = plain.render_as_string(hide_password=False)
        self._node = node
        self._takers = takers
        self._news: dict[str, set[str]] = {}
        self._came = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._listens = asyncio.Event()

    async def start(self) -> None:
        """Listen from now on; everything is read again once, for it may have changed before."""
        self._tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._tell())]
        await self._listens.wait()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(self._address, autocommit=True)
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    if self._listens.is_set():
                        log.warning("listening to the database again")
                    self._news = {table: set() for table in self._takers}
                    self._came.set()
                    self._listens.set()
                    async for word in connection.notifies():
                        self._hear(word.payload)
            except (psycopg.Error, OSError) as error:
                log.warning("the database tells nothing: %s", type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)

    def _hear(self, payload: str) -> None:
        table, whose, by = json.loads(payload)
        if by == self._node or table not in self._takers:
            return
        known = self._news.get(table)
        if known is None:
            self._news[table] = {whose}
        elif known:  # none named: all are read anyway
            known.add(whose)
            if len(known) > MOST:
                known.clear()
        self._came.set()

    async def _tell(self) -> None:
        while True:
            await self._came.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._came.clear()
            news, self._news = self._news, {}
            for take, rows in _by_taker(news, self._takers).items():
                try:
                    await take(rows)
                except Exception as error:  # whatever is wrong with one, the others hear of theirs
                    log.error("what others changed cannot be read: %s", type(error).__name__)
                    for table, taker in self._takers.items():
                        if taker is take and table in news:
                            self._news[table] = set()
                    asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._came.set)


def _by_taker(news: dict[str, set[str]], takers: dict[str, Take]) -> dict[Take, set[str]]:
    """Who takes several tables is told once."""
    found: dict[Take, set[str]] = {}
    for table, rows in news.items():
        take = takers[table]
        if take not in found:
            found[take] = set(rows)
        elif rows and found[take]:
            found[take] |= rows
        else:
            found[take] = set()
    return found
