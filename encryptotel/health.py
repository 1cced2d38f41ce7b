"""How the process itself is doing: the event loop's lag, tasks, files and memory."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOOK_EVERY = 0.05
"Seconds between two looks at the loop."
WINDOW = 6_000
"Looks remembered: five minutes."


class Health:
    """Measures how late the loop comes to what is due: what a call would hear as jitter."""

    def __init__(self) -> None:
        self.on_lag: Callable[[float], None] = lambda seconds: None
        "Told what each look found."
        self._lags: deque[float] = deque(maxlen=WINDOW)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._due = time.monotonic() + LOOK_EVERY
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = time.monotonic()  # the loop's own clock counts milliseconds only
        self._lags.append(max(0.0, now - self._due))
        self.on_lag(self._lags[-1])
        self._due = now + LOOK_EVERY
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    @property
    def worst(self) -> float:
        """Seconds of the longest lag in the last five minutes."""
        return max(self._lags, default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Lags in milliseconds over the last five minutes at most, memory in megabytes."""
        lags = sorted(self._lags) or [0.0]
        return {
            "lag_p50_ms": round(1000 * lags[len(lags) // 2], 2),
            "lag_p999_ms": round(1000 * lags[min(len(lags) - 1, len(lags) * 999 // 1000)], 2),
            "lag_max_ms": round(1000 * lags[-1], 2),
            "tasks": len(asyncio.all_tasks()),
            "files": _open_files(),
            "memory_mb": _memory(),
        }


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:  # not Linux
        return 0


def _memory() -> float:
    """Resident megabytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
