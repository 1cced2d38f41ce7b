"""Kamailio in front, as it is shipped: phones know it alone, and are served where they are at
home."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from encryptotel.cluster.membership import LEASE
from encryptotel.demo.phone import Phone, plays
from pbx.media.tones import share_of, tone
from pbx.ports import CallRefused
from pbx.sip.digest import Credentials
from pbx.sip.message import Request, Response
from pbx.sip.transport import Flow
from store.journal import recent_calls
from tests.calls.test_extensions import hears
from tests.calls.test_numbers import Carrier
from tests.calls.test_rtpengine import patched, the_call
from tests.cluster.nodes import home_of, nodes, part_of, until
from tests.cluster.programs import NUMBERS, cluster
from tests.cluster.test_nodes import MANY, apart
from tests.endurance.program import OncePhone
from tests.office import Office, quiet
from tests.peers.edge import HOST, Edge
from tests.peers.postgres import Postgres
from tests.peers.rtpengine import Rtpengine
from tests.peers.several import edge_before


@asynccontextmanager
async def city(
    folder: Path,
    postgres: Postgres,
    count: int = 3,
    *,
    carriers: str = "",
    **sections: Any,
) -> AsyncIterator[tuple[list[Office], Edge]]:
    """An edge and the nodes behind it."""
    cluster = {"proxies": (HOST,)}
    async with AsyncExitStack() as stack:
        offices = await stack.enter_async_context(
            nodes(folder, postgres, count, extension=MANY, cluster=cluster, **sections)
        )
        app = offices[0].app
        addresses = [office.app.config.cluster.address for office in offices]
        edge = await stack.enter_async_context(
            edge_before(addresses, app.database.url, app.data, HOST, carriers=carriers)
        )
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


async def test_what_a_carrier_brings_is_served_at_home(tmp_path: Path, postgres: Postgres) -> None:
    """Whoever the number leads to: no other node has to do with it."""
    carrier = Carrier(plays(tone(1, 440.0)))
    host, port = await carrier.listen()
    numbers = {f"+1202555010{last}": f"10{last}" for last in range(1, 7)}
    line = {
        "name": "us", "zone": "USA", "host": host, "port": port, "transport": "udp",
        "register": False, "numbers": list(numbers),
    }  # fmt: skip
    routes = tuple({"number": number, "to": to} for number, to in numbers.items())
    async with city(tmp_path, postgres, 2, trunk=(line,), route=routes) as (offices, edge):
        for to in apart(offices):
            number = next(number for number, one in numbers.items() if one == to)
            called = await phone(edge, to, Phone(plays(tone(1, 620.0))))
            home = home_of(to, offices)
            await until(lambda home=home, to=to: bool(home.app.exchange.registrar.bindings(to)))
            leg = await carrier.calls_by(edge.address, number, "+447700900123")
            await hears(carrier, 620.0)
            assert [len(one.app.exchange.calls) for one in offices if one is not home] == [0]
            leg.hang_up()
            await home.ended()
            carrier.heard.clear()
            await called.stop()
        await carrier.stop()


async def test_what_came_of_a_call_is_no_reason_to_place_it_again(
    tmp_path: Path, postgres: Postgres
) -> None:
    """503 may be a carrier's answer: asked once more, another node would want a password."""
    async with city(tmp_path, postgres, 2) as (offices, edge):
        alice = await phone(edge, apart(offices)[0], Phone(plays(tone(1, 440.0))))
        with pytest.raises(CallRefused) as refused:
            await alice.call("+12025550143")
        assert refused.value.status == 500  # as proxies say it (RFC 3261 §16.7)
        await alice.stop()


