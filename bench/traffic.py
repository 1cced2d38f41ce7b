"""Calls with sound in both directions, through a server or through the C relay.

Every system gets the same packets from the same generator (``pump.c``): G.711, 50 packets a second
a leg, evenly spread, each stamped with where it must arrive and when it was sent.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from bench.native import compiled
from bench.process import BenchError, Child, Interference, Unavailable
from bench.server import CALLEE_HOST, CALLER_HOST, EXCHANGE_HOST, Media, Server, Wiring
from bench.sip import (
    Address,
    Dialog,
    Endpoint,
    Message,
    audio_address,
    audio_key,
    audio_offer,
    audio_types,
    bound_socket,
)

RATE = 50
KEY_BYTES = 30


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one system.

    ``strays`` came to the wrong leg or cannot be read; ``changed`` have other sound than was sent;
    ``foreign`` came from somewhere else than they must; ``others`` is what neighbours used of the
    machine; ``listened`` is how many seconds packets were counted.
    """

    system: str
    calls: int
    cpu_s: float
    seconds: float
    listened: float
    sent: int
    received: int
    strays: int
    changed: int
    foreign: int
    delay_p50_us: float
    delay_p99_us: float
    delay_max_us: float
    others: float

    @property
    def cpu_us(self) -> float:
        """CPU time a packet that arrived, in µs."""
        return self.cpu_s / max(1, self.received) * 1e6

    @property
    def cpu_share(self) -> float:
        """Part of one core that was busy with it."""
        return self.cpu_s / self.seconds

    @property
    def loss(self) -> float:
        """Share of the packets that did not arrive, in per cent."""
        return 100 * (1 - self.received / self.sent)


class Busy(Protocol):
    """Something whose CPU time and memory can be asked for."""

    def cpu(self) -> float:
        """CPU seconds used so far."""

    def memory(self) -> int:
        """Bytes resident."""


class Traffic:
    """The generator of one system's traffic; the calls are up, or made by :meth:`grow`."""

    def __init__(self, name: str, system: Busy, pump: Child, ports: list[int]) -> None:
        self.name = name
        self.system = system
        self.calls = 0
        self.ports = ports
        self._pump = pump

    def grow(self, calls: int) -> None:
        """Have so many calls from now on."""
        self.calls = calls

    def aim(self, legs: list[Address], keys: list[bytes]) -> None:
        """Say where each leg sends to, and its keys for sending and for receiving."""
        self._pump.tell("to " + " ".join(f"{host}:{port}" for host, port in legs))
        self._pump.json_line(5)
        if keys:
            self._pump.tell("keys " + " ".join(key.hex() for key in keys))
            if self._pump.json_line(5)["keys"] != len(keys):
                raise BenchError("the generator did not take the SRTP keys")

    def run(self, seconds: float, rate: float = RATE) -> Sample:
        """Send for so long on every call; what it cost and what arrived."""
        noise = Interference()
        pumping = self._pump.cpu()
        before, begun = self.system.cpu(), time.monotonic()
        self._pump.tell(f"run {rate} {seconds} {self.calls}")
        result = self._pump.json_line(seconds * 3 + 10)
        spent, elapsed = self.system.cpu() - before, time.monotonic() - begun
        counts = {
            name: int(result[name]) for name in ("sent", "received", "strays", "changed", "foreign")
        }
        return Sample(
            system=self.name,
            calls=self.calls,
            cpu_s=spent,
            seconds=elapsed,
            listened=float(result["listened"]),
            **counts,
            delay_p50_us=float(result["delay_p50_us"]),
            delay_p99_us=float(result["delay_p99_us"]),
            delay_max_us=float(result["delay_max_us"]),
            others=round(noise.share(spent + self._pump.cpu() - pumping), 3),
        )


@contextlib.contextmanager
def generator(calls: int, media: Media, folder: Path, core: int | None) -> Iterator[Child]:
    """The generator; on the other core when the system has one to itself."""
    command = [str(compiled("pump", srtp=media.srtp)), str(calls), CALLER_HOST, CALLEE_HOST]
    other = None if core is None else 1 - core
    with Child([*command, *map(str, media.types)], folder / "pump.log", core=other) as pump:
        yield pump


