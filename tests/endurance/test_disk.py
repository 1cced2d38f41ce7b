"""Disk full, database locked: calls go on, the owner hears of it once, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.endurance.disks import Disk, allowance, locked, small_disk
from tests.endurance.program import OncePhone, Program, moment

LOCKED_SECONDS = 21.0
TROUBLE, OVER = "The call journal cannot be written", "The call journal is written again"


@asynccontextmanager
async def two_phones(program: Program) -> AsyncIterator[tuple[OncePhone, OncePhone]]:
    phones = await OncePhone().join(program, "101"), await OncePhone().join(program, "102")
    try:
        yield phones
    finally:
        for phone in phones:
            await phone.stop()


async def a_call(phone: OncePhone) -> None:
    """Set up and ended, as if nothing were the matter."""
    async with asyncio.timeout(10):
        leg = await phone.call("102")
        assert leg.answered
        leg.hang_up()


async def told(program: Program, beginning: str) -> list[str]:
    return [text for text in (await program.ask("status"))["news"] if text.startswith(beginning)]


async def trouble(program: Program) -> str:
    return str((await program.ask("status"))["journal"]["trouble"])


async def _check_journal(program: Program, calls: int) -> None:
    """Every call once, ended, in order, with its legs and its messages."""
    rows = await program.until(
        "SELECT * FROM call ORDER BY rowid",
        lambda rows: len(rows) >= calls and all(row["ended_at"] for row in rows),
    )
    assert len(rows) == calls
    started = [moment(row["started_at"]) for row in rows]
    assert started == sorted(started)
    assert all(row["answered_at"] for row in rows)
    (legs,) = program.rows("SELECT count(*) AS n FROM leg WHERE ended_at IS NOT NULL")
    assert legs["n"] == 2 * calls
    await program.until("SELECT call_id FROM trace", lambda rows: len(rows) == calls)


@pytest.mark.parametrize("disk", [small_disk, pytest.param(allowance, marks=pytest.mark.soak)])
async def test_a_full_disk_is_survived_and_told_once(
    tmp_path: Path, disk: Callable[[Path], AbstractContextManager[Disk]]
) -> None:
    with disk(tmp_path) as place:
        place.data.parent.mkdir(exist_ok=True)
        program = Program(tmp_path, ("101", "102"), data=place.data)
        async with program, two_phones(program) as (caller, _):
            going_on = await caller.call("102")
            calls = 1
            place.fill(program.process.child.pid)
            while not await trouble(program):  # a little still fits into what the file has
                await a_call(caller)
                calls += 1
            assert "disk" in await trouble(program)
            for _ in range(5):
                await a_call(caller)
                calls += 1
            assert going_on.ending is None
            place.free(program.process.child.pid)
            going_on.hang_up()
            await _check_journal(program, calls)
            assert len(await told(program, TROUBLE)) == 1
            over = await told(program, OVER)
            assert over == ["The call journal is written again; nothing was lost."]


@pytest.mark.parametrize("disk", [small_disk, pytest.param(allowance, marks=pytest.mark.soak)])
async def test_a_start_on_a_full_disk_serves_calls(
    tmp_path: Path, disk: Callable[[Path], AbstractContextManager[Disk]]
) -> None:
    with disk(tmp_path) as place:
        program = Program(tmp_path, ("101", "102"), data=place.data)
        await program.start()
        phones = [await OncePhone().join(program, number) for number in ("101", "102")]
        await program.until("SELECT * FROM binding", lambda rows: len(rows) == 2)
        await phones[0].call("102")
        await program.until(
            "SELECT * FROM call WHERE answered_at IS NOT NULL", lambda rows: len(rows) == 1
        )
        killed = await program.kill()
        for phone in phones:
            for leg in list(phone.legs):
                leg.hang_up()
        place.fill(0)
        await program.start(*place.before)
        calls = 1
        while not await trouble(program):
            await a_call(phones[0])
            calls += 1
        await a_call(phones[0])
        place.free(program.process.child.pid)
        rows = await program.until(
            "SELECT * FROM call ORDER BY rowid",
            lambda rows: len(rows) == calls + 1 and all(row["ended_at"] for row in rows),
        )
        assert abs((moment(rows[0]["ended_at"]) - killed).total_seconds()) < 5
        for phone in phones:
            await phone.stop()
        assert await program.stop() == 0


async def test_a_locked_database_is_survived_and_told_once(tmp_path: Path) -> None:
    program = Program(tmp_path, ("101", "102"))
    async with program, two_phones(program) as (caller, callee):
        going_on = await caller.call("102")
        await program.until("SELECT id FROM call", lambda rows: len(rows) == 1)
        calls = 1
        loop = asyncio.get_running_loop()
        async with locked(program.data / "encryptotel.db"):
            until = loop.time() + LOCKED_SECONDS
            while loop.time() < until:
                await a_call(caller)
                calls += 1
                await asyncio.sleep(0.5)  # time itself is what this is about
            assert await trouble(program) == "another program holds the database"
            assert going_on.ending is None
        going_on.hang_up()
        await _check_journal(program, calls)
        assert len(await told(program, TROUBLE)) == 1
        assert await told(program, OVER) == ["The call journal is written again; nothing was lost."]
        assert not callee.legs
