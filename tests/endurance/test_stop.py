"""SIGTERM: no new calls, time for those going on, a clean goodbye to trunks, exit code 0."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from encryptotel.demo.phone import plays
from pbx.calls.leg import Leg
from pbx.media.tones import tone
from pbx.ports import CallRefused
from pbx.sip.message import Request, Response
from pbx.sip.transport import Flow
from tests.endurance.program import OncePhone, Program

DRAIN = 20


@asynccontextmanager
async def talking(program: Program) -> AsyncIterator[tuple[OncePhone, OncePhone, Leg]]:
    """Two phones in a call with sound both ways, and a third that calls nobody yet."""
    sound = plays(tone(1.0, 440.0))
    caller = await OncePhone(sound).join(program, "101")
    callee = await OncePhone(sound).join(program, "102")
    leg = await caller.call("102")
    try:
        yield caller, callee, leg
    finally:
        for phone in (caller, callee):
            await phone.stop()


def received(phone: OncePhone) -> int:
    port = phone.legs[0].media.audio_port
    assert port is not None
    return port.stats.received


async def hear_more(phone: OncePhone, packets: int) -> None:
    """Until so many more packets came; none of all so far was lost."""
    goal = received(phone) + packets
    async with asyncio.timeout(20):
        while received(phone) < goal:  # noqa: ASYNC110  # packets are no event
            await asyncio.sleep(0.02)
    port = phone.legs[0].media.audio_port
    assert port is not None
    assert port.lost == 0


async def test_calls_may_end_by_themselves_and_new_ones_are_sent_away(tmp_path: Path) -> None:
    carrier = Program(_made(tmp_path / "carrier"), ("900",))
    program = Program(tmp_path, ("101", "102", "103"), extra={"calls": {"drain": DRAIN}})
    program.write_config()
    with program.file.open("a") as file:
        file.write(
            f'[[trunk]]\nname = "carrier"\nzone = "US"\nhost = "127.0.0.1"\n'
            f'port = {carrier.ports["udp"]}\nusername = "900"\npassword = "secret-900"\n'
            f"register = true\n"
        )
    async with carrier:
        await program.start()
        await _drained(program, carrier)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def _drained(program: Program, carrier: Program) -> None:
    async with talking(program) as (caller, callee, leg):
        await carrier.until("SELECT * FROM binding", lambda rows: len(rows) == 1)
        third = await OncePhone().join(program, "103")
        retry_after: list[str] = []

        def note(sent: bool, message: Request | Response, flow: Flow) -> None:
            if isinstance(message, Response) and message.status == 503:
                retry_after.append(message.get("retry-after"))

        third._stack.on_message = note
        program.signal(signal.SIGTERM)
        await program.process.wait_line("waiting up to 20 s for 1 calls to end")
        # the carrier, another exchange, knows at once that we are gone
        await carrier.until("SELECT * FROM binding", lambda rows: not rows)
        with pytest.raises(CallRefused) as refused:
            await third.call("102")
        assert refused.value.status == 503
        assert retry_after[0].isdigit()
        said = await program.ask("say", text="call 102")
        assert "the exchange is stopping" in said["replies"][-1]["text"].lower()
        for phone in (caller, callee):
            await hear_more(phone, 100)
        leg.hang_up()
        assert await program.process.wait(within=10) == 0
        (row,) = program.rows("SELECT * FROM call WHERE answered_at IS NOT NULL")
        assert row["cause"] == "hung up"
        await third._stack.close()


async def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    program = Program(tmp_path, ("101", "102"), extra={"calls": {"drain": DRAIN}})
    await program.start()
    async with talking(program) as (_, callee, leg):
        program.signal(signal.SIGTERM)
        await program.process.wait_line("waiting up to 20 s")
        program.signal(signal.SIGTERM)
        assert await program.process.wait(within=DRAIN / 2) == 0
        async with asyncio.timeout(5):
            await leg.ended()  # the phones were told with BYE
        assert not callee.legs
        (row,) = program.rows("SELECT * FROM call")
        assert row["cause"] == "the exchange is stopping"


async def test_calls_that_do_not_end_are_ended_when_the_time_is_over(tmp_path: Path) -> None:
    program = Program(tmp_path, ("101", "102"), extra={"calls": {"drain": 0.5}})
    await program.start()
    async with talking(program) as (_, _, leg):
        assert await program.stop() == 0
        async with asyncio.timeout(5):
            await leg.ended()
