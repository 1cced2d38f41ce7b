"""Several nodes on PostgreSQL behind Kamailio, sound by rtpengine, as one system under test."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from bench.exchange import REPOSITORY, SECRET, Exchange, await_ready, configuration, launch, table
from bench.process import BenchError, Child, Unavailable, descendants
from bench.server import CALLEE_HOST, CALLER_HOST, CARRIER_HOST, EXCHANGE_HOST, RTP_PORTS
from bench.sip import Address, Registration, free_port
from tests.peers.edge import USER as EDGE
from tests.peers.postgres import PASSWORD, Postgres, programs
from tests.peers.several import may_look

EDGE_HOST = "127.0.0.5"
"What nodes take for their proxy."
EXTENSIONS = tuple(str(number) for number in range(201, 221))
NODE_PORTS, PORTS_A_NODE = 28_000, 600
"RTP ports: what is below is the engine's."
CGROUP = Path("/sys/fs/cgroup/cpu")
PERIOD = 10_000
"µs: short, so that who has used up their share waits a few milliseconds only."


def number_of(extension: str) -> str:
    """What a carrier calls an extension by."""
    return f"+12025550{extension}"


class City(Exchange):
    """`nodes` of them. `share` is what each may use of one core, None: all."""

    name = "nodes, Kamailio, rtpengine"
    nodes = 2
    share: float | None = None
    callers: Sequence[Address] = ()
    "Where carriers call from besides the one of the wiring."

    def start(self) -> Child:
        """Everything, and what phones reach is the edge."""
        found = programs()
        if found is None or not shutil.which("kamailio") or not shutil.which("rtpengine"):
            raise Unavailable("PostgreSQL, Kamailio or rtpengine is missing: tools/peers.sh")
        self.parts: dict[str, list[Child]] = {"nodes": [], "Kamailio": [], "rtpengine": []}
        self._stack = contextlib.ExitStack()
        try:
            self._postgres = Postgres(found)
            self._stack.callback(self._postgres.stop)
            self._database = self._stack.enter_context(self._postgres.database())
            asked = self._start_engine()
            addresses = [self._start_node(index, asked) for index in range(self.nodes)]
            edge = self._start_edge(addresses)
            self._await_homes()
        except BaseException:
            self._stack.close()
            raise
        return edge

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    # ── what is asked of it ─────────────────────────────────────────────────────────────
    def cpu(self) -> float:
        """Of all parts but the database."""
        return sum(self.cpu_of(part) for part in self.parts)

    def cpu_of(self, part: str) -> float:
        """CPU seconds of one kind of part so far."""
        return sum(child.cpu() for child in self.parts[part])

    def homes(self) -> Mapping[str, list[str]]:
        """The extensions that are at home at each node."""
        found: dict[str, list[str]] = {}
        with psycopg.connect(self._dsn) as connection:
            rows = connection.execute("SELECT node, number FROM home ORDER BY number").fetchall()
        for node, number in rows:
            if number in EXTENSIONS:
                found.setdefault(node, []).append(number)
        return found

    def version(self) -> str:
        """The revision of this tree."""
        return f"{self.nodes} nodes"

    def remark(self) -> str:
        """What each part used since it was started."""
        used = (f"{part} {self.cpu_of(part):.1f} s" for part in self.parts)
        return "CPU so far: " + ", ".join(used)

    def admit(self, callee: socket.socket) -> None:
        """Register whoever the number rings."""
        self.register(callee, EXTENSIONS[0])

    def register(self, sock: socket.socket, extension: str) -> float:
        """Register through the edge, and wait until every node knows."""
        took = Registration(sock, self.address, extension, SECRET).complete(10)
        time.sleep(1)  # the others hear of it by the database
        return took

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _start_engine(self) -> str:
        asked = f"{EXCHANGE_HOST}:{free_port(EXCHANGE_HOST)}"
        low, high = RTP_PORTS[0], NODE_PORTS - 1
        self._start(
            "rtpengine",
            ["rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=4",
             "--table=-1", "--num-threads=2", f"--listen-tcp-ng={asked}", "--dtmf-log-ng-tcp",
             f"--interface=outside/{EXCHANGE_HOST}", f"--interface=inside/{EXCHANGE_HOST}",
             f"--port-min={low}", f"--port-max={high}", f"--pidfile={self.folder / 'rtpengine'}"],
        )  # fmt: skip
        return asked

    def _start(self, part: str, command: list[str], environment: Any = None) -> Child:
        child = Child(
            command, self.folder / f"{part}.log", cwd=self.folder, quiet=True,
            environment=environment, core=self.wiring.core,
        )  # fmt: skip
        self.parts[part].append(child)
        self._stack.callback(child.stop)
        return child

    def _start_node(self, index: int, engine: str) -> str:
        folder = self.folder / f"node{index}"
        folder.mkdir()
        address = f"{EXCHANGE_HOST}:{free_port(EXCHANGE_HOST)}"
        port = int(address.rpartition(":")[2])
        content = configuration(
            port, (CALLER_HOST, self.wiring.caller[1]), self.carrier, EXTENSIONS, owner="201",
        )  # fmt: skip
        low = NODE_PORTS + PORTS_A_NODE * index
        content = content.replace(
            f"rtp_ports = {list(RTP_PORTS)}",
            f"rtp_ports = [{low}, {low + PORTS_A_NODE - 2}]\nrtpengines = ['{engine}']",
        )
        numbers = [number_of(extension) for extension in EXTENSIONS]
        content = content.replace('numbers = ["+12025550199"]', f"numbers = {numbers}")
        content = content.partition("[[route]]")[0]
        cluster = table("[cluster]", address=address, proxies=[EDGE_HOST])
        database = table("[database]", url=self._url, password=PASSWORD)
        routes = [table("[[route]]", number=number_of(e), to=e) for e in EXTENSIONS]
        carriers = [
            table(
                "[[trunk]]", name=f"bench-{at}", zone="UK", host=host, port=port, transport="udp",
                numbers=numbers, register=False, srtp="off", max_calls=5000,
            )
            for at, (host, port) in enumerate(self.callers)
        ]  # fmt: skip
        config = folder / "config.toml"
        config.write_text("\n".join([content, cluster, database, *carriers, *routes]))
        child = launch(config, folder / "data", folder / "log", core=self.wiring.core)
        self.parts["nodes"].append(child)
        self._stack.callback(child.stop)
        await_ready(child)
        if self.share is not None:
            self._stack.enter_context(confined(f"bench-{os.getpid()}-{index}", child, self.share))
        return address

    def _start_edge(self, nodes: list[str]) -> Child:
        deploy, tls = REPOSITORY / "deploy" / "kamailio", self.folder / "node0" / "data" / "tls"
        listing = self.folder / "nodes.list"
        listing.write_text("".join(f"1 sip:{node}\n" for node in nodes))
        host, port = self.address
        inside = free_port(EDGE_HOST)
        values = {
            "EDGE_UDP": f"udp:{host}:{port}",
            "EDGE_TCP": f"tcp:{host}:{port}",
            "EDGE_TLS": f"tls:{host}:{free_port(host)}",
            "EDGE_INSIDE": f"udp:{EDGE_HOST}:{inside}",
            "EDGE_DATABASE": f'"edge=>{self._dsn}"',
            "EDGE_NODES": f'"{listing}"',
            "EDGE_CERTIFICATE": f'"{tls / "server.pem"}"',
            "EDGE_KEY": f'"{tls / "server.key"}"',
            "EDGE_MASK": '"bench"',
            "EDGE_CARRIERS": f'"{CALLER_HOST},{CALLEE_HOST},{CARRIER_HOST}"',
        }
        command = ["kamailio", "-DD", "-E", "-f", str(deploy / "kamailio.cfg")]
        command += ["-P", str(self.folder / "pid"), "-Y", str(self.folder)]
        command += ["-w", str(self.folder), "-m", "128", "-M", "16"]
        return self._start("Kamailio", command, values)

    def _await_homes(self) -> None:
        deadline = time.monotonic() + 30
        while len(self.homes()) < self.nodes:
            if time.monotonic() > deadline:
                raise BenchError("the nodes do not come together")
            time.sleep(0.2)
        time.sleep(2)  # the edge asks nodes every two seconds whether they are there

    @property
    def _url(self) -> str:
        return self._postgres.address(str(self._database.database))

    @property
    def _dsn(self) -> str:
        """How the edge reaches the database."""
        may_look(self._database)
        url = self._database.set(drivername="postgres", username=EDGE, password=EDGE, query={})
        return url.render_as_string(hide_password=False)


class City1(City):
    """One node behind the same."""

    name = "node, Kamailio, rtpengine"
    nodes = 1


@contextlib.contextmanager
def confined(name: str, child: Child, share: float) -> Iterator[None]:
    """Let a program have so much of one core and no more (cgroups, cpu controller)."""
    group = CGROUP / name
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(str(PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(int(PERIOD * share)))
        for pid in descendants(child.pid):
            (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        raise Unavailable(
            f"a program cannot be confined here (cgroups, as root): {error}"
        ) from None
    try:
        yield
    finally:
        child.stop()
        deadline = time.monotonic() + 10
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.1)  # what understands language ends after it
        group.rmdir()
