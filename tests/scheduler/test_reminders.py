"""Reminders ring once for each of their moments, whatever happens; by an injected clock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import URL, text

from scheduler.alarm import Alarm
from scheduler.recurrence import Recurrence
from scheduler.reminders import MAX_REMINDERS, Reminders, Result, TooManyReminders
from store.database import Database
from store.tables import ReminderRow, RingRow
from tests.scheduler.rules import ZONES, random_rule

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """What time it is said to be."""

    def __init__(self, at: datetime = BEGIN) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def passes(self, **what: float) -> None:
        self.at += timedelta(**what)


class Silent(Alarm):
    """An alarm that the test rings, for the clock is the test's as well; and what was asked."""

    at: datetime | None = None

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def set(self, kind: str, key: str, at: datetime) -> None:
        self.at = at


class Desk:
    """Reminders on a database, and what rang: id, occurrence and lead, and when."""

    def __init__(self, database: Database, clock: Clock, name: str = "one") -> None:
        self.clock = clock
        self.rang: list[RingRow] = []
        self.then = Result(state="done")
        self.alarm = Silent(database, name)
        self.reminders = Reminders(database, self.alarm, self._ring, clock)

    async def _ring(self, ring: RingRow) -> Result:
        self.rang.append(ring)
        return self.then

    async def look(self) -> int:
        """The alarm rang."""
        found = await self.reminders.look()
        await self.reminders.stop()
        return found

    async def begin(self) -> None:
        await self.reminders.start()
        await self.reminders.stop()


@asynccontextmanager
async def opened(where: Path | URL) -> AsyncIterator[tuple[Database, Clock]]:
    database = Database(where)
    await database.open()
    try:
        yield database, Clock()
    finally:
        await database.close()


def row(
    id: str, start: datetime, rule: str = "", zone: str = "UTC", leads: tuple[int, ...] = (0,)
) -> ReminderRow:
    return ReminderRow(
        id=id, extension="101", text="water", by="message", zone=zone, start=start, rule=rule,
        leads=list(leads), occurrence=start,
    )  # fmt: skip


async def test_it_rings_once_at_its_time_and_is_gone(where: Path | URL) -> None:
    async with opened(where) as (database, clock):
        desk = Desk(database, clock)
        await desk.reminders.add(row("a", BEGIN + timedelta(hours=1)))
        assert desk.alarm.at == BEGIN + timedelta(hours=1)
        assert await desk.look() == 0
        clock.passes(hours=1)
        assert await desk.look() == 1
        clock.passes(hours=1)
        assert await desk.look() == 0
        assert [ring.reminder for ring in desk.rang] == ["a"]
        assert list(await desk.reminders.of("101")) == []
        assert (desk.reminders.tries, desk.reminders.late) == ({"done": 1}, 0)


async def test_what_was_late_is_counted(where: Path | URL) -> None:
    """Not what is tried again when that is due."""
    async with opened(where) as (database, clock):
        desk = Desk(database, clock)
        for id, minutes in (("a", 10), ("b", 10), ("c", 13)):
            await desk.reminders.add(row(id, BEGIN + timedelta(minutes=minutes)))
        clock.passes(minutes=12)
        desk.then = Result(again=timedelta(minutes=1))
        assert await desk.look() == 2
        assert (desk.reminders.tries, desk.reminders.late) == ({"open": 2}, 2)
        desk.then = Result(state="done")
        clock.passes(minutes=1)
        assert await desk.look() == 3
        assert (desk.reminders.tries, desk.reminders.late) == ({"open": 2, "done": 3}, 2)