# ── what the edge keeps away ────────────────────────────────────────────────────────────────
def ask(source: str, edge: Edge, *headers: str, method: str = "OPTIONS") -> bytes:
    """A request of nobody's."""
    lines = (
        f"{method} sip:127.0.0.2 SIP/2.0",
        f"Via: SIP/2.0/UDP {source};rport;branch=z9hG4bK{secrets.token_hex(8)}",
        f"From: <sip:101@encryptotel.local>;tag={secrets.token_hex(4)}",
        "To: <sip:101@encryptotel.local>",
        f"Call-ID: {secrets.token_hex(8)}",
        f"CSeq: 1 {method}",
        "Max-Forwards: 70",
        *headers,
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", "")).encode()


async def answers(edge: Edge, source: str, data: bytes, seconds: float = 1.0) -> bytes:
    """What comes back to an address; nothing after a while."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.bind((source, 0))
        await loop.sock_sendto(one, data, edge.address)
        try:
            async with asyncio.timeout(seconds):
                return await loop.sock_recv(one, 4096)
        except TimeoutError:
            return b""


async def flood(edge: Edge, source: str) -> None:
    """More at once than anybody needs."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.bind((source, 0))
        for _ in range(400):
            await loop.sock_sendto(one, ask(source, edge), edge.address)


async def test_who_guesses_passwords_is_banned_at_the_edge_and_nobody_else(
    tmp_path: Path, postgres: Postgres
) -> None:
    guard = {"failures": 4, "ban_seconds": 300}
    async with city(tmp_path, postgres, 2, guard=guard) as (offices, edge):
        neighbour = await phone(edge, "103", Phone(quiet))
        guesser = Phone(quiet, host="127.0.0.3")
        await guesser.listen()
        server, domain = (HOST, edge.ports["udp"]), "encryptotel.local"
        told = []
        for guess in range(5):
            wrong = Credentials(username="102", secret=f"guess {guess}")
            told.append(await guesser.register(server, wrong, domain))
            guesser._register = None
            if told[-1] == 403:
                break
        assert told[0] == 401
        assert told[-1] == 403
        await edge.process.wait_line("a node bans 127.0.0.3")
        assert await answers(edge, "127.0.0.3", ask("127.0.0.3", edge)) == b""
        assert b" 200 " in await answers(edge, "127.0.0.4", ask("127.0.0.4", edge))
        assert sum(office.app.exchange.guard.banned for office in offices) == 1
        again = await phone(edge, "102", Phone(quiet))
        await asyncio.gather(neighbour.stop(), again.stop(), guesser._stack.close())


async def test_scanners_and_floods_get_no_answer(tmp_path: Path, postgres: Postgres) -> None:
    async with city(tmp_path, postgres, 1, carriers="127.0.0.8,192.0.2.0/24") as (_, edge):
        scan = ask("127.0.0.5", edge, "User-Agent: friendly-scanner")
        assert await answers(edge, "127.0.0.5", scan) == b""
        assert await answers(edge, "127.0.0.5", ask("127.0.0.5", edge)) == b""
        await flood(edge, "127.0.0.6")
        await edge.process.wait_line("127.0.0.6 floods")
        assert await answers(edge, "127.0.0.6", ask("127.0.0.6", edge)) == b""
        await flood(edge, "127.0.0.8")
        for source in ("127.0.0.7", "127.0.0.8"):  # a neighbour, and a busy carrier
            assert b" 200 " in await answers(edge, source, ask(source, edge))


async def test_phones_see_nothing_of_the_nodes(tmp_path: Path, postgres: Postgres) -> None:
    async with city(tmp_path, postgres, 2) as (offices, edge):
        one, other = apart(offices)
        seen: list[str] = []

        def look(sent: bool, message: Request | Response, flow: Flow) -> None:
            if not sent:
                seen.append(message.encode().decode().partition("\r\n\r\n")[0])

        for_bob = Phone(plays(tone(1, 620.0)))
        for_alice = Phone(plays(tone(1, 440.0)))
        for own in (for_alice, for_bob):
            own._stack.on_message = own._stack.on_stray = look
        bob = await phone(edge, other, for_bob)
        alice = await phone(edge, one, for_alice)
        for office in offices:
            await until(lambda office=office: bool(office.app.exchange.registrar.bindings(other)))
        leg = await alice.call(other)
        await hears(alice, 620.0)
        leg.hang_up()
        await home_of(one, offices).ended()
        await home_of(other, offices).ended()
        for office in offices:
            inside = office.app.config.cluster.address.partition(":")[2]
            assert not [text for text in seen if f":{inside}" in text]
        assert any(text.startswith("INVITE") for text in seen)
        await asyncio.gather(alice.stop(), bob.stop())


async def test_calls_are_made_while_the_database_is_away(
    tmp_path: Path, postgres_of_own: Postgres
) -> None:
    async with city(tmp_path, postgres_of_own, 2) as (offices, edge):
        one, other = apart(offices)
        bob = await phone(edge, other, Phone(plays(tone(1, 620.0))))
        alice = await phone(edge, one, Phone(plays(tone(1, 440.0))))
        here, there = home_of(one, offices), home_of(other, offices)
        for office in offices:
            await until(lambda office=office: bool(office.app.exchange.registrar.bindings(other)))
        first = await alice.call(other)
        await hears(alice, 620.0)
        first.hang_up()
        await here.ended()
        postgres_of_own.kill()
        leg = await alice.call(other)
        await bob.until_heard(lambda heard: share_of(bytes(heard[-8000:]), 440.0) > 0.9)
        await asyncio.sleep(LEASE + 3)  # long enough to be taken for dead, if that were done
        assert not part_of(here).members.sees
        postgres_of_own.start()
        await until(lambda: not here.app.journal.trouble and not there.app.journal.trouble)
        await asyncio.sleep(LEASE)
        assert leg.ending is None
        assert len(here.app.exchange.calls) == 1
        assert not part_of(here).lost.is_set()
        assert part_of(here).members.sees
        leg.hang_up()
        await here.ended(2)
        await there.ended(2)
        await here.app.journal.caught_up()
        await there.app.journal.caught_up()
        calls = await recent_calls(here.app.database)
        assert len(calls) == 2
        assert all(call.ended_at for call, _ in calls)
        await asyncio.gather(alice.stop(), bob.stop())


@pytest.mark.timeout(120)
async def test_phones_go_on_when_their_home_dies(tmp_path: Path, postgres: Postgres) -> None:
    """They register once: who they are is known to whoever is their home next."""
    async with AsyncExitStack() as stack:
        extra = {"cluster": {"proxies": [HOST]}}
        both = await stack.enter_async_context(cluster(tmp_path, postgres, 2, extra=extra))
        addresses = [f"127.0.0.1:{one.ports['udp']}" for one in both.programs.values()]
        first = next(iter(both.programs.values()))
        edge = await stack.enter_async_context(
            edge_before(addresses, both.database.url, first.data, HOST)
        )
        homes = await both.spread()
        dying = next(iter(both.programs))
        people = [n for n in NUMBERS if homes[n] == dying][:2]
        phones = [
            await phone(edge, number, OncePhone(plays(tone(1, hertz))))
            for number, hertz in zip(people, (440.0, 620.0), strict=True)
        ]
        await both.until("SELECT extension FROM binding", lambda rows: len(rows) == 2)
        await both.programs[dying].kill()
        began = asyncio.get_running_loop().time()
        while True:
            try:
                leg = await phones[0].call(people[1])
                break
            except CallRefused:
                assert asyncio.get_running_loop().time() - began < 15
        await phones[0].until_heard(lambda heard: share_of(bytes(heard[-8000:]), 620.0) > 0.9)
        await phones[1].until_heard(lambda heard: share_of(bytes(heard[-8000:]), 440.0) > 0.9)
        assert asyncio.get_running_loop().time() - began < 15
        leg.hang_up()
        assert [one.registrations for one in phones] == [1, 1]
        dead = f"127.0.0.1:{both.programs[dying].ports['udp']}"
        inside, outside = await figures(edge.metrics), await figures(edge.ports["tcp"])
        assert f'kamailio_node_up{{node="sip:{dead}"}} 0' in inside
        assert inside.count("node_up") == 1  # of the one that is dead
        assert outside.startswith("HTTP/1.1 404")  # nobody else is told
        await asyncio.gather(*(one.stop() for one in phones))


async def figures(port: int) -> str:
    """What an HTTP port of the edge answers to Prometheus."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: edge\r\nContent-Length: 0\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"Content-Length: (\d+)", head)
    body = await reader.readexactly(int(length[1]) if length else 0)
    writer.close()
    return head + body.decode()


# ── sound by an rtpengine ───────────────────────────────────────────────────────────────────
async def test_nothing_of_the_nodes_is_seen_where_engines_carry_the_sound(
    tmp_path: Path, postgres: Postgres, rtpengine: Rtpengine
) -> None:
    """Two homes, and what the phones are told is one engine's, which joins them."""
    media = {"rtpengines": [rtpengine.asked]}
    async with city(tmp_path, postgres, 2, media=media) as (offices, edge):
        one, other = apart(offices)
        offered: list[int] = []

        def look(sent: bool, message: Request | Response, flow: Flow) -> None:
            found = re.search(r"^m=audio (\d+)", message.encode().decode(), re.MULTILINE)
            if found and not sent:
                offered.append(int(found[1]))

        bob, alice = Phone(plays(tone(1, 620.0))), Phone(plays(tone(1, 440.0)))
        for own in (alice, bob):
            own._stack.on_message = own._stack.on_stray = look
        await phone(edge, other, bob)
        await phone(edge, one, alice)
        for office in offices:
            await until(lambda office=office: bool(office.app.exchange.registrar.bindings(other)))
        leg = await alice.call(other)
        await hears(alice, 620.0)
        await hears(bob, 440.0)
        assert offered
        assert all(map(rtpengine.carries, offered))
        for office in (home_of(one, offices), home_of(other, offices)):
            await patched(the_call(office))
        for own in (alice, bob):
            own.heard.clear()
        await hears(alice, 620.0)
        await hears(bob, 440.0)
        leg.hang_up()
        await home_of(one, offices).ended()
        await home_of(other, offices).ended()
        await asyncio.gather(alice.stop(), bob.stop())
