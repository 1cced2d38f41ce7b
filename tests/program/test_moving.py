"""A running installation moved to another database and back: everything is there, and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, select, text
from sqlmodel import SQLModel

from encryptotel.demo.phone import Phone
from nlp.commands import Remind, When
from store.database import Database, StoreError
from store.moving import move
from store.tables import CallRow, ContactRow, EntryRow, PostingRow
from tests.office import Office, open_office, quiet
from tests.peers.postgres import Postgres
from tests.program.test_command_line import run
from wallet.ledger import verify

WORDS = "Ünïcode 📞 'quotes' \"and\"\nlines"


@pytest.fixture
async def lived(tmp_path: Path) -> Path:
    """The folder of an exchange that has been used."""
    folder = tmp_path / "data"
    folder.mkdir()
    async with open_office(folder) as office:
        await live(office)
    return folder


async def live(office: Office) -> None:
    chat = office.dialogue()
    alice = await office.phone("101", Phone(quiet))
    await chat.hear("save Bob as +44 20 7946 0321")
    await chat.hear(f"text 102 {WORDS}")
    await chat.hear("if I don't answer send my calls to 102")
    await chat.hear("make an API key for my CRM")
    later = When(at=datetime.now(UTC) + timedelta(days=1), rrule="FREQ=DAILY")
    await office.app.operator.reminding.remind(
        office.app.person, Remind(when=later, text=WORDS, by="call")
    )
    for count in (1, 2, 3):
        (await alice.call("600")).hang_up()
        await office.ended(count)
    async with office.app.database.writing() as session:
        session.add(EntryRow(id=1, at=datetime.now(UTC), kind="credit", key="k", text=WORDS))
        for account, amount in (("credit:101", 2**62), ("house", -(2**62))):
            session.add(PostingRow(entry=1, account=account, asset="EUR", amount=amount))


def public_of(url: URL) -> URL:
    """An address as people write it."""
    return url._replace(password=None).set(drivername="postgresql", query={})


def rows_of(url: URL) -> dict[str, list[Any]]:
    """Everything, as the tables have it."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in SQLModel.metadata.sorted_tables
        }
        jobs = connection.execute(text("SELECT id, next_run_time FROM job")).all()
        found["job"] = sorted(map(repr, jobs))
    engine.dispose()
    return found


async def test_everything_is_there_on_a_server_and_back_again(
    lived: Path, tmp_path: Path, postgres: Postgres
) -> None:
    first = Database(lived / "encryptotel.db")
    with postgres.database() as url:
        server, back = Database(url), Database(tmp_path / "back.db")
        for database in (server, back):
            await database.open()
        told: list[str] = []
        moved = await asyncio.to_thread(move, first.url, server.url, told.append)
        assert told == [one.table for one in moved]
        assert {one.table: one.rows for one in moved}["call"] == 3
        before = rows_of(first.url)
        assert rows_of(server.url) == before
        again = await asyncio.to_thread(move, server.url, back.url, told.append)
        assert rows_of(back.url) == before
        assert [one.digest for one in again] == [one.digest for one in moved]
        async with server.writing() as session:  # numbers go on behind what was copied
            session.add(EntryRow(at=datetime.now(UTC), kind="credit", key="next", text=""))
        for database in (first, server, back):
            await database.close()


async def test_an_exchange_goes_on_where_it_was(lived: Path, postgres: Postgres) -> None:
    with postgres.database() as url:
        server = Database(url)
        await server.open()
        await asyncio.to_thread(move, Database(lived / "encryptotel.db").url, url, lambda _: None)
        await server.close()
        public = public_of(url)
        section = {"url": public.render_as_string(), "password": url.password or ""}
        async with open_office(lived, database=section) as office:
            person, operator = office.app.person, office.app.operator
            assert len(await operator.past.calls(person)) == 3
            assert dict(operator.contacts(person))["Bob"] == "+44 20 7946 0321"
            (reminder,) = await operator.reminding.of(person)
            assert reminder.text == WORDS
            assert [one.name for one in operator.keys.of("101")] == ["CRM"]
            alice = await office.phone("101", Phone(quiet))
            (await alice.call("600")).hang_up()
            await office.ended()
            assert len(await operator.past.calls(person)) == 4


