"""The tools of these tests, tested: the clock that jumps and the network in memory."""

from __future__ import annotations

import asyncio
import time

import pytest

from pbx.sip.message import ParseError, Request, Response, parse_message
from pbx.sip.transport import Address
from tests.pbx.virtual_time import first, network, now, passing, pattern, run, settled, virtual


class Wire(asyncio.DatagramProtocol):
    """A bare socket: sends bytes, keeps what comes."""

    def __init__(self) -> None:
        self.got: list[Request | Response] = []
        self.raw: list[tuple[bytes, Address]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.raw.append((data, addr))
        try:
            self.got.append(parse_message(data))
        except ParseError:
            return

    def send(self, data: bytes, to: Address) -> None:
        self._transport.sendto(data, to)  # type: ignore[attr-defined]


async def wires(local: Address) -> Wire:
    """A bare socket on the network in memory."""
    _, wire = await asyncio.get_running_loop().create_datagram_endpoint(Wire, local_addr=local)
    return wire


def test_a_year_passes_at_once() -> None:
    async def course() -> float:
        await passing(365 * 86_400)
        return now()

    began = time.monotonic()
    assert run(course()) == 365 * 86_400
    assert time.monotonic() - began < 1


@virtual
async def test_timers_fire_in_order_and_on_time() -> None:
    fired: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()
    for name, delay in [("c", 3.0), ("a", 0.001), ("b", 2.5)]:
        loop.call_later(delay, lambda name=name: fired.append((name, round(now(), 6))))
    await passing(10)
    assert fired == [("a", 0.001), ("b", 2.5), ("c", 3.0)]


@virtual
async def test_threads_still_answer() -> None:
    assert await asyncio.to_thread(lambda: 5) == 5


def test_what_a_callback_raises_fails_the_test() -> None:
    async def course() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await settled()

    with pytest.raises(ZeroDivisionError):
        run(course())


@virtual
async def test_loss_is_scripted_and_order_kept() -> None:
    one, two = await wires(("a", 1)), await wires(("b", 2))
    network().latency = 0.1
    network().lose = pattern("..x")
    for number in range(6):
        one.send(b"%d" % number, ("b", 2))
    await passing(1)
    assert two.raw == [(b"%d" % number, ("a", 1)) for number in (0, 1, 3, 4)]
    assert [datagram.lost for datagram in network().datagrams].count(True) == 2


@virtual
async def test_the_first_of_a_kind_can_be_lost() -> None:
    one, two = await wires(("a", 1)), await wires(("b", 2))
    network().lose = first("ACK", times=2)
    for line in [b"ACK 1", b"BYE", b"ACK 2", b"ACK 3"]:
        one.send(line, ("b", 2))
    await settled()
    assert [data for data, _ in two.raw] == [b"BYE", b"ACK 3"]


@virtual
async def test_an_address_belongs_to_one() -> None:
    wire = await wires(("a", 1))
    with pytest.raises(OSError, match="in use"):
        await wires(("a", 1))
    wire._transport.close()
    await wires(("a", 1))
