"""`kill -9` of a program among others: it is noticed, its people come home elsewhere, its calls are
closed in the journal and paid for once."""

from __future__ import annotations

import asyncio
import logging
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import quantiles

import pytest

from encryptotel.accounts import give
from encryptotel.cluster.membership import LEASE
from encryptotel.demo.phone import plays
from pbx.media.srtp import SrtpPolicy
from pbx.media.tones import tone
from store.database import Database
from tests.calls.test_extensions import hears
from tests.cluster.programs import NUMBERS, Cluster, cluster
from tests.endurance.program import OncePhone, Program
from tests.office import quiet
from tests.peers.exchange import Trunk
from tests.peers.ports import HOST
from tests.peers.postgres import Postgres
from tests.peers.rtpengine import Rtpengine
from wallet.ledger import CALLS, balances, verify
from wallet.money import Asset

log = logging.getLogger(__name__)

NUMBER = "+12025550143"
EUR = Asset(id="EUR", name="EUR", decimals=2)
GIVEN = 10_000_000
NOTICED = 10.0
"Seconds within which a death is noticed and settled."
PAYER, CALLED = "111", "112"


@pytest.mark.timeout(240)
async def test_programs_that_are_killed(tmp_path: Path, postgres: Postgres) -> None:
    await _kill_again_and_again(tmp_path, postgres, 2)


@pytest.mark.timeout(120)
async def test_one_that_was_taken_for_dead_begins_anew(tmp_path: Path, postgres: Postgres) -> None:
    """It was only held up: its people are elsewhere, and it comes back as the youngest."""
    async with cluster(tmp_path, postgres, 2) as nodes:
        held, other = nodes.programs
        program = nodes.programs[held]
        since = len(program.process.lines.items)
        program.signal(signal.SIGSTOP)
        await nodes.gone(held)
        await nodes.until(
            "SELECT number, node FROM home", lambda rows: {node for _, node in rows} == {other}
        )
        program.signal(signal.SIGCONT)
        await program.process.wait_line("beginning anew", 30, since)
        await nodes.until(
            "SELECT name FROM node ORDER BY since", lambda rows: rows == [(other,), (held,)]
        )
        homes = await nodes.spread()
        phone = OncePhone()
        await phone.join(program, next(n for n in NUMBERS if homes[n] == held))
        leg = await phone.call("600")
        leg.hang_up()
        await phone.stop()


@pytest.mark.timeout(120)
async def test_sound_goes_on_when_the_node_of_a_call_dies(
    tmp_path: Path, postgres: Postgres
) -> None:
    """An engine carries it. What leads outside is ended there, for nobody is charged for it."""
    network = OncePhone(plays(tone(1, 620.0)))
    host, port = await network.listen()
    trunk = Trunk("us", host, port, ["+12025550100"])
    async with Rtpengine(count=200) as engine:
        extra = {"media": {"rtpengines": [engine.asked]}}
        async with cluster(tmp_path, postgres, 2, trunks=(trunk,), extra=extra) as nodes:
            homes = await nodes.spread()
            dying = next(iter(nodes.programs))
            one, other, third = [n for n in NUMBERS if homes[n] == dying][:3]
            alice, bob, carol = (
                OncePhone(plays(tone(1, hertz)), srtp=SrtpPolicy.OFFER)  # so nothing is waited for
                for hertz in (440.0, 620.0, 440.0)
            )
            for phone, number in ((alice, one), (bob, other), (carol, third)):
                await phone.join(nodes.programs[dying], number)
            await alice.call(other)
            await carol.call(NUMBER)
            for phone, hertz in ((alice, 620.0), (bob, 440.0), (carol, 620.0)):
                await hears(phone, hertz)
            await nodes.until(
                "SELECT id FROM leg WHERE answered_at IS NOT NULL", lambda rows: len(rows) == 4
            )
            await nodes.programs[dying].kill()
            for phone in (alice, bob):
                phone.heard.clear()
            await hears(alice, 620.0)
            await hears(bob, 440.0)
            await nodes.gone(dying)
            await _falls_silent(carol)
            for phone in (alice, bob):
                phone.heard.clear()
            await hears(alice, 620.0)
            await hears(bob, 440.0)
            await nodes.until("SELECT id FROM call WHERE ended_at IS NULL", lambda rows: not rows)
            for phone in (alice, bob, carol):
                await phone.stop()
    await network.stop()


async def _falls_silent(phone: OncePhone) -> None:
    """Wait until nothing has come for a second."""
    port = phone.legs[0].media.audio_port
    assert port is not None
    async with asyncio.timeout(15):
        before = -1
        while port.received != before:
            before = port.received
            await asyncio.sleep(1)


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_a_hundred_programs_that_are_killed(tmp_path: Path, postgres: Postgres) -> None:
    await _kill_again_and_again(tmp_path, postgres, 100)


