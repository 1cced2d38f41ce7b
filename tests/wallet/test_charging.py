"""Calls that are paid for: nothing is spent twice, and nothing is lost by a crash."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, text
from sqlmodel import select

from store.database import Database
from store.tables import ChargeRow
from wallet.charging import Charging, Meter, NotPaid
from wallet.ledger import CALLS, GIVEN, Entry, balances, credit_of, post, transfer, verify
from wallet.money import Asset
from wallet.purse import REDUCED, Purse
from wallet.rates import Rate, RateDeck

EUR = Asset(id="EUR", name="EUR", decimals=2)
BEGIN = datetime(2026, 11, 30, 12, tzinfo=UTC)
DECK = RateDeck(
    [
        Rate(prefix="49", name="Germany", price=60_000, first=1, step=1),  # a tenth of a cent a s
        Rate(prefix="44", name="United Kingdom", price=120_000, fee=50_000),  # 12 ct, and 5
        Rate(prefix="358", name="Finland", price=0, first=60, step=60),
    ]
)
GERMANY, LONDON, FINLAND = "+4930123456", "+442079460321", "+358401234567"


class Clock:
    at = BEGIN

    def __call__(self) -> datetime:
        return self.at

    def passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@asynccontextmanager
async def desk(
    where: Path | URL, clock: Clock, alive: datetime | None = None
) -> AsyncIterator[Charging]:
    database = Database(where)
    await database.open()
    charging = Charging(database, DECK, EUR, now=clock)
    await charging.open(alive)
    try:
        yield charging
    finally:
        await charging.close()
        await database.close()


async def give(charging: Charging, extension: str, amount: int, part: str = "") -> None:
    moves = transfer(GIVEN, credit_of(extension) + part, EUR.id, amount)
    entry = Entry(key=f"gift:{random.random()}", kind="gift", at=BEGIN, moves=moves)
    async with charging._database.writing() as session:
        await post(session, entry)
    await charging.reload()


def call(charging: Charging, clock: Clock, extension: str, number: str, leg: str) -> Meter:
    meter = charging.reserve(extension, number)
    charging.begin(meter, f"c{leg}", leg, clock.at)
    return meter


async def test_a_call_costs_what_it_lasted(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as charging:
        await give(charging, "101", 500)
        meter = call(charging, clock, "101", LONDON, "l1")
        assert charging.free("101") < charging.has("101") == 500
        clock.passes(61)
        charging.end(meter, clock.at)
        await charging._jobs.join()
        assert charging.has("101") == charging.free("101") == 500 - 29
        assert (await balances(charging._database))[CALLS, "EUR"] == 29
        async with charging._database.reading() as session:
            (row,) = (await session.execute(select(ChargeRow))).scalars()
        assert (row.seconds, row.cost, row.extension, row.name) == (61, 29, "101", "United Kingdom")


async def test_what_is_not_answered_costs_nothing(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as charging:
        await give(charging, "101", 500)
        meter = charging.reserve("101", LONDON)
        clock.passes(30)
        charging.end(meter, clock.at)
        assert charging.free("101") == 500


async def test_who_cannot_pay_is_told_what_it_costs(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as charging:
        with pytest.raises(NotPaid, match=r"United Kingdom costs at least 0\.17 EUR, .* 0\.00 EUR"):
            charging.reserve("101", LONDON)
        with pytest.raises(NotPaid, match="no price for calls to \\+8613800000"):
            charging.reserve("101", "+8613800000")
        assert charging.reserve("101", FINLAND).covers > 0


async def test_money_is_set_aside_as_the_call_goes_on(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as charging:
        await give(charging, "101", 20)  # 200 seconds
        meter = call(charging, clock, "101", GERMANY, "l1")
        assert meter.covers == 120
        assert charging.extend(meter)
        assert meter.covers == 180
        other = charging.reserve("101", GERMANY)
        assert other.covers == 20
        assert not charging.extend(meter)
        charging.end(other, clock.at)
        assert charging.extend(meter)
        assert meter.covers == 200
        clock.passes(10_000)  # whoever should have ended it was late
        charging.end(meter, clock.at)
        await charging._jobs.join()
        assert charging.has("101") == 0


async def test_a_thousand_calls_of_a_hundred_people_overspend_nothing(where: Path | URL) -> None:
    """Each at once; they go on for as long as there is money, or end before."""
    clock, chance = Clock(), random.Random(8)
    async with desk(where, clock) as charging:
        for number in range(100):
            await give(charging, str(100 + number), chance.randrange(0, 120))
        given = sum(purse.sum for purse in charging._purses.values())
        running: list[tuple[Meter, datetime]] = []
        refused = 0
        for number in range(1_000):
            extension, to = str(100 + number % 100), chance.choice([GERMANY, LONDON])
            try:
                meter = charging.reserve(extension, to)
            except NotPaid:
                refused += 1
                continue
            charging.begin(meter, f"c{number}", f"l{number}", clock.at)
            running.append((meter, clock.at))
        while running:
            clock.passes(chance.choice([1, 7, 29]))
            for one in list(running):
                meter, since = one
                talked = (clock.at - since).total_seconds()
                near = talked + 30 > meter.covers
                over = near and not charging.extend(meter) and talked >= meter.covers
                if over or chance.random() < 0.05:
                    charging.end(meter, clock.at)
                    running.remove(one)
                assert charging.free(meter.extension) >= 0
        await charging._jobs.join()
        proof = await verify(charging._database)
        assert proof.faults == []
        assert refused > 100
        left = [purse.sum for purse in charging._purses.values()]
        assert min(left) >= 0
        paid = (await balances(charging._database))[CALLS, "EUR"]
        assert paid + sum(left) == given
        async with charging._database.reading() as session:
            rows = list((await session.execute(select(ChargeRow))).scalars())
        full = sum(DECK.of(r.number).cost(r.seconds or 0, 2) for r in rows)  # type: ignore[union-attr]
        assert full == sum(row.cost for row in rows) == paid, "nobody talked for nothing"


async def test_a_crash_takes_what_was_used_and_once(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as charging:
        await give(charging, "101", 500)
        call(charging, clock, "101", LONDON, "l1")
        await charging._jobs.join()
        assert charging._writer is not None
        charging._writer.cancel()  # and is killed
    clock.passes(3600)
    for _ in range(3):
        async with desk(where, clock, alive=BEGIN + timedelta(seconds=61)) as charging:
            assert charging.has("101") == 500 - 29
            assert (await verify(charging._database)).faults == []


async def test_a_crash_without_a_mark_takes_nothing(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as charging:
        await give(charging, "101", 500)
        call(charging, clock, "101", LONDON, "l1")
    async with desk(where, clock) as charging:
        assert charging.has("101") == 500


async def test_a_database_that_is_away_delays_a_charge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wallet.charging.RETRY", 0.05)
    clock = Clock()
    async with desk(tmp_path / "x.db", clock) as charging:
        await give(charging, "101", 500)
        async with charging._database.writing() as session:
            await session.execute(text("ALTER TABLE charge RENAME TO away"))
        meter = call(charging, clock, "101", LONDON, "l1")
        clock.passes(10)
        charging.end(meter, clock.at)
        await asyncio.sleep(0.2)
        assert charging.has("101") == 500
        assert charging.free("101") < 500, "what it cost cannot be spent again"
        assert charging.waiting == 2
        assert charging.failures >= 1
        async with charging._database.writing() as session:
            await session.execute(text("ALTER TABLE away RENAME TO charge"))
        await charging._jobs.join()
        assert charging.waiting == 0
        assert charging.has("101") == charging.free("101") == 500 - 17


async def test_what_was_paid_in_with_ett_buys_more_and_goes_first(where: Path | URL) -> None:
    """A fifth off: 80 cents pay for 100, and the rest is taken of the other part."""
    clock = Clock()
    async with desk(where, clock) as charging:
        charging.percent = 20
        await give(charging, "101", 50)
        await give(charging, "101", 80, REDUCED)
        assert (charging.has("101"), charging.free("101")) == (130, 150)
        meter = call(charging, clock, "101", GERMANY, "l1")
        while charging.extend(meter):
            pass
        assert meter.covers == 1_500
        clock.passes(500)
        charging.end(meter, clock.at)
        await charging._jobs.join()
        assert charging.purse("101") == Purse(plain=50, reduced=40, percent=20)
        meter = call(charging, clock, "101", GERMANY, "l2")
        while charging.extend(meter):
            pass
        clock.passes(700)
        charging.end(meter, clock.at)
        await charging._jobs.join()
        assert charging.purse("101") == Purse(plain=30, reduced=0, percent=20)
        found = await balances(charging._database)
        assert found[CALLS, "EUR"] == 40 + 60
        assert (await verify(charging._database)).faults == []


@given(
    plain=st.integers(0, 10**9),
    reduced=st.integers(0, 10**9),
    percent=st.integers(0, 90),
    cost=st.integers(0, 10**10),
)
def test_a_purse_pays_what_it_can_and_never_more(
    plain: int, reduced: int, percent: int, cost: int
) -> None:
    purse = Purse(plain=plain, reduced=reduced, percent=percent)
    parts = purse.pay(cost)
    assert 0 <= parts.get("", 0) <= plain
    assert 0 <= parts.get(REDUCED, 0) <= reduced
    left = Purse(
        plain=plain - parts.get("", 0), reduced=reduced - parts.get(REDUCED, 0), percent=percent
    )
    if cost <= purse.worth:
        assert purse.worth - cost - 11 <= left.worth <= purse.worth - cost
    else:
        assert left.sum <= 10, "no more than what one unit may buy is left"
