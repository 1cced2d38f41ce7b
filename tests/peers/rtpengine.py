"""rtpengine in user space: carries sound for others, told how by its ng protocol."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from . import ports
from .network import HERE, Host
from .proc import Process

PORTS = 60


class Rtpengine:
    """One of them, with a range of ports of its own. It may be killed and started again."""

    def __init__(self, host: Host = HERE, count: int = PORTS) -> None:
        self._host, self._count = host, count
        self.asked = f"{host.address}:{ports.free_port()}"
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

    async def kill(self) -> None:
        """`kill -9`."""
        await self.process.stop(signal.SIGKILL)

    @property
    def argv(self) -> list[str]:
        here = self._host.address
        six = ("--interface=outside/::1", "--interface=inside/::1") if self._host is HERE else ()
        return [
            *self._host.before,
            "rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6",
            "--table=-1", "--num-threads=1",
            f"--listen-tcp-ng={self.asked}", "--dtmf-log-ng-tcp",
            f"--listen-cli={here}:{ports.free_port()}",
            f"--interface=outside/{here}", f"--interface=inside/{here}", *six,
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
    engine = Rtpengine(count=2000)
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
