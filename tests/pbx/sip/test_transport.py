"""Streams cut into messages, keep-alives, limits, and real sockets on the loopback."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.sip.message import MAX_BODY, MAX_HEAD
from pbx.sip.transport import (
    FIRST_MESSAGE_TIMEOUT,
    IDLE_TIMEOUT,
    MAX_AT_ONCE,
    MAX_CONNECTIONS_PER_HOST,
    MAX_STRANGERS_PER_HOST,
    MAX_UNSENT,
    REAP_EVERY,
    STRANGER_TIMEOUT,
    Flow,
    StreamFlow,
    Transport,
    Transports,
)
from tests.pbx.messages import request
from tests.pbx.virtual_time import network, passing, raw, run, settled, virtual

HERE = ("192.0.2.1", 5060)
OPTIONS = request("OPTIONS", body=b"hello").encode()


class End:
    """Transports, and what came in through them."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.flows: list[Flow] = []
        self.closed: list[Flow] = []
        self.transports = Transports(self._on_data, self.closed.append)
        self.news = asyncio.Event()

    def _on_data(self, data: bytes, flow: Flow) -> None:
        self.got.append(data)
        self.flows.append(flow)
        self.news.set()


async def joined(transport: Transport = "tcp") -> tuple[End, End, Flow]:
    """A server, a client, and the client's connection to it."""
    server, client = End(), End()
    await server.transports.listen_stream(transport, HERE)
    flow = await client.transports.flow_to(transport, HERE)
    return server, client, flow


# ── framing, §18.3 ──────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("segment", [0, 1, 2, 3, 7, 100])
@virtual
async def test_messages_are_cut_from_the_stream_whatever_the_segments(segment: int) -> None:
    server, _, flow = await joined()
    network().segment = segment
    messages = [request("INFO", cseq=n, body=b"\r\n\r\n" * n).encode() for n in range(1, 20)]
    flow.send(b"".join(messages))
    await passing(1)
    assert server.got == messages


@virtual
async def test_messages_without_a_body_and_a_short_name_for_the_length() -> None:
    server, _, flow = await joined()
    flow.send(raw("A", "l:0") + raw("E", "l : 2", "F: g") + b"hi" + raw("H", "l:\r\n 0"))
    await settled()
    assert server.got == [
        b"A\r\nl:0\r\n\r\n",
        b"E\r\nl : 2\r\nF: g\r\n\r\nhi",
        b"H\r\nl:\r\n 0\r\n\r\n",
    ]


@virtual
async def test_a_length_inside_a_body_or_another_header_means_nothing() -> None:
    server, _, flow = await joined()
    message = raw("A", "X-Content-Length: 50", "Subject: Content-Length: 60", "L:4") + b"l: 9"
    flow.send(message * 2)
    await settled()
    assert server.got == [message, message]


@virtual
async def test_half_a_message_waits_for_the_rest() -> None:
    server, _, flow = await joined()
    flow.send(OPTIONS[:-1])
    await settled()
    assert server.got == []
    flow.send(OPTIONS[-1:])
    await settled()
    assert server.got == [OPTIONS]


