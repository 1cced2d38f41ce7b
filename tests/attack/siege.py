"""What a siege must not touch: a call that talks, and a phone that waits for its next one."""

from __future__ import annotations

import asyncio
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from tests.peers.exchange import ROOT, Address, Config, Exchange, Trunk
from tests.peers.proc import Process

from .attacker import EXTENSIONS, Phone, Socket, Talk, header, request, status

STRANGER, NEIGHBOUR, EVERYWHERE = "127.0.0.66", "127.0.0.13", "everywhere"
"Where attacks come from; a registered phone lives at the neighbour's address."
SETTLES = 0.3
"Seconds after an attack until what was still queued is through."


class Sound(asyncio.DatagramProtocol):
    """One phone's RTP: 50 packets a second, each with its time, and a count of what comes."""

    def __init__(self) -> None:
        self.address: Address = ("", 0)
        self.to: Address = ("", 0)
        self.sent = 0
        self.numbers: set[int] = set()
        self.delays: list[float] = []
        self.foreign = 0
        "Packets that the other phone did not send."
        self._wire: Any = None
        self._clock: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, host: str) -> Self:
        loop = asyncio.get_running_loop()
        _, sound = await loop.create_datagram_endpoint(cls, local_addr=(host, 0))
        return sound

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = transport
        self.address = transport.get_extra_info("sockname")[:2]

    def start(self, to: Address) -> None:
        self.to = to
        self._tick(asyncio.get_running_loop().time())

    def stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._wire.close()

    def _tick(self, due: float) -> None:
        head = struct.pack("!BBHII", 0x80, 0, self.sent & 0xFFFF, self.sent * 160 & 0xFFFFFFFF, 7)
        said = struct.pack("!4sQd", b"ours", self.sent, time.monotonic())
        self._wire.sendto(head + said.ljust(160, b"."), self.to)
        self.sent += 1
        self._clock = asyncio.get_running_loop().call_at(due + 0.02, self._tick, due + 0.02)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if len(data) != 172 or data[12:16] != b"ours":
            self.foreign += len(data) > 100
            return
        _, number, sent = struct.unpack_from("!4sQd", data, 12)
        self.numbers.add(number)
        self.delays.append(time.monotonic() - sent)


class Siege:
    """A bridged call between 101 and 102, and 103, who waits."""

    def __init__(self, exchange: Exchange, talk: Talk, sounds: tuple[Sound, Sound]) -> None:
        self.exchange = exchange
        self.talk = talk
        self.sounds = sounds
        self.waiting: Phone
        self.usual = 0.0
        self._memory = self.memory()
        self._marks = (0, 0)

    def memory(self) -> int:
        """Resident bytes of the exchange."""
        text = Path(f"/proc/{self.exchange.process.child.pid}/status").read_text()
        return 1024 * int(text.partition("VmRSS:")[2].split()[0])

    async def set_up_seconds(self) -> float:
        """103 calls the echo test and hangs up: seconds until it was answered. Nothing is sent
        twice, so a datagram lost is a call lost."""
        started = time.monotonic()
        ok = await self.waiting.call_echo()
        took = time.monotonic() - started
        assert status(ok) == 200, ok
        assert ok is not None
        sender, _, tag = header(ok, "from").partition(";tag=")
        call = {"sender": sender, "tag": tag, "to": header(ok, "to")}
        for number, method in ((2, "ACK"), (3, "BYE")):
            self.waiting.send(
                request(method, "sip:600@test", self.waiting.address, cseq=number,
                        call_id=header(ok, "call-id"), **call),
                self.exchange.udp,
            )  # fmt: skip
        return took

    async def begin(self) -> None:
        """Take the measure of a quiet time."""
        self.usual = statistics.median([await self.set_up_seconds() for _ in range(3)])
        self._memory = self.memory()

    def mark(self) -> None:
        """Count the sound from here."""
        self._marks = (self.sounds[0].sent, self.sounds[1].sent)
        for sound in self.sounds:
            sound.delays.clear()

    async def lost(self) -> float:
        """The share of RTP lost since the mark, in both directions together."""
        ends = [sound.sent for sound in self.sounds]
        await asyncio.sleep(SETTLES)
        sent = lost = 0
        hearers = reversed(self.sounds)
        for hearer, first, last in zip(hearers, self._marks, ends, strict=True):
            sent += last - first
            lost += sum(number not in hearer.numbers for number in range(first, last))
        assert sent > 0
        return lost / sent

    async def endure(self, *attacks: Process, name: str) -> None:
        """Until the attacks are over: calls of 103, one after the other. What that cost is
        printed, and held against what must hold."""
        self.mark()
        taken = []
        while len(taken) < 3 or any(one.child.returncode is None for one in attacks):
            taken.append(await self.set_up_seconds())
            await asyncio.sleep(0.1)
        figures = {
            "lost": await self.lost(),
            "set_up_ms": 1000 * statistics.median(taken),
            "worst_set_up_ms": 1000 * max(taken),
            "usual_set_up_ms": 1000 * self.usual,
            "delay_p99_ms": 1000 * statistics.quantiles(self.sounds[0].delays, n=100)[-1],
        }
        print(f"{name}:", {key: round(value, 4) for key, value in figures.items()})
        assert figures["lost"] < 0.001, figures
        # A slow machine is as slow without the attack.
        assert figures["set_up_ms"] < 500 + figures["usual_set_up_ms"], figures

    async def remembers_little(self, more: int = 16_000_000) -> float:
        """Memory is near where it was, once timers have run out; how many MB more."""
        grown = 0
        for _ in range(20):
            grown = self.memory() - self._memory
            if grown < more:
                return grown / 1e6
            await asyncio.sleep(1)
        raise AssertionError(f"{grown / 1e6:.1f} MB more than before")


@asynccontextmanager
async def siege(
    extra: dict[str, dict[str, Any]] | None = None, trunks: tuple[Trunk, ...] = ()
) -> AsyncIterator[Siege]:
    """An exchange with its call going on."""
    async with Exchange(Config(EXTENSIONS, trunks, extra=extra or {})) as exchange:
        alice = await Phone.at("127.0.0.11", "101", exchange.udp)
        bob = await Phone.at("127.0.0.12", "102", exchange.udp)
        hers, his = await Sound.open("127.0.0.11"), await Sound.open("127.0.0.12")
        talk = Talk(alice, bob)
        await talk.ring(hers.address)
        await talk.answer(his.address)
        one = Siege(exchange, talk, (hers, his))
        one.waiting = await Phone.at(NEIGHBOUR, "103", exchange.udp)
        hers.start(talk.sound[0])
        his.start(talk.sound[1])
        await asyncio.sleep(0.3)
        try:
            await one.begin()
            yield one
        finally:
            alice.send(talk.request("BYE", alice.address, 99), exchange.udp)
            if bye := await bob.next(b"BYE"):
                bob.send(_agreed(bye), exchange.udp)
            for sound in one.sounds:
                sound.stop()


def _agreed(asked: bytes) -> bytes:
    kept = [f"{name}: {header(asked, name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
    return ("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0"]) + "\r\n\r\n").encode()


async def attack(kind: str, to: Address, **options: object) -> Process:
    """Start a flood, see `tests.attack.flood`."""
    argv = [sys.executable, "-m", "tests.attack.flood", kind, to[0], str(to[1])]
    for name, value in options.items():
        argv += [f"--{name}", str(value)]
    return await Process.start(f"flood {kind}", argv, cwd=ROOT)


__all__ = ["EVERYWHERE", "NEIGHBOUR", "STRANGER", "Siege", "Socket", "attack", "siege"]
