"""Several programs of one exchange, in the test's process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from encryptotel.app import CERTIFICATES
from encryptotel.cluster.part import Part
from tests.office import Office, open_office
from tests.peers import ports
from tests.peers.edge import HOST
from tests.peers.postgres import PASSWORD, Postgres
from tests.peers.several import NODES, edge_before, engine, server

SECONDS = 30.0


def part_of(office: Office) -> Part:
    part = office.app.part
    assert part is not None
    return part


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something that programs agree on by the database."""
    async with asyncio.timeout(SECONDS):
        while not happened():  # noqa: ASYNC110  # the others cannot tell us
            await asyncio.sleep(0.02)


async def settled(*offices: Office) -> None:
    """Wait until all see each other, and everybody has a home that all know."""

    def agreed() -> bool:
        parts = [part_of(office) for office in offices]
        seen = [part.members.nodes.values() for part in parts]
        if any(len(one) != len(offices) or any(n.leaving for n in one) for one in seen):
            return False
        homes = [part.homes.all for part in parts]
        wanted = parts[0].homes.wanted()
        return all(one == homes[0] and wanted.items() <= one.items() for one in homes)

    await until(agreed)


@asynccontextmanager
async def nodes(
    folder: Path, postgres: Postgres, count: int, *, names: Sequence[str] = (), **sections: Any
) -> AsyncIterator[list[Office]]:
    """So many programs on an empty database, the oldest first; they have `names` if those are
    given."""
    async with AsyncExitStack() as stack:
        url = stack.enter_context(postgres.database())
        database = {"url": postgres.address(str(url.database)), "password": PASSWORD}
        offices: list[Office] = []
        for number in range(count):
            shared = offices[0].app.data / CERTIFICATES if offices else None
            name = names[number] if names else ""
            one = _node(folder / f"node{number}", database, sections, shared, name)
            offices.append(await stack.enter_async_context(one))
        await settled(*offices)
        yield offices


@asynccontextmanager
async def behind_edge(folder: Path, **sections: Any) -> AsyncIterator[Office]:
    """The one that leads of three behind Kamailio, with sound by rtpengine: what a test that was
    written for one takes for its office. Phones register at the edge."""
    cluster, media = {"proxies": (HOST,)}, {"rtpengines": [engine().asked]}
    sections["web"] = {"port": 0, "sip_host": HOST, **sections.get("web", {})}
    async with AsyncExitStack() as stack:
        offices = await stack.enter_async_context(
            nodes(
                folder,
                server(),
                len(NODES),
                names=NODES,
                cluster=cluster,
                media=media,
                **sections,
            )
        )
        office, *office.beside = offices
        addresses = [one.app.config.cluster.address for one in offices]
        url, data = office.app.database.url, office.app.data
        edge = await stack.enter_async_context(edge_before(addresses, url, data, HOST))
        office.doors = {name: f"{HOST}:{port}" for name, port in edge.ports.items()}
        yield office


@asynccontextmanager
async def another(folder: Path, beside: Office, **sections: Any) -> AsyncIterator[Office]:
    """One more."""
    section = beside.app.config.database
    database = {"url": section.url, "password": section.password}
    shared = beside.app.data / CERTIFICATES
    async with _node(folder / "another", database, sections, shared) as office:
        yield office


@asynccontextmanager
async def _node(
    folder: Path,
    database: dict[str, str],
    sections: dict[str, Any],
    shared: Path | None,
    name: str = "",
) -> AsyncIterator[Office]:
    """`shared` has the certificates, which are the same on all."""
    port = ports.free_port()
    own: dict[str, Any] = {
        "exchange": {"udp_port": port, "tcp_port": 0, "tls_port": 0},
        "cluster": {**sections.get("cluster", {}), "address": f"127.0.0.1:{port}"},
        "database": database,
    }
    folder.mkdir()  # noqa: ASYNC240
    if name:
        (folder / "node").write_text(name)
    if shared is not None:
        shutil.copytree(shared, folder / CERTIFICATES)
    async with open_office(folder, **{**sections, **own}) as office:
        yield office


def home_of(number: str, offices: list[Office]) -> Office:
    """Where a number is at home."""
    name = part_of(offices[0]).homes.all[number]
    return next(office for office in offices if part_of(office).name == name)
