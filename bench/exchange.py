"""Our exchange as a system under test: the shipped program with a configuration of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.process import BenchError, Child, Unavailable
from bench.server import CARRIER_HOST, EXCHANGE_HOST, RTP_PORTS, Server, Wiring
from bench.sip import Address, Registration, free_port

REPOSITORY = Path(__file__).parent.parent
EXTENSION = "201"
SECRET = "bench-only-kX93hd"
START_LIMIT = 30.0


def available() -> str:
    """The program's version; an error that says what is missing where it cannot run."""
    done = subprocess.run(
        [sys.executable, "-m", "encryptotel", "run", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise Unavailable(f"the exchange does not run with {sys.executable}: {last}")
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"encryptotel {found.stdout.strip() or '(no revision)'}"


def table(header: str, /, **values: Any) -> str:
    """One TOML table; JSON writes strings, numbers, booleans and lists as TOML does."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([header, *lines, ""])


def configuration(
    udp_port: int,
    caller: Address,
    carrier: Address,
    extensions: Sequence[str],
    *,
    srtp: bool = False,
    tcp_port: int = 0,
    leads_to: str = EXTENSION,
    owner: str = "101",
    rooms: Sequence[str] = (),
    web: bool = False,
) -> str:
    """The exchange's config: the caller is a static trunk, extensions are plain phones."""
    policy = "require" if srtp else "off"
    parts = [
        table(
            "[exchange]",
            host=EXCHANGE_HOST,
            udp_port=udp_port,
            tcp_port=tcp_port,
            tls_port=0,
            free_ports=False,
        ),
        table("[media]", rtp_ports=list(RTP_PORTS), silence_timeout=900),
        table("[calls]", max_calls=5000),
        table("[owner]", name="Owner", extension=owner, region="US"),
        table("[limits]", trunk_calls_at_once=500, trunk_calls_per_hour=100_000),
        table("[guard]", requests_per_second=100_000, failures=100_000),
        table("[log]", level="warning"),
        table("[web]", on=web, port=0),
    ]
    parts += [
        table("[[extension]]", number=number, name=f"Bench {number}", secret=SECRET, srtp=policy)
        for number in extensions
    ]
    parts += [
        table(
            "[[trunk]]",
            name="bench-in",
            zone="UK",
            host=caller[0],
            port=caller[1],
            transport="udp",
            numbers=["+12025550199"],
            register=False,
            srtp=policy,
            max_calls=5000,
        ),
        table(
            "[[trunk]]",
            name="bench-out",
            zone="US",
            host=carrier[0],
            port=carrier[1],
            transport="udp",
            numbers=["+12025550100"],
            register=False,
            dial="+{number}",
            srtp="off",
            max_calls=5000,
        ),
        table("[[route]]", number="+12025550199", to=leads_to),
    ]
    parts += [table("[[room]]", number=number) for number in rooms]
    return "\n".join(parts)


def launch(
    config: Path,
    data: Path,
    log: Path,
    program: Sequence[str] = ("-m", "encryptotel"),
    core: int | None = None,
) -> Child:
    """Start the program; it is not ready yet."""
    command = [sys.executable, *program, "run"]
    command += ["--config", str(config), "--data", str(data), "--json"]
    return Child(command, log, cwd=REPOSITORY, core=core)


def await_ready(child: Child) -> dict[str, Any]:
    """Its ready line."""
    deadline = time.monotonic() + START_LIMIT
    while True:
        said = child.json_line(deadline - time.monotonic())
        if said.get("ready"):
            return said


class Exchange(Server):
    """Our exchange, from spawn to SIGTERM."""

    name = "encryptotel"
    leads_to = EXTENSION
    "What the number the caller dials rings."
    rooms: Sequence[str] = ()
    web = False
    "Whether programs are served."
    owner = "101"
    "Whose extension the owner's is."

    def __init__(self, wiring: Wiring, folder: Path, carrier: Address | None = None) -> None:
        super().__init__(wiring, folder)
        self.carrier = carrier or (CARRIER_HOST, free_port(CARRIER_HOST))
        self.data = folder / "data"
        self.config = folder / "config.toml"
        self.sections: Mapping[str, Mapping[str, Any]] = {}
        "Further sections of the configuration."

    def start(self) -> Child:
        """Write the configuration, start the program, wait for its ready line."""
        self._version = available()
        self.data.mkdir(exist_ok=True)
        for attempt in range(3):
            child = self._launch()
            try:
                said = await_ready(child)
            except BenchError as error:
                child.stop()
                if attempt == 2 or "not free" not in str(error):
                    raise
                self.address = (EXCHANGE_HOST, free_port(EXCHANGE_HOST))
            else:
                break
        host, _, port = str(said["udp"]).rpartition(":")
        self.address = (host, int(port))
        self.said = said
        return child

    def _launch(self) -> Child:
        text = configuration(
            self.address[1],
            self.wiring.caller,
            self.carrier,
            ("101", EXTENSION),
            srtp=self.wiring.media.srtp,
            tcp_port=self.address[1],
            leads_to=self.leads_to,
            owner=self.owner,
            rooms=self.rooms,
            web=self.web,
        )
        more = [table(f"[{name}]", **values) for name, values in self.sections.items()]
        self.config.write_text("\n".join([text, *more]))
        core = self.wiring.core
        return launch(self.config, self.data, self.folder / "log", self.program, core)

    @property
    def program(self) -> tuple[str, ...]:
        """What Python runs."""
        return ("-m", "encryptotel")

    def version(self) -> str:
        """The revision of this tree."""
        return self._version

    def key(self, *scopes: str) -> str:
        """A key of the owner's for a program."""
        command = [sys.executable, *self.program, "key", "add", self.owner, "bench", "--json"]
        command += ["--scopes", ",".join(scopes), "--data", str(self.data)]
        command += ["--config", str(self.config)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"no key: {done.stderr.strip()}")
        return str(json.loads(done.stdout)["key"])

    def admit(self, callee: socket.socket) -> None:
        """Register the extension that the number rings, from the callee's own socket."""
        self.register(callee, EXTENSION)

    def register(self, sock: socket.socket, extension: str) -> float:
        """Register any extension of the configuration from a socket; the seconds it took."""
        return Registration(sock, self.address, extension, SECRET).complete(10)
