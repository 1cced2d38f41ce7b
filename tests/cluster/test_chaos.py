"""Campaigns against a whole town: parts of it are killed, cut off from each other, run out of room
or have a wrong clock, while people call, pay, write and are reminded.

`make soak` does a hundred rounds of each, from a seed; here each fault happens once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from tests.cluster.town import IDLE, WITHIN, Fault, Harm, Town, town
from tests.endurance.disks import Disk, small_disk
from tests.peers.network import why_not

log = logging.getLogger(__name__)

CLOCK = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
AHEAD = {
    1: (
        "env", f"LD_PRELOAD={CLOCK}", "FAKETIME=+30s", "FAKETIME_DONT_FAKE_MONOTONIC=1",
    )
}  # fmt: skip
"The second program's clock; only what the wall clock says is wrong."
ROUNDS = 100
LARGE = 300_000_000
"What a new database needs, and some of it."

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
skewed = pytest.mark.skipif(not CLOCK.exists(), reason="faketime is not installed")


# ── what happens ────────────────────────────────────────────────────────────────────────────
@asynccontextmanager
async def database_dies(town: Town) -> AsyncIterator[Harm]:
    await asyncio.to_thread(town.postgres.kill)
    yield Harm()
    await asyncio.to_thread(town.postgres.start)


@asynccontextmanager
async def edge_dies(town: Town) -> AsyncIterator[Harm]:
    await town.edge.kill()
    yield Harm(calls=False)
    await town.edge.start()


@asynccontextmanager
async def sound_dies(town: Town) -> AsyncIterator[Harm]:
    """One of the two: calls that went on are moved to the other."""
    engine = town.random.choice(town.engines)
    await engine.kill()
    yield Harm()
    await engine.start()


@asynccontextmanager
async def parted(town: Town) -> AsyncIterator[Harm]:
    """A program and another, the database, the edge or an engine, in one direction or both. Whoever
    leads in the place of one that is cut off talks, while that could still talk as well."""
    random, hosts = town.random, town.hosts
    node = random.choice(list(town.nodes.programs))
    other = random.choice(
        ["database", "edge", "sound0", "sound1", *(n for n in town.nodes.programs if n != node)]
    )
    ways = [(node, other), (other, node)]
    cut = random.choice([ways, ways[:1], ways[1:]])
    log.warning("nothing comes %s", " or ".join(f"from {one} to {two}" for one, two in cut))
    for source, target in cut:
        town.network.cut(hosts[source], hosts[target])
    away = other == "database"
    try:
        if away and random.random() < 0.4:
            await town.nodes.gone(node)
            town.write()
            await town.answered()
        yield Harm(calls=False, may_die=frozenset({node} if away else ()))
    finally:
        town.network.heal(hosts[node], hosts[other])


@asynccontextmanager
async def node_is_full(town: Town) -> AsyncIterator[Harm]:
    town.disks["node1"].fill(0)
    yield Harm()
    town.disks["node1"].free(0)


@asynccontextmanager
async def database_is_full(town: Town) -> AsyncIterator[Harm]:
    """So full that its log cannot go on: the server breaks down again and again, or ends, and
    comes back for good when there is room."""
    since = town.now()
    town.disks["database"].fill(0)
    writing = asyncio.ensure_future(_write_on(town))
    yield Harm()
    told = asyncio.Event()
    calling = asyncio.ensure_future(_call_on(town, told))
    await town.told(r"journal cannot be written: the (disk is full|database server is away)", since)
    told.set()
    await calling
    writing.cancel()
    await asyncio.wait((writing,))
    town.disks["database"].free(0)
    await _kept_running(town)
    await town.told("journal is written again; nothing was lost", since)


async def _write_on(town: Town) -> None:
    """Use up what room the server sets aside for its log, however often it breaks down of that."""
    url = town.nodes.database.url.set(drivername="postgresql", query={})
    address = url.render_as_string(hide_password=False)
    while True:
        with suppress(psycopg.Error):
            async with await psycopg.AsyncConnection.connect(address, autocommit=True) as server:
                while True:
                    await server.execute("SELECT pg_switch_wal()")
                    await server.execute("SELECT pg_create_restore_point('more')")
        await asyncio.sleep(0.1)  # until it serves again


async def _call_on(town: Town, enough: asyncio.Event) -> None:
    """Let there be something for the journal, also while the server serves for a moment."""
    while not enough.is_set():
        leg = await town.calls(*IDLE)
        if leg is not None:
            leg.hang_up()
        with suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), 1)  # as fast as somebody dials


async def _kept_running(town: Town) -> None:
    """As whoever looks after the server would; what is left of the last one may be in its way."""
    async with asyncio.timeout(WITHIN):
        while not town.postgres.runs:
            with suppress(AssertionError):
                await asyncio.to_thread(town.postgres.start)


@asynccontextmanager
async def somebody_else_leads(town: Town) -> AsyncIterator[Harm]:
    """Whoever leads is killed, and begins anew as the youngest."""
    ((leader,),) = await town.nodes.ask("SELECT name FROM node ORDER BY since, name LIMIT 1")
    await town.rows("SELECT leg FROM charge WHERE seconds IS NULL")  # else it cost nothing yet
    await town.nodes.programs[leader].kill()
    await town.nodes.gone(leader)
    yield Harm(calls=False, may_die=frozenset({leader}))
    await town.nodes.programs[leader].start()


@asynccontextmanager
async def nothing(town: Town) -> AsyncIterator[Harm]:
    yield Harm()


# ── campaigns ───────────────────────────────────────────────────────────────────────────────
CAMPAIGNS: Mapping[str, tuple[Fault, ...]] = {
    "database": (database_dies,),
    "edge": (edge_dies,),
    "sound": (sound_dies,),
    "partition": (parted,),
    "disk": (node_is_full, database_is_full),
    "clock": (*(nothing,) * 9, somebody_else_leads),
}
"What happens round by round, over and over."


@contextmanager
def small_disks(folder: Path) -> Iterator[Mapping[str, Disk]]:
    with ExitStack() as stack:
        public = Path(stack.enter_context(TemporaryDirectory()))
        public.chmod(0o755)  # the server is somebody else
        yield {
            "node1": stack.enter_context(small_disk(folder / "of node1")),
            "database": stack.enter_context(small_disk(public, LARGE)),
        }


@skewed
@pytest.mark.timeout(300)
async def test_each_fault_once(tmp_path: Path) -> None:
    with small_disks(tmp_path) as disks:
        async with town(tmp_path, seed=3, disks=disks, ahead=AHEAD) as place:
            for fault in (
                database_dies, edge_dies, sound_dies, parted, node_is_full, database_is_full,
            ):  # fmt: skip
                await place.round(fault)
            await place.check()


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=skewed) if one == "clock" else one for one in CAMPAIGNS]
)
async def test_a_hundred_rounds(tmp_path: Path, name: str) -> None:
    faults = CAMPAIGNS[name]
    with ExitStack() as stack:
        disks = stack.enter_context(small_disks(tmp_path)) if name == "disk" else {}
        ahead = AHEAD if name == "clock" else {}
        async with town(tmp_path, seed=11, disks=disks, ahead=ahead) as place:
            try:
                for number in range(ROUNDS):
                    await place.round(faults[number % len(faults)])
                await place.check()
            finally:
                place.report(name)
