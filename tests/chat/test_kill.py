"""`kill -9` between a message and its answer: no command is lost without a word to its sender, and
none is carried out twice."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from random import Random

import pytest

from bot.reception import INTERRUPTED
from tests.endurance.program import OncePhone, Program
from tests.peers import telegram


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.soak)])
@pytest.mark.timeout(1800)
async def test_a_kill_loses_no_command_and_repeats_none(tmp_path: Path, rounds: int) -> None:
    random = Random(5)
    async with telegram.TelegramServer() as server:
        section = {"token": telegram.TOKEN, "api": server.url}
        program = Program(tmp_path, ("101", "102"), extra={"telegram": section})
        await program.start()
        phone = await OncePhone().join(program, "101")
        alice = server.user(500, "Alice")
        line = await program.process.wait_line(r"(?:start=|write )([\w-]{16})", 20)
        alice.says(line[1])
        await alice.sees(lambda text: "Welcome" in text)
        outcomes: list[str] = []
        for _ in range(rounds):
            calls = {row["id"] for row in program.rows("SELECT id FROM call")}
            since = len(alice.feed.items)
            alice.says("call 600")
            await asyncio.sleep(random.uniform(0, 0.3))  # the moment of the kill is the point
            await program.kill()
            for leg in list(phone.legs):
                leg.hang_up()
            await program.start()
            await alice.feed.wait(lambda _: True, 30, since)
            alice.says("hang up")
            await alice.feed.wait(
                lambda text: "no call of yours" in text or "ended" in text or "come about" in text,
                30,
                since,
            )
            new = {row["id"] for row in program.rows("SELECT id FROM call")} - calls
            assert len(new) <= 1, alice.feed.items[since:]
            told = INTERRUPTED in alice.feed.items[since:]
            outcomes.append("told" if told else "done")
            assert told or any(
                re.search("600|Connected|ended", text) for text in alice.feed.items[since:]
            )
        await phone.stop()
        assert await program.stop() == 0
        assert server.invalid == []
        print(f"{outcomes.count('done')} done, {outcomes.count('told')} told")
