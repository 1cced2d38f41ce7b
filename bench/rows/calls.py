"""CPU per call set up and torn down: INVITE to BYE with media ports, no media, SIPp both sides."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import sipp
from bench.asterisk import peer_of_calls
from bench.process import Child, Interference
from bench.report import Row
from bench.rows import Options
from bench.server import Server, Wiring
from bench.sip import bound_socket

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

    def __init__(self, server: Server, callee: Child, folder: Path) -> None:
        self.server = server
        self._callee = callee
        self._folder = folder

    def run(self, calls: int, rate: int) -> Sample:
        """Place calls; what they cost the server."""
        noise = Interference()
        children = os.times()
        answering = self._callee.cpu()
        before = self.server.cpu()
        wiring = self.server.wiring
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


def measure(options: Options) -> list[Row]:
    """Ours beside Asterisk, or sippy where that is not installed."""
    peer = peer_of_calls()
    rounds, calls, rate = (4, 120, 60) if options.quick else (12, 300, 60)
    folder = options.folder / "calls"
    folder.mkdir()
    ours: list[Sample] = []
    its: list[Sample] = []
    with contextlib.ExitStack() as stack:
        pairs = [
            (stack.enter_context(loaded(kind, folder / place)), samples)
            for kind, place, samples in ((options.subject, "ours", ours), (peer, "peer", its))
        ]
        versions = [load.server.version() for load, _ in pairs]
        for load, _ in pairs:
            load.run(rate, rate)
        for _ in range(rounds):
            for load, samples in pairs:
                samples.append(load.run(calls, rate))
    row = Row("calls", "call set up and torn down", "ms CPU a call", goal=GOAL)
    row.peer_name = versions[1]
    row.compare(
        [sample.cpu_ms for sample in ours],
        [sample.cpu_ms for sample in its],
        [max(one.others, two.others) for one, two in zip(ours, its, strict=True)],
    )
    row.rounds = [asdict(sample) for sample in (*ours, *its)]

    def said(samples: list[Sample]) -> str:
        failed = sum(sample.failed for sample in samples)
        total = failed + sum(sample.good for sample in samples)
        again = sum(sample.retransmissions for sample in samples)
        setup = sorted(sample.setup_ms for sample in samples)[len(samples) // 2]
        return f"{failed} of {total} failed, {again} repeats, answered in {setup:.1f} ms"

    row.detail = (
        f"{rate} calls/s, {row.quiet}; {versions[0]}: {said(ours)}; {versions[1]}: {said(its)}"
    )
    if any(sample.failed for sample in ours):
        row.failed = f"calls failed: {row.detail}"
    return [row]
