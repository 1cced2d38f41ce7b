"""What the rows about sound share: systems run in turn, and one row for each comparison."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict

from bench.process import BenchError
from bench.report import Row
from bench.traffic import Bridged, Sample, Traffic

PACKET = "µs CPU a packet"
CALL_SECOND = "ms CPU a call-second"


def per_packet(sample: Sample) -> float:
    """µs a packet that arrived."""
    return sample.cpu_us


def per_call_second(sample: Sample) -> float:
    """ms a second of a call, both directions (100 packets)."""
    return sample.cpu_us / 10


def in_turn(systems: Sequence[Traffic], rounds: int, seconds: float) -> dict[str, list[Sample]]:
    """Run all systems again and again, one after the other; their samples by name."""
    for traffic in systems:  # addresses are learnt, caches warmed
        traffic.run(1.0)
    samples: dict[str, list[Sample]] = {traffic.name: [] for traffic in systems}
    for _ in range(rounds):
        for traffic in systems:
            samples[traffic.name].append(traffic.run(seconds))
    for name, runs in samples.items():
        if not any(sample.received for sample in runs):
            raise BenchError(f"{name} passed no packet on")
    return samples


def remarks(systems: Sequence[Traffic]) -> str:
    """What the servers have to say about the calls that are up."""
    found = [
        f"{traffic.name}: {remark}"
        for traffic in systems
        if isinstance(traffic, Bridged) and (remark := traffic.server.remark())
    ]
    return "; ".join(found)


def told(samples: Sequence[Sample]) -> str:
    """Loss and delay of some runs in words."""
    sent = sum(sample.sent for sample in samples)
    lost = sent - sum(sample.received for sample in samples)
    delay = statistics.median(sample.delay_p99_us for sample in samples) / 1000
    words = f"{lost} of {sent} lost, delay p99 {delay:.2f} ms"
    for name in ("changed", "strays", "foreign"):
        if count := sum(getattr(sample, name) for sample in samples):
            words += f", {count} {name}"
    return words


def row(
    key: str,
    title: str,
    unit: str,
    value: Callable[[Sample], float],
    ours: Sequence[Sample],
    peer: Sequence[Sample],
    *,
    goal: float | None = None,
    transcoded: bool = False,
) -> Row:
    """Ours beside one peer; failed where a figure says little because packets were lost."""
    made = Row(key, title, unit, peer_name=peer[0].system, goal=goal)
    made.compare(
        [value(sample) for sample in ours],
        [value(sample) for sample in peer],
        [max(mine.others, its.others) for mine, its in zip(ours, peer, strict=True)],
    )
    made.rounds = [
        {**asdict(sample), "cpu_us_a_packet": sample.cpu_us} for sample in (*ours, *peer)
    ]
    made.detail = (
        f"{ours[0].calls} calls, {made.quiet}; ours: {told(ours)}; {peer[0].system}: {told(peer)}"
    )
    amiss = sum(sample.strays + sample.foreign for sample in ours)
    amiss += 0 if transcoded else sum(sample.changed for sample in ours)
    if amiss:
        made.failed = f"{amiss} packets arrived changed, astray or from elsewhere: {made.detail}"
    elif not transcoded and any(sample.loss > 1 for sample in (*ours, *peer)):
        made.failed = f"more than 1 % of the packets lost, so the figure says little: {made.detail}"
    return made
