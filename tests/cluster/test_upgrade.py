"""All programs are replaced one after the other, as docs/howto/cluster.md says, behind Kamailio: no
call is dropped, and whoever is in none can be called all the time."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from encryptotel.demo.phone import plays
from pbx.calls.leg import Leg
from pbx.media.tones import share_of, tone
from tests.cluster.programs import NUMBERS, Cluster, cluster
from tests.cluster.test_edge import phone
from tests.endurance.program import OncePhone
from tests.peers.edge import HOST, Edge
from tests.peers.postgres import Postgres
from tests.peers.several import edge_before

log = logging.getLogger(__name__)

NAMES = "red", "green", "south"
"By which three of NUMBERS or more are at home at each."
HERTZ = 440.0
OWNER = "101"
"At home where the leader is, which it is to its end."


class Talk:
    """Somebody who talks to the echo until they have had enough."""

    def __init__(self, number: str, own: OncePhone, leg: Leg) -> None:
        self.number, self.phone, self.leg = number, own, leg

    async def goes_on(self) -> None:
        self.phone.heard.clear()
        await self.phone.until_heard(lambda heard: share_of(bytes(heard[-8000:]), HERTZ) > 0.9)
        assert self.leg.ending is None

    async def end(self) -> None:
        await self.goes_on()
        self.leg.hang_up()
        await self.phone.stop()


@pytest.mark.timeout(180)
async def test_all_are_replaced_one_after_the_other(tmp_path: Path, postgres: Postgres) -> None:
    async with AsyncExitStack() as stack:
        extra = {"calls": {"drain": 60}, "cluster": {"proxies": [HOST]}}
        nodes = await stack.enter_async_context(
            cluster(tmp_path, postgres, 3, extra=extra, names=NAMES)
        )
        addresses = [f"127.0.0.1:{one.ports['udp']}" for one in nodes.programs.values()]
        data = next(iter(nodes.programs.values())).data
        edge = await stack.enter_async_context(
            edge_before(addresses, nodes.database.url, data, HOST)
        )
        order = list(reversed(nodes.programs))  # the one that leads comes last
        await nodes.settled()
        people = (await nodes.homes()).items()
        at_home = {
            name: [n for n, home in people if home == name and n in NUMBERS and n != OWNER]
            for name in order
        }
        talks = {name: await _talk(edge, at_home[name].pop()) for name in order}
        caller, called = OncePhone(), OncePhone()
        number = at_home[order[0]].pop()
        await phone(edge, number, called)
        await phone(edge, at_home[order[-1]].pop(), caller)
        enough = asyncio.Event()
        calling = asyncio.ensure_future(_call_again_and_again(caller, number, enough))
        for name in order:
            await _replace(nodes, name, talks)
            assert not calling.done(), calling.exception()
        enough.set()
        calls = await calling
        log.warning("%d calls were made meanwhile", calls)
        assert calls > 20
        assert [one.registrations for one in (caller, called)] == [1, 1]
        await asyncio.gather(caller.stop(), called.stop())
        ended = "SELECT status, count(*) FROM call WHERE ended_at IS NOT NULL GROUP BY status"
        await nodes.until(ended, lambda rows: rows == [(200, calls + len(NAMES))])


async def _talk(edge: Edge, number: str) -> Talk:
    own = OncePhone(plays(tone(1, HERTZ)))
    await phone(edge, number, own)
    talk = Talk(number, own, await own.call("600"))
    await talk.goes_on()
    return talk


async def _replace(nodes: Cluster, name: str, talks: dict[str, Talk]) -> None:
    """Stop one, see that its call goes on until it is hung up, and start the next version."""
    with_leader = [OWNER] if name == next(iter(nodes.programs)) else []
    program, mine = nodes.programs[name], talks.pop(name)
    program.signal(signal.SIGTERM)
    await nodes.until(
        "SELECT number, node FROM home",
        lambda rows: {one for one, node in rows if node == name} <= {mine.number, *with_leader},
    )
    for talk in (mine, *talks.values()):
        await talk.goes_on()
    await mine.end()
    assert await program.process.child.wait() == 0
    assert (name,) not in await nodes.ask("SELECT name FROM node")
    await program.start()
    await nodes.settled()


async def _call_again_and_again(caller: OncePhone, number: str, enough: asyncio.Event) -> int:
    """How many calls there were. Raises `CallRefused` as soon as one does not come through."""
    calls = 0
    while not enough.is_set():
        leg = await caller.call(number)
        calls += 1
        leg.hang_up()
        await asyncio.sleep(0.2)
    return calls
