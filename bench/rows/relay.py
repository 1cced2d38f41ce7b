"""CPU per relayed RTP packet: bridged G.711 calls beside a C relay and Asterisk.

Every system gets the same calls from the same generator (``pump.c``) at the rate of real phones,
50 packets a second a leg, evenly spread. The runs are interleaved. CPU time is the system's own.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from bench.asterisk import Asterisk
from bench.asterisk import installed as asterisk_installed
from bench.native import compiled
from bench.process import BenchError, Child, Interference
from bench.report import Row
from bench.rows import Options
from bench.server import CALLEE_HOST, CALLER_HOST, EXCHANGE_HOST, Server, Wiring
from bench.sip import Address, Endpoint, audio_address, audio_offer, bound_socket

RATE = 50
CALLS = 50
GOAL_LIMIT = 1.4
GOAL_ASTERISK = 0.2


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one system."""

    system: str
    cpu_us: float
    sent: int
    received: int
    strays: int
    delay_p50_us: float
    delay_p99_us: float
    others: float

    @property
    def loss(self) -> float:
        """Share of the packets that did not arrive, in per cent."""
        return 100 * (1 - self.received / self.sent)


class Busy(Protocol):
    """Something whose CPU time can be asked for."""

    def cpu(self) -> float:
        """CPU seconds used so far."""


class Traffic:
    """The generator of one system's traffic."""

    def __init__(self, name: str, system: Busy, pump: Child, ports: list[int]) -> None:
        self.name = name
        self._system = system
        self._pump = pump
        self.ports = ports

    def aim(self, legs: list[Address]) -> None:
        """Say where each leg sends to."""
        self._pump.tell("to " + " ".join(f"{host}:{port}" for host, port in legs))
        self._pump.json_line(5)

    def run(self, seconds: float) -> Sample:
        """Send for so long; what it cost and what arrived."""
        noise = Interference()
        pumping = self._pump.cpu()
        before = self._system.cpu()
        self._pump.tell(f"run {RATE} {seconds}")
        result = self._pump.json_line(seconds * 3 + 10)
        spent = self._system.cpu() - before
        others = noise.share(spent + self._pump.cpu() - pumping)
        received = int(result["received"])
        return Sample(
            system=self.name,
            cpu_us=spent / max(1, received) * 1e6,
            sent=int(result["sent"]),
            received=received,
            strays=int(result["strays"]),
            delay_p50_us=float(result["delay_p50_us"]),
            delay_p99_us=float(result["delay_p99_us"]),
            others=round(others, 3),
        )


@contextlib.contextmanager
def _pump(name: str, system: Busy, folder: Path) -> Iterator[Traffic]:
    command = [str(compiled("pump")), str(CALLS), CALLER_HOST, CALLEE_HOST]
    with Child(command, folder / "pump.log") as pump:
        yield Traffic(name, system, pump, pump.json_line(10)["ports"])


@contextlib.contextmanager
def limit(folder: Path, *, connect: bool) -> Iterator[Traffic]:
    """The C relay, with connected sockets or without."""
    name = "C relay, connected" if connect else "C relay"
    arguments = ["connect"] if connect else []
    command = [str(compiled("relay")), str(CALLS), *arguments]
    with (
        Child(command, folder / "relay.log") as relay,
        _pump(name, relay, folder) as traffic,
    ):
        traffic.aim([(EXCHANGE_HOST, port) for port in relay.json_line(10)["ports"]])
        yield traffic


@contextlib.contextmanager
def bridged(kind: type[Server], folder: Path) -> Iterator[Traffic]:
    """A SIP server that carries real calls."""
    caller = bound_socket((CALLER_HOST, 0))
    callee = bound_socket((CALLEE_HOST, 0))
    wiring = Wiring(caller=caller.getsockname(), callee=callee.getsockname())
    with (
        kind(wiring, folder / kind.name) as server,
        _pump(kind.name, server, folder) as traffic,
        contextlib.ExitStack() as stack,
    ):
        server.admit(callee)
        placed = 0

        def answer(_: object) -> str:
            return audio_offer(CALLEE_HOST, traffic.ports[placed * 2 + 1])

        here, there = Endpoint(caller), Endpoint(callee, answer)
        for endpoint in (here, there):
            stack.callback(endpoint.close)
            endpoint.start()
        legs: list[Address] = []
        for placed in range(CALLS):
            offer = audio_offer(CALLER_HOST, traffic.ports[placed * 2])
            dialog = here.call(server.address, wiring.number, offer)
            stack.callback(here.hang_up, dialog)
            legs += [dialog.audio, audio_address(there.incoming.get(timeout=5).body)]
        traffic.aim(legs)
        yield traffic


def _row(key: str, title: str, goal: float, ours: list[Sample], peer: list[Sample]) -> Row:
    row = Row(key, title, "µs CPU a packet", peer_name=peer[0].system, goal=goal)
    row.compare(
        [sample.cpu_us for sample in ours],
        [sample.cpu_us for sample in peer],
        [max(mine.others, its.others) for mine, its in zip(ours, peer, strict=True)],
    )
    row.rounds = [asdict(sample) for sample in (*ours, *peer)]

    def losses(samples: list[Sample]) -> str:
        delay = statistics.median(sample.delay_p99_us for sample in samples)
        sent = sum(sample.sent for sample in samples)
        lost = sent - sum(sample.received for sample in samples)
        return f"{lost} of {sent} lost, delay p99 {delay / 1000:.2f} ms"

    row.detail = (
        f"{CALLS} G.711 calls, {row.quiet}; ours: {losses(ours)}; {peer[0].system}: {losses(peer)}"
    )
    strays = sum(sample.strays for sample in ours)
    if strays:
        row.failed = f"{strays} packets arrived changed or at the wrong leg"
    elif any(sample.loss > 1 for sample in (*ours, *peer)):
        row.failed = f"more than 1 % of the packets lost, so the figure says little: {row.detail}"
    return row


def measure(options: Options) -> list[Row]:
    """Ours beside the C relay (connected sockets count), and Asterisk if it is here."""
    rounds, seconds = (8, 1.0) if options.quick else (20, 2.0)
    folder = options.folder / "relay"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        systems = [stack.enter_context(bridged(options.subject, folder))]
        systems += [
            stack.enter_context(limit(folder, connect=connect))
            for connect in ((True,) if options.quick else (True, False))
        ]
        if not options.quick and asterisk_installed() and options.subject is not Asterisk:
            systems.append(stack.enter_context(bridged(Asterisk, folder)))
        for traffic in systems:  # addresses are learnt, caches warmed
            traffic.run(1.0)
        samples: dict[str, list[Sample]] = {traffic.name: [] for traffic in systems}
        for _ in range(rounds):
            for traffic in systems:
                samples[traffic.name].append(traffic.run(seconds))
    ours, connected, *rest = samples.values()
    if any(sample.received == 0 for sample in ours):
        raise BenchError("no packet was relayed")
    rows = [_row("relay", "RTP packet relayed", GOAL_LIMIT, ours, connected)]
    for peer in rest:
        name = peer[0].system
        if name == Asterisk.name:
            rows.append(_row("relay-asterisk", "RTP packet bridged", GOAL_ASTERISK, ours, peer))
        else:
            rows[0].detail += f"; {name}: {statistics.median(one.cpu_us for one in peer):.2f} µs"
    return rows
