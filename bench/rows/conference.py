"""A conference of twenty who all speak at once: CPU of one core, and how late the mix is."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict

from bench.conference import LEAST, Mixed, meeting
from bench.report import Row
from bench.rows import Options

PARTIES = 20
LIMIT_PERCENT, LIMIT_MS = 25.0, 5.0


def measure(options: Options) -> list[Row]:
    """The exchange has one core to itself, the parties the other."""
    rounds, seconds = (4, 3.0) if options.quick else (10, 5.0)
    with meeting(options.folder / "conference", options.core) as parties:
        parties.grow(PARTIES)
        parties.run(6.0)  # everybody was welcomed, in words
        runs = [parties.run(seconds) for _ in range(rounds)]
    quiet = sorted(runs, key=lambda run: run.others)[: (rounds + 1) // 2]
    busy = Row("conference", f"conference of {PARTIES}", "% of one core")
    busy.against(statistics.median(run.cpu_percent for run in quiet), LIMIT_PERCENT)
    late = Row("conference-late", f"conference of {PARTIES}, lateness p99", "ms")
    late.against(statistics.median(run.late_p99_ms for run in quiet), LIMIT_MS)
    for row in (busy, late):
        row.rounds = [asdict(run) for run in runs]
        row.detail = told(quiet)
        row.failed = amiss(quiet)
    return [busy, late]


def told(runs: Sequence[Mixed]) -> str:
    """Some runs in words."""
    share = max(run.others for run in runs)
    return (
        f"{len(runs)} quieter rounds (others used ≤ {share:.0%} of the machine): "
        f"{max(run.loss_percent for run in runs):.2f} % lost, latest {late_most(runs):.1f} ms, "
        f"own voice back {max(run.own for run in runs):.4f} of the weakest other"
    )


def late_most(runs: Sequence[Mixed]) -> float:
    """The latest packet of some runs, in ms."""
    return max(run.late_max_ms for run in runs)


def amiss(runs: Sequence[Mixed]) -> str:
    """Why figures say little: somebody was not heard, or heard themselves."""
    if missing := sum(run.missing for run in runs):
        return f"{missing} voices were not heard by somebody"
    if any(run.own * LEAST > 1 for run in runs):
        return "somebody heard themselves"
    return ""
