"""SIPp as the load of a call set-up benchmark: a callee that answers, a caller that dials."""

from __future__ import annotations

import contextlib
import csv
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from bench.process import BenchError, Child, Unavailable
from bench.sip import Address, free_port

SCENARIOS = Path(__file__).parent / "scenarios"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the calls of one run, as SIPp counted them."""

    good: int
    failed: int
    retransmissions: int
    setup_ms: float


def program() -> str:
    """SIPp's path."""
    found = shutil.which("sipp")
    if found is None:
        raise Unavailable("SIPp is not installed: apt-get install sip-tester")
    return found


def _command(scenario: str, local: Address) -> list[str]:
    host, port = local
    command = [program(), "-sf", str(SCENARIOS / f"{scenario}.xml"), "-nostdin"]
    command += ["-i", host, "-p", str(port), "-mi", host, "-mp", str(free_port(host))]
    return command


def callee(local: Address, folder: Path) -> Child:
    """A SIPp that answers every call until it is stopped."""
    return Child(
        [*_command("callee", local), "-l", "100000"],
        folder / "callee.log",
        cwd=folder,
        stop_signal=signal.SIGKILL,  # it would wait for its calls' ends
        quiet=True,
    )


def place_calls(
    local: Address, server: Address, number: str, calls: int, rate: int, hold_ms: int, folder: Path
) -> Outcome:
    """Place calls at a rate, wait for the last, say what became of them."""
    statistics = folder / "caller.csv"
    statistics.unlink(missing_ok=True)
    limit = calls / rate + hold_ms / 1000 + 25
    command = [*_command("caller", local), f"{server[0]}:{server[1]}", "-s", number]
    command += ["-m", str(calls), "-r", str(rate), "-d", str(hold_ms), "-l", str(calls)]
    command += ["-trace_stat", "-stf", str(statistics), "-fd", "1", "-nd"]
    command += ["-trace_err", "-error_file", str(folder / "caller.errors")]
    with (
        Child(command, folder / "caller.log", cwd=folder, quiet=True) as child,
        contextlib.suppress(BenchError),  # it repeats for long when nobody answers
    ):
        child.wait(limit)
    if not statistics.exists():
        raise BenchError(f"SIPp counted nothing\n{child.last_words()}")
    with statistics.open(newline="") as file:
        last = list(csv.DictReader(file, delimiter=";"))[-1]
    return Outcome(
        good=int(last["SuccessfulCall(C)"]),
        failed=calls - int(last["SuccessfulCall(C)"]),
        retransmissions=int(last["Retransmissions(C)"]),
        setup_ms=_milliseconds(last["ResponseTimesetup(C)"]),
    )


def _milliseconds(text: str) -> float:
    """``00:00:00:004000`` (hours, minutes, seconds, microseconds) in milliseconds."""
    hours, minutes, seconds, micro = (int(part) for part in text.split(":"))
    return (hours * 3600 + minutes * 60 + seconds) * 1000 + micro / 1000