@given(st.lists(st.binary(max_size=30), max_size=5), st.integers(1, 40), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_any_bodies_in_any_segments(bodies: list[bytes], segment: int, pings: int) -> None:
    async def course() -> None:
        server, _, flow = await joined()
        network().segment = segment
        messages = [request("INFO", body=body).encode() for body in bodies]
        for message in messages:
            flow.send(b"\r\n\r\n" * pings + message)
        await passing(1)
        assert server.got == messages

    run(course())


@given(st.binary(max_size=600))
@settings(max_examples=100, deadline=None)
def test_any_bytes_on_a_stream(data: bytes) -> None:
    async def course() -> None:
        server, _, flow = await joined()
        flow.send(data)
        flow.send(b"\r\n\r\n")
        await settled()
        kept = b"".join(server.got)
        assert len(kept) <= len(data) + 4
        assert all(found.find(b"\r\n\r\n") > 0 for found in server.got)

    run(course())


# ── keep-alives, RFC 5626 §4.4.1 ────────────────────────────────────────────────────────────
@pytest.mark.parametrize("segment", [0, 1])
@virtual
async def test_a_ping_is_answered_with_a_pong(segment: int) -> None:
    server, client, flow = await joined()
    network().segment = segment
    wire: list[bytes] = []
    original = flow.data_received  # type: ignore[attr-defined]
    flow.data_received = lambda data: (wire.append(data), original(data))  # type: ignore[attr-defined]
    flow.send(b"\r\n\r\n")
    await passing(1)
    flow.send(OPTIONS)
    flow.send(b"\r\n\r\n")
    await passing(1)
    assert b"".join(wire) == b"\r\n" * 2
    assert server.got == [OPTIONS]
    assert client.got == []  # a pong is no message


@virtual
async def test_a_pong_before_a_message_is_skipped() -> None:
    server, _, flow = await joined()
    flow.send(b"\r\n" + OPTIONS + b"\r\n")
    flow.send(OPTIONS)
    await settled()
    assert server.got == [OPTIONS, OPTIONS]


# ── limits ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "data",
    [
        b"x" * (MAX_HEAD + 1),
        b"A\r\nB: " + b"x" * MAX_HEAD + b"\r\n\r\n",
        raw("A", f"Content-Length: {MAX_BODY + 1}"),
        raw("A", "Content-Length: 999999999"),
    ],
)
@virtual
async def test_what_is_too_large_closes_the_connection(data: bytes) -> None:
    server, client, flow = await joined()
    flow.send(data)
    await settled()
    assert server.got == []
    assert flow.closed
    assert client.closed == [flow]
    assert len(server.closed) == 1


@virtual
async def test_the_largest_message_passes() -> None:
    server, _, flow = await joined()
    message = raw("A", "B: " + "x" * (MAX_HEAD - 200), f"Content-Length: {MAX_BODY}")
    flow.send(message + b"x" * MAX_BODY)
    await settled()
    assert [len(found) for found in server.got] == [len(message) + MAX_BODY]


@pytest.mark.parametrize("said", [b"", b"\r\n\r\n", b"OPTIONS sip:a SIP/2.0\r\n"])
@virtual
async def test_a_connection_that_says_nothing_whole_is_closed(said: bytes) -> None:
    server, _, flow = await joined()
    flow.send(said)
    await passing(FIRST_MESSAGE_TIMEOUT - 0.1)
    assert not flow.closed
    await passing(0.2)
    assert flow.closed
    assert len(server.closed) == 1


@virtual
async def test_a_stranger_is_cut_off_after_a_while_and_somebody_known_is_not() -> None:
    server, _, flow = await joined()
    flow.send(OPTIONS)
    await passing(STRANGER_TIMEOUT - 1)
    flow.send(OPTIONS)  # says something: the time begins again
    await passing(STRANGER_TIMEOUT - 1)
    assert not flow.closed
    server.flows[-1].trust()
    await passing(IDLE_TIMEOUT - STRANGER_TIMEOUT)
    assert not flow.closed
    await passing(2 * REAP_EVERY + 1)
    assert flow.closed


@virtual
async def test_a_stranger_that_stays_silent_is_cut_off() -> None:
    _, _, flow = await joined()
    flow.send(OPTIONS)
    await passing(STRANGER_TIMEOUT + 1)
    assert flow.closed


@virtual
async def test_a_flood_of_pings_is_answered_by_few_pongs() -> None:
    _, client, flow = await joined()
    pongs: list[bytes] = []
    flow.data_received = pongs.append  # type: ignore[attr-defined]
    flow.send(b"\r\n\r\n" * 1000)
    await passing(1)
    assert len(b"".join(pongs)) // 2 == -(-1000 // MAX_AT_ONCE)
    assert client.got == []


