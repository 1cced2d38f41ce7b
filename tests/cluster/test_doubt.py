"""A connection to the database that ends, or falls silent, at the worst moment: whoever asked does
not know whether it was done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from telegram import Update

from bot.ports import Account, Person, Role
from bot.telegram.updates import Noted
from encryptotel.cluster import membership
from encryptotel.cluster.membership import LEASE, Membership
from encryptotel.config import Config
from encryptotel.directory import Directory
from encryptotel.people import PeopleOfExchange
from scheduler.alarm import Alarm
from scheduler.reminders import Reminders, Result
from store.database import Database
from store.tables import RingRow
from tests.cluster.nodes import nodes, until
from tests.cluster.programs import cluster
from tests.peers import telegram
from tests.peers.postgres import Postgres
from tests.peers.wire import Wire
from tests.scheduler.test_exchanges import ordered, settled
from tests.wallet.test_charging import BEGIN, DECK, EUR, GERMANY, Clock, give
from wallet.charging import Charging
from wallet.ledger import CALLS, balances

OWNER = Person(id="owner", name="Olga", extension="101", role=Role.OWNER)


@asynccontextmanager
async def wired(postgres: Postgres) -> AsyncIterator[tuple[Wire, Database, Database]]:
    """A database, as it is seen through a wire and past it."""
    with postgres.database() as url:
        beside = Database(url)
        await beside.open()
        async with Wire(url) as wire:
            through = Database(wire.url, "wired")
            yield wire, through, beside
            await through.close()
        await beside.close()


async def test_a_message_that_was_noted_without_our_knowing_is_dealt_with(
    postgres: Postgres,
) -> None:
    account = Account("telegram", "500")
    async with wired(postgres) as (wire, through, beside):
        people = PeopleOfExchange(through, Directory(Config(), through), OWNER, timedelta(days=1))
        wire.breaks_at = b"COMMIT"
        with pytest.raises(DBAPIError):
            await people.take(account, "1")
        assert wire.happened.is_set()
        assert await people.take(account, "1")
        assert not await people.take(account, "1")
        other = PeopleOfExchange(beside, Directory(Config(), beside), OWNER, timedelta(days=1))
        assert not await other.take(account, "1")


async def test_a_message_that_another_noted_in_the_meantime_is_not(postgres: Postgres) -> None:
    account = Account("telegram", "500")
    async with wired(postgres) as (wire, through, beside):
        people = PeopleOfExchange(through, Directory(Config(), through), OWNER, timedelta(days=1))
        other = PeopleOfExchange(beside, Directory(Config(), beside), OWNER, timedelta(days=1))
        wire.breaks_at = b"INSERT"  # the server undoes it
        with pytest.raises(DBAPIError):
            await people.take(account, "1")
        assert await other.take(account, "1")
        assert not await people.take(account, "1")


async def test_a_charge_that_others_settled_is_not_opened_again(postgres: Postgres) -> None:
    """Its beginning was written without our knowing, and we were taken for dead."""
    async with wired(postgres) as (wire, through, beside):
        clock = Clock()
        ours = Charging(through, DECK, EUR, now=clock, node="one")
        await ours.open()
        await give(ours, "101", 500)
        meter = ours.reserve("101", GERMANY)
        wire.breaks_at = b"COMMIT"
        ours.begin(meter, "call", "leg", clock.at)
        await wire.happened.wait()
        theirs = Charging(beside, DECK, EUR, now=clock, node="two")
        clock.passes(30)
        async with beside.writing() as session:
            await theirs.settle(session, BEGIN + timedelta(seconds=10), {"one"})
        clock.passes(30)
        ours.end(meter, clock.at)
        await ours.close()
        async with beside.reading() as session:
            rows = (await session.execute(text("SELECT seconds, cost FROM charge"))).all()
        assert [tuple(row) for row in rows] == [(10, 1)]
        assert (await balances(beside))[CALLS, "EUR"] == 1


async def test_a_call_that_others_settled_as_not_begun_costs_nothing_later(
    postgres: Postgres,
) -> None:
    """Whoever had it was last known to live before it was answered, and comes back."""
    async with wired(postgres) as (_, through, beside):
        clock = Clock()
        ours = Charging(through, DECK, EUR, now=clock, node="one")
        await ours.open()
        await give(ours, "101", 500)
        meter = ours.reserve("101", GERMANY)
        ours.begin(meter, "call", "leg", clock.at)
        assert await ours.caught_up()
        theirs = Charging(beside, DECK, EUR, now=clock, node="two")
        clock.passes(30)
        async with beside.writing() as session:
            await theirs.settle(session, BEGIN, {"one"})
        ours.end(meter, clock.at)
        await ours.close()
        async with beside.reading() as session:
            rows = (await session.execute(text("SELECT seconds, cost FROM charge"))).all()
        assert [tuple(row) for row in rows] == [(0, 0)]
        assert (CALLS, "EUR") not in await balances(beside)


async def test_what_rang_is_noted_once_the_server_is_back(postgres: Postgres) -> None:
    """Else it would be rung again when its time is up."""
    async with wired(postgres) as (wire, through, beside):
        rang: list[str] = []

        async def ring(row: RingRow) -> Result:
            rang.append(row.reminder)
            wire.breaks_at = b"UPDATE ring"
            return Result(state="done")

        alarm = Alarm(through, "one")
        reminders = Reminders(through, alarm, ring)
        await reminders.start()
        await ordered(beside, 1, [0])
        await asyncio.sleep(3.1)  # it is due by the clock
        await reminders.look()
        await settled(beside, 1)
        assert wire.happened.is_set()
        assert rang == ["0000"]
        await alarm.stop()
        await reminders.stop()


async def test_one_that_falls_silent_with_a_lock_is_buried_all_the_same(
    postgres: Postgres,
) -> None:
    """Its machine is gone, or held up, in the middle of saying that it is alive."""
    buried: list[str] = []

    async def settle(session: object, dead: membership.Node, *_: object) -> None:
        buried.append(dead.name)

    async with wired(postgres) as (wire, through, beside):
        silent = Membership(through, "silent", "127.0.0.1:1", settle)
        other = Membership(beside, "other", "127.0.0.1:2", settle)
        await silent.join()
        await other.join()
        wire.silent_at = b"UPDATE node"
        await wire.happened.wait()
        assert silent.leads
        assert silent.sees
        async with asyncio.timeout(4 * LEASE):
            await until(lambda: buried == ["silent"])
        assert not silent.sees
        await other.stop()
        await silent.stop()


async def test_a_poll_that_is_given_up_does_not_give_up_what_is_being_noted() -> None:
    """Else the program that is stopped, or begins anew, stops in the middle of that."""
    may = asyncio.Event()

    async def note(_: Update) -> bool:
        await may.wait()
        return True

    updates, update = Noted(note, each=False), Update(1)
    await updates.put(update)
    poll = asyncio.ensure_future(updates.noted())
    await asyncio.sleep(0)  # it has begun
    poll.cancel()
    await asyncio.wait((poll,))
    last = asyncio.ensure_future(updates.noted())
    may.set()
    await last
    assert updates.get_nowait() is update


@pytest.mark.timeout(120)
async def test_a_program_stops_while_a_message_waits_for_the_database(
    tmp_path: Path, postgres_of_own: Postgres
) -> None:
    async with telegram.TelegramServer() as server:
        extra = {"telegram": {"token": telegram.TOKEN, "api": server.url}}
        async with cluster(tmp_path, postgres_of_own, 1, extra=extra) as found:
            (program,) = found.programs.values()
            alice = server.user(500, "Alice")
            line = await program.process.wait_line(r"(?:start=|write )([\w-]{16})", 20)
            alice.says(line[1])
            await alice.sees(lambda text: "Welcome" in text)
            await asyncio.to_thread(postgres_of_own.kill)
            alice.says("status")
            await program.process.wait_line("waits until it can be noted", 20)
            assert await program.process.stop(within=60) == 0
            await asyncio.to_thread(postgres_of_own.start)
            await program.start()
            await alice.sees(lambda text: "The exchange is up" in text, 40)


async def test_what_is_due_while_the_database_is_away_rings_soon_after(
    tmp_path: Path, postgres_of_own: Postgres
) -> None:
    now = datetime.now(UTC)
    ring = RingRow(
        id="ring", reminder="one", extension="101", text="water", by="message", occurrence=now,
        at=now, due=now, tries=1,
    )  # fmt: skip
    async with nodes(tmp_path, postgres_of_own, 1) as (office,):
        await asyncio.to_thread(postgres_of_own.kill)
        result = await office.app.operator.reminding._ringer.deliver(ring)
        await asyncio.to_thread(postgres_of_own.start)
        assert result.again is not None
        assert result.again <= timedelta(seconds=10)
        assert not result.counts
