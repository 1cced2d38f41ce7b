"""`kill -9` in the middle of fifty bridged calls: what phones and journal know afterwards."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from pbx.calls.leg import Leg
from pbx.ports import CallRefused
from store.journal import INTERRUPTED
from tests.endurance.program import OncePhone, Program, moment

CALLS = 50
NEAR = 5.0
"Seconds the journal may be wrong about how long a call lasted."


@pytest.mark.timeout(240)
async def test_a_kill_during_fifty_calls_costs_the_calls_and_nothing_else(tmp_path: Path) -> None:
    await _kill_again_and_again(tmp_path, 2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_fifty_kills_in_a_row(tmp_path: Path) -> None:
    await _kill_again_and_again(tmp_path, 50)


async def _kill_again_and_again(folder: Path, rounds: int) -> None:
    callers = [f"1{n:03d}" for n in range(CALLS)]
    callees = [f"2{n:03d}" for n in range(CALLS)]
    program = Program(folder, callers + callees)
    await program.start()
    random = Random(50)
    phones = [OncePhone() for _ in range(2 * CALLS)]
    for phone, number in zip(phones, callers + callees, strict=True):
        await phone.join(program, number)
    try:
        for number in range(rounds):
            # At least once longer than what the journal may be wrong by.
            talk = NEAR + 2 if number == 0 else random.uniform(0, 4)
            await _round(program, phones, callees, talk)
    finally:
        for phone in phones:
            for leg in list(phone.legs):
                leg.hang_up()
        code = await program.stop()
        await asyncio.gather(*(phone._stack.close() for phone in phones))
    assert code == 0
    assert all(phone.registrations == 1 for phone in phones), "a phone registered again"


async def _round(
    program: Program, phones: list[OncePhone], callees: list[str], talk: float
) -> None:
    """Fifty calls, a kill, a start, and a look at the journal."""
    before = {row["id"] for row in program.rows("SELECT id FROM call")}
    began = datetime.now(UTC)
    legs = await asyncio.gather(
        *(phone.call(callee) for phone, callee in zip(phones[:CALLS], callees, strict=True))
    )
    answered = datetime.now(UTC)
    await asyncio.gather(*(_heard(leg) for leg in legs))
    await program.until(
        "SELECT id FROM call WHERE answered_at IS NOT NULL AND ended_at IS NULL",
        lambda rows: len(rows) == CALLS,
    )
    await asyncio.sleep(talk)  # time itself is what the journal must know
    killed = await program.kill()
    for phone in phones:  # the people at both ends notice
        for leg in list(phone.legs):
            leg.hang_up()
        assert not phone.legs
    await program.start()
    rows = await program.until(
        "SELECT * FROM call", lambda rows: all(row["ended_at"] for row in rows)
    )
    new = [row for row in rows if row["id"] not in before]
    assert len(new) == CALLS
    for row in new:
        assert (row["status"], row["cause"]) == (500, INTERRUPTED)
        assert abs((moment(row["ended_at"]) - killed).total_seconds()) < NEAR
        assert began <= moment(row["answered_at"]) <= answered + timedelta(seconds=1)
    open_legs = program.rows("SELECT id FROM leg WHERE ended_at IS NULL")
    assert not open_legs


async def _heard(leg: Leg) -> None:
    """Until sound of the other side came through the exchange."""
    port = leg.media.audio_port
    assert port is not None
    async with asyncio.timeout(20):
        while port.stats.received < 5:  # noqa: ASYNC110  # packets are no event
            await asyncio.sleep(0.05)


async def test_phones_on_connections_are_reached_once_they_have_connected_again(
    tmp_path: Path,
) -> None:
    """Their connection breaks with the exchange, which they notice; the same port is there again
    at once, and the old registration, which leads nowhere, is in nobody's way."""
    program = Program(tmp_path, ("101", "102", "103"))
    await program.start()
    tls = ssl.create_default_context(cafile=program.ready["ca"])
    caller = await OncePhone().join(program, "101")
    others: dict[str, OncePhone] = {
        "102": await OncePhone().join(program, "102", transport="tcp"),
        "103": await OncePhone().join(program, "103", transport="tls", tls=tls),
    }
    flows = [await phone._flow() for phone in others.values()]
    await program.kill()
    async with asyncio.timeout(5):
        while not all(flow.closed for flow in flows):  # noqa: ASYNC110  # phones would be told
            await asyncio.sleep(0.01)
    await program.start()
    for number, phone in others.items():
        with pytest.raises(CallRefused) as refused:
            await caller.call(number)
        assert refused.value.status == 480
        assert await phone._register_once(60) == 200
        leg = await caller.call(number)
        assert leg.answered
        leg.hang_up()
    for phone in (caller, *others.values()):
        await phone.stop()
    assert await program.stop() == 0
