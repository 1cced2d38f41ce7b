"""The exchange under a profiler: ``python -m bench.profiled FOLDER run …`` runs the program.

Signals steer it, so that only what is to be measured is. SIGUSR1 begins to sample the stack at
every tick of CPU time (4 ms where the kernel has 250 a second), SIGUSR2 begins to count every call
(cProfile); the next signal of either kind ends what was begun and writes ``FOLDER/samples.json`` or
``FOLDER/counted.prof``.
"""

from __future__ import annotations

import cProfile
import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

INTERVAL = 0.001  # asked for; the kernel rounds it up to its tick
_HERE = str(Path(__file__).parent.parent.absolute()) + "/"


def short(path: str) -> str:
    """A source file as people know it: within this project, a package or the library."""
    for start in (_HERE, "site-packages/", f"python{sys.version_info[0]}.{sys.version_info[1]}/"):
        path = path.rpartition(start)[2]
    return path


def _place(code: CodeType) -> str:
    """``pbx/media/port.py:120 RtpPort.send``: the file within the project or its package."""
    file = short(code.co_filename)
    return f"{file}:{code.co_firstlineno} {code.co_qualname}"


class Sampler:
    """Counts where the main thread is, at every tick of CPU time the process uses.

    A sample in the loop's C code shows at the first line of the next callback, where Python
    handles the signal. The kernel counts CPU time at its ticks, so it hardly sees a process that
    is seldom busy: the load must be heavy.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._own: Counter[CodeType] = Counter()
        self._within: Counter[CodeType] = Counter()
        self._lines: Counter[tuple[CodeType, int]] = Counter()
        self._taken = 0

    def begin(self) -> None:
        """From now on."""
        signal.signal(signal.SIGPROF, self._take)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def _take(self, _: int, frame: FrameType | None) -> None:
        self._taken += 1
        if frame is None:
            return
        self._own[frame.f_code] += 1
        self._lines[frame.f_code, frame.f_lineno] += 1
        seen = set()
        walk: FrameType | None = frame
        while walk is not None:
            seen.add(walk.f_code)
            walk = walk.f_back
        self._within.update(seen)

    def end(self) -> None:
        """Stop and write what was seen, as shares of all samples."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        every = max(1, self._taken)
        document = {
            "samples": self._taken,
            "own": {_place(code): count / every for code, count in self._own.items()},
            "within": {_place(code): count / every for code, count in self._within.items()},
            "lines": {
                f"{_place(code)} line {line}": count / every
                for (code, line), count in self._lines.items()
            },
        }
        _write(self._file, json.dumps(document).encode())


class Counting:
    """cProfile on the main thread, on the thread's CPU clock: neighbours do not disturb it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._profile = cProfile.Profile(time.thread_time)

    def begin(self) -> None:
        """From now on."""
        self._profile.enable()

    def end(self) -> None:
        """Stop and write the statistics."""
        self._profile.disable()
        partial = self._file.with_suffix(".new")
        self._profile.dump_stats(partial)
        partial.rename(self._file)


def _write(file: Path, data: bytes) -> None:
    partial = file.with_suffix(".new")
    partial.write_bytes(data)
    partial.rename(file)


def main() -> None:
    """Run the program with the signals in place."""
    folder = Path(sys.argv.pop(1))
    running: list[Sampler | Counting] = []

    def turn(number: int, _: FrameType | None) -> None:
        if running:
            running.pop().end()
            return
        kind = Sampler if number == signal.SIGUSR1 else Counting
        name = "samples.json" if number == signal.SIGUSR1 else "counted.prof"
        running.append(kind(folder / name))
        running[0].begin()

    signal.signal(signal.SIGUSR1, turn)
    signal.signal(signal.SIGUSR2, turn)
    from encryptotel.cli import main as program  # noqa: PLC0415 - the signals are in place now

    sys.argv[0] = "encryptotel"
    program()


if __name__ == "__main__":
    main()
