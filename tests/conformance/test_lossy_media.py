"""Sound that comes in damaged goes out just as damaged: the relay of the running program loses,
changes, repeats and reorders nothing of a stream with 5 % loss and 40 ms of jitter."""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.peers import ports, sipp
from tests.peers.exchange import Config, Exchange, Extension
from tests.peers.proc import missing
from tests.peers.rtp import Sdp

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(bool(missing("sipp")), reason="not installed: sipp"),
]
SECRET = "conformance"
LOSS, JITTER = 0.05, 0.04


class Wire(sipp.Sipp):
    """SIPp without a mouth: the packets are ours."""

    def _message(self, message: sipp.Message) -> None:
        self.messages.push(message)


@dataclass
class Ear(asyncio.DatagramProtocol):
    """An RTP port that keeps what arrives, byte for byte, and when."""

    heard: list[bytes] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    port: int = 0
    _wire: Any = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[Ear]:
        loop, port = asyncio.get_running_loop(), ports.free_port()
        wire, ear = await loop.create_datagram_endpoint(cls, (ports.HOST, port))
        ear.port, ear._wire = port, wire
        try:
            yield ear
        finally:
            wire.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append(data)
        self.at.append(asyncio.get_running_loop().time())

    async def speak(self, packets: list[tuple[float, bytes]], to: tuple[str, int]) -> list[float]:
        """Send each packet at its second; when they were really sent."""
        loop = asyncio.get_running_loop()
        start, sent = loop.time(), []
        for at, data in packets:
            await asyncio.sleep(max(0.0, start + at - loop.time()))
            sent.append(loop.time())
            self._wire.sendto(data, to)
        return sent


def damaged(count: int, seed: int) -> list[tuple[float, bytes]]:
    """A stream as a bad network hands it over: some packets are missing, all come late by
    something else, so that some overtake others. Their shapes differ as much as RTP allows."""
    chance = random.Random(seed)
    source = chance.getrandbits(32).to_bytes(4, "big")
    stream = []
    for n in range(count):
        if n and chance.random() < LOSS:  # the first one opens the way through the relay
            continue
        kind = chance.choices((0, 101, 13), (90, 6, 4))[0]
        body = chance.randbytes({0: chance.choice((80, 160, 160, 240)), 101: 4, 13: 1}[kind])
        first, extra = 0x80, b""
        if chance.random() < 0.1:  # a contributing source
            first |= 0x01
            extra += chance.randbytes(4)
        if chance.random() < 0.1:  # a header extension (RFC 8285)
            first |= 0x10
            extra += b"\xbe\xde\x00\x01\x10" + chance.randbytes(1) + b"\x00\x00"
        if chance.random() < 0.1:  # padding
            first |= 0x20
            body += b"\x00\x00\x00\x04"
        header = bytes((first, kind | (0x80 if n == 0 else 0)))
        header += (65_500 + n & 0xFFFF).to_bytes(2, "big")
        header += (n * 160).to_bytes(4, "big") + source
        late = chance.uniform(0, JITTER) if n else 0.0
        stream.append((n * 0.02 + late, header + extra + body))
    return sorted(stream)


@pytest.mark.parametrize("count", [150, pytest.param(3000, marks=pytest.mark.soak)])
async def test_the_relay_adds_nothing(count: int) -> None:
    """`count` packets of 20 ms each way at once."""
    config = Config([Extension("101", SECRET), Extension("102", SECRET)])
    talk = round(count * 20 + 1500)
    within = talk / 1000 + 20
    async with Exchange(config) as exchange, Ear.open() as near, Ear.open() as far:
        callee = Wire(
            "register_and_stay", exchange.udp, number="102", password=SECRET, answer="uas",
            variables={"talk": talk, "ring": 50}, keys={"rtp_port": far.port}, within=within,
        )  # fmt: skip
        caller = Wire(
            "uac", exchange.udp, number="101", to="102", password=SECRET,
            variables={"talk": talk}, keys={"rtp_port": near.port}, within=within,
        )  # fmt: skip
        async with callee:
            await callee.received(200)
            async with caller:
                invite, answer = await callee.received("INVITE"), await _answer(caller)
                there, back = Sdp.parse(answer.sdp), Sdp.parse(invite.sdp)
                assert there is not None
                assert back is not None
                to_callee, to_caller = damaged(count, 1), damaged(count, 2)
                sent = await asyncio.gather(
                    near.speak(to_callee, (there.host, there.port)),
                    far.speak(to_caller, (back.host, back.port)),
                )
                await caller.finish()
    assert far.heard == [data for _, data in to_callee]
    assert near.heard == [data for _, data in to_caller]
    for ear, times in ((far, sent[0]), (near, sent[1])):
        added = [there - here for here, there in zip(times, ear.at, strict=True)]
        assert statistics.median(added) < 0.005, "seconds the relay adds"


async def _answer(caller: sipp.Sipp) -> sipp.Message:
    return await caller.messages.wait(
        lambda m: m.received and m.status == 200 and m.method == "INVITE", what="the answer"
    )
