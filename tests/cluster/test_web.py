"""The web of several programs: whichever is asked, the one that leads serves. All of tests/web
runs so with BY_ANOTHER_NODE=1."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from encryptotel.demo.phone import Phone
from tests.cluster.nodes import nodes, part_of, until
from tests.office import Office, quiet
from tests.peers.postgres import Postgres
from tests.web.site import Site
from tests.web.test_api import Client, key, problem
from tests.web.test_events import listening
from web.leader import CLIENT, PROOF


@dataclass
class Two:
    """A program that leads, another one, and a client that asks the other."""

    leader: Office
    other: Office
    it: Client
    stack: AsyncExitStack = field(repr=False)


@asynccontextmanager
async def two(folder: Path, postgres: Postgres, **sections: Any) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        leader, other = await stack.enter_async_context(nodes(folder, postgres, 2, **sections))
        site = Site(leader, other)
        await stack.enter_async_context(site.client)
        leader.dialogue()
        token = await key(leader)
        await until(lambda: bool(other.app.api_keys._rows))
        yield Two(leader, other, Client(site, token), stack)


async def test_a_call_by_another_node_and_what_is_heard_there(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with two(tmp_path, postgres) as both:
        it = both.it
        await both.leader.phone("101", Phone(quiet))
        socket = f"{it.site.url.replace('https', 'wss')}/v1/ws"
        headers = {"authorization": f"Bearer {it.token}"}
        async with (
            listening(it) as ear,
            connect(socket, ssl=it.site.tls, additional_headers=headers) as line,
        ):
            assert json.loads(await line.recv())["kind"] == "here"
            placed = (await it.post("/calls", {"to": "600"})).json()
            assert placed["id"] in both.leader.app.exchange.calls
            assert not both.other.app.exchange.calls
            assert {one["call"] for one in await ear.until("joined")} == {placed["id"]}
            assert json.loads(await line.recv())["call"] == placed["id"]
            assert both.leader.app.feeds is not None
            assert both.leader.app.feeds.listeners == 2
            await it("DELETE", f"/calls/{placed['id']}")
        await until(
            lambda: both.leader.app.feeds is not None and not both.leader.app.feeds.listeners
        )


async def test_each_tells_of_itself_and_all_are_ready(tmp_path: Path, postgres: Postgres) -> None:
    async with two(tmp_path, postgres) as both:
        headers = {"authorization": f"Bearer {both.it.token}"}
        leads = []
        for office in (both.leader, both.other):
            url = f"https://{office.app.addresses['web']}"
            told = (await both.it.site.client.get(f"{url}/metrics", headers=headers)).text
            leads.append("encryptotel_cluster_leads 1" in told)
            assert (await both.it.site.client.get(f"{url}/v1/ready")).status_code == 200
        assert leads == [True, False]


async def test_refusals_come_as_they_are(tmp_path: Path, postgres: Postgres) -> None:
    async with two(tmp_path, postgres) as both:
        it = both.it
        problem(await it("GET", "/calls", headers={"authorization": "Bearer no"}), 401, "key.wrong")
        problem(await it("GET", "/nothing"), 404, "path.unknown")
        too_much = await it("POST", "/say", content=b"x" * 70_000)
        assert too_much.status_code == 413

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(70):
                yield b"x" * 1_000

        problem(await it("POST", "/say", content=pieces()), 413, "request.request_entity_too_large")
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{it.site.url.replace('https', 'wss')}/v1/ws", ssl=it.site.tls)
        assert refused.value.response.status_code == 401
        assert b"key." in (refused.value.response.body or b"")


async def test_whoever_asks_is_counted_as_who_they_are(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as the node that passed it on, nor as whom they say they are."""
    seen: list[str] = []
    monkeypatch.setattr("web.bounds.Often.spend", lambda often, host: seen.append(host) is None)
    async with two(tmp_path, postgres) as both:
        forged = {CLIENT.decode(): "203.0.113.9", PROOF.decode(): "0" * 64}
        async with httpx.AsyncClient(
            verify=both.it.site.tls,
            transport=httpx.AsyncHTTPTransport(verify=both.it.site.tls, local_address="127.0.0.7"),
        ) as stranger:
            answer = await stranger.get(f"{both.it.site.url}/v1/health", headers=forged)
            assert answer.status_code == 200
            answer = await stranger.get(f"{both.it.site.url}/v1/me", headers=forged)
        assert answer.status_code == 401
        assert "203.0.113.9" not in seen
        assert seen.count("127.0.0.7") == 3  # a connection, a request here, one at the leader


async def test_a_target_that_is_no_path_goes_nowhere(tmp_path: Path, postgres: Postgres) -> None:
    """It could name another host, which would be told what nodes know each other by."""
    reached: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(100))
        writer.close()

    stranger = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = stranger.sockets[0].getsockname()[1]
    async with stranger, two(tmp_path, postgres) as both:
        wishes = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        wishes += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        for target in (f"@127.0.0.1:{port}/v1/ws", f"//127.0.0.1:{port}/", "*", "foo", "/a#b"):
            for headers in (b"", wishes):
                head = f"GET {target} HTTP/1.1\r\nHost: x\r\n".encode() + headers
                answer = await both.it.site.sent(head + b"Connection: close\r\n\r\n")
                assert answer[:12] in (b"HTTP/1.1 404", b"HTTP/1.1 403", b"HTTP/1.1 400", b"")
        assert not reached


async def test_bounds_hold_for_whoever_comes_by_another_node(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Who is refused because they ask too often loses the connection."""
    async with two(tmp_path, postgres) as both:
        asked = b"GET /setup/nothing HTTP/1.1\r\nHost: x\r\n\r\n"
        answers = await both.it.site.sent(asked * 100, within=20)
        assert answers.count(b"HTTP/1.1 404") == 60
        assert answers.count(b"HTTP/1.1 429") == 1
        whole = b"POST /v1/say HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello"
        assert both.leader.app.web is not None
        before = len(both.leader.app.web._state.connections)
        _, writer = await asyncio.open_connection(*both.it.site.address, ssl=both.it.site.tls)
        writer.write(whole)
        await writer.drain()
        writer.close()
        leader = both.leader.app.web
        await until(lambda: len(leader._state.connections) <= before)


async def test_nothing_goes_round(tmp_path: Path, postgres: Postgres) -> None:
    """Two that take each other for the one that leads."""
    async with two(tmp_path, postgres) as both:
        headers = {PROOF.decode(): part_of(both.leader).proof(), CLIENT.decode(): "127.0.0.1"}
        answer = await both.it.site.client.get("/v1/me", headers=headers)
        assert answer.headers["retry-after"] == "2"
        problem(answer, 503, "request.no_leader")


async def test_while_the_leader_cannot_be_asked_that_is_said(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with two(tmp_path, postgres) as both:
        assert (await both.it("GET", "/me")).status_code == 200
        assert both.leader.app.web is not None
        await both.leader.app.web.stop()
        problem(await both.it("GET", "/me"), 503, "request.no_leader")
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{both.it.site.url.replace('https', 'wss')}/v1/ws", ssl=both.it.site.tls)
        assert refused.value.response.status_code == 503