async def _kill_again_and_again(folder: Path, postgres: Postgres, rounds: int) -> None:
    """In each round somebody calls outside and somebody inside, and one of the programs that carry
    these calls is killed and started anew."""
    network = OncePhone(quiet)
    host, port = await network.listen()
    (folder / "rates.csv").write_text("prefix,name,price,fee,increments\n1,USA,0.6,0,1/1\n")
    extra = {
        "money": {"rates": str(folder / "rates.csv"), "free": []},
        "limits": {
            "trunk_calls_at_once": 10, "trunk_calls_per_hour": 10_000,
            "trunk_minutes_per_day": 10_000, "night_calls_per_hour": 10_000, "ask_owner": False,
        },
    }  # fmt: skip
    chance, recoveries = Random(11), []
    trunk = Trunk("us", host, port, ["+12025550100"])

    async def rich(database: Database) -> None:
        await give(database, EUR, PAYER, GIVEN, "a present")

    async with cluster(folder, postgres, 3, trunks=(trunk,), extra=extra, before=rich) as nodes:
        for _ in range(rounds):
            recoveries.append(await _one_round(nodes, chance))
        assert (await verify(nodes.database)).faults == []
        charges = await nodes.ask("SELECT leg, seconds, cost FROM charge")
        assert len(charges) == rounds
        paid = sum(cost for _, _, cost in charges)
        found = await balances(nodes.database)
        assert found[f"credit/{PAYER}", "EUR"] == GIVEN - paid
        assert found[CALLS, "EUR"] == paid
        assert await nodes.ask("SELECT id FROM call WHERE ended_at IS NULL") == []
        assert await nodes.ask("SELECT id FROM leg WHERE ended_at IS NULL") == []
    await network.stop()
    log.warning("recovered after %s s", [round(one, 1) for one in sorted(recoveries)])
    if rounds > 10:
        log.warning("quartiles %s", [round(one, 2) for one in quantiles(recoveries)])
    assert max(recoveries) <= NOTICED


async def _one_round(nodes: Cluster, chance: Random) -> float:
    """The seconds from the death until all of the dead program's people are at home elsewhere."""
    await nodes.settled()
    homes = await nodes.homes()
    inside = next(n for n in NUMBERS if homes[n] != homes[PAYER] and n != CALLED)
    payer, caller, called = OncePhone(), OncePhone(), OncePhone()
    await payer.join(nodes.programs[homes[PAYER]], PAYER)
    await caller.join(nodes.programs[homes[inside]], inside)
    await called.join(nodes.programs[homes[CALLED]], CALLED)
    outside = await payer.call(NUMBER)
    leg = await caller.call(CALLED)
    await nodes.until(
        "SELECT id FROM call WHERE answered_at IS NOT NULL AND ended_at IS NULL",
        lambda rows: len(rows) == 2,
    )
    await asyncio.sleep(chance.uniform(0.0, 2.0))
    victim = homes[chance.choice([PAYER, inside, CALLED])]
    began = asyncio.get_running_loop().time()
    died = await nodes.programs[victim].kill()
    await nodes.until(
        "SELECT number, node FROM home", lambda rows: victim not in {node for _, node in rows}
    )
    recovered = asyncio.get_running_loop().time() - began
    if victim == homes[PAYER]:
        await _closed_and_paid(nodes, died)
    for one in (outside, leg):
        one.hang_up()
    await nodes.until("SELECT id FROM call WHERE ended_at IS NULL", lambda rows: not rows)
    await nodes.until("SELECT leg FROM charge WHERE seconds IS NULL", lambda rows: not rows)
    await _calls_again(nodes, inside, caller)
    for phone, number in ((payer, PAYER), (called, CALLED)):
        await _leaves(nodes, number, phone)
    await nodes.programs[victim].start()
    return recovered


async def _closed_and_paid(nodes: Cluster, died: datetime) -> None:
    """What the dead program carried ended when it was last known to live."""
    query = (
        "SELECT call.ended_at, charge.seconds, charge.answered_at FROM charge "
        "JOIN call ON call.id = charge.call ORDER BY charge.answered_at DESC LIMIT 1"
    )
    ((ended, seconds, answered),) = await nodes.ask(query)
    ended = ended.replace(tzinfo=UTC)
    assert died - timedelta(seconds=LEASE) <= ended <= died + timedelta(seconds=1)
    assert seconds is not None
    assert 0 <= (ended - answered.replace(tzinfo=UTC)).total_seconds() - seconds + 1 <= 2


async def _calls_again(nodes: Cluster, number: str, phone: OncePhone) -> None:
    """Somebody whose home may have died registers where their home is now, and calls."""
    home = await _leaves(nodes, number, phone)
    again = OncePhone()
    await again.join(home, number)
    leg = await again.call("600")
    leg.hang_up()
    await again.stop()


async def _leaves(nodes: Cluster, number: str, phone: OncePhone) -> Program:
    """Somebody's phone is no more, and says so where they are at home now; else it would ring in
    all rounds to come. The program there."""
    home = nodes.programs[(await nodes.homes())[number]]
    phone._server = (HOST, home.ports["udp"])
    await phone.stop()
    return home
