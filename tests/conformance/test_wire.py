"""What is below messages: framing on streams, keep-alives, IPv6, and too many calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.peers import ports
from tests.peers.exchange import Config, Exchange, Extension
from tests.peers.proc import missing

from . import cases
from .field import SECRET, Case, Field, digest
from .scenario import Callee, Caller, sdp

module = pytest.mark.asyncio(loop_scope="module")
needs_sipp = pytest.mark.skipif(bool(missing("sipp")), reason="not installed: sipp")
streams = pytest.mark.parametrize("transport", ["tcp", "tls"])
_STUN_COOKIE = 0x2112A442


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exchange() -> AsyncIterator[Exchange]:
    config = Config(
        [Extension("101", SECRET), Extension("102", SECRET)],
        extra={"guard": {"requests_per_second": 1000}},
    )
    async with Exchange(config) as running:
        yield running


@dataclass
class Stream:
    """A TCP or TLS connection, read message by message."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, exchange: Exchange, transport: str) -> AsyncIterator[Stream]:
        context = None
        if transport == "tls":
            context = ssl.create_default_context(cafile=str(exchange.ca))
            context.check_hostname = False
        reader, writer = await asyncio.open_connection(*exchange.address(transport), ssl=context)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def message(self) -> str:
        """The next message, cut by its Content-Length."""
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"^(?:Content-Length|l) *: *(\d+)", head, re.M | re.I)
            body = await self.reader.readexactly(int(length[1])) if length else b""
        return head + body.decode()

    async def drip(self, data: bytes) -> None:
        """Send byte by byte, each in a segment (or TLS record) of its own."""
        for at in range(len(data)):
            self.writer.write(data[at : at + 1])
            await self.writer.drain()


def options(
    number: int, transport: str, body: bytes = b"", length: str = "Content-Length"
) -> bytes:
    return "\r\n".join((
        "OPTIONS sip:101@127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/{transport.upper()} 127.0.0.1:5099;branch=z9hG4bKwire{number};rport",
        "Max-Forwards: 70",
        "From: <sip:probe@127.0.0.1>;tag=probe",
        "To: <sip:101@127.0.0.1>",
        f"Call-ID: wire{number}@127.0.0.1",
        f"CSeq: {number} OPTIONS",
        *(["Content-Type: text/plain"] if body else []),
        f"{length}: {len(body)}", "", "",
    )).encode() + body  # fmt: skip


@module
@streams
async def test_one_byte_a_segment(exchange: Exchange, transport: str) -> None:
    """RFC 3261 §18.3: only Content-Length tells where a message ends."""
    async with Stream.open(exchange, transport) as stream:
        for number in (1, 2):
            await stream.drip(options(number, transport, b"hello\r\n\r\n", "l"))
        for number in (1, 2):
            answer = await stream.message()
            assert answer.startswith("SIP/2.0 200 "), answer
            assert f"CSeq: {number} OPTIONS" in answer


@module
@streams
async def test_many_messages_in_a_segment(exchange: Exchange, transport: str) -> None:
    async with Stream.open(exchange, transport) as stream:
        bodies = (b"", b"SIP/2.0 200 OK\r\n\r\n", b"\r\n\r\n")
        wanted = 60
        stream.writer.write(
            b"".join(options(n, transport, bodies[n % 3]) for n in range(1, wanted + 1))
        )
        found = [await stream.message() for _ in range(wanted)]
        numbers = [int(re.search(r"CSeq: (\d+)", one)[1]) for one in found]  # type: ignore[index]
        assert numbers == list(range(1, wanted + 1))


@module
@streams
async def test_a_ping_gets_a_pong(exchange: Exchange, transport: str) -> None:
    """RFC 5626 §3.5.1: CRLF CRLF is answered with CRLF, also between messages."""
    async with Stream.open(exchange, transport) as stream:
        for data in (b"\r\n\r\n", options(1, transport) + b"\r\n\r\n"):
            await stream.drip(data)
            if len(data) > 4:
                assert (await stream.message()).startswith("SIP/2.0 200 ")
            async with asyncio.timeout(5):
                assert await stream.reader.readexactly(2) == b"\r\n"


