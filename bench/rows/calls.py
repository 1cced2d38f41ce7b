"""CPU per call set up and torn down: INVITE to BYE with media ports, no media, SIPp both sides."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import sipp
from bench.asterisk import Asterisk, installed
from bench.process import Child, Interference, Unavailable
from bench.report import Row
from bench.rows import Options
from bench.server import Server, Wiring
from bench.sip import bound_socket
from bench.sippy_peer import Sippy, interpreter

GOAL = 0.5
HOLD_MS = 200
SETTLE = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """One run against one server."""

    system: str
    cpu_ms: float
    good: int
    failed: int
    retransmissions: int
    setup_ms: float
    others: float


class Load:
    """SIPp on both sides of a running server."""

    def __init__(
        self, server: Server, callee: Child, folder: Path, wiring: Wiring | None = None
    ) -> None:
        self.server = server
        self._wiring = wiring or server.wiring
        self._callee = callee
        self._folder = folder

    def run(self, calls: int, rate: int) -> Sample:
        """Place calls; what they cost the server."""
        noise = Interference()
        children = os.times()
        answering = self._callee.cpu()
        before = self.server.cpu()
        wiring = self._wiring
        outcome = sipp.place_calls(
            wiring.caller, self.server.address, wiring.number, calls, rate, HOLD_MS, self._folder
        )
        time.sleep(SETTLE)
        spent = self.server.cpu() - before
        now = os.times()
        dialling = sum(now[:4]) - sum(children[:4])  # this program, and the caller that ended
        others = noise.share(spent + dialling + self._callee.cpu() - answering)
        return Sample(
            system=self.server.name,
            cpu_ms=spent / max(1, outcome.good) * 1000,
            others=round(others, 3),
            **asdict(outcome),
        )


@contextlib.contextmanager
def loaded(kind: type[Server], folder: Path) -> Iterator[Load]:
    """A server between a SIPp that answers and one that is about to dial."""
    wiring = Wiring.fresh()
    with kind(wiring, folder / kind.name) as server:
        with bound_socket(wiring.callee) as sock:
            server.admit(sock)
        with sipp.callee(wiring.callee, server.folder) as callee:
            yield Load(server, callee, server.folder)


def _peers(options: Options) -> list[type[Server]]:
    """Asterisk first, and sippy in a full run; whatever is installed."""
    found: list[type[Server]] = [Asterisk] if installed() else []
    if not options.quick or not found:
        with contextlib.suppress(Unavailable):
            interpreter()
            found.append(Sippy)
    if not found:
        raise Unavailable(
            "neither Asterisk nor sippy is installed: python -m bench.asterisk install"
        )
    return [peer for peer in found if peer is not options.subject]


def _told(samples: Sequence[Sample]) -> str:
    failed = sum(sample.failed for sample in samples)
    total = failed + sum(sample.good for sample in samples)
    again = sum(sample.retransmissions for sample in samples)
    setup = sorted(sample.setup_ms for sample in samples)[len(samples) // 2]
    return f"{failed} of {total} failed, {again} repeats, answered in {setup:.1f} ms"


def measure(options: Options) -> list[Row]:
    """Ours beside Asterisk and sippy in turn, then ours alone for a long steady run."""
    peers = _peers(options)
    rounds, calls, rate = (3, 120, 60) if options.quick else (5, 300, 60)
    many, fast = (500, 100) if options.quick else (5000, 100)
    folder = options.folder / "calls"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        loads = [
            stack.enter_context(loaded(kind, folder / place))
            for kind, place in ((options.subject, "ours"), *((peer, "peer") for peer in peers))
        ]
        samples: list[list[Sample]] = [[] for _ in loads]
        for load in loads:
            load.run(rate, rate)
        for _ in range(rounds):
            for load, runs in zip(loads, samples, strict=True):
                runs.append(load.run(calls, rate))
        versions = [load.server.version() for load in loads]
        before = loads[0].server.memory()
        steady = loads[0].run(many, fast)
        grown = loads[0].server.memory() - before
    ours = samples[0]
    rows = []
    for peer, version, its in zip(peers, versions[1:], samples[1:], strict=True):
        key = "calls" if peer is peers[0] else f"calls-{peer.name}"
        row = Row(key, "call set up and torn down", "ms CPU a call", peer_name=version)
        row.goal = GOAL if peer is Asterisk else None
        row.compare(
            [sample.cpu_ms for sample in ours],
            [sample.cpu_ms for sample in its],
            [max(one.others, two.others) for one, two in zip(ours, its, strict=True)],
        )
        row.rounds = [asdict(sample) for sample in (*ours, *its)]
        row.detail = (
            f"{rate} calls/s, {row.quiet}; {versions[0]}: {_told(ours)}; {version}: {_told(its)}"
        )
        if any(sample.failed for sample in ours):
            row.failed = f"calls failed: {row.detail}"
        rows.append(row)
    row = Row("calls-steady", f"calls completed of {many} at {fast}/s", "calls")
    row.against(steady.good, many, at_least=True)
    row.detail = (
        f"{_told([steady])}; {steady.cpu_ms:.2f} ms CPU a call, others used "
        f"{steady.others:.0%} of the machine, memory grew by {grown / 1e6:.1f} MB"
    )
    row.rounds = [asdict(steady)]
    return [*rows, row]
