"""The database: an async engine, sessions, and the schema brought up to date at start."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, create_engine, event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

HEAD = "0026"
"The newest migration; a test keeps this equal to what Alembic says."
CONNECT_SECONDS = 10
"How long a server may take to answer at all."
WATCHED = {
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"A network that swallows everything is noticed like one that breaks."
LETS_GO = {"options": "-c idle_in_transaction_session_timeout=10000"}
"What one that has fallen silent in the middle holds, the server gives to others."


T = TypeVar("T")
Work = Callable[[AsyncSession], Awaitable[T]]


class StoreError(OSError):
    """The database cannot be used; the text says what to do."""


def postgresql(address: str, password: str = "") -> URL:
    """The URL of a database on a server, from ``postgresql://user@host:port/name``. Without a
    password the client library looks for one (PGPASSFILE, the server's own rules). Raises
    ValueError."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise ValueError("write it like postgresql://user@host:5432/name") from None
    if url.drivername != "postgresql" or not url.database:
        raise ValueError("write it like postgresql://user@host:5432/name")
    if url.password:
        raise ValueError("the password has an option of its own, which is never shown")
    url = url.set(drivername="postgresql+psycopg", password=password or None)
    return url.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})


class Database:
    """One SQLite file, or a database on a PostgreSQL server. Writes go through one session at a
    time, which is all SQLite can do; what comes together shares a commit. `name` is this program's
    among others on the same server."""

    def __init__(self, where: Path | URL, name: str = "") -> None:
        self.path = where if isinstance(where, Path) else None
        "The file; None: it is a server's."
        self.url = URL.create("sqlite", database=str(where)) if isinstance(where, Path) else where
        if self.path is None and name:  # by which a server's words of changes tell whose they are
            self.url = self.url.update_query_dict({"application_name": name})
        "For whoever needs an engine of their own."
        driver = "sqlite+aiosqlite" if self.path is not None else self.url.drivername
        self._engine = create_async_engine(
            self.url.set(drivername=driver),
            hide_parameters=True,  # what people write is in them, and errors are logged
            pool_pre_ping=self.path is None,  # a server may have been restarted
            connect_args={} if self.path is not None else {**WATCHED, **LETS_GO},
        )
        if self.path is not None:
            event.listen(self._engine.sync_engine, "connect", _prepare)
        else:
            event.listen(self._engine.sync_engine, "handle_error", keep_to_itself)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writing = asyncio.Lock()
        self._together: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._working: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        return str(self.path or self.url.set(drivername="postgresql", query={}))

    async def open(self) -> None:
        """Create or upgrade the tables. Raises `StoreError`."""
        version = _version_of_file if self.path is not None else _version_on_server
        try:
            found = await asyncio.to_thread(version, self.url)
            if found is not None and found.isdecimal() and found > HEAD:
                raise StoreError(
                    f"{self} was written by a newer EncryptoTel: use that, or a backup"
                )
            if found != HEAD:
                await asyncio.to_thread(_upgrade, self.url)
                if self.path is not None:
                    await asyncio.to_thread(self.path.chmod, 0o600)
        except DBAPIError as error:
            raise StoreError(f"{self} cannot be used: {error.orig}") from error
        except StoreError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self} cannot be used: {error}") from error

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
            if not await self._done(batch):
                for one in batch:  # one of them is to blame
                    await self._done([one])
        self._working = None

    async def _done(self, batch: Sequence[tuple[Work[Any], asyncio.Future[Any]]]) -> bool:
        """Do works in one transaction. False when that fails and each may be tried by itself."""
        try:
            async with self.writing() as session:
                results = [await work(session) for work, _ in batch]
        except Exception as error:
            if len(batch) > 1:
                return False
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
        else:
            for (_, done), result in zip(batch, results, strict=True):
                if not done.done():
                    done.set_result(result)
        return True

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


def keep_to_itself(context: ExceptionContext) -> None:
    """A server tells the row that it refuses, with what people wrote in it; errors are logged."""
    said = getattr(getattr(context.original_exception, "diag", None), "message_primary", None)
    if said:
        context.original_exception.args = (said,)
        if context.sqlalchemy_exception is not None:
            context.sqlalchemy_exception.args = (said,)


_VERSION = "SELECT version_num FROM alembic_version"


def _version_of_file(url: URL) -> str | None:
    """The migration a file is at, asked without loading Alembic, which takes its time."""
    path = Path(url.database or "")
    if not path.exists():
        return None
    with sqlite3.connect(path) as connection:
        try:
            row = connection.execute(_VERSION).fetchone()
        except sqlite3.OperationalError:
            return None
    return str(row[0]) if row else None


def _version_on_server(url: URL) -> str | None:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return str(connection.execute(text(_VERSION)).scalar())
    except ProgrammingError:  # there is no such table yet
        return None
    finally:
        engine.dispose()


def _upgrade(url: URL) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    command.upgrade(config, "head")
