"""STUN: what phones that keep their way open are told, and finding out our own address."""

from __future__ import annotations

import asyncio
import binascii
import gc
import ipaddress
import random
import struct
import time
import tracemalloc
from collections.abc import Callable

import pytest
from aioice.stun import Class, Message, Method

from pbx.nat import CHECK_EVERY, RETRY_EVERY, PublicAddress, split_host_port
from pbx.sip import stun
from pbx.sip.locate import Locator
from pbx.sip.stack import Stack
from pbx.sip.transport import Address
from tests.pbx.phone import Phone
from tests.pbx.virtual_time import MemoryFlow, network, passing, virtual
from tests.peers.dnsmasq import Turnserver
from tests.peers.proc import missing

COOKIE = b"\x21\x12\xa4\x42"
SOURCE = ("192.0.2.1", 32853)


def binding(*attributes: tuple[int, bytes], kind: int = 1, cookie: bytes = COOKIE) -> bytes:
    """A STUN message made by hand, not by the library that reads it."""
    body = b"".join(
        struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)
        for number, value in attributes
    )
    return struct.pack("!HH", kind, len(body)) + cookie + b"abcdefghijkl" + body


def attributes(message: bytes) -> dict[int, bytes]:
    found, position = {}, 20
    assert struct.unpack("!H", message[2:4])[0] == len(message) - 20
    while position < len(message):
        number, length = struct.unpack_from("!HH", message, position)
        found[number] = message[position + 4 : position + 4 + length]
        position += 4 + length + -length % 4
    return found


def xor_address(value: bytes) -> Address:
    """RFC 8489 §14.2, from its text."""
    port = struct.unpack("!H", value[2:4])[0] ^ 0x2112
    pad = COOKIE + b"abcdefghijkl"
    host = bytes(a ^ b for a, b in zip(value[4:], pad, strict=False))
    assert value[1] == (1 if len(host) == 4 else 2)
    return str(ipaddress.ip_address(host)), port


@pytest.mark.parametrize("source", [SOURCE, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)])
def test_a_binding_request_is_answered_with_where_it_came_from(source: Address) -> None:
    answer = stun.answer(binding(), source)
    assert answer is not None
    assert answer[:2] == b"\x01\x01"
    assert answer[4:20] == COOKIE + b"abcdefghijkl"
    assert xor_address(attributes(answer)[0x0020]) == source
    assert len(answer) <= 60


def test_a_fingerprint_is_answered_with_one() -> None:
    head = binding((0x8022, b"phone"))
    head = head[:2] + struct.pack("!H", len(head) - 20 + 8) + head[4:]
    crc = binascii.crc32(head) ^ 0x5354554E
    answer = stun.answer(head + struct.pack("!HHI", 0x8028, 4, crc), SOURCE)
    assert answer is not None
    (value,) = struct.unpack("!I", attributes(answer)[0x8028])
    assert value == binascii.crc32(answer[:-8]) ^ 0x5354554E
    assert stun.answer(head + struct.pack("!HHI", 0x8028, 4, crc ^ 1), SOURCE) is None


def test_what_must_be_understood_and_is_not_is_named() -> None:
    answer = stun.answer(binding((0x7777, b"x"), (0x0003, bytes(4)), (0x8888, b"y")), SOURCE)
    assert answer is not None
    assert answer[:2] == b"\x01\x11"
    found = attributes(answer)
    assert found[0x0009][:4] == bytes((0, 0, 4, 20))
    assert found[0x000A] == struct.pack("!HH", 0x7777, 0x0003)
    assert len(answer) <= 60


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 20, binding(kind=0x0101), binding(kind=0x0011), binding(kind=0x0003),
     binding(cookie=b"\0\0\0\0"), binding()[:-1], binding() + b"x", binding() + bytes(4),
     binding((0x8022, bytes(1300))), binding(*[(0x8022, b"")] * 33),
     binding()[:2] + b"\0\x08" + binding()[4:] + b"\x80\x22\xff\xff" + bytes(4),
     b"OPTIONS sip:a SIP/2.0\r\n\r\n"],
)  # fmt: skip
def test_what_is_not_answered(data: bytes) -> None:
    assert stun.answer(data, SOURCE) is None


