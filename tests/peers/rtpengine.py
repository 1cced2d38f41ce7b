"""rtpengine in user space: carries sound for others, told how by its ng protocol."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from . import ports
from .proc import Process

PORTS = 60


class Rtpengine:
    """One of them, with a range of ports of its own, on the loopback's first address. It may be
    killed and started again."""

    def __init__(self, count: int = PORTS) -> None:
        self._count = count
        self.asked = f"{ports.HOST}:{ports.free_port()}"
        "Where it takes questions, by TCP."
        self.first = ports.free_range(count)
        self._folder = tempfile.TemporaryDirectory(prefix="rtpengine-", ignore_cleanup_errors=True)
        self.process: Process

    def carries(self, port: int) -> bool:
        """Whether a port is one of its."""
        return self.first <= port < self.first + self._count

    async def start(self) -> None:
        self.process = await Process.start("rtpengine", self.argv)
        await self.process.wait_line("Startup complete", 20)

    @property
    def argv(self) -> list[str]:
        return [
            "rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6",
            "--table=-1", "--num-threads=1",
            f"--listen-tcp-ng={self.asked}", "--dtmf-log-ng-tcp",
            f"--listen-cli={ports.HOST}:{ports.free_port()}",
            f"--interface=outside/{ports.HOST}", "--interface=outside/::1",
            f"--interface=inside/{ports.HOST}", "--interface=inside/::1",
            f"--port-min={self.first}", f"--port-max={self.first + self._count - 1}",
            f"--pidfile={Path(self._folder.name) / 'pid'}",
        ]  # fmt: skip

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.process.stop()
        self._folder.cleanup()


@contextmanager
def standing() -> Iterator[Rtpengine]:
    """One for many tests, each with a loop of its own."""
    engine = Rtpengine(2000)
    with Path(os.devnull).open("w") as nowhere:
        child = subprocess.Popen(engine.argv, stdout=nowhere, stderr=nowhere)
    try:
        port = int(engine.asked.rpartition(":")[2])
        while not ports.is_bound(port, "tcp"):
            if child.poll() is not None:
                raise AssertionError("rtpengine does not start")
            time.sleep(0.05)
        yield engine
    finally:
        child.kill()
        child.wait()
