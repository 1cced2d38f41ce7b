"""The database: an async engine, sessions, and the schema brought up to date at start."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

HEAD = "0014"
"The newest migration; a test keeps this equal to what Alembic says."


T = TypeVar("T")
Work = Callable[[AsyncSession], Awaitable[T]]


class StoreError(OSError):
    """The database cannot be used; the text says what to do."""


class Database:
    """One SQLite file. Writes go through one session at a time, which is all SQLite can do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = create_async_engine(
            f"sqlite+aiosqlite:///{path}",
            hide_parameters=True,  # what people write is in them, and errors are logged
        )
        event.listen(self._engine.sync_engine, "connect", _prepare)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writing = asyncio.Lock()
        self._together: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._working: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Create or upgrade the tables. Raises `StoreError`."""
        try:
            if await asyncio.to_thread(_version, self.path) != HEAD:
                await asyncio.to_thread(_upgrade, self.path)
                await asyncio.to_thread(self.path.chmod, 0o600)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self.path} cannot be used: {error}") from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session to read with."""
        async with self._sessions() as session:
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A transaction: committed at the end of the block, undone if it raises."""
        async with self._writing, self._sessions() as session, session.begin():
            yield session

    async def together(self, work: Work[T]) -> T:
        """Do some small work in one transaction with all that waits for the disk just now: a
        commit takes it milliseconds, however much is in it. Raises what the commit raises."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._together.append((work, done))
        if self._working is None:
            self._working = asyncio.ensure_future(self._work())
        return await done

    async def _work(self) -> None:
        while self._together:
            batch, self._together = self._together, []
            try:
                async with self.writing() as session:
                    results = [await work(session) for work, _ in batch]
            except Exception as error:
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            else:
                for (_, done), result in zip(batch, results, strict=True):
                    if not done.done():
                        done.set_result(result)
        self._working = None

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    """WAL lets the command line read while the exchange writes, and survives `kill -9` whatever
    `synchronous` says: what was written is with the kernel. Only a loss of power asks for more,
    so each commit is forced to the disk (FULL); NORMAL would be undamaged but could go back by
    half a minute. It costs the writing thread some milliseconds a commit, and the loop nothing.
    """
    cursor = connection.cursor()
    for pragma in (
        "busy_timeout=5000",
        "journal_mode=WAL",
        "synchronous=FULL",
        "journal_size_limit=16777216",  # a busy hour does not leave its log behind for ever
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _version(path: Path) -> str | None:
    """The migration a file is at, asked without loading Alembic, which takes its time."""
    if not path.exists():
        return None
    with sqlite3.connect(path) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return str(row[0]) if row else None


def _upgrade(path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    command.upgrade(config, "head")
