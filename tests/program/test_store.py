"""The journal and the tables: what happened is written once, and survives."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from sqlalchemy import URL, create_engine, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

import store.tables  # fills the metadata
from encryptotel.journal import Journal
from pbx.events import (
    CallAnswered,
    CallEnded,
    CallStarted,
    CallTraced,
    DeviceRegistered,
    DeviceUnregistered,
    Event,
    LegAnswered,
    LegEnded,
    LegRinging,
    LegStarted,
    TraceLine,
)
from store.database import HEAD, Database, StoreError
from store.journal import (
    INTERRUPTED,
    find_call,
    live_bindings,
    recent_calls,
    trace_of,
)
from store.tables import ShelfRow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


LIFE: list[Event] = [
    CallStarted(
        call_id="c1", at=NOW, caller="101", callee="102", user="101", kind="internal", shown="101"
    ),
    LegStarted(call_id="c1", leg_id="l1", at=NOW, peer="101", direction="in"),
    LegStarted(call_id="c1", leg_id="l2", at=NOW, peer="102", direction="out"),
    LegRinging(call_id="c1", leg_id="l2", at=later(1), peer="102"),
    LegAnswered(call_id="c1", leg_id="l2", at=later(3), peer="102", codec="PCMU/8000", srtp=True),
    CallAnswered(call_id="c1", at=later(3)),
    LegEnded(
        call_id="c1",
        leg_id="l2",
        at=later(63),
        peer="102",
        status=200,
        cause="hung up",
        codec="PCMU/8000",
        srtp=True,
        received=3000,
        sent=2999,
        lost=1,
        jitter_ms=1.234,
        lost_by_peer=2,
        round_trip_ms=30.04,
        mos=4.321,
    ),
    CallEnded(call_id="c1", at=later(63), status=200, cause="hung up"),
    CallTraced(
        call_id="c1",
        at=later(64),
        lines=[TraceLine(at=NOW, sent=True, peer="udp:a:1", summary="INVITE", text="INVITE …")],
    ),
]


async def written(database: Database, events: list[Event]) -> None:
    journal = Journal(database)
    journal.start()
    for event in events:
        journal.take(event)
    await journal.close()


async def test_a_calls_whole_life_is_read_back(where: Path | URL) -> None:
    database = Database(where)
    await database.open()
    await written(database, LIFE)
    ((call, legs),) = await recent_calls(database)
    assert (call.caller, call.callee, call.cause, call.status) == ("101", "102", "hung up", 200)
    assert (call.answered_at, call.ended_at) == (later(3), later(63))
    answered = next(leg for leg in legs if leg.peer == "102")
    assert (answered.ringing_at, answered.srtp, answered.received) == (later(1), True, 3000)
    assert answered.jitter_ms == 1.23
    assert (answered.lost_by_peer, answered.round_trip_ms, answered.mos) == (2, 30.0, 4.32)
    assert (await trace_of(database, "c1"))[0]["summary"] == "INVITE"
    found = await find_call(database, "last")
    assert found is not None
    assert found.id == "c1"
    await database.close()


async def test_applying_everything_twice_changes_nothing(where: Path | URL) -> None:
    database = Database(where)
    await database.open()
    await written(database, LIFE)
    await written(database, LIFE)
    calls = await recent_calls(database)
    assert len(calls) == 1
    assert len(calls[0][1]) == 2
    assert len(await trace_of(database, "c1")) == 1
    await database.close()


async def test_old_messages_are_forgotten_and_the_call_is_not(where: Path | URL) -> None:
    database = Database(where)
    await database.open()
    day = timedelta(days=1)
    for now, kept in ((NOW + day, 1), (NOW + 31 * day, 0)):
        journal = Journal(database, keep_traces=30 * day, now=lambda now=now: now)
        journal.start()
        for event in LIFE if kept else LIFE[:1]:
            journal.take(event)
        await journal.close()
        assert len(await trace_of(database, "c1")) == kept
        assert len(await recent_calls(database)) == 1
    await database.close()


@pytest.mark.parametrize(
    ("alive", "ended"),
    [
        (None, later(3)),  # what is known of the call itself
        (later(50), later(50)),  # the mark of the last run
        (later(-5), later(3)),  # a mark that is older than the call
        (later(9999), later(1000)),  # a clock that was set back
    ],
)
async def test_calls_that_a_crash_left_open_are_ended_when_it_came(
    where: Path | URL, alive: datetime | None, ended: datetime
) -> None:
    database = Database(where)
    await database.open()
    await written(database, LIFE[:6])
    journal = Journal(database, alive=alive, now=lambda: later(1000))
    journal.start()
    await journal.close()
    ((call, legs),) = await recent_calls(database)
    assert (call.cause, call.ended_at) == (INTERRUPTED, ended)
    assert all(leg.ended_at for leg in legs)
    await database.close()


async def test_the_journal_catches_up_after_the_database_was_locked(where: Path | URL) -> None:
    database = Database(where)
    await database.open()
    journal = Journal(database)
    journal.start()
    async with database.writing():  # somebody else holds the database
        for event in LIFE:
            journal.take(event)
        await asyncio.sleep(0)
        assert await recent_calls(database) == []
    await journal.close()
    assert len(await recent_calls(database)) == 1
    await database.close()


async def test_registrations_come_and_go(where: Path | URL) -> None:
    database = Database(where)
    await database.open()

    def registered(contact: str, expires: datetime) -> DeviceRegistered:
        return DeviceRegistered(
            extension="101",
            at=NOW,
            contact=contact,
            transport="udp",
            remote_host="127.0.0.1",
            remote_port=5062,
            expires=expires,
            user_agent="phone",
            call_id="x",
            cseq=1,
            refreshed=False,
            username="101.k3x9",
            since=NOW,
        )

    await written(
        database,
        [
            registered("sip:a", later(60)),
            registered("sip:a", later(90)),
            registered("sip:b", later(60)),
            registered("sip:old", later(-1)),
            DeviceUnregistered(extension="101", at=NOW, contact="sip:b", reason="unregistered"),
        ],
    )
    (binding,) = await live_bindings(database, NOW)
    assert (binding.contact, binding.expires) == ("sip:a", later(90))
    await database.close()


async def test_the_migrations_make_the_tables_the_models_describe(where: Path | URL) -> None:
    database = Database(where)
    await database.open()
    await database.close()
    engine = create_engine(database.url)
    found = inspect(engine)
    for name, table in SQLModel.metadata.tables.items():
        columns = {column["name"] for column in found.get_columns(name)}
        assert columns == {column.name for column in table.columns}, name
    engine.dispose()


def test_the_head_the_start_compares_with_is_alembics() -> None:
    config = AlembicConfig()
    folder = Path(store.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_work_that_fails_does_not_take_that_of_others_along(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db")
    await database.open()

    async def good(session: AsyncSession) -> str:
        await session.merge(ShelfRow(shelf="s", key="k", value={}))
        return "done"

    async def bad(session: AsyncSession) -> str:
        session.add(ShelfRow(shelf=None, key="b", value={}))
        await session.flush()
        return "never"

    results = await asyncio.gather(
        database.together(good), database.together(bad), database.together(good),
        return_exceptions=True,
    )  # fmt: skip
    assert (results[0], results[2]) == ("done", "done")
    assert isinstance(results[1], IntegrityError)
    await database.close()


async def test_what_a_newer_program_wrote_is_left_alone(where: Path | URL) -> None:
    database = Database(where)
    await database.open()
    async with database.writing() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(StoreError, match="written by a newer EncryptoTel"):
        await Database(where).open()
