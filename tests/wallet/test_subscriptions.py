"""Monthly plans: paid in advance, renewed, warned of, waiting and ended; and their minutes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL
from sqlmodel import select

from store.tables import ChargeRow
from tests.wallet.test_charging import EUR, GERMANY, LONDON, Clock, call, give
from tests.wallet.test_charging import desk as charging_desk
from wallet.charging import Charging, NotPaid
from wallet.ledger import CALLS, balances, credit_of, verify
from wallet.subscriptions import PLANS, PlanError, Subscriptions, Turn
from wallet.tariff import Included, Plan

ABROAD = Included(name="Germany and Austria", prefixes=("49", "43"), seconds=600)
BASIC = Plan(name="Basic", price=500, days=30, included=(ABROAD,))
LARGE = Plan(
    name="Large", price=900, days=30,
    included=(
        Included(name="Germany and Austria", prefixes=("49", "43"), seconds=1_200),
        Included(name="Britain", prefixes=("44",), seconds=300),
    ),
)  # fmt: skip
DAY = 86_400


@asynccontextmanager
async def desk(
    where: Path | URL, clock: Clock
) -> AsyncIterator[tuple[Subscriptions, Charging, list[Turn]]]:
    async with charging_desk(where, clock) as charging:
        turns: list[Turn] = []

        async def told(turn: Turn) -> None:
            turns.append(turn)
            await charging.reload()

        charging.zones = {prefix: one.asset for one in LARGE.included for prefix in one.prefixes}
        plans = Subscriptions(
            charging._database, EUR, (BASIC, LARGE), 0, told, charging.aside, clock
        )
        yield plans, charging, turns
        assert list((await verify(charging._database)).faults) == []


async def test_a_month_is_paid_renewed_and_ends(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as (plans, charging, turns):
        await give(charging, "101", 1_200)
        turn = await plans.choose("101", "basic")
        assert (turn.what, turn.until) == ("begun", clock.at + timedelta(days=30))
        assert charging.has("101") == 700
        clock.passes(26 * DAY)
        await plans.look()
        assert [one.what for one in turns] == ["begun"]
        clock.passes(4 * DAY)
        await plans.look()
        await plans.look()
        assert [one.what for one in turns] == ["begun", "renewed"]
        assert charging.has("101") == 200
        clock.passes(28 * DAY)
        for _ in range(3):
            await plans.look()
        assert [one.what for one in turns] == ["begun", "renewed", "warned"]
        clock.passes(2 * DAY)
        for _ in range(3):
            await plans.look()
        assert turns[-1].what == "waiting"
        assert charging.included("101", ABROAD.asset) == 0, "calls go on by the minute meanwhile"
        clock.passes(3 * DAY)
        for _ in range(3):
            await plans.look()
        assert [one.what for one in turns] == ["begun", "renewed", "warned", "waiting", "ended"]
        assert await plans.of("101") is None
        assert charging.has("101") == 200
        assert (await balances(charging._database))[PLANS, "EUR"] == 1_000


async def test_a_plan_that_waits_goes_on_when_there_is_money(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as (plans, charging, turns):
        await give(charging, "101", 500)
        begun = await plans.choose("101", "Basic")
        clock.passes(31 * DAY)
        await plans.look()
        assert turns[-1].what == "waiting"
        await give(charging, "101", 500)
        await plans.look()
        assert turns[-1].what == "renewed"
        assert turns[-1].until == begun.until + timedelta(days=30), "the days it waited count"
        assert charging.included("101", ABROAD.asset) == 600


async def test_changing_keeping_and_cancelling(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as (plans, charging, turns):
        with pytest.raises(PlanError, match="there is no plan Huge; there are: Basic, Large"):
            await plans.choose("101", "Huge")
        with pytest.raises(PlanError, match=r"Basic costs 5\.00 EUR, which is more than you have"):
            await plans.choose("101", "Basic")
        with pytest.raises(PlanError, match="you have no plan"):
            await plans.cancel("101")
        await give(charging, "101", 5_000)
        await plans.choose("101", "Basic")
        assert (await plans.choose("101", "large")).what == "changed"
        assert charging.has("101") == 4_500
        assert (await plans.choose("101", "basic")).what == "kept"
        assert (await plans.choose("101", "large")).what == "changed"
        clock.passes(30 * DAY)
        await plans.look()
        assert (turns[-1].what, turns[-1].plan) == ("renewed", LARGE)
        assert charging.has("101") == 3_600
        assert charging.included("101", "s/Britain") == 300
        assert (await plans.cancel("101")).what == "cancelled"
        clock.passes(29 * DAY)
        await plans.look()
        assert charging.included("101", "s/Britain") == 300
        clock.passes(1 * DAY)
        await plans.look()
        assert turns[-1].what == "ended"
        assert charging.included("101", "s/Britain") == 0
        assert charging.has("101") == 3_600


async def test_what_is_included_is_spent_first_and_then_money(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as (plans, charging, _):
        await give(charging, "101", 503)
        await plans.choose("101", "Basic")
        meter = call(charging, clock, "101", GERMANY, "l1")
        assert (meter.covers, meter.included, meter.reserved) == (120, 120, 0)
        while charging.extend(meter):
            pass
        assert (meter.covers, meter.included, meter.reserved) == (630, 600, 3)
        with pytest.raises(NotPaid):
            charging.reserve("101", GERMANY)
        clock.passes(615)
        charging.end(meter, clock.at)
        await charging._jobs.join()
        assert (charging.has("101"), charging.included("101", ABROAD.asset)) == (1, 0)
        async with charging._database.reading() as session:
            (row,) = (await session.execute(select(ChargeRow))).scalars()
        assert (row.seconds, row.included, row.cost) == (615, 600, 2)
        with pytest.raises(NotPaid):
            charging.reserve("101", LONDON)


async def test_calls_at_once_share_what_is_included(where: Path | URL) -> None:
    clock, chance = Clock(), random.Random(3)
    async with desk(where, clock) as (plans, charging, _):
        await give(charging, "101", 520)
        await plans.choose("101", "Basic")
        meters = [call(charging, clock, "101", GERMANY, f"l{n}") for n in range(4)]
        since = clock.at
        while meters:
            clock.passes(chance.choice([10, 30]))
            for meter in list(meters):
                talked = (clock.at - since).total_seconds()
                near = talked + 30 > meter.covers
                if near and not charging.extend(meter) and talked >= meter.covers:
                    charging.end(meter, clock.at)
                    meters.remove(meter)
        await charging._jobs.join()
        assert (charging.has("101"), charging.included("101", ABROAD.asset)) == (0, 0)
        found = await balances(charging._database)
        assert (found[CALLS, "EUR"], found[CALLS, ABROAD.asset]) == (20, 600)


async def test_a_plan_takes_nothing_that_a_call_has_set_aside(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as (plans, charging, _):
        await give(charging, "101", 505)
        call(charging, clock, "101", GERMANY, "l1")
        with pytest.raises(PlanError, match="more than you have"):
            await plans.choose("101", "Basic")


async def test_a_crash_spends_what_is_included_as_well(where: Path | URL) -> None:
    clock = Clock()
    async with desk(where, clock) as (plans, charging, _):
        await give(charging, "101", 510)
        await plans.choose("101", "Basic")
        call(charging, clock, "101", GERMANY, "l1")
        await charging._jobs.join()
    alive = clock.at + timedelta(seconds=90)
    clock.passes(3_600)
    async with charging_desk(where, clock, alive=alive) as charging:
        found = await balances(charging._database)
        assert found[credit_of("101"), ABROAD.asset] == 510
        assert found[credit_of("101"), "EUR"] == 10
