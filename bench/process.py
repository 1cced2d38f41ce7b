"""Child processes of a benchmark: started, asked for their CPU time, stopped by their own id."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

TICK = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A benchmark cannot go on; its text is for people."""


class Unavailable(BenchError):
    """A system to measure is not installed here; its text says how to get it."""


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the state (field 3) on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def descendants(pid: int) -> list[int]:
    """The process and all its live children, theirs included."""
    found = [pid]
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in listing.read_text().split():
                found += descendants(int(child))
        except OSError:
            continue
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used so far: user + system, all threads, ended ones too, and children.

    This is utime + stime of ``/proc/PID/stat``, read from the process's CPU clock
    (``clock_getcpuclockid(3)``), which counts nanoseconds where ``stat`` counts ticks of 10 ms.
    """
    total = 0.0
    for one in descendants(pid):
        try:
            fields = _stat(one)
            try:
                own = time.clock_gettime((~one << 3) | 2)
            except OSError:
                own = (int(fields[11]) + int(fields[12])) / TICK
            total += own + (int(fields[13]) + int(fields[14])) / TICK
        except OSError:  # a child that ended meanwhile is in its parent's cutime
            continue
    return total


def thread_seconds(pid: int) -> dict[int, float]:
    """CPU time of each live thread of a process, by thread id (10 ms resolution)."""
    found: dict[int, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        found[int(task.name)] = (int(fields[11]) + int(fields[12])) / TICK
    return found


class Interference:
    """How much of the machine others used meanwhile: neighbours make every CPU second dearer."""

    def __init__(self) -> None:
        self._busy = _machine_busy()
        self._begun = time.monotonic()

    def share(self, own: float) -> float:
        """The part of all CPU time since the beginning that was neither idle nor our own."""
        elapsed = (time.monotonic() - self._begun) * (os.cpu_count() or 1)
        return max(0.0, (_machine_busy() - self._busy - own) / elapsed)


def _machine_busy() -> float:
    """CPU seconds the machine has been busy, or that its host took away."""
    first = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(part) for part in first)
    return (user + nice + system + irq + softirq + steal) / TICK


@contextlib.contextmanager
def awake(folder: Path) -> Iterator[None]:
    """Keep all processors at work while there is nothing to do: what waits for a virtual one to be
    woken is charged for that, and so seems the cheaper the more else there is to do."""
    with contextlib.ExitStack() as stack:
        for core in range(os.cpu_count() or 1):
            spin = Child(["sh", "-c", "while :; do :; done"], folder / "awake", core=core)
            stack.callback(spin.stop)
            os.sched_setscheduler(spin.pid, os.SCHED_IDLE, os.sched_param(0))
        yield


class Child:
    """A program under our control: lines from its stdout, its log in a file, its orderly end."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        cwd: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        quiet: bool = False,
        environment: Mapping[str, str] | None = None,
        core: int | None = None,
    ) -> None:
        """Start the command; its stderr goes to the log file, its stdout to :meth:`line`.

        ``quiet`` throws its stdout away: for programs that draw on it and that nobody reads.
        ``core`` is the only processor it and its children may use.
        """
        self.name = Path(command[0]).name
        self.log = log
        self._stop_signal = stop_signal
        self._buffer = b""
        self.started = time.monotonic()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [*([] if core is None else ["taskset", "-c", str(core)]), *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL if quiet else subprocess.PIPE,
                stderr=errors,
                cwd=cwd,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def cpu(self) -> float:
        """Its CPU seconds so far, children included."""
        return cpu_seconds(self.pid)

    def memory(self) -> int:
        """Bytes it holds in memory (resident), children not counted."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise BenchError(f"{self.name} has ended")

    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def line(self, timeout: float) -> str:
        """The next line it prints; an error with the end of its log when none comes in time."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._stdout()], [], [], left)[0]
            chunk = os.read(self._stdout().fileno(), 65536) if ready else b""
            if not chunk:
                what = "said nothing in time" if self.alive else f"ended: {self._process.poll()}"
                raise BenchError(f"{self.name} {what}\n{self.last_words()}")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def json_line(self, timeout: float) -> dict[str, Any]:
        """The next line that is a JSON object; other lines are passed over."""
        deadline = time.monotonic() + timeout
        while True:
            line = self.line(deadline - time.monotonic())
            if line.startswith("{"):
                value: dict[str, Any] = json.loads(line)
                return value

    def tell(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def wait(self, timeout: float) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} did not end within {timeout:.0f} s") from None

    def last_words(self) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-15:])

    def stop(self, timeout: float = 15) -> None:
        """Ask it to end; after the time-out end it."""
        if self.alive:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
