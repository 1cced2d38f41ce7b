"""What one core carries: bridged G.711 calls, plain and SRTP on both sides, and their memory.

The exchange has one core to itself, the generator the other. A number of calls is carried when
less than 0.1 % of the packets are lost and the 99th percentile of the delay is less than 5 ms
above that of the plain C relay with as many calls on the same core.
"""

from __future__ import annotations

import contextlib
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.report import Row
from bench.rows import Options, beside
from bench.server import CORE, Media
from bench.traffic import Bridged, Sample, Traffic, bridged, limit

MAX_LOSS = 0.1
MAX_DELAY_MS = 5.0
LIMIT_KB = 120.0
GOALS = ((Media(), 400), (Media(srtp=True), 200))
BEYOND = (1.25, 1.5)
WARM = 5
"""Calls that are up before memory is measured: what only the first call needs is not counted."""


@dataclass(frozen=True, slots=True)
class Step:
    """So many calls through the server, and the same through the C relay."""

    ours: list[Sample]
    base: list[Sample]

    @property
    def loss(self) -> float:
        """Median loss of ours in per cent."""
        return statistics.median(sample.loss for sample in self.ours)

    @property
    def added_ms(self) -> float:
        """What ours adds to the 99th percentile of the delay."""
        mine, its = (
            statistics.median(sample.delay_p99_us for sample in side)
            for side in (self.ours, self.base)
        )
        return (mine - its) / 1000

    @property
    def carried(self) -> bool:
        """Whether it went well."""
        return self.loss < MAX_LOSS and self.added_ms < MAX_DELAY_MS

    def told(self) -> str:
        """In words."""
        busy = statistics.median(sample.cpu_share for sample in self.ours)
        limit_busy = statistics.median(sample.cpu_share for sample in self.base)
        delay = statistics.median(sample.delay_p99_us for sample in self.ours) / 1000
        others = max(sample.others for sample in self.ours)
        return (
            f"{self.ours[0].calls} calls: {self.loss:.3f} % lost, delay p99 {delay:.2f} ms "
            f"({self.added_ms:+.2f}), core {busy:.0%} busy (C relay {limit_busy:.0%}; "
            f"others used ≤ {others:.0%} of the machine)"
        )


def _step(ours: Bridged, base: Traffic, calls: int, rounds: int, seconds: float) -> Step:
    step = Step([], [])
    for traffic in (ours, base):
        traffic.grow(calls)
        traffic.run(1.0)
    for _ in range(rounds):
        step.base.append(base.run(seconds))
        step.ours.append(ours.run(seconds))
    return step


def _carry(options: Options, folder: Path, media: Media, goal: int) -> list[Row]:
    """Capacity and memory for one kind of call."""
    kind = "SRTP" if media.srtp else "G.711"
    suffix = "-srtp" if media.srtp else ""
    rounds, seconds = (2, 2.0) if options.quick else (3, 4.0)
    beyond = () if options.quick else BEYOND
    most = int(goal * max((1.0, *beyond)))
    steps: list[Step] = []
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(
            bridged(options.subject, folder / "ours", most, media=media, core=CORE, up=WARM)
        )
        base = stack.enter_context(limit(folder / "base", most, core=CORE))
        ours.run(2.0)
        before = ours.server.memory()
        steps.append(_step(ours, base, goal, rounds, seconds))
        held = (ours.server.memory() - before) / (goal - WARM) / 1000
        more = [int(goal * factor) for factor in beyond]
        if not steps[0].carried:
            more = [] if options.quick else [goal * 3 // 4, goal // 2]
        for calls in more:
            steps.append(_step(ours, base, calls, max(1, rounds - 1), seconds))
            if steps[-1].carried != steps[0].carried:
                break
    row = Row(f"capacity{suffix}", f"{kind} calls one core carries", "calls")
    carried = max((step.ours[0].calls for step in steps if step.carried), default=0)
    row.against(carried, goal, at_least=True)
    row.detail = "; ".join(step.told() for step in steps)
    row.rounds = [asdict(sample) for step in steps for sample in (*step.ours, *step.base)]
    dense = beside.row(
        f"relay-{goal}{suffix}",
        f"{kind} packet relayed, {goal} calls on one core",
        beside.PACKET,
        beside.per_packet,
        steps[0].ours,
        steps[0].base,
    )
    memory = Row(f"memory-call{suffix}", f"memory of a bridged {kind} call", "kB")
    memory.against(held, LIMIT_KB)
    memory.detail = f"from {WARM} to {goal} calls; {before / 1e6:.0f} MB before"
    return [row, dense, memory]


def measure(options: Options) -> list[Row]:
    """Both kinds of call."""
    rows: list[Row] = []
    for media, goal in GOALS:
        folder = options.folder / f"capacity-{goal}"
        rows += _carry(options, folder, media, goal)
    return rows