@virtual
async def test_the_sip_port_answers_stun_and_goes_on_with_sip() -> None:
    """RFC 5626 §4.4.2: the keep-alive of phones on UDP."""
    server = await Phone("192.0.2.1", "pbx").listen()
    phone = await Phone("192.0.2.2", "phone").listen()
    phone.stack.transports.udp_flow(server.local).send(binding())
    await passing(1)
    (answer,) = [datagram for datagram in network().datagrams if datagram.to == phone.local]
    assert xor_address(attributes(answer.data)[0x0020]) == phone.local
    network().datagrams.clear()
    request = phone.stack.new_request(
        "OPTIONS", "sip:192.0.2.1", from_uri="sip:a@b", to_uri="sip:192.0.2.1"
    )
    response = await phone.stack.request(request, await phone.flow_to(server))
    assert response.status == 200
    assert server.stack.malformed == 0


# ── our own address ─────────────────────────────────────────────────────────────────────────
class Router:
    """A NAT with a STUN server behind it, as the SIP socket sees the two."""

    SERVER = ("192.0.2.99", 3478)

    def __init__(self, **options: object) -> None:
        self.stack = Stack(Phone("10.0.0.1", "x"), advertise="10.0.0.1")
        self.seen: Address | None = ("203.0.113.9", 40_000)
        self.asked: list[Message] = []
        self.changes = 0
        self.public = PublicAddress(
            server="192.0.2.99",
            locator=Locator("127.0.0.1"),
            send=self._send,
            on_change=self._changed,
            **options,  # type: ignore[arg-type]
        )
        self.stack.public = self.public

    def _send(self, data: bytes, to: Address) -> None:
        assert to == self.SERVER
        message = stun.parse(data)
        assert message is not None
        self.asked.append(message)
        if self.seen is not None:
            self.answer(message, self.seen, self.SERVER)

    def answer(self, to: Message, seen: Address, source: Address) -> None:
        said = Message(Method.BINDING, Class.RESPONSE, to.transaction_id)
        said.attributes["XOR-MAPPED-ADDRESS"] = seen
        self.public.take(bytes(said), source)

    def _changed(self) -> None:
        self.changes += 1


FAR, NEAR = MemoryFlow("udp", ("8.8.8.8", 5060)), MemoryFlow("udp", ("10.0.0.7", 5060))


@virtual
async def test_the_outside_is_told_the_public_address_and_the_inside_the_local_one() -> None:
    router = Router()
    await router.stack.transports.listen_udp(("10.0.0.1", 5060))
    router.public.start()
    await router.public.known()
    assert router.stack.contact("a", FAR) == "sip:a@203.0.113.9:40000"
    assert router.stack.contact("a", NEAR) == "sip:a@10.0.0.1:5060"
    assert router.stack.host_towards(FAR) == "203.0.113.9"
    assert router.stack.host_towards(MemoryFlow("udp", ("127.0.0.1", 5060))) == "10.0.0.1"
    six = MemoryFlow("udp", ("2606:4700::1", 5060))
    assert router.stack.host_towards(six) != "203.0.113.9"
    tcp = MemoryFlow("tcp", ("8.8.8.8", 5060))
    assert router.stack.contact("a", tcp).startswith("sip:a@203.0.113.9:")
    assert ":40000" not in router.stack.contact("a", tcp)


@virtual
async def test_a_change_is_noticed_and_told_once() -> None:
    router = Router()
    router.public.start()
    await passing(10 * CHECK_EVERY)
    assert router.changes == 0  # the first answer is no change
    router.seen = ("203.0.113.10", 40_000)
    await passing(CHECK_EVERY + 1)
    assert (router.public.host, router.changes) == ("203.0.113.10", 1)
    router.seen = None  # the server is gone: what was known still holds
    await passing(600)
    assert (router.public.host, router.changes) == ("203.0.113.10", 1)
    before = len(router.asked)
    await passing(RETRY_EVERY * 10)
    assert 16 < len(router.asked) - before < 60  # four each time, not faster and faster


@virtual
async def test_nobody_else_may_say_where_we_are() -> None:
    router = Router()
    router.seen = None
    router.public.start()
    await passing(0.1)
    (request,) = router.asked
    router.answer(request, ("198.51.100.1", 1), ("192.0.2.66", 3478))
    stranger = Message(Method.BINDING, Class.RESPONSE)
    router.answer(stranger, ("198.51.100.1", 1), router.SERVER)
    await passing(0.1)
    assert router.public.host == ""
    router.answer(request, ("203.0.113.9", 9), router.SERVER)
    await passing(0.1)
    assert router.public.host == "203.0.113.9"