@virtual
async def test_a_reader_that_is_too_slow_is_cut_off() -> None:
    server, _, flow = await joined()
    flow.send(OPTIONS)
    await settled()
    network().stalled.add(HERE[0])
    back = server.flows[0]
    for _ in range(MAX_UNSENT // 60_000):
        back.send(b"x" * 60_000)
    assert not back.closed
    back.send(b"x" * 60_000)
    await settled()
    assert back.closed
    back.send(b"x")  # and nothing more is kept for it
    assert server.closed == [back]


@virtual
async def test_a_host_may_open_only_so_many_connections() -> None:
    server = End()
    await server.transports.listen_stream("tcp", HERE)
    flows = []
    for _ in range(MAX_CONNECTIONS_PER_HOST + 3):
        flows.append(await End().transports.flow_to("tcp", HERE))
        flows[-1].send(OPTIONS)
        await settled()
        if len(server.flows) == len(flows):
            server.flows[-1].trust()
    assert [flow.closed for flow in flows].count(False) == MAX_CONNECTIONS_PER_HOST
    flows[0].close()
    await settled()
    assert not (await End().transports.flow_to("tcp", HERE)).closed


@virtual
async def test_the_oldest_stranger_of_a_host_makes_room_for_the_next() -> None:
    server = End()
    await server.transports.listen_stream("tcp", HERE)
    flows = [await End().transports.flow_to("tcp", HERE)]
    flows[0].send(OPTIONS)
    await settled()
    server.flows[0].trust()
    for _ in range(MAX_STRANGERS_PER_HOST + 5):
        flows.append(await End().transports.flow_to("tcp", HERE))
    await settled()
    assert [flow.closed for flow in flows] == [False] + [True] * 5 + [False] * (
        MAX_STRANGERS_PER_HOST
    )
    for flow in flows:
        flow.close()
    await settled()
    transports = server.transports
    assert (transports._strangers, transports._per_host, transports._streams) == ({}, {}, {})


@virtual
async def test_a_banned_host_is_refused() -> None:
    server = End()
    server.transports.admits = lambda host: False
    await server.transports.listen_stream("tcp", HERE)
    flow = await End().transports.flow_to("tcp", HERE)
    flow.send(OPTIONS)
    await settled()
    assert flow.closed
    assert server.got == []


# ── flows ───────────────────────────────────────────────────────────────────────────────────
@virtual
async def test_a_connection_is_used_again_and_a_closed_one_is_not() -> None:
    _, client, flow = await joined()
    assert await client.transports.flow_to("tcp", HERE) is flow
    flow.close()
    await settled()
    again = await client.transports.flow_to("tcp", HERE)
    assert again is not flow
    assert not again.closed


@virtual
async def test_two_who_want_the_same_connection_share_it() -> None:
    server, client = End(), End()
    await server.transports.listen_stream("tcp", HERE)
    one, two = await asyncio.gather(
        client.transports.flow_to("tcp", HERE), client.transports.flow_to("tcp", HERE)
    )
    assert one is two


@virtual
async def test_nobody_listens() -> None:
    with pytest.raises(OSError, match="nobody listens"):
        await End().transports.flow_to("tcp", ("192.0.2.5", 1))
    with pytest.raises(OSError, match="no UDP socket"):
        await End().transports.flow_to("udp", HERE)
    with pytest.raises(OSError, match="no UDP socket"):
        End().transports.udp_flow(HERE)


@virtual
async def test_datagrams_come_with_the_way_back() -> None:
    one, two = End(), End()
    await one.transports.listen_udp(HERE)
    await two.transports.listen_udp(("192.0.2.2", 5060))
    (await one.transports.flow_to("udp", ("192.0.2.2", 5060))).send(OPTIONS)
    await settled()
    assert two.got == [OPTIONS]
    assert two.flows[0].remote == HERE
    assert str(two.flows[0]) == "udp:192.0.2.1:5060"
    two.flows[0].send(b"\r\n\r\n")  # a keep-alive is no message
    two.flows[0].send(b"answer")
    await settled()
    assert one.got == [b"answer"]


@virtual
async def test_closing_closes_everything() -> None:
    server, client, flow = await joined()
    await server.transports.listen_udp(HERE)
    await server.transports.close()
    await settled()
    assert flow.closed
    with pytest.raises(OSError):  # noqa: PT011  # any: nobody is there
        await client.transports.flow_to("tcp", HERE)


def test_a_flow_on_its_own_sends_nothing() -> None:
    with pytest.raises(TypeError):
        Flow().send(b"")
    flow = StreamFlow("tcp", lambda data, flow: None, End().transports)
    flow.send(b"lost")  # not connected yet
    flow.close()
    assert flow.closed


# ── real sockets ────────────────────────────────────────────────────────────────────────────
async def until(end: End, count: int) -> None:
    async with asyncio.timeout(5):
        while len(end.got) < count:
            end.news.clear()
            await end.news.wait()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_there_and_back_on_the_loopback(transport: Transport) -> None:
    server, client = End(), End()
    local = ("127.0.0.1", 0)
    if transport == "udp":
        address = await server.transports.listen_udp(local)
        await client.transports.listen_udp(local)
    else:
        address = await server.transports.listen_stream(transport, local)
    flow = await client.transports.flow_to(transport, address)
    flow.send(OPTIONS)
    await until(server, 1)
    server.flows[0].send(OPTIONS)
    await until(client, 1)
    assert client.flows[0].remote == address
    await client.transports.close()
    await server.transports.close()


async def _said_to(end: End, data: bytes) -> bytes:
    """What a server answers on a TCP connection of its own before it closes that."""
    reader, writer = await asyncio.open_connection(
        *await end.transports.listen_stream("tcp", ("127.0.0.1", 0))
    )
    writer.write(data)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    await end.transports.close()
    return answer


@pytest.mark.parametrize(
    "lengths", [(), ("l: x",), ("l: -1",), ("l: 0", "Content-Length: 9"), ("l: 65536",)]
)
async def test_a_stream_without_a_length_is_answered_400_and_closed(
    lengths: tuple[str, ...],
) -> None:
    """Where the message ends, and so where the next begins, nobody can tell (§18.3)."""
    server = End()
    head = ("Via: SIP/2.0/TCP [2001:db8::1];branch=z9hG4bK1;rport", "To: <sip:a@b>")
    answer = await _said_to(server, raw("OPTIONS sip:a@b SIP/2.0", *head, *lengths) + OPTIONS)
    assert answer.startswith(b"SIP/2.0 400 Bad Request - missing or bad Content-Length\r\n")
    assert b";received=127.0.0.1\r\n" in answer
    assert server.got == []


async def test_a_response_without_a_length_is_not_answered() -> None:
    server = End()
    assert await _said_to(server, raw("SIP/2.0 200 OK", "Via: SIP/2.0/TCP a")) == b""
    assert server.got == []


async def test_tls_with_a_certificate_of_our_own(tmp_path: Path) -> None:
    context, trusting = _certificate(tmp_path)
    server, client = End(), End()
    address = await server.transports.listen_stream("tls", ("127.0.0.1", 0), context)
    flow = await client.transports.flow_to("tls", address, trusting, "localhost")
    flow.send(OPTIONS * 3)
    await until(server, 3)
    assert server.flows[0].transport == "tls"
    with pytest.raises(OSError):  # noqa: PT011  # ssl's own kind of OSError
        await End().transports.flow_to("tls", address, trusting, "elsewhere.example")
    await client.transports.close()
    await server.transports.close()


def _certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    moment = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "tls.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))
