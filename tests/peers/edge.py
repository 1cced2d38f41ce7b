"""The Kamailio in front of several nodes, with the configuration that is shipped."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from sqlalchemy import URL

from . import ports
from .certs import Certificate
from .kamailio import answering
from .network import Host
from .proc import Process

CONFIG = Path(__file__).parents[2] / "deploy" / "kamailio" / "kamailio.cfg"
USER = "edge"
"Who may read where people are at home, and nothing else; without odd signs in the password."
HOST = "127.0.0.2"
"An address of its own: the nodes take what comes from there as from a proxy of theirs."
OWN = Host(HOST)


class Edge:
    """One of them. It may be killed and started again on the same ports."""

    def __init__(
        self,
        nodes: Sequence[str],
        database: URL,
        tls: Certificate,
        host: str = HOST,
        *,
        carriers: str = "",
        inside: Host = OWN,
    ) -> None:
        """`nodes` as host:port, `carriers` as in the configuration; it runs where `inside` is, and
        nodes see it there."""
        self._carriers, self._inside_host = carriers, inside
        self.nodes, self.host = list(nodes), host
        self.ports = {"udp": ports.free_port(), "tls": ports.free_port()}
        self.ports["tcp"] = self.ports["udp"]
        self._inside, self.metrics = ports.free_port(), ports.free_port()
        self._database = database.set(username=USER, password=USER)
        self._tls = tls
        self._folder = tempfile.TemporaryDirectory(prefix="edge-", ignore_cleanup_errors=True)
        self.process: Process

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.ports["udp"]

    async def start(self) -> None:
        folder = Path(self._folder.name)
        nodes = folder / "nodes.list"
        nodes.write_text("".join(f"1 sip:{node}\n" for node in self.nodes))
        url = self._database.set(drivername="postgres", query={})
        values = {
            "EDGE_UDP": f"udp:{self.host}:{self.ports['udp']}",
            "EDGE_TCP": f"tcp:{self.host}:{self.ports['tcp']}",
            "EDGE_TLS": f"tls:{self.host}:{self.ports['tls']}",
            "EDGE_INSIDE": f"udp:{self._inside_host.address}:{self._inside}",
            "EDGE_DATABASE": f'"edge=>{url.render_as_string(hide_password=False)}"',
            "EDGE_NODES": f'"{nodes}"',
            "EDGE_CERTIFICATE": f'"{self._tls.certificate}"',
            "EDGE_KEY": f'"{self._tls.key}"',
            "EDGE_MASK": '"nobody knows it"',
            "EDGE_METRICS": f"tcp:{HOST}:{self.metrics}",
        }
        if self._carriers:
            values["EDGE_CARRIERS"] = f'"{self._carriers}"'
        self.process = await Process.start(
            "edge",
            [*self._inside_host.before, "kamailio", "-DD", "-E", "-f", CONFIG, "-P", folder / "pid",
             "-Y", folder, "-w", folder, "-m", "64", "-M", "16"],
            cwd=folder,
            env=values,
        )  # fmt: skip
        await answering(self.process, self.address)

    async def kill(self) -> None:
        """`kill -9` of all its processes."""
        os.killpg(self.process.child.pid, signal.SIGKILL)
        await self.process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.process.stop()
        self._folder.cleanup()
