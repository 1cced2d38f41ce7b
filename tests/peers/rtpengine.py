"""rtpengine in user space: carries sound for an edge, told how by its ng protocol."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Self

from . import ports
from .proc import Process

PORTS = 60


class Rtpengine:
    """One of them, with a range of ports of its own, on the loopback's first address."""

    def __init__(self) -> None:
        self.control = f"{ports.HOST}:{ports.free_port()}"
        self.first = ports.free_range(PORTS)
        self._folder = tempfile.TemporaryDirectory(prefix="rtpengine-", ignore_cleanup_errors=True)
        self.process: Process

    def carries(self, port: int) -> bool:
        """Whether a port is one of its."""
        return self.first <= port < self.first + PORTS

    async def __aenter__(self) -> Self:
        self.process = await Process.start(
            "rtpengine",
            ["rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6",
             "--table=-1",
             f"--listen-ng={self.control}", f"--listen-cli={ports.HOST}:{ports.free_port()}",
             f"--interface=outside/{ports.HOST}",
             f"--interface=inside/{ports.HOST}", f"--port-min={self.first}",
             f"--port-max={self.first + PORTS - 1}", "--num-threads=1",
             f"--pidfile={Path(self._folder.name) / 'pid'}"],
        )  # fmt: skip
        await self.process.wait_line("Startup complete", 20)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.process.stop()
        self._folder.cleanup()
