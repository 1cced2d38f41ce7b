"""``python -m bench --profile calls`` (or ``relay``): where the exchange's CPU time goes.

Three runs of the same load against one process: plain (the true cost), with the stack sampled
every 4 ms of CPU time (nearly true shares), and with every call counted (how often what is
called; dear little functions look dearer than they are). All in µs a call or a packet.
"""

from __future__ import annotations

import contextlib
import json
import os
import pstats
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.exchange import Exchange
from bench.process import BenchError, thread_seconds
from bench.profiled import short
from bench.rows import calls
from bench.traffic import bridged

TOP = 40
CROWD = 500
"""Packets a second a leg when the relay is profiled: ten times those of a phone."""


class ProfiledExchange(Exchange):
    """The exchange with the profiler's signals in place."""

    @property
    def program(self) -> tuple[str, ...]:
        """The launcher instead of the program."""
        return ("-m", "bench.profiled", str(self.folder.resolve()))


@dataclass(frozen=True, slots=True)
class Subject:
    """A running exchange under a load: ``load(seconds)`` returns how many units it did."""

    server: Exchange
    unit: str
    load: Callable[[float], int]


@contextlib.contextmanager
def _calls(folder: Path) -> Iterator[Subject]:
    rate = 50
    with calls.loaded(ProfiledExchange, folder) as load:
        assert isinstance(load.server, Exchange)
        yield Subject(load.server, "call", lambda seconds: load.run(int(rate * seconds), rate).good)


@contextlib.contextmanager
def _relay(folder: Path) -> Iterator[Subject]:
    with bridged(ProfiledExchange, folder, 50) as traffic:
        assert isinstance(traffic.system, Exchange)
        yield Subject(
            traffic.system, "packet", lambda seconds: traffic.run(seconds, CROWD).received
        )


SUBJECTS = {"calls": _calls, "relay": _relay}


def _during(subject: Subject, number: signal.Signals, seconds: float) -> tuple[Path, int]:
    """Load the exchange with one of the profilers on; its file and the units done."""
    name = "samples.json" if number == signal.SIGUSR1 else "counted.prof"
    file = subject.server.folder / name
    file.unlink(missing_ok=True)
    os.kill(subject.server.child.pid, number)
    done = subject.load(seconds)
    os.kill(subject.server.child.pid, number)
    deadline = time.monotonic() + 10
    while not file.exists():
        if time.monotonic() > deadline:
            raise BenchError(f"no {name}: {subject.server.child.last_words()}")
        time.sleep(0.05)
    if not done:
        raise BenchError(f"not one {subject.unit} was done")
    return file, done


def _sampled(file: Path, cost: float, unit: str, console: Console) -> None:
    document = json.loads(file.read_text())

    def show(title: str, shares: dict[str, float], top: int) -> None:
        table = Table(title=title, title_justify="left")
        table.add_column(f"µs a {unit}", justify="right")
        table.add_column("share", justify="right")
        table.add_column("where", overflow="fold")
        ordered = sorted(shares.items(), key=lambda item: -item[1])
        for place, share in ordered[:top]:
            table.add_row(f"{share * cost:.2f}", f"{share:.1%}", place)
        console.print(table)

    count = document["samples"]
    show(f"Own time, of {count} samples of the CPU time", document["own"], TOP)
    whole = max(document["within"].values(), default=0.0)  # what merely holds the loop
    within = {place: share for place, share in document["within"].items() if share < whole}
    show("With what it calls", within, TOP)
    show(
        "Own time by line (a def line: the loop's own work before calling it)",
        document["lines"],
        25,
    )


def _counted(file: Path, done: int, unit: str, console: Console) -> None:
    with contextlib.redirect_stdout(None):
        statistics: Any = pstats.Stats(str(file))
    table = Table(title="Every call counted (the main thread only)", title_justify="left")
    table.add_column(f"own µs a {unit}", justify="right")
    table.add_column("with callees", justify="right")
    table.add_column(f"calls a {unit}", justify="right")
    table.add_column("where", overflow="fold")
    ordered = sorted(statistics.stats.items(), key=lambda item: -item[1][2])
    for (path, line, name), (_, count, own, within, _callers) in ordered[:TOP]:
        where = f"{short(path)}:{line} {name}" if line else name
        table.add_row(
            f"{own / done * 1e6:.2f}", f"{within / done * 1e6:.2f}", f"{count / done:.2f}", where
        )
    console.print(table)


def profile(name: str, seconds: float, folder: Path, console: Console) -> None:
    """Print where the time goes under the load called ``calls`` or ``relay``."""
    with SUBJECTS[name](folder) as subject:
        subject.load(2.0)
        pid = subject.server.child.pid
        threads = thread_seconds(pid)
        before = subject.server.cpu()
        done = subject.load(seconds)
        cost = (subject.server.cpu() - before) / max(1, done) * 1e6
        spent = {
            thread: (now - threads.get(thread, 0.0)) / max(1, done) * 1e6
            for thread, now in thread_seconds(pid).items()
        }
        samples, _ = _during(subject, signal.SIGUSR1, seconds)
        counted, counted_done = _during(subject, signal.SIGUSR2, seconds)
    _sampled(samples, cost, subject.unit, console)
    _counted(counted, counted_done, subject.unit, console)
    others = ", ".join(
        f"{value:.1f}" for thread, value in sorted(spent.items()) if thread != pid and value > 0.05
    )
    console.print(
        f"[bold]{cost:.1f} µs CPU a {subject.unit}[/] without a profiler ({done} of them): "
        f"main thread {spent[pid]:.1f}, other threads {others or '0'}, "
        f"child processes {cost - sum(spent.values()):.1f}",
        highlight=False,
    )
