"""The same calls on stock PyVoIP: packets it sends a leg, and CPU a leg-second, as legs grow.

PyVoIP paces its packets itself, so what counts is how near it comes to 50 a second on each leg.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.exchange import REPOSITORY
from bench.native import compiled
from bench.process import Child, Unavailable
from bench.report import Row
from bench.rows import Options
from bench.server import CALLEE_HOST, CALLER_HOST, EXCHANGE_HOST, RTP_PORTS
from bench.traffic import RATE, Sample, Traffic, bridged

LEGS = (10, 20, 40, 60, 80, 100)
QUICK_LEGS = (40, 100)
COMPARED = 40
"""Legs at which CPU is compared: as many as PyVoIP still serves in time."""


@dataclass(frozen=True, slots=True)
class Point:
    """One number of legs on one system."""

    system: str
    legs: int
    packets_a_leg: float
    cpu_ms: float
    sample: Sample


@contextlib.contextmanager
def stock(folder: Path, legs: int) -> Iterator[Traffic]:
    """PyVoIP with so many legs, in pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    peer = [sys.executable, "-m", "bench.pyvoip_peer", str(legs), EXCHANGE_HOST, str(RTP_PORTS[0])]
    pump = [str(compiled("pump")), str(legs // 2), CALLER_HOST, CALLEE_HOST]
    with (
        Child(peer, folder / "pyvoip.log", cwd=REPOSITORY) as server,
        Child(pump, folder / "pump.log") as generator,
    ):
        ports = generator.json_line(10)["ports"]
        traffic = Traffic("PyVoIP", server, generator, ports)
        theirs = server.json_line(20)["ports"]
        hosts = (CALLER_HOST, CALLEE_HOST)
        server.tell(" ".join(f"{hosts[index % 2]}:{port}" for index, port in enumerate(ports)))
        server.json_line(20)
        traffic.aim([(EXCHANGE_HOST, port) for port in theirs], [])
        traffic.grow(legs // 2)
        yield traffic


def _point(traffic: Traffic, legs: int, seconds: float, *, paced: bool) -> Point:
    """``paced``: it sends all the time by a clock of its own, not what it gets when it gets it."""
    sample = traffic.run(seconds)
    # All that came is counted: PyVoIP cuts the sound to 8 bits, so that nothing is as it was sent.
    arrived = sample.received + sample.changed + sample.strays
    return Point(
        system=traffic.name,
        legs=legs,
        packets_a_leg=arrived / legs / (sample.listened if paced else seconds),
        cpu_ms=sample.cpu_s / (legs * sample.seconds) * 1000,
        sample=sample,
    )


def points(options: Options, steps: Sequence[int]) -> tuple[list[Point], list[Point]]:
    """Ours and PyVoIP's, for growing numbers of legs."""
    if importlib.util.find_spec("pyVoIP") is None:
        raise Unavailable("PyVoIP is not installed")
    seconds = 2.0 if options.quick else 4.0
    folder = options.folder / "pyvoip"
    ours: list[Point] = []
    theirs: list[Point] = []
    for legs in steps:
        with stock(folder / str(legs), legs) as traffic:
            traffic.run(1.0)
            theirs.append(_point(traffic, legs, seconds, paced=True))
    with bridged(options.subject, folder / "ours", steps[-1] // 2, up=1) as traffic:
        for legs in steps:
            traffic.grow(legs // 2)
            traffic.run(1.0)
            ours.append(_point(traffic, legs, seconds, paced=False))
    return ours, theirs


def measure(options: Options) -> list[Row]:
    """Both systems with growing numbers of legs; CPU is compared at one of them."""
    ours, theirs = points(options, QUICK_LEGS if options.quick else LEGS)
    row = Row("pyvoip", f"leg of {COMPARED // 2} bridged calls", "ms CPU a leg-second")
    row.peer_name = f"pyVoIP {importlib.metadata.version('pyVoIP')}"
    row.compare(
        [point.cpu_ms for point in ours if point.legs == COMPARED],
        [point.cpu_ms for point in theirs if point.legs == COMPARED],
        [statistics.mean(point.sample.others for point in (*ours, *theirs))],
    )
    row.rounds = [asdict(point) for point in (*ours, *theirs)]

    def told(points: list[Point]) -> str:
        return ", ".join(f"{point.packets_a_leg:.1f} at {point.legs}" for point in points)

    row.detail = (
        f"packets a second a leg, of {RATE}: {row.peer_name}: {told(theirs)} legs; "
        f"ours: {told(ours)} legs"
    )
    return [row]