@module
@streams
async def test_a_length_that_is_too_much_ends_the_connection(
    exchange: Exchange, transport: str
) -> None:
    async with Stream.open(exchange, transport) as stream:
        head = options(1, transport).replace(b"Content-Length: 0", b"Content-Length: 999999999")
        stream.writer.write(head)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                rest = await stream.reader.read(4096)
                while rest:
                    assert not rest.startswith(b"SIP/2.0 200")
                    rest = await stream.reader.read(4096)


@module
@streams
async def test_a_phone_is_called_on_the_connection_it_registered_on(
    exchange: Exchange, transport: str
) -> None:
    """RFC 5626 §5.3, and that the call ends when the connection does (§4.2)."""
    async with Stream.open(exchange, transport) as stream, Stream.open(exchange, "tcp") as other:
        await _register(stream, "102", transport)
        await _register(other, "101", "tcp")
        await _call(other, "101", "102")
        invite = await stream.message()
        assert invite.startswith("INVITE sip:102@unreachable.invalid"), invite
        assert "Via: SIP/2.0/" + transport.upper() in invite
    async with Stream.open(exchange, "tcp") as other:
        await _register(other, "101", "tcp")
        await _call(other, "101", "102")
        answer = await other.message()
        while answer.startswith("SIP/2.0 1"):
            answer = await other.message()
        assert answer.startswith("SIP/2.0 480 "), "the phone is gone with its connection"


async def _register(stream: Stream, number: str, transport: str) -> None:
    answer = await _asked(stream, "REGISTER", number, number, (
        f"Contact: <sip:{number}@unreachable.invalid;transport={transport}>", "Expires: 100",
    ))  # fmt: skip
    assert answer.startswith("SIP/2.0 200 "), answer


async def _call(stream: Stream, number: str, to: str) -> None:
    answer = await _asked(stream, "INVITE", number, to, (
        f"Contact: <sip:{number}@unreachable.invalid>", "Content-Type: application/sdp",
    ), sdp().replace("\n", "\r\n").replace("[media_ip_type]", "4").replace(
        "[media_ip]", "127.0.0.1").replace("[rtp_port]", "4000"))  # fmt: skip
    assert answer.startswith("SIP/2.0 100 "), answer


async def _asked(
    stream: Stream,
    method: str,
    number: str,
    to: str,
    headers: tuple[str, ...],
    body: str = "",
    sent: list[str] | None = None,
) -> str:
    """Send a request and its answer to the challenge; the response to that."""
    authorization, answer, call = (), "", os.urandom(6).hex()
    for sequence in (1, 2):
        text = "\r\n".join((
            f"{method} sip:{to}@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/TCP unreachable.invalid;branch=z9hG4bK-1-{sequence}-{call}",
            "Max-Forwards: 70",
            f"From: <sip:{number}@127.0.0.1>;tag={call}",
            f"To: <sip:{to}@127.0.0.1>",
            f"Call-ID: {call}",
            f"CSeq: {sequence} {method}",
            *headers, *authorization,
            f"Content-Length: {len(body)}", "", body,
        ))  # fmt: skip
        stream.writer.write(text.encode())
        if sent is not None:
            sent.append(text)
        answer = await stream.message()
        if not answer.startswith("SIP/2.0 401"):
            break
        uri = f"sip:{to}@127.0.0.1"
        authorization = (digest(answer, method, uri, number, SECRET),)
    return answer


@module
async def test_credentials_sent_twice_are_stale(exchange: Exchange) -> None:
    """RFC 7616 §3.4: whoever overheard a request cannot send it again with another CSeq."""
    async with Stream.open(exchange, "tcp") as stream:
        headers = ("Contact: <sip:101@unreachable.invalid>", "Expires: 100")
        sent: list[str] = []
        answer = await _asked(stream, "REGISTER", "101", "101", headers, sent=sent)
        assert answer.startswith("SIP/2.0 200 ")
        again = sent[-1].replace("CSeq: 2 ", "CSeq: 3 ").replace("z9hG4bK-1-2", "z9hG4bK-1-3")
        stream.writer.write(again.encode())
        answer = await stream.message()
        assert answer.startswith("SIP/2.0 401 ")
        assert re.search('stale="?true', answer), answer