async def test_what_is_in_use_or_full_is_left_alone(lived: Path, tmp_path: Path) -> None:
    first, full = Database(lived / "encryptotel.db"), Database(tmp_path / "full.db")
    await full.open()
    async with full.writing() as session:
        session.add(
            CallRow(id="x", started_at=datetime.now(UTC), caller="1", callee="2", kind="internal")
        )
    before = rows_of_calls(tmp_path / "full.db")
    with pytest.raises(StoreError, match="not empty: see call"):
        move(first.url, full.url, lambda _: None)
    assert rows_of_calls(tmp_path / "full.db") == before
    await full.close()


def rows_of_calls(file: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute('SELECT * FROM "call"').fetchall()


async def test_what_fails_on_the_way_leaves_nothing_behind(lived: Path, tmp_path: Path) -> None:
    first, target = Database(lived / "encryptotel.db"), Database(tmp_path / "target.db")
    await target.open()

    def broken(table: str) -> None:
        if table == "reminder":
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        move(first.url, target.url, broken)
    assert all(
        rows == [] for table, rows in rows_without_jobs(target.url).items() if table != "job"
    )
    await target.close()


def rows_without_jobs(url: URL) -> dict[str, list[Any]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            table.name: list(connection.execute(select(table)))
            for table in SQLModel.metadata.sorted_tables
        }
    engine.dispose()
    return found


async def test_by_command(lived: Path, tmp_path: Path, postgres: Postgres) -> None:
    with postgres.database() as url:
        public = public_of(url).render_as_string()
        where = f"sqlite:///{lived / 'encryptotel.db'}"
        secret = {"ENCRYPTOTEL_DATABASE__PASSWORD": url.password or ""}
        command = ("migrate-database", where, public, "--data", str(lived))
        done = await asyncio.to_thread(run, *command, cwd=tmp_path, env=secret)
        assert done.returncode == 0, done.stderr
        assert "are the same on both sides." in done.stdout
        assert f'set url = "{public}"' in done.stdout
        again = await asyncio.to_thread(run, *command, cwd=tmp_path, env=secret)
        assert again.returncode == 1
        assert "not empty" in again.stderr
        database = Database(url)
        proof = await verify(database)
        assert proof.entries == 1
        await database.close()


async def test_a_running_exchange_is_not_moved(tmp_path: Path) -> None:
    async with open_office(tmp_path):
        file = f"sqlite:///{tmp_path / 'encryptotel.db'}"
        done = await asyncio.to_thread(
            run, "migrate-database", file, "sqlite:////tmp/x.db", "--data", str(tmp_path),
            cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 1
        assert "stop the exchange first" in done.stderr


async def test_a_server_with_words_of_some_language_sorts_no_otherwise(
    lived: Path, tmp_path: Path, postgres: Postgres
) -> None:
    """Its keys come in the order of that language; what is compared does not."""
    first = Database(lived / "encryptotel.db")
    async with first.writing() as session:
        for name in ("zoe", "émile", "Ann", "ann"):
            session.add(ContactRow(person_id="owner", key=name, name=name, number="102"))
    with postgres.database(locale="en-US") as url:
        server, back = Database(url), Database(tmp_path / "back.db")
        for database in (server, back):
            await database.open()
        await asyncio.to_thread(move, first.url, server.url, lambda _: None)
        await asyncio.to_thread(move, server.url, back.url, lambda _: None)
        assert rows_of(back.url) == rows_of(first.url)
        for database in (first, server, back):
            await database.close()


async def test_what_the_target_refuses_is_told_without_what_people_wrote(
    lived: Path, postgres: Postgres
) -> None:
    first = Database(lived / "encryptotel.db")
    async with first.writing() as session:
        words = "secret words \x00"
        session.add(ContactRow(person_id="owner", key="k", name=words, number="102"))
    with postgres.database() as url:
        server = Database(url)
        await server.open()
        with pytest.raises(StoreError, match="nothing was moved") as refused:
            await asyncio.to_thread(move, first.url, server.url, lambda _: None)
        assert "secret" not in str(refused.value)
        for database in (first, server):
            await database.close()
