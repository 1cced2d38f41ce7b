"""The same exchange as three programs on PostgreSQL behind Kamailio, with sound by rtpengine, for
tests that were written for one: with THROUGH_EDGE=1 every `Exchange` is such, and its addresses are
the edge's."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, text

from store.database import Database

from . import ports
from .certs import Certificate
from .edge import HOST, USER, Edge
from .postgres import PASSWORD, Postgres, programs
from .rtpengine import Rtpengine, standing

if TYPE_CHECKING:
    from .exchange import Config

NODES = "seven", "eight", "fir"
"""Names by which 101, 102 and 103 are at home at different programs, 101 and the first three places
to park in at the first."""


@cache
def server() -> Postgres:
    """One for all exchanges of a process of tests."""
    found = programs()
    assert found is not None, "PostgreSQL is not installed"
    postgres = Postgres(found)
    atexit.register(postgres.stop)
    return postgres


@cache
def engine() -> Rtpengine:
    """Likewise."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(standing())


@asynccontextmanager
async def database() -> AsyncIterator[URL]:
    with server().database() as url:
        yield url


def as_node(config: Config, url: URL) -> Config:
    """The configuration of one of several; each call makes another's."""
    port = ports.free_port()
    own: dict[str, Mapping[str, Any]] = {
        "exchange": {"udp_port": port},
        "cluster": {"address": f"{ports.HOST}:{port}", "proxies": [HOST]},
        "media": {"rtpengines": [engine().asked]},
        "database": {"url": server().address(str(url.database)), "password": PASSWORD},
    }
    extra = dict(config.extra)
    for name, values in own.items():
        extra[name] = {**extra.get(name, {}), **values}
    return replace(config, extra=extra)


def may_look(url: URL) -> None:
    """Let an edge read what it may, as deploy/kamailio/database.sql does."""
    engine = create_engine(url)
    with engine.begin() as connection:
        known = connection.execute(text(f"SELECT FROM pg_roles WHERE rolname = '{USER}'"))
        if known.first() is None:
            connection.execute(text(f"CREATE ROLE {USER} LOGIN PASSWORD '{USER}'"))
        connection.execute(text(f"GRANT SELECT ON node, home TO {USER}"))
    engine.dispose()


async def at_home(url: URL, numbers: int) -> None:
    """Wait until so many have a home, and all nodes are home to somebody."""
    store = Database(url)
    try:
        async with asyncio.timeout(30), store.reading() as session:
            query = text(
                "SELECT count(*) >= :numbers AND count(DISTINCT node) = :nodes FROM home"
            ).bindparams(numbers=numbers, nodes=len(NODES))
            while not (await session.execute(query)).scalar_one():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        await store.close()


def certificate_of(data: Path) -> Certificate:
    """What a program made for itself, for the edge to show as its own."""
    folder = data / "tls"
    return Certificate(folder / "ca.pem", folder / "server.pem", folder / "server.key")


@asynccontextmanager
async def edge_before(
    addresses: list[str],
    url: URL,
    data: Path,
    host: str = ports.HOST,
    *,
    carriers: str = "",
) -> AsyncIterator[Edge]:
    async with AsyncExitStack() as stack:
        may_look(url)
        edge = Edge(addresses, url, certificate_of(data), host, carriers=carriers)
        yield await stack.enter_async_context(edge)
