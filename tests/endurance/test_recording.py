"""`kill -9` while a call is recorded: what is on the disk opens up to that second."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from random import Random

import pyrage
import pytest

from encryptotel.sealed import opened
from tests.calls.test_recording import share, sides
from tests.peers.proc import Process

LOST = 2.5
"Seconds before the kill that may be missing: what is being written, and a page of Ogg."
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("after", [3.3, 7.8])
async def test_a_kill_costs_the_last_second(after: float, tmp_path: Path) -> None:
    await _killed(tmp_path / "call.ogg.age", after)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_kills_at_any_second_of_two_minutes(tmp_path: Path) -> None:
    """Past the first piece that age seals (16 s) and several more."""
    random = Random(7)
    times = [random.uniform(1.5, 120.0) for _ in range(40)]
    gate = asyncio.Semaphore(6)

    async def one(number: int, after: float) -> None:
        async with gate:
            await _killed(tmp_path / f"{number}.ogg.age", after)

    await asyncio.gather(*(one(number, after) for number, after in enumerate(times)))


async def _killed(path: Path, after: float) -> None:
    """Record for a while, die, and listen to what is left."""
    identity = pyrage.x25519.Identity.generate()
    child = await Process.start(
        "recording",
        [sys.executable, "-m", "tests.endurance._recording", path, str(identity.to_public())],
        cwd=ROOT,
        env=dict(os.environ),
    )
    try:
        await child.lines.wait(lambda line: "recording" in line, 60)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(after)
        lived = loop.time() - began
    finally:
        child.child.kill()
    await child.wait()
    (left, right), rate = await asyncio.to_thread(lambda: sides(opened(path, str(identity))))
    seconds = left.size / rate
    assert seconds >= lived - LOST
    if seconds > 1:
        whole = slice(rate // 2, left.size)
        assert share(left[whole], rate, 440.0) > 0.9
        assert share(right[whole], rate, 620.0) > 0.9
