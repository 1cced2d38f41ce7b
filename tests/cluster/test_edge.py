"""Kamailio in front, as it is shipped: phones know it alone, and are served where they are at
home."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from encryptotel.demo.phone import Phone, plays
from pbx.media.tones import tone
from pbx.sip.digest import Credentials
from tests.calls.test_extensions import hears
from tests.cluster.nodes import home_of, nodes, until
from tests.cluster.test_nodes import MANY, apart
from tests.office import Office
from tests.peers import certs
from tests.peers.edge import HOST, USER, Edge
from tests.peers.postgres import Postgres


@asynccontextmanager
async def city(
    folder: Path, postgres: Postgres, count: int = 3, **sections: Any
) -> AsyncIterator[tuple[list[Office], Edge]]:
    """An edge and the nodes behind it."""
    cluster = {"proxies": (HOST,)}
    async with AsyncExitStack() as stack:
        offices = await stack.enter_async_context(
            nodes(folder, postgres, count, extension=MANY, cluster=cluster, **sections)
        )
        url = offices[0].app.database.url
        engine = create_engine(url)
        with engine.begin() as connection:
            known = connection.execute(text("SELECT FROM pg_roles WHERE rolname = 'edge'"))
            if known.first() is None:
                connection.execute(text(f"CREATE ROLE {USER} LOGIN PASSWORD '{USER}'"))
            connection.execute(text(f"GRANT SELECT ON node, home TO {USER}"))
        engine.dispose()
        addresses = [office.app.config.cluster.address for office in offices]
        tls = await certs.make(folder)
        edge = await stack.enter_async_context(Edge(addresses, url, tls))
        try:
            yield offices, edge
        except BaseException as error:
            error.add_note(f"--- edge\n{edge.process.lines.tail(60)}")
            raise


async def phone(edge: Edge, number: str, own: Phone, transport: Any = "udp") -> Phone:
    """A phone that knows the edge and nothing else."""
    if transport == "udp":
        await own.listen()
    account = Credentials(username=number, secret=f"secret-{number}")
    server = HOST, edge.ports[transport]
    assert await own.register(server, account, "encryptotel.local", transport=transport) == 200
    return own


async def test_two_homes_behind_one_edge(tmp_path: Path, postgres: Postgres) -> None:
    async with city(tmp_path, postgres) as (offices, edge):
        one, other = apart(offices)
        bob = await phone(edge, other, Phone(plays(tone(1, 620.0))), "tcp")
        alice = await phone(edge, one, Phone(plays(tone(1, 440.0))))
        for office in offices:
            await until(lambda office=office: bool(office.app.exchange.registrar.bindings(other)))
        leg = await alice.call(other)
        await hears(alice, 620.0)
        await hears(bob, 440.0)
        here, there = home_of(one, offices), home_of(other, offices)
        assert len(here.app.exchange.calls) == len(there.app.exchange.calls) == 1
        for office in offices:
            if office not in (here, there):
                assert not office.app.exchange.calls
        leg.hang_up()
        await here.ended()
        await there.ended()
        await asyncio.gather(alice.stop(), bob.stop())
