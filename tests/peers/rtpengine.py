"""rtpengine in user space: carries sound for an edge, told how by its ng protocol."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import Self

from . import ports
from .network import HERE, Host
from .proc import Process

PORTS = 60


class Rtpengine:
    """One of them, with a range of ports of its own. It may be killed and started again."""

    def __init__(self, host: Host = HERE, count: int = PORTS) -> None:
        self._host = host
        self.control = f"{host.address}:{ports.free_port()}"
        self.first, self._count = ports.free_range(count), count
        self._folder = tempfile.TemporaryDirectory(prefix="rtpengine-", ignore_cleanup_errors=True)
        self.process: Process

    def carries(self, port: int) -> bool:
        """Whether a port is one of its."""
        return self.first <= port < self.first + self._count

    async def start(self) -> None:
        self.process = await Process.start(
            "rtpengine",
            [*self._host.before,
             "rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6",
             "--table=-1", f"--listen-ng={self.control}",
             f"--listen-cli={self._host.address}:{ports.free_port()}",
             f"--interface=outside/{self._host.address}",
             f"--interface=inside/{self._host.address}", f"--port-min={self.first}",
             f"--port-max={self.first + self._count - 1}", "--num-threads=1",
             f"--pidfile={Path(self._folder.name) / 'pid'}"],
        )  # fmt: skip
        await self.process.wait_line("Startup complete", 20)

    async def kill(self) -> None:
        """`kill -9`."""
        await self.process.stop(signal.SIGKILL)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.process.stop()
        self._folder.cleanup()