@module
async def test_a_stun_keep_alive_on_the_sip_port(exchange: Exchange) -> None:
    """RFC 5626 §3.5.2 and RFC 5389: the answer says where the request came from."""
    loop, transaction = asyncio.get_running_loop(), os.urandom(12)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((ports.HOST, 0))
        request = struct.pack("!HHI", 0x0001, 0, _STUN_COOKIE) + transaction
        await loop.sock_sendto(sock, request, exchange.udp)
        async with asyncio.timeout(5):
            answer = await loop.sock_recv(sock, 1500)
        kind, length, cookie = struct.unpack_from("!HHI", answer)
        assert (kind, cookie, answer[8:20]) == (0x0101, _STUN_COOKIE, transaction)
        assert length == len(answer) - 20
        at, mapped = 20, None
        while at < len(answer):
            name, size = struct.unpack_from("!HH", answer, at)
            if name == 0x0020:  # XOR-MAPPED-ADDRESS
                _, family, port, host = struct.unpack_from("!BBHI", answer, at + 4)
                assert family == 1
                address = socket.inet_ntoa((host ^ _STUN_COOKIE).to_bytes(4, "big"))
                mapped = (address, port ^ _STUN_COOKIE >> 16)
            at += 4 + size + -size % 4
        assert mapped == sock.getsockname()


@module
async def test_keep_alives_on_udp_are_swallowed(exchange: Exchange) -> None:
    """RFC 5626 has no CRLF keep-alive on UDP; phones send it all the same."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((ports.HOST, 0))
        for data in (b"\r\n\r\n", b"\r\n", b"\0", b"\0\0\0\0", options(7, "udp")):
            await loop.sock_sendto(sock, data, exchange.udp)
        async with asyncio.timeout(5):
            assert (await loop.sock_recv(sock, 4096)).startswith(b"SIP/2.0 200 ")


# ── on IPv6 ─────────────────────────────────────────────────────────────────────────────────
SIX = [
    case for case in cases.ALL
    if case.name in {
        "caller hangs up", "callee hangs up", "the caller holds and resumes", "the caller gives up",
        "early media, then the answer", "a proxy of the callee stays in the path",
        "several contacts, then all removed", "the callee rings reliably",
    }
]  # fmt: skip


@pytest.mark.interop
@needs_sipp
async def test_calls_over_ipv6() -> None:
    """RFC 3261 §19.1.1, RFC 5118: addresses in brackets, and `IN IP6` in the SDP."""
    async with Field(SIX, host="::1", extra={"exchange": {"host": "::1"}}).open() as field:
        await asyncio.gather(*map(field.play, SIX))
        wrong = await field.check_journal(SIX)
        assert not wrong, wrong


# ── overload ────────────────────────────────────────────────────────────────────────────────
BUSY = [
    Case(
        name="the call that is up", rfc="RFC 3261 §21.5.4",
        caller=Caller().invite().answered().pause(7000).hang_up(),
        callee=Callee().invited().takes().hung_up().linger(),
        journal={"answered": True},
    ),
    Case(
        name="the call too many", rfc="RFC 3261 §21.5.4",
        caller=Caller().invite().refused(503, has="Retry-After: *[1-9]"),
    ),
]  # fmt: skip


@pytest.mark.interop
@needs_sipp
async def test_a_call_too_many_is_told_when_to_come_back() -> None:
    async with Field(BUSY, extra={"calls": {"max_calls": 1}}).open() as field:
        first = asyncio.ensure_future(field.play(BUSY[0]))
        await field.calls_up(1)
        await field.play(BUSY[1])
        assert not first.done()
        await first
        assert not await field.check_journal(BUSY[:1])
