"""EncryptoTel itself as a black box: started from the command line, asked over its commands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from . import ports, several
from .proc import PeerError, Process

ROOT = Path(__file__).resolve().parents[2]
Address = tuple[str, int]
WEB = {"web": {"on": True, "port": 0}}
"`extra` of a `Config` that wants the web."
START = 90
"Seconds a start may take on a machine that does much else."
Call = dict[str, Any]


@dataclass(frozen=True)
class Extension:
    """An `[[extension]]` of the configuration."""

    number: str
    secret: str
    name: str = ""
    srtp: str = "off"


@dataclass(frozen=True)
class Trunk:
    """A `[[trunk]]` of the configuration."""

    name: str
    host: str
    port: int
    numbers: list[str]
    zone: str = "US"
    transport: str = "udp"
    username: str = ""
    password: str = ""
    register: bool = False
    dial: str = "+{number}"
    srtp: str = "off"
    outbound_proxy: str = ""
    ca_file: str = ""


@dataclass(frozen=True)
class Config:
    """What a test wants of the exchange, without language and web; `extra` adds or overrides
    options, section by section, `tables` adds sections of which there may be several."""

    extensions: Iterable[Extension] = ()
    trunks: Iterable[Trunk] = ()
    routes: Mapping[str, str] = field(default_factory=dict)
    rooms: Iterable[Mapping[str, Any]] = ()
    ring_timeout: int = 20
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tables: Mapping[str, Iterable[Mapping[str, Any]]] = field(default_factory=dict)

    def toml(self) -> str:
        """The file, every port chosen by the exchange except RTP, which gets its own range."""
        first = ports.free_range(60)
        sections: dict[str, dict[str, Any]] = {
            "exchange": {"host": ports.HOST, "udp_port": 0, "tcp_port": 0, "tls_port": 0},
            "media": {"rtp_ports": [first, first + 58]},
            "calls": {"ring_timeout": self.ring_timeout},
            "web": {"on": False},
            "language": {"at_start": False},
            "owner": {"extension": "101"},
        }
        for name, values in self.extra.items():
            sections.setdefault(name, {}).update(values)
        lines: list[str] = []
        for name, values in sections.items():
            lines += [f"[{name}]", *_pairs(values), ""]
        for one in self.extensions:
            values = asdict(one)
            values["name"] = one.name or f"Extension {one.number}"
            lines += ["[[extension]]", *_pairs(values), ""]
        for trunk in self.trunks:
            lines += ["[[trunk]]", *_pairs(asdict(trunk)), ""]
        for number, to in self.routes.items():
            lines += ["[[route]]", *_pairs({"number": number, "to": to}), ""]
        for name, tables in self.tables.items():
            for values in tables:
                lines += [f"[[{name}]]", *_pairs(values), ""]
        for room in self.rooms:
            lines += ["[[room]]", *_pairs(room), ""]
        return "\n".join(lines)


def _pairs(values: Mapping[str, Any]) -> list[str]:
    """TOML and JSON agree on strings, numbers, booleans and lists of them."""
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


class Exchange:
    """One running exchange; leaving the block stops it with SIGTERM and wants exit code 0. With
    THROUGH_EDGE=1 it is three programs behind Kamailio, of which this is the one that leads."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._others, self._database = AsyncExitStack(), AsyncExitStack()
        self.ready: dict[str, Any] = {}
        self.own_udp: Address = ("", 0)
        "Where it is itself, also behind an edge."
        self.process: Process
        self._folder = tempfile.TemporaryDirectory(prefix="exchange-", ignore_cleanup_errors=True)
        self.data = Path(self._folder.name) / "data"

    async def __aenter__(self) -> Self:
        if os.environ.get("THROUGH_EDGE"):
            try:
                return await self._as_several()
            except BaseException:
                await self._others.aclose()
                await self._database.aclose()
                raise
        return await self._start()

    async def _as_several(self) -> Self:
        url = await self._database.enter_async_context(several.database())
        wanted, self.config = self.config, several.as_node(self.config, url)
        addresses = [self.config.extra["cluster"]["address"]]
        self._name(several.NODES[0])
        await self._start()
        for name in several.NODES[1:]:
            other = Exchange(several.as_node(wanted, url))
            other._name(name)
            self._others.push_async_exit(other)
            await other._start()
            addresses.append(other.config.extra["cluster"]["address"])
        await several.at_home(url, len(list(self.config.extensions)))
        edge = await self._others.enter_async_context(
            several.edge_before(addresses, url, self.data)
        )
        for transport, port in edge.ports.items():
            self.ready[transport] = f"{edge.host}:{port}"
        return self

    def _name(self, node: str) -> None:
        """Among others."""
        self.data.mkdir(exist_ok=True)
        (self.data / "node").write_text(node)

    async def _start(self) -> Self:
        self.data.mkdir(exist_ok=True)
        file = Path(self._folder.name) / "config.toml"
        file.write_text(self.config.toml())
        self.process = await Process.start(
            "encryptotel",
            [sys.executable, "-m", "encryptotel", "run",
             "--config", file, "--data", self.data, "--json"],
            cwd=ROOT,
            env=self._environment(),
        )  # fmt: skip
        try:
            line = await self.process.wait_line(r'^\{.*"ready"', START)
            self.ready = json.loads(line.string)
            self.own_udp = self.udp
        except BaseException:
            await self.process.stop()
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._others.aclose()
        code = await self.process.stop(signal.SIGTERM, within=10)
        await self._database.aclose()
        if error is not None:
            error.add_note(f"--- exchange\n{self.log()}")
        self._folder.cleanup()
        if code != 0 and error is None:
            raise PeerError(f"the exchange ended with {code}\n{self.log()}")

    def _environment(self) -> dict[str, str]:
        path = os.environ.get("PYTHONPATH", "")
        return {"PYTHONPATH": f"{ROOT}:{path}" if path else str(ROOT), "HOME": self._folder.name}

    # -- where it is -----------------------------------------------------------------------

    @property
    def udp(self) -> Address:
        return _address(self.ready["udp"])

    @property
    def tcp(self) -> Address:
        return _address(self.ready["tcp"])

    @property
    def tls(self) -> Address:
        return _address(self.ready["tls"])

    def address(self, transport: str) -> Address:
        """Its SIP address by transport name."""
        return _address(self.ready[transport])

    @property
    def ca(self) -> Path:
        """The authority that signed its certificate."""
        return Path(self.ready["ca"])

    def log(self) -> str:
        return self.process.lines.tail(200)

    # -- asking it -------------------------------------------------------------------------

    async def cli(self, command: str, *arguments: str, within: float = 30) -> Any:
        """`encryptotel COMMAND --data DIR --json ARGUMENTS`: its JSON; PeerError on failure."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "encryptotel", *command.split(),
            "--data", str(self.data), "--json", *arguments,
            cwd=ROOT,
            env={**os.environ, **self._environment()},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(within):
                out, err = await child.communicate()
        except TimeoutError:
            child.kill()
            await child.wait()
            raise PeerError(f"encryptotel {command} took over {within:g} s") from None
        if child.returncode != 0:
            raise PeerError(
                f"encryptotel {command}: exit {child.returncode}\n"
                f"{err.decode(errors='replace')}\n{out.decode(errors='replace')}"
            )
        return json.loads(out)

    async def say(self, sentence: str) -> str:
        """Type a sentence to the chat; the texts it replies, one a line."""
        answer = await self.cli("say", sentence)
        return "\n".join(reply["text"] for reply in answer["replies"])

    async def calls(self) -> list[Call]:
        """The journal, newest first."""
        found: list[Call] = (await self.cli("calls"))["calls"]
        return found

    async def ended_call(self, within: float = 10, index: int = 0) -> Call:
        """The newest call (or the one `index` before it), as soon as the journal says it ended."""
        last: list[Call] = []
        try:
            async with asyncio.timeout(within):
                while True:
                    last = await self.calls()
                    if len(last) > index and last[index]["state"] == "ended":
                        return last[index]
        except TimeoutError:
            raise PeerError(
                f"no ended call in the journal: {json.dumps(last, indent=1)}\n{self.log()}"
            ) from None

    async def trace(self, within: float = 10) -> Any:
        """The ladder of the newest call, which is written a moment after its end."""
        try:
            async with asyncio.timeout(within):
                while not (found := await self.cli("trace", "last"))["lines"]:
                    pass
        except TimeoutError:
            raise PeerError(f"no ladder in the journal\n{self.log()}") from None
        return found


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port))


def check_journal(
    call: Call,
    sender: str = "",
    to: str = "",
    *,
    legs: int = 2,
    answered: bool = True,
    cause: str = "",
) -> None:
    """What the journal must say of a finished call. `cause`: a pattern its words must contain."""
    text = json.dumps(call, indent=1)
    assert call["state"] == "ended", text
    assert call["ended"], text
    assert call["cause"], text
    assert bool(call["answered"]) == answered, text
    assert sender in str(call["from"]), f"not from {sender}: {text}"
    assert to in str(call["to"]), f"not to {to}: {text}"
    if cause:
        assert re.search(cause, call["cause"], re.I), f"cause is not /{cause}/: {text}"
    assert len(call["legs"]) >= legs, text
    for leg in call["legs"]:
        assert leg["ended"], text
    if answered:
        talked = [leg for leg in call["legs"] if leg["answered"]]
        assert len(talked) >= legs, text
        for leg in talked:
            assert leg["received"] > 0, f"a leg that heard nothing: {text}"
            assert leg["sent"] > 0, f"a leg that was sent nothing: {text}"