@contextlib.contextmanager
def limit(
    folder: Path,
    calls: int,
    *,
    connect: bool = True,
    srtp: bool = False,
    core: int | None = None,
) -> Iterator[Traffic]:
    """The C relay: with connected sockets or without, undoing and redoing SRTP or not."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "C relay + libsrtp" if srtp else "C relay" if connect else "C relay, unconnected"
    key = secrets.token_bytes(KEY_BYTES)
    arguments = ["connect"] if connect else []
    command = [str(compiled("relay", srtp=srtp)), str(calls), *arguments]
    with (
        Child([*command, *([key.hex()] if srtp else [])], folder / "relay.log", core=core) as relay,
        generator(calls, Media(srtp=srtp), folder, core) as pump,
    ):
        traffic = Traffic(name, relay, pump, pump.json_line(10)["ports"])
        keys = [key] * (4 * calls) if srtp else []
        traffic.aim([(EXCHANGE_HOST, port) for port in relay.json_line(10)["ports"]], keys)
        traffic.grow(calls)
        yield traffic


class Bridged(Traffic):
    """Traffic of real calls through a SIP server."""

    def __init__(
        self, server: Server, pump: Child, ports: list[int], caller: Endpoint, callee: Endpoint
    ) -> None:
        super().__init__(server.name, server, pump, ports)
        self.server = server
        self._media = server.wiring.media
        self._caller = caller
        self._callee = callee
        self._callee.answer = self._answer
        self._callee_keys: dict[str, tuple[bytes, bytes]] = {}
        self._dialogs: list[Dialog] = []
        self._legs: list[Address] = []
        self._keys: list[bytes] = []

    def _answer(self, invite: Message) -> str:
        """The callee's SDP for the call being placed."""
        payload = self._media.types[1]
        if payload not in audio_types(invite.body):
            raise Unavailable(f"{self.name} does not offer the callee payload type {payload}")
        port = self.ports[2 * len(self._dialogs) + 1]
        if not self._media.srtp:
            return audio_offer(CALLEE_HOST, port, payload)
        tag, theirs = audio_key(invite.body)
        key = secrets.token_bytes(KEY_BYTES)
        self._callee_keys[invite.call_id] = (key, theirs)
        return audio_offer(CALLEE_HOST, port, payload, key, tag)

    def grow(self, calls: int) -> None:
        """Place calls until there are so many, and send on all of them."""
        media, server = self._media, self.server
        while len(self._dialogs) < calls:
            key = secrets.token_bytes(KEY_BYTES) if media.srtp else b""
            port = self.ports[2 * len(self._dialogs)]
            offer = audio_offer(CALLER_HOST, port, media.types[0], key)
            try:
                dialog = self._caller.call(server.address, server.wiring.number, offer)
            except BenchError:
                if self._callee.broken is not None:
                    raise self._callee.broken from None
                raise
            invite = self._callee.incoming.get(timeout=5)
            self._dialogs.append(dialog)
            self._legs += [dialog.audio, audio_address(invite.body)]
            if media.srtp:
                self._keys += [key, audio_key(dialog.answer)[1]]
                self._keys += self._callee_keys[invite.call_id]
        self.calls = calls
        self.aim(self._legs, self._keys)

    def hang_up(self) -> None:
        """End all calls; a server that no longer answers is left alone."""
        with contextlib.suppress(BenchError):
            for dialog in self._dialogs:
                self._caller.hang_up(dialog)


@contextlib.contextmanager
def bridged(
    kind: type[Server],
    folder: Path,
    calls: int,
    *,
    media: Media | None = None,
    core: int | None = None,
    up: int | None = None,
    number: str = "",
) -> Iterator[Bridged]:
    """A SIP server that carries real calls: ``up`` of them at first (all), at most ``calls``."""
    media = media or Media()
    with contextlib.ExitStack() as stack:
        caller = bound_socket((CALLER_HOST, 0))
        callee = bound_socket((CALLEE_HOST, 0))
        here, there = Endpoint(caller), Endpoint(callee)
        stack.callback(here.close)
        stack.callback(there.close)
        ends = caller.getsockname(), callee.getsockname()
        wiring = Wiring(*ends, media=media, core=core)
        if number:
            wiring = replace(wiring, number=number)
        folder = folder / kind.name.replace(" ", "-").replace(",", "")
        server = stack.enter_context(kind(wiring, folder))
        pump = stack.enter_context(generator(calls, media, folder, core))
        traffic = Bridged(server, pump, pump.json_line(10)["ports"], here, there)
        server.admit(callee)
        here.start()
        there.start()
        stack.callback(traffic.hang_up)
        traffic.grow(calls if up is None else up)
        yield traffic