@virtual
async def test_waiting_for_it_ends_when_no_server_answers() -> None:
    router = Router()
    router.seen = None
    router.public.start()
    began = asyncio.get_running_loop().time()
    await router.public.known()
    await router.public.known()
    assert asyncio.get_running_loop().time() - began < 4


@virtual
async def test_a_configured_address_asks_nobody() -> None:
    public = PublicAddress(
        configured="203.0.113.9",
        server="192.0.2.99",
        networks=["192.0.2.0/24"],
        locator=Locator("127.0.0.1"),
        send=lambda data, to: pytest.fail("asked"),
        on_change=lambda: None,
    )
    public.start()
    await public.known()
    await passing(1_000)
    assert public.towards(NEAR) == "203.0.113.9"  # not in the networks that were named
    assert public.towards(MemoryFlow("udp", ("192.0.2.7", 1))) == ""
    assert public.port_towards(NEAR, 5060) == 5060


@pytest.mark.interop
@pytest.mark.skipif(bool(missing("turnserver")), reason="turnserver is not installed")
async def test_a_real_server_says_where_our_sip_socket_is() -> None:
    async with Turnserver() as server:
        stack = Stack(Phone("x", "x"))
        host, port = await stack.transports.listen_udp(("127.0.0.1", 0))
        public = stack.public = PublicAddress(
            server=f"127.0.0.1:{server.port}",
            networks=["10.0.0.0/8"],
            locator=Locator("127.0.0.1"),
            send=lambda data, to: stack.transports.udp_flow(to).send(data),
            on_change=lambda: None,
        )
        try:
            assert await public.ask() == (host, port)
        finally:
            await stack.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [("stun.example", ("stun.example", 3478)), ("stun.example:19302", ("stun.example", 19302)),
     ("::1", ("::1", 3478)), ("[::1]", ("::1", 3478)), ("[::1]:99", ("::1", 99))],
)  # fmt: skip
def test_how_a_server_is_written(text: str, address: Address) -> None:
    assert split_host_port(text, 3478) == address


@pytest.mark.parametrize("text", [":3478", "host:", "host:0", "host:99999", "host:x", "[]"])
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        split_host_port(text, 3478)


# ── anything at all ─────────────────────────────────────────────────────────────────────────
def noise(rng: random.Random) -> bytes:
    return COOKIE.join((rng.randbytes(4), rng.randbytes(rng.randrange(60))))


def mutated(rng: random.Random) -> bytes:
    made = bytearray(
        binding(
            *((rng.choice((1, 6, 8, 9, 0x15, 0x20, 0x24, 0x8022, 0x8028, rng.randrange(65_536))),
               rng.randbytes(rng.choice((0, 4, 8, 20, rng.randrange(40)))))
              for _ in range(rng.randrange(6))),
            kind=rng.choice((1, 0x101, 0x111, rng.randrange(0x4000))),
        )
    )  # fmt: skip
    for _ in range(rng.randrange(4)):
        made[rng.randrange(len(made))] = rng.randrange(256)
    return bytes(made[: rng.choice((len(made), rng.randrange(len(made) + 1)))])


def look_at(data: bytes) -> tuple[bytes | None, float]:
    """What is answered to a datagram, and the seconds of CPU it took."""
    began = time.thread_time()
    answer = stun.answer(data, SOURCE)
    message = stun.parse(data)
    if message is not None:
        stun.mapped_address(message)
    return answer, time.thread_time() - began


@pytest.mark.parametrize("make", [noise, mutated])
@pytest.mark.parametrize(
    "count", [10_000, pytest.param(250_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
def test_no_datagram_is_too_much(make: Callable[[random.Random], bytes], count: int) -> None:
    rng = random.Random(8489)
    longest, answered = 0.0, 0
    tracemalloc.start()
    for number in range(count):
        data = make(rng)
        answer, cost = look_at(data)
        if cost > 0.005:  # an input that is slow is slow again; a pause of the machine is not
            cost = min(cost, *(look_at(data)[1] for _ in range(3)))
        longest = max(longest, cost)
        answered += answer is not None
        assert answer is None or len(answer) <= 60
        if number == count // 10:
            gc.collect()
            early = tracemalloc.get_traced_memory()[0]
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - early
    tracemalloc.stop()
    assert longest < 0.005, f"{longest * 1000:.1f} ms"
    assert grown < 100_000
    assert answered > count / 100 or make is noise
