"""Commands for later: done once, at their time; none is lost by a restart, and none doubled."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from encryptotel.demo.phone import Phone
from nlp.commands import Call, Party, When
from pbx.events import CallStarted
from scheduler.alarm import Alarm
from scheduler.plans import KIND, MAX_PLANS, Plans, TooManyPlans
from store.database import Database
from store.tables import PlanRow
from tests.office import Office, open_office, quiet

SOON = timedelta(milliseconds=300)


class Desk:
    """A database with plans, and what was done."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / "encryptotel.db")
        self.done: asyncio.Queue[str] = asyncio.Queue()
        self.interrupted: list[str] = []
        self.alarm = Alarm(self.database, "one")
        self.plans = Plans(
            self.database, self.alarm, self._do, lambda row: self.interrupted.append(row.id)
        )

    async def _do(self, row: PlanRow) -> None:
        self.done.put_nowait(row.command["say"])

    async def __aenter__(self) -> Desk:
        await self.database.open()
        await self.plans.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.alarm.stop()
        await self.plans.stop()
        await self.database.close()

    async def plan(self, say: str, after: timedelta = SOON) -> PlanRow:
        return await self.plans.add("101", datetime.now(UTC) + after, {"say": say})

    async def next(self) -> str:
        async with asyncio.timeout(10):
            return await self.done.get()


async def test_it_is_done_at_its_time_and_then_gone(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        began = datetime.now(UTC)
        later = await desk.plan("later", timedelta(hours=1))
        await desk.plan("hello")
        assert await desk.next() == "hello"
        assert datetime.now(UTC) - began >= SOON
        while len(await desk.plans.of("101")) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert [row.id for row in await desk.plans.of("101")] == [later.id]


async def test_what_was_due_while_nobody_was_there_is_done_at_the_start(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.plans._alarm.stop()
        await desk.plan("missed")
        await asyncio.sleep(SOON.total_seconds())
    async with Desk(tmp_path) as desk:
        assert await desk.next() == "missed"
    async with Desk(tmp_path) as desk:
        assert desk.done.empty()


async def test_a_job_that_was_lost_is_set_again(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        row = await desk.plan("hello", timedelta(seconds=1))
        await desk.plans._alarm.clear(KIND, row.id)
    async with Desk(tmp_path) as desk:
        assert await desk.next() == "hello"


async def test_what_was_being_done_when_we_died_is_told_and_not_done_again(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        row = await desk.plan("hello", timedelta(hours=1))
        async with desk.database.writing() as session:
            kept = await session.get(PlanRow, row.id)
            assert kept is not None
            kept.begun = True
    async with Desk(tmp_path) as desk:
        assert desk.interrupted == [row.id]
        assert await desk.plans.of("101") == []


async def test_a_cancelled_one_is_not_done(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        first = await desk.plan("no")
        await desk.plan("yes", SOON * 2)
        assert await desk.plans.cancel(first.id)
        assert not await desk.plans.cancel(first.id)
        assert await desk.next() == "yes"
        assert desk.done.empty()


async def test_there_is_an_end_to_them(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        for number in range(MAX_PLANS):
            await desk.plan(str(number), timedelta(days=1))
        with pytest.raises(TooManyPlans):
            await desk.plan("one more")


async def say(office: Office, command: Any) -> str:
    office.understands(command)
    (reply,) = await office.dialogue().hear("the order")
    return reply.text


def call_at(after: timedelta, **more: Any) -> Call:
    at = When(at=datetime.now(UTC) + after, **more)
    return Call(to=(Party(extension="102"),), at=at)


async def test_a_call_that_cannot_be_placed_then_is_told_of(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        assert (await say(office, call_at(SOON))).startswith("I shall call 102, today at")
        sorry = "I did not call 102, as planned: no phone is registered for 102."
        await office.until(lambda: sorry in office.told)


async def test_a_call_missed_by_hours_is_not_placed_but_told_of(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.dialogue()
        await office.phone("101", Phone(quiet))
        await office.phone("102", Phone(quiet))
        row = PlanRow(
            id="x", extension="101", at=datetime.now(UTC) - timedelta(hours=3),
            command={"intent": "call", "to": [{"extension": "102"}]},
        )  # fmt: skip
        await office.app.operator.agenda.carry_out(row)
        await office.until(lambda: "I did not call 102, as planned: I was off then." in office.told)
        assert office.of(CallStarted) == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (call_at(SOON, rrule="FREQ=DAILY"), "once, not repeatedly"),
        (call_at(timedelta(days=400)), "more than a year ahead"),
    ],
)
async def test_what_cannot_be_planned(command: Call, why: str, tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        assert why in await say(office, command)


async def test_a_database_that_is_locked_for_long_delays_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.plans.AGAIN", 0.5)
    async with Desk(tmp_path) as desk:
        await desk.plan("late")
        await desk.plan("later", timedelta(seconds=8))
        with sqlite3.connect(desk.database.path, isolation_level=None) as lock:
            lock.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(6.5)  # longer than anybody waits for the database
            lock.execute("ROLLBACK")
        assert [await desk.next(), await desk.next()] == ["late", "later"]
