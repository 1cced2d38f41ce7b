"""The rows of a run: as a table for people, as JSON for programs."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.process import BenchError


@dataclass(slots=True)
class Row:
    """One comparison: ours beside a peer's figure or a limit, in the same unit.

    The goal is a ratio not to be exceeded, or with ``at_least`` one to be reached.
    """

    key: str
    title: str
    unit: str
    ours: float | None = None
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    goal: float | None = None
    at_least: bool = False
    detail: str = ""
    skipped: str = ""
    failed: str = ""
    quiet: str = ""
    rounds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def met(self) -> bool | None:
        """Whether the ratio is within the goal and nothing failed; None where there is no goal."""
        if self.failed:
            return False
        if self.skipped or self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal

    @property
    def aim(self) -> str:
        """The goal in writing."""
        return "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {self.goal:g}"

    def against(self, ours: float, limit: float, *, at_least: bool = False) -> None:
        """Fill in a figure of ours and the limit it is held against."""
        self.ours, self.peer, self.peer_name = ours, limit, "limit"
        self.ratio, self.goal, self.at_least = ours / limit, 1.0, at_least

    def compare(
        self, ours: Sequence[float], peer: Sequence[float], others: Sequence[float]
    ) -> None:
        """Fill in medians, and the median of the ratios round by round.

        ``others`` is the share of the machine that neighbours used in each round. The quieter half
        of the rounds counts, as neighbours disturb the two sides unequally.
        """
        kept = sorted(range(len(others)), key=lambda index: others[index])
        kept = kept[: (len(kept) + 1) // 2]
        ours = [ours[index] for index in kept]
        peer = [peer[index] for index in kept]
        self.quiet = (
            f"the quieter {len(kept)} of {len(others)} rounds "
            f"(others used ≤ {others[kept[-1]]:.0%} of the machine)"
        )
        ratios = [mine / its for mine, its in zip(ours, peer, strict=True)]
        self.ours = statistics.median(ours)
        self.peer = statistics.median(peer)
        self.ratio = statistics.median(ratios)
        self.spread = (min(ratios), max(ratios))

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {**asdict(self), "met": self.met}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpus": os.cpu_count(),
        "processor": models[0] if models else platform.machine(),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "revision": f"revision {described.stdout.strip()}" if described.stdout else "no revision",
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _verdict(row: Row) -> str:
    if row.failed:
        return "[red]failed[/]"
    if row.skipped:
        return "[yellow]skipped[/]"
    if row.met is None:
        return ""
    return "[green]yes[/]" if row.met else "[red]no[/]"


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table."""
    table = Table(title="EncryptoTel beside its peers", title_justify="left")
    table.add_column("what")
    table.add_column("unit")
    table.add_column("ours", justify="right")
    table.add_column("beside", justify="right")
    table.add_column("ratio", justify="right", style="bold")
    table.add_column("goal", justify="right")
    table.add_column("met")
    for row in rows:
        beside = f"{_number(row.peer)} {row.peer_name}" if row.peer is not None else row.peer_name
        spread = f"\n{row.spread[0]:.2f}–{row.spread[1]:.2f}" if row.spread else ""
        ratio = f"{row.ratio:.2f}{spread}" if row.ratio is not None else ""
        table.add_row(row.title, row.unit, _number(row.ours), beside, ratio, row.aim, _verdict(row))
    console.print(table)
    for row in rows:
        note = row.failed or row.skipped or row.detail
        if note:
            console.print(f"[bold]{row.key}[/]: ", escape(note), sep="", highlight=False)


MARKERS = ("<!-- figures: written by python -m bench --report -->", "<!-- end of figures -->")


def write_report(file: Path, rows: Sequence[Row], quick: bool, where: dict[str, Any]) -> None:
    """Put the rows as a Markdown table between the markers of a document."""
    text = file.read_text()
    head, begin, rest = text.partition(MARKERS[0])
    _, end, tail = rest.partition(MARKERS[1])
    if not begin or not end:
        raise BenchError(f"{file} has no place for figures: {MARKERS[0]} … {MARKERS[1]}")
    lines = [
        "",
        f"{'A quick run' if quick else 'A full run'} on {where['date']}: {where['cpus']} "
        f"processors ({where['processor']}), Linux {where['kernel']}, Python {where['python']}, "
        f"{where['revision']}.",
        "",
        "| what | unit | ours | beside | ratio | goal | reached |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        beside = f"{_number(row.peer)} {row.peer_name}".strip()
        spread = f" ({row.spread[0]:.2f}–{row.spread[1]:.2f})" if row.spread else ""
        ratio = f"**{row.ratio:.2f}**{spread}" if row.ratio is not None else ""
        reached = _plain(_verdict(row))
        cells = (row.title, row.unit, _number(row.ours), beside, ratio, row.aim, reached)
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for row in rows:
        note = row.failed or row.skipped or row.detail
        if note:
            lines.append(f"- **{row.title}**: {' '.join(note.split())}")
    lines.append("")
    file.write_text(head + begin + "\n".join(lines) + end + tail)


def _plain(marked: str) -> str:
    return marked.partition("]")[2].partition("[")[0]
