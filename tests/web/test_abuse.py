"""What strangers send to the web server, and how much of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import web.server
from tests.web.site import PHONE, Site, open_site
from web.bounds import MAX_ADDRESSES, MAX_BODY, MAX_TARGET, REQUESTS, Often, network_of
from web.server import MAX_HEADER, MAX_OF_ONE


async def serves(site: Site) -> None:
    """Others are served as before; the counts of this address start anew."""
    site.office.app.web._often._counts.clear()  # type: ignore[union-attr]
    assert (await site.client.get("/ca.crt")).status_code in (200, 429)


PATHS = [
    "/", "/setup", "/setup/", "/setup/x", "/linphone/x", "/setup/../ca.key", "/tls/ca.key",
    "/setup/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "//etc/passwd", "/ca.crt/", "/templates/page.html",
    "/setup/" + 32 * "0", "/linphone/" + 32 * "f", "/setup/" + 32 * "٣", "/setup/%00",
    "/setup/" + 31 * "0" + "%0a", "/docs", "/openapi.json", "/redoc", "/zoiper/" + 32 * "a",
    "/%ff%fe", "/setup/" + 32 * "0" + "/linphone", "/setup/" + 32 * "A",
]  # fmt: skip


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        yield opened


async def test_paths_lead_nowhere(site: Site) -> None:
    for path in PATHS:
        head = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        answer = await site.sent(head.encode())
        assert answer.split(b" ", 2)[1] in (b"404", b"400"), (path, answer)
        assert b"PRIVATE KEY" not in answer
        assert b"root:" not in answer


async def test_every_answer_has_the_same_guard_and_no_banner(site: Site) -> None:
    link = await site.link()
    answers = [
        await site.client.get(link.page),
        await site.client.get("/nothing"),
        await site.client.put("/ca.crt"),
        await site.client.post(link.page),
        await site.client.get("/" + "x" * (MAX_TARGET + 1)),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 405, 200, 414]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert len(answer.headers.get_list("date")) == 1


async def test_guessing_is_slowed_down(site: Site) -> None:
    link = await site.link()
    guesses = [await site.client.get(f"/linphone/{n:032x}") for n in range(REQUESTS + 5)]
    codes = [guess.status_code for guess in guesses]
    assert codes == REQUESTS * [404] + 5 * [429]
    assert guesses[-1].headers["retry-after"] == "60"
    assert (await site.client.get(link.phone, headers=PHONE)).status_code == 429
    assert len(site.office.app.directory.devices("101")) == 0


async def test_requests_that_are_too_large_are_refused(site: Site) -> None:
    link = await site.link()
    body = b"x" * (MAX_BODY + 1)
    assert (await site.client.post(link.page, content=body)).status_code == 413

    head = b"POST /setup/x HTTP/1.1\r\nhost: x\r\n"
    answer = await site.sent(head + b"content-length: 99999999999999999999\r\n\r\n")
    assert b" 413 " in answer.split(b"\r\n")[0]
    answer = await site.sent(head + b"content-length: " + b"9" * 5000 + b"\r\n\r\n")
    assert b" 400 " in answer.split(b"\r\n")[0]
    answer = await site.sent(head + b"x: " + b"y" * 2 * MAX_HEADER)
    assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0]
    answer = await site.sent(head + 4000 * b"x: y\r\n")
    assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0]
    await serves(site)
    assert site.office.app.directory.devices("101") == []


async def test_a_body_without_an_end_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.server, "ARRIVES_WITHIN", 0.3)
    began = time.monotonic()
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    reader, writer = await asyncio.open_connection(*site.address, ssl=site.tls)
    writer.write(b"POST /setup/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        async with asyncio.timeout(5):
            while not reader.at_eof():
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0.01)
    assert time.monotonic() - began < 3
    await serves(site)


async def test_slow_requests_are_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.server, "ARRIVES_WITHIN", 0.3)
    first = b"GET /ca.crt HTTP/1.1\r\nhost: x\r\n\r\n"
    for beginning in (b"", b"GET /ca.crt HT", first + b"GET /ca.crt HTTP/1.1\r\nhost"):
        began = time.monotonic()
        answer = await site.sent(beginning)
        assert time.monotonic() - began < 2
        assert answer.count(b"HTTP/1.1 200") == beginning.count(first)
    await serves(site)


async def test_handshakes_that_do_not_come_are_cut_off(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.server, "HANDSHAKE", 0.3)
    for beginning in (b"", b"\x16\x03\x01\x02\x00"):
        assert await site.sent(beginning, tls=False) == b""
    await serves(site)


async def test_http_without_tls_gets_nothing(site: Site) -> None:
    link = await site.link()
    token = link.page.rpartition("/")[2]
    raw = f"GET /linphone/{token} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    assert b"config" not in await site.sent(raw, tls=False)
    assert (await site.scans(link)).status_code == 200


async def test_one_address_has_so_many_connections(site: Site) -> None:
    server = site.office.app.web
    assert server is not None
    kept = [await asyncio.open_connection(*site.address, ssl=site.tls) for _ in range(MAX_OF_ONE)]
    assert server._open.total() == MAX_OF_ONE
    assert await site.sent(b"", tls=False) == b""
    assert server.refused == 1
    for _, writer in kept:
        writer.close()
        await writer.wait_closed()
    await serves(site)


NO_REQUESTS = [
    b"\x00" * 64, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 500,
    b"PRI * HTTP/2.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"GET http://elsewhere/ HTTP/1.1\r\nhost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
]  # fmt: skip


async def test_what_is_no_request_harms_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(web.server, "ARRIVES_WITHIN", 0.5)
    monkeypatch.setattr(web.server, "IDLE", 1)
    for raw in NO_REQUESTS:
        answer = await site.sent(raw, within=8)
        assert b" 200 " not in answer.split(b"\r\n")[0], raw
    await serves(site)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_counts_forget_and_are_bounded() -> None:
    now = 0.0
    often = Often(2, 10.0, lambda: now)
    assert [often.spend("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert often.spend("192.0.2.2")
    now = 10.0
    assert often.spend("192.0.2.1")
    for number in range(MAX_ADDRESSES + 100):
        often.spend(f"host-{number}")
    assert len(often._counts) == MAX_ADDRESSES


def test_an_ipv6_network_counts_as_one() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2") != network_of("2001:db9::1")
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == network_of("fe80::2")


async def test_no_answer_waits_for_an_acknowledgement(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await site.client.get("/")
        assert site.office.app.web is not None
        (connection,) = site.office.app.web._state.connections
        served = connection.transport.get_extra_info("socket")
        assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
