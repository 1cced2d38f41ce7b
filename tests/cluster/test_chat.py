"""Chats of several programs: one of them talks, another goes on when it is killed, and no message
is lost without a word or obeyed twice."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from random import Random

import pytest

from bot.reception import INTERRUPTED
from tests.cluster.programs import Cluster, cluster
from tests.endurance.program import OncePhone
from tests.peers import telegram
from tests.peers.postgres import Postgres


@pytest.mark.parametrize("rounds", [1, pytest.param(100, marks=pytest.mark.soak)])
@pytest.mark.timeout(7200)
async def test_who_leads_is_killed_while_somebody_writes(
    tmp_path: Path, postgres: Postgres, rounds: int
) -> None:
    random = Random(7)
    async with telegram.TelegramServer() as server:
        section = {"token": telegram.TOKEN, "api": server.url}
        async with cluster(tmp_path, postgres, 2, extra={"telegram": section}) as both:
            phone = await OncePhone().join(both.programs[await leader(both)], "101")
            alice = server.user(500, "Alice")
            line = await both.programs[await leader(both)].process.wait_line(
                r"(?:start=|write )([\w-]{16})", 20
            )
            alice.says(line[1])
            await alice.sees(lambda text: "Welcome" in text)
            outcomes: list[str] = []
            for _ in range(rounds):
                dying = await leader(both)
                before = {id for (id,) in await both.ask("SELECT id FROM call")}
                since = len(alice.feed.items)
                alice.says("call 600")
                await asyncio.sleep(random.uniform(0, 0.5))  # the moment of the kill is the point
                await both.programs[dying].kill()
                for leg in list(phone.legs):
                    leg.hang_up()
                await alice.feed.wait(lambda _: True, 40, since)
                alice.says("hang up")
                await alice.feed.wait(
                    lambda text: (
                        "no call of yours" in text or "ended" in text or "come about" in text
                    ),
                    40,
                    since,
                )
                new = {id for (id,) in await both.ask("SELECT id FROM call")} - before
                assert len(new) <= 1, alice.feed.items[since:]
                told = INTERRUPTED in alice.feed.items[since:]
                outcomes.append("told" if told else "done")
                assert told or any(
                    re.search("600|Connected|ended", text) for text in alice.feed.items[since:]
                )
                await both.gone(dying)
                await both.programs[dying].start()
                assert await leader(both) != dying
            await both.until("SELECT id FROM call WHERE ended_at IS NULL", lambda rows: not rows)
            await phone.stop()
        assert server.invalid == []
        print(f"{outcomes.count('done')} done, {outcomes.count('told')} told")


async def leader(nodes: Cluster) -> str:
    """The name of who is here the longest."""
    ((name,),) = await nodes.ask("SELECT name FROM node ORDER BY since, name LIMIT 1")
    return str(name)
