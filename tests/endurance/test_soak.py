"""A long mixed day in short: calls, registrations, garbage, wrong passwords, dropped connections,
reloads and questions, in an order that a seed decides; then everything must be as before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from pbx.ports import CallRefused
from pbx.sip.digest import Credentials
from tests.endurance.program import DOMAIN, OncePhone, Program

WORKERS = 4
SHORT, LONG = 12.0, 900.0
SPARE = 2
"Tasks and files that may come and go beside what was there before."


@pytest.mark.timeout(120)
async def test_a_mixed_while_leaves_nothing_behind(tmp_path: Path) -> None:
    await _day(tmp_path, SHORT)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_mixed_quarter_of_an_hour_leaves_nothing_behind(tmp_path: Path) -> None:
    await _day(tmp_path, LONG)


@dataclass
class Tally:
    """What was done, and what the kernel said of the process in between."""

    done: dict[str, int] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    editing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1


async def _day(folder: Path, seconds: float) -> None:
    numbers = [f"1{n:02d}" for n in range(2 * WORKERS)]
    extra = {"log": {"level": "error"}, "guard": {"requests_per_second": 500}}
    program = Program(folder, [*numbers, "199"], extra=extra)
    tally = Tally()
    async with program:
        phones = [await OncePhone().join(program, number) for number in numbers]
        await _work(program, phones, tally, seconds / 4, seed=1)  # caches and pools fill
        before = await _quiet(program)
        await _work(program, phones, tally, seconds * 3 / 4, seed=2)
        after = await _quiet(program)
        for phone in phones:
            await phone.stop()
        rows = await program.until(
            "SELECT * FROM call", lambda rows: all(row["ended_at"] for row in rows)
        )
        status = await program.ask("status")
    print(json.dumps({"done": tally.done, "before": before, "after": after}))
    assert tally.done["call"] > seconds / 2
    assert after["files"] <= before["files"] + SPARE
    assert after["tasks"] <= before["tasks"] + SPARE
    half = len(tally.memory) // 2
    early, late = median(tally.memory[half // 2 : half]), median(tally.memory[half:])
    assert late < 1.05 * early + 4_000, f"memory grew: {tally.memory[:: max(1, half // 10)]}"
    assert len(rows) >= tally.done["call"]
    assert status["dropped"]["journal"] == 0


async def _quiet(program: Program) -> dict[str, Any]:
    """How the process is once no call goes on."""
    async with asyncio.timeout(40):
        while (await program.ask("status"))["calls"]:  # noqa: ASYNC110  # from outside
            await asyncio.sleep(0.1)
    health: dict[str, Any] = (await program.ask("status"))["health"]
    return health


async def _work(
    program: Program, phones: list[OncePhone], tally: Tally, seconds: float, seed: int
) -> None:
    until = asyncio.get_running_loop().time() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(WORKERS):
            pair = phones[2 * number], phones[2 * number + 1]
            worker = _Worker(program, *pair, tally, Random(f"{seed} {number}"))
            group.create_task(worker.work(until))


class _Worker:
    """Two phones and a die."""

    def __init__(
        self,
        program: Program,
        caller: OncePhone,
        callee: OncePhone,
        tally: Tally,
        random: Random,
    ) -> None:
        self.program = program
        self.caller = caller
        self.callee = callee
        self.tally = tally
        self.random = random

    async def work(self, until: float) -> None:
        acts = (
            [self.call] * 8 + [self.cancel] * 2 + [self.again, self.garbage, self.guess]
            + [self.half_open, self.reload, self.ask]
        )  # fmt: skip
        while asyncio.get_running_loop().time() < until:
            act = self.random.choice(acts)
            await act()
            self.tally.count(act.__name__)
            self.tally.memory.append(self.program.status_file()["rss_kb"])

    async def call(self) -> None:
        """A call that either side ends."""
        assert self.callee._account is not None
        leg = await self.caller.call(self.callee._account.username)
        await asyncio.sleep(self.random.uniform(0, 1.5))
        other = self.random.choice([leg, *self.callee.legs])
        other.hang_up()
        async with asyncio.timeout(10):
            await leg.ended()

    async def cancel(self) -> None:
        """A caller who thinks better of it."""
        assert self.callee._account is not None
        calling = asyncio.ensure_future(self.caller.call(self.callee._account.username))
        await asyncio.sleep(self.random.uniform(0, 0.06))
        for leg in list(self.caller.legs):
            leg.hang_up()
        with contextlib.suppress(CallRefused):
            await calling

    async def again(self) -> None:
        """A phone that registers once more, or leaves and comes back."""
        if self.random.random() < 0.5:
            assert await self.caller._register_once(0) == 200
        assert await self.caller._register_once(60) == 200

    async def garbage(self) -> None:
        """What is no SIP, and what nearly is."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
            for _ in range(50):
                data = self.random.randbytes(self.random.randrange(1, 400))
                if self.random.random() < 0.5:
                    data = b"INVITE sip:1@h SIP/2.0\r\nVia: " + data + b"\r\n\r\n"
                door.sendto(data, self.program.udp)

    async def guess(self) -> None:
        """Somebody with a wrong password."""
        phone = OncePhone()
        await phone.listen()
        account = Credentials(username="199", secret="wrong")
        assert await phone.register(self.program.udp, account, DOMAIN) in (401, 403)
        await phone._stack.close()

    async def half_open(self) -> None:
        """A connection that says half a message, or half a handshake, and goes."""
        port = self.program.ports[self.random.choice(["tcp", "tls"])]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01" if self.random.random() < 0.5 else b"OPTIONS sip:")
        await asyncio.sleep(self.random.uniform(0, 0.2))
        writer.transport.abort()

    async def reload(self) -> None:
        """A configuration that changes, or is broken for a while."""
        async with self.tally.editing:
            before = self.program.file.read_text()
            if self.random.random() < 0.3:
                self.program.file.write_text("[calls\n")
                self.program.signal(signal.SIGHUP)
                await asyncio.sleep(0.1)
                fresh = self.program.file.with_suffix(".new")
                fresh.write_text(before)
                fresh.replace(self.program.file)
            self.program.signal(signal.SIGHUP)

    async def ask(self) -> None:
        """Somebody at the command line."""
        assert (await self.program.ask("status"))["running"]
        assert "error" in await self.program.ask("nonsense")
