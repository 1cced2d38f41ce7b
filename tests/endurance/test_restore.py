"""A PostgreSQL server that lost what it had, and is restored as it was at a moment, by the scripts
that are shipped: the books are right, and what was there then is there, no more and no less."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, text

from encryptotel.accounts import give
from store.database import Database, postgresql
from tests.endurance.program import OncePhone, Program
from tests.peers.exchange import Config, Extension
from tests.peers.postgres import PASSWORD, USER, Postgres, programs
from tests.program.test_command_line import run
from wallet.money import Asset

SCRIPTS = Path(__file__).parents[2] / "deploy" / "postgres"
EUR = Asset(id="EUR", name="EUR", decimals=2)
TABLES = "call", "leg", "entry", "posting", "balance"


@asynccontextmanager
async def opened(url: URL) -> AsyncIterator[Database]:
    database = Database(url)
    await database.open()
    yield database
    await database.close()


async def ask(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.writing() as session:
        found = await session.execute(text(query))
        return [tuple(row) for row in found.all()] if found.returns_rows else []


async def all_of(database: Database) -> dict[str, list[str]]:
    return {
        table: sorted(map(str, await ask(database, f"SELECT * FROM {table}"))) for table in TABLES
    }


async def called(program: Program, database: Database, calls: int) -> None:
    """Somebody calls the echo; so many calls are in the journal then, and over."""
    phone = await OncePhone().join(program, "101")
    leg = await phone.call("600")
    leg.hang_up()
    await phone.stop()
    async with asyncio.timeout(20):
        over = "SELECT count(*) FROM call WHERE ended_at IS NOT NULL"
        while await ask(database, over) != [(calls,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def on(program: Program, server: Postgres, name: str) -> None:
    program.sections["database"] = {"url": server.address(name), "password": PASSWORD}
    program.write_config(Config([Extension("101", "secret-101")], extra=program.sections).toml())


@pytest.mark.timeout(180)
async def test_a_moment_comes_back(tmp_path: Path) -> None:
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed")
    server = Postgres(where, archive=SCRIPTS / "archive.conf")
    program = Program(tmp_path, ("101",))
    with server.database() as url:
        name = str(url.database)
        on(program, server, name)
        await program.start()
        async with opened(url) as database:
            await give(database, EUR, "102", 1_000, "before the backup")
            await called(program, database, 1)
            connect = ("-h", "127.0.0.1", "-p", str(server.port), "-U", USER)
            script = str(SCRIPTS / "backup.sh")
            await asyncio.to_thread(server.run, "sh", script, str(server.kept), *connect)
            await asyncio.sleep(1.1)  # backups are called by their second
            await give(database, EUR, "102", 234, "after it")
            await called(program, database, 2)
            wanted = await all_of(database)
            ((moment,),) = await ask(database, "SELECT clock_timestamp()::text")
            await asyncio.sleep(0.1)
            await give(database, EUR, "102", 5_555, "too late")
            await called(program, database, 3)
            await ask(database, "TRUNCATE call, entry, balance CASCADE")
            await program.kill()
            ((last,),) = await ask(database, "SELECT pg_walfile_name(pg_switch_wal())")
            async with asyncio.timeout(30):
                while not (server.kept / "wal" / last).exists():  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
    server.kill()
    script = str(SCRIPTS / "restore.sh")

    def fill(data: Path) -> None:
        server.run("sh", script, str(server.kept), str(data), moment)

    restored = Postgres(where, data=fill)
    try:
        async with opened(postgresql(restored.address(name), PASSWORD)) as database:
            async with asyncio.timeout(30):
                while await ask(database, "SELECT pg_is_in_recovery()") != [(False,)]:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert await all_of(database) == wanted
            on(program, restored, name)
            words = ("ledger", "verify", "--config", str(program.file))
            books = await asyncio.to_thread(run, *words, "--data", str(program.data), cwd=tmp_path)
            assert books.returncode == 0, books.stdout + books.stderr
            assert "2 entries" in books.stdout
            await program.start()
            await called(program, database, 3)
            assert await program.stop() == 0
    finally:
        restored.stop()
        server.stop()