async def test_leads_ring_before_and_each_once(where: Path | URL) -> None:
    async with opened(where) as (database, clock):
        desk = Desk(database, clock)
        start = BEGIN + timedelta(days=2)
        await desk.reminders.add(row("a", start, "FREQ=DAILY;COUNT=3", leads=(2880, 60, 0)))
        while desk.alarm.at is not None and desk.alarm.at > clock.at:
            clock.at = desk.alarm.at
            await desk.look()
        found = [((ring.at - BEGIN) // timedelta(hours=1), ring.lead // 60) for ring in desk.rang]
        assert found == [
            (0, 48), (24, 48), (47, 1), (48, 48), (48, 0), (71, 1), (72, 0), (95, 1), (96, 0),
        ][1:]  # fmt: skip


async def test_an_answer_is_waited_for_and_a_snooze_kept(where: Path | URL) -> None:
    async with opened(where) as (database, clock):
        desk = Desk(database, clock)
        await desk.reminders.add(row("a", BEGIN + timedelta(minutes=1)))
        desk.then = Result(again=timedelta(minutes=5))
        for _ in range(3):
            clock.passes(minutes=5)
            assert await desk.look() == 1
        assert [ring.tries for ring in desk.rang] == [1, 2, 3]
        desk.then = Result()
        clock.passes(minutes=5)
        await desk.look()
        clock.passes(days=1)
        assert await desk.look() == 0
        latest = await desk.reminders.latest("101")
        assert latest is not None
        await desk.reminders.settle(latest.id, "open", timedelta(minutes=10))
        clock.passes(minutes=10)
        assert await desk.look() == 1
        assert desk.rang[-1].tries == 1
        await desk.reminders.settle(latest.id, "done")
        assert await desk.reminders.latest("101") is None


async def test_a_night_off_rings_once_for_all_that_was_missed(where: Path | URL) -> None:
    async with opened(where) as (database, clock):
        await Desk(database, clock).reminders.add(
            row("a", BEGIN + timedelta(hours=1), "FREQ=HOURLY")
        )
        clock.passes(hours=9, minutes=30)
        desk = Desk(database, clock)
        await desk.begin()
        (ring,) = desk.rang
        assert (ring.at, ring.skipped) == (BEGIN + timedelta(hours=9), 8)
        (kept,) = await desk.reminders.of("101")
        assert kept.due == BEGIN + timedelta(hours=10)


async def test_a_try_that_was_cut_short_is_made_again(where: Path | URL) -> None:
    """Whoever is killed while a phone rings tries again; others wait until the lease is over."""
    async with opened(where) as (database, clock):
        first, other = Desk(database, clock, "one"), Desk(database, clock, "other")
        await first.reminders.add(row("a", BEGIN + timedelta(minutes=1)))
        clock.passes(minutes=1)
        await first.reminders._move_on(clock.at)
        assert len(await first.reminders._claim(clock.at)) == 1  # and is killed
        assert await other.look() == 0
        again = Desk(database, clock, "one")
        await again.begin()
        assert [ring.tries for ring in again.rang] == [2]
        await other.begin()
        assert other.rang == []


async def test_two_exchanges_ring_each_exactly_once(where: Path | URL) -> None:
    async with opened(where) as (database, clock):
        mine = Database(where)
        await mine.open()
        desks = [Desk(database, clock, "one"), Desk(mine, clock, "two")]
        for number in range(200):
            await desks[number % 2].reminders.add(
                row(
                    f"{number:04d}",
                    BEGIN + timedelta(minutes=1 + number % 3),
                    "FREQ=HOURLY;COUNT=3",
                )
            )
        for _ in range(240):
            clock.passes(minutes=1)
            await asyncio.gather(*(desk.look() for desk in desks))
        await mine.close()
        rang = [(ring.reminder, ring.occurrence) for desk in desks for ring in desk.rang]
        assert len(rang) == len(set(rang)) == 600
        assert all(desk.rang for desk in desks)


async def test_pausing_changing_and_cancelling(where: Path | URL) -> None:
    async with opened(where) as (database, clock):
        desk = Desk(database, clock)
        kept = await desk.reminders.add(row("a", BEGIN + timedelta(hours=1), "FREQ=DAILY"))
        await desk.reminders.pause(kept, on=True)
        clock.passes(days=2)
        assert await desk.look() == 0
        (paused,) = await desk.reminders.of("101")
        assert paused.due is None
        await desk.reminders.pause(paused, on=False)
        (again,) = await desk.reminders.of("101")
        assert again.due == BEGIN + timedelta(days=2, hours=1)
        moved = await desk.reminders.change(again, start=BEGIN + timedelta(hours=9), text="tea")
        assert (moved.due, moved.text) == (BEGIN + timedelta(days=2, hours=9), "tea")
        assert await desk.reminders.cancel("a")
        assert not await desk.reminders.cancel("a")
        clock.passes(days=3)
        assert await desk.look() == 0


async def test_what_was_and_too_many_are_refused(where: Path | URL) -> None:
    async with opened(where) as (database, clock):
        desk = Desk(database, clock)
        with pytest.raises(ValueError, match="over"):
            await desk.reminders.add(row("a", BEGIN - timedelta(hours=1)))
        async with database.writing() as session:
            for number in range(MAX_REMINDERS):
                one = row(f"{number:04d}", BEGIN + timedelta(days=1))
                one.due = one.occurrence
                session.add(one)
        with pytest.raises(TooManyReminders):
            await desk.reminders.add(row("b", BEGIN + timedelta(hours=1)))


async def test_a_year_of_random_rules_across_restarts(where: Path | URL) -> None:
    """In every zone; each moment rings once, as the rule says, however often we were away."""
    await a_year(where, rules=1, restarts=6)


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_a_year_of_three_hundred_rules_in_each_zone(where: Path | URL) -> None:
    await a_year(where, rules=300, restarts=50)


async def a_year(where: Path | URL, rules: int, restarts: int) -> None:
    """`rules` in each zone; the clock goes by minutes, past those in which nothing is due."""
    rng = random.Random(2026)
    end = BEGIN + timedelta(days=366)
    wanted: dict[str, list[datetime]] = {}
    async with opened(where) as (database, clock):
        desk = Desk(database, clock)
        rows = []
        for zone in ZONES:
            for number in range(rules):
                local = datetime(2026, rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23),
                                 rng.randrange(0, 60, 5), tzinfo=ZoneInfo(zone))  # fmt: skip
                id = f"{ZONES.index(zone):x}{number:03d}"
                one = row(
                    id,
                    max(local.astimezone(UTC), BEGIN + timedelta(hours=1)),
                    random_rule(rng, local),
                    zone,
                )
                recurrence = Recurrence(one.start, ZoneInfo(zone), one.rule)
                moments, at = [], recurrence.after(BEGIN)
                while at is not None and at < end:
                    moments.append(at)
                    at = recurrence.after(at)
                wanted[id], one.due, one.extension = moments, one.start, f"{len(rows) // 400 + 101}"
                rows.append(one)
        async with database.writing() as session:
            session.add_all(rows)
        rang: list[RingRow] = []
        breaks = sorted(rng.uniform(0, 366) for _ in range(restarts))
        await desk.begin()
        while clock.at < end:
            following = desk.alarm.at
            if following is None or following >= end:
                break
            at = max(clock.at, following)
            clock.at = at.replace(second=0, microsecond=0) + timedelta(
                minutes=1 if at.second else 0
            )
            if breaks and clock.at > BEGIN + timedelta(days=breaks[0]):
                breaks.pop(0)  # the power is off just now, with the next moment lost to memory
                rang += desk.rang
                desk = Desk(database, clock)
                await desk.begin()
            else:
                await desk.look()
        rang += desk.rang
        assert not breaks or breaks[0] > 360
        found: dict[str, list[datetime]] = {id: [] for id in wanted}
        for ring in rang:
            found[ring.reminder].append(ring.occurrence)
            assert ring.skipped == 0
        for id, moments in wanted.items():
            assert found[id] == moments, id
        if database.path is not None:
            async with database.reading() as session:
                query = text("EXPLAIN QUERY PLAN SELECT * FROM reminder WHERE due <= 1")
                plan = (await session.execute(query)).all()
            assert "ix_reminder_due" in str(plan)


async def test_a_clock_that_jumps_is_noticed(
    where: Path | URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm is set for an hour from now when somebody puts the host's clock on."""
    monkeypatch.setattr("scheduler.alarm.LOOK_EVERY", 0.05)
    rang = asyncio.Event()

    async def ring(row: RingRow) -> Result:
        rang.set()
        return Result(state="done")

    async with opened(where) as (database, clock):
        alarm = Alarm(database, "one")
        reminders = Reminders(database, alarm, ring, clock)
        clock.at = datetime.now(UTC)
        await reminders.start()
        await reminders.add(row("a", clock.at + timedelta(hours=1)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await rang.wait()
        clock.passes(hours=2)
        async with asyncio.timeout(10):
            await rang.wait()
        await alarm.stop()
        await reminders.stop()
