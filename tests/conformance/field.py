"""Where scenarios are played: one exchange, an extension or a trunk for each side, and SIPp."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import signal
import socket
import tempfile
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import phonenumbers

from tests.peers import ports
from tests.peers.exchange import Call, Config, Exchange, Extension, Trunk
from tests.peers.proc import PeerError

from .scenario import Side

Address = tuple[str, int]
SECRET = "conformance"
WITHIN = 20
"Seconds a scenario may take."
COUNTRIES = [
    "FR", "DE", "IT", "ES", "NL", "BE", "AT", "CH", "PL", "SE", "NO", "DK", "FI", "PT", "CZ", "HU",
    "GR", "RO", "IE", "JP", "AU", "NZ", "BR", "MX", "IN", "ZA", "TR", "IL",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One behaviour and the sides that show it.

    A side on a trunk is a carrier, otherwise it is a registered phone. `third` is one more
    callee, a phone of its own number, or with `third_shares` a second phone of the callee's.
    """

    name: str
    rfc: str
    caller: Side | None = None
    callee: Side | None = None
    third: Side | None = None
    third_shares: bool = False
    callee_calls: int = 1
    "How many dialogs the callee gets."
    to: str = ""
    transport: str = "udp"
    from_trunk: bool = False
    to_trunk: bool = False
    journal: Mapping[str, Any] | None = None
    "What the journal must say of the call: `answered`, `cause` (a pattern), `legs`."
    contact: str = ""
    "More headers of the callee's REGISTER."
    within: int = WITHIN
    "Seconds it may take."
    repeats: Mapping[str, int] = field(default_factory=dict)
    "How often at least the caller gets a message that begins so: SIPp hides what is repeated."


@dataclass(frozen=True)
class Player:
    """What one SIPp process is told."""

    role: str
    side: Side
    port: int
    number: str
    service: str = ""


@dataclass
class Field:
    """A running exchange with numbers for `cases`."""

    cases: list[Case]
    host: str = ports.HOST
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    exchange: Exchange = field(init=False)
    _carriers: dict[int, tuple[int, str]] = field(default_factory=dict)
    _open: dict[int, _Carrier] = field(default_factory=dict)

    def numbers(self, case: Case) -> tuple[str, str, str]:
        """The extensions of a case: caller, callee, third."""
        index = self.cases.index(case)
        return f"1{index:03}", f"2{index:03}", f"3{index:03}"

    def config(self) -> Config:
        extensions, trunks, routes = [], [], {}
        for index, case in enumerate(self.cases):
            extensions += [Extension(number, SECRET) for number in self.numbers(case)]
            if case.from_trunk or case.to_trunk:
                country = COUNTRIES[len(trunks)]
                port, number = ports.free_port(), example(country)
                self._carriers[index] = (port, number)
                trunks.append(Trunk(
                    f"carrier{index}", self.host, port, [number], zone=country,
                    username=f"user{index}", password=SECRET, register=True,
                ))  # fmt: skip
                routes[number] = self.numbers(case)[1]
        first = ports.free_range(160)
        return Config(extensions, trunks, routes, ring_timeout=60, extra={
            "owner": {"extension": extensions[0].number},
            "media": {"rtp_ports": [first, first + 158]},
            "limits": {"trunk_calls_at_once": 50, "trunk_calls_per_hour": 1000,
                       "countries": [trunk.zone for trunk in trunks]},
            **self.extra,
        })  # fmt: skip

    @contextlib.asynccontextmanager
    async def open(self):  # type: ignore[no-untyped-def]
        config = self.config()
        async with contextlib.AsyncExitStack() as stack:
            carriers = [
                await stack.enter_async_context(_carrier(self.host, port))
                for port, _ in self._carriers.values()
            ]
            self.exchange = await stack.enter_async_context(Exchange(config))
            async with asyncio.timeout(15):
                await asyncio.gather(*(carrier.registered.wait() for carrier in carriers))
            self._open = dict(zip(self._carriers, carriers, strict=True))
            yield self

    async def play(self, case: Case) -> None:
        """Run a case; raises with both sides' wire when a side is not content."""
        index = self.cases.index(case)
        own, called, third = self.numbers(case)
        carrier_port, abroad = self._carriers.get(index, (0, ""))
        server = self.exchange.address(case.transport)
        registrar = self.exchange.udp
        players: list[Player] = []
        if index in self._open:  # from now on the port is SIPp's
            self._open.pop(index).close()
        keys = {"other": third, "expires": "3600", "rtp_port": str(ports.free_port())}
        if case.callee is not None:
            port = carrier_port if case.to_trunk else ports.free_port()
            if not case.to_trunk:
                await register(registrar, called, SECRET, port, host=self.host, more=case.contact)
            players.append(Player("callee", case.callee, port, called))
        if case.third is not None:
            number, port = called if case.third_shares else third, ports.free_port()
            await register(registrar, number, SECRET, port, host=self.host)
            players.append(Player("third", case.third, port, number))
            keys["third_port"] = str(port)
        if case.caller is not None:
            port = carrier_port if case.from_trunk else ports.free_port()
            number = "+12025550143" if case.from_trunk else own
            to = case.to or (abroad if case.from_trunk or case.to_trunk else called)
            players.append(Player("caller", case.caller, port, number, to))
        with tempfile.TemporaryDirectory(prefix="conformance-") as name:
            folder = Path(name)
            waiting = [player.port for player in players if player.role != "caller"]
            results = await _together(
                self._sipp(folder, case, player, server, keys, waiting) for player in players
            )
            if any(results):
                raise PeerError(f"{case.name} ({case.rfc}): " + "; ".join(
                    f"{player.role} ended with {code}"
                    for player, code in zip(players, results, strict=True)
                ) + "".join(self._log(folder, player) for player in players))  # fmt: skip
            if case.repeats:
                log = (folder / "caller.log").read_text(errors="replace")
                got = log.partition("received")[2]
                for start, count in case.repeats.items():
                    found = len(re.findall(rf"received \[\d+\] bytes :\n\n{start}", log))
                    assert found >= count, f"{case.name}: {start} came {found} times\n{got}"

    async def _sipp(
        self,
        folder: Path,
        case: Case,
        player: Player,
        server: Address,
        keys: Mapping[str, str],
        waiting: list[int],
    ) -> int:
        (folder / f"{player.role}.xml").write_text(player.side.xml())
        tcp = case.transport == "tcp" and player.role == "caller"
        argv = [
            "sipp", "-sf", f"{player.role}.xml", "-i", self.host, "-mi", self.host,
            "-p", str(player.port), "-t", "t1" if tcp else "u1", "-nostdin", "-aa",
            "-m", str(case.callee_calls if player.role == "callee" else 1),
            "-trace_msg", "-message_file", f"{player.role}.log",
            "-trace_err", "-error_file", f"{player.role}.err",
            "-timeout", f"{case.within}s", "-timeout_error", "-cp", str(ports.free_port()),
            "-au", player.number, "-ap", SECRET, "-key", "from_user", player.number,
        ]  # fmt: skip
        for key, value in keys.items():
            argv += ["-key", key, value]
        if player.role == "caller":
            host = f"[{server[0]}]" if ":" in server[0] else server[0]
            argv += ["-s", player.service, f"{host}:{server[1]}"]
            await asyncio.gather(*(_bound(port) for port in waiting))
        child = await asyncio.create_subprocess_exec(
            *argv, cwd=folder, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, env={**os.environ, "TERM": "dumb"},
        )  # fmt: skip
        try:
            async with asyncio.timeout(case.within + 5):
                return await child.wait()
        finally:
            if child.returncode is None:
                child.send_signal(signal.SIGKILL)
                await child.wait()

    def _log(self, folder: Path, player: Player) -> str:
        parts = [f"\n───── {player.role}"]
        for suffix in ("err", "log"):
            path = folder / f"{player.role}.{suffix}"
            if path.exists():
                parts.append(path.read_text(errors="replace")[-6000:])
        return "\n".join(parts)

    async def calls_up(self, count: int) -> None:
        """Wait until so many calls are answered."""
        async with asyncio.timeout(15):
            while True:
                calls = (await self.exchange.cli("calls"))["calls"]
                if sum(bool(call["answered"]) for call in calls) >= count:
                    return

    async def check_journal(self, cases: list[Case]) -> dict[str, Exception]:
        """What the journal says wrongly, by case; asked once for all of them."""
        wanted = [case for case in cases if case.journal is not None]
        async with asyncio.timeout(20):
            while True:
                calls = (await self.exchange.cli("calls", "--limit", "1000"))["calls"]
                found = {case.name: self._call_of(case, calls) for case in wanted}
                if all(call and call["state"] == "ended" for call in found.values()):
                    break
        wrong: dict[str, Exception] = {}
        for case in wanted:
            try:
                _compare(found[case.name] or {}, **(case.journal or {}))
            except AssertionError as error:
                wrong[case.name] = error
        return wrong

    def _call_of(self, case: Case, calls: list[Call]) -> Call | None:
        own, called, _ = self.numbers(case)
        party = called if case.from_trunk else own
        return next(
            (
                call for call in calls
                if party in (call["from"], call["to"])
                or any(leg["peer"] == party for leg in call["legs"])
            ),
            None,
        )  # fmt: skip


async def _together(runs: Iterable[Coroutine[Any, Any, int]]) -> list[int]:
    """The exit codes; once one side has failed the others have a second left."""
    tasks = [asyncio.ensure_future(run) for run in runs]
    pending = set(tasks)
    within = None
    while pending:
        done, pending = await asyncio.wait(
            pending, timeout=within, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            break
        if any(task.cancelled() or task.exception() or task.result() for task in done):
            within = 1.0
    for task in pending:
        task.cancel()
    await asyncio.wait(tasks)
    return [-1 if task.cancelled() else task.result() for task in tasks]


def _compare(call: Call, *, answered: bool = True, cause: str = "", legs: int = 0) -> None:
    assert bool(call["answered"]) == answered, call
    assert re.search(cause, call["cause"], re.I), call
    assert not legs or len(call["legs"]) == legs, call


async def _bound(port: int) -> None:
    """Until some process has bound the UDP port, on IPv4 or IPv6."""
    async with asyncio.timeout(10):
        while not _is_bound(port):  # noqa: ASYNC110 - the kernel sends no event for this
            await asyncio.sleep(0.01)


def _is_bound(port: int) -> bool:
    tables = (Path("/proc/net/udp"), Path("/proc/net/udp6"))
    return any(f":{port:04X} " in table.read_text() for table in tables)


def example(country: str) -> str:
    """A mobile number of a country, in E.164."""
    kind = phonenumbers.PhoneNumberType.MOBILE
    number = phonenumbers.example_number_for_type(country, kind)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# ── a phone's REGISTER, made here so that SIPp can take the port over ───────────────────────
async def register(
    server: Address, number: str, secret: str, port: int, *, host: str = ports.HOST, more: str = ""
) -> str:
    """Register `port` as a phone of `number`; the 200. Raises `PeerError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((host, port))
        here, there = (f"[{name}]" if ":" in name else name for name in (host, server[0]))
        uri, authorization = f"sip:{there}:{server[1]}", ""
        for sequence in (1, 2):
            text = "\r\n".join((
                f"REGISTER {uri} SIP/2.0",
                f"Via: SIP/2.0/UDP {here}:{port};branch=z9hG4bK-1-{port}-{sequence};rport",
                "Max-Forwards: 70",
                f"From: <sip:{number}@{there}>;tag=r{port}",
                f"To: <sip:{number}@{there}>",
                f"Call-ID: register-{port}@{host}",
                f"CSeq: {sequence} REGISTER",
                f"Contact: <sip:{number}@{here}:{port}>",
                "Expires: 3600",
                *filter(None, (more, authorization)),
                "Content-Length: 0", "", "",
            ))  # fmt: skip
            answer = await _ask(sock, text.encode(), server, f"CSeq: {sequence} ")
            if not answer.startswith("SIP/2.0 401"):
                break
            authorization = digest(answer, "REGISTER", uri, number, secret)
    if not answer.startswith("SIP/2.0 200"):
        raise PeerError(f"{number} could not register: {answer}")
    return answer


async def _ask(sock: socket.socket, request: bytes, server: Address, mark: str) -> str:
    """Send until an answer with `mark` in it comes: the link may be bad."""
    loop = asyncio.get_running_loop()
    for _ in range(20):
        await loop.sock_sendto(sock, request, server)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while mark not in (answer := (await loop.sock_recv(sock, 65_535)).decode()):
                    pass
                return answer
    raise PeerError("no answer to REGISTER")


def digest(challenge: str, method: str, uri: str, user: str, secret: str) -> str:
    """An Authorization header for the MD5 challenge in a 401 (RFC 2617 §3.2.2)."""
    line = next(line for line in re.findall(r"^WWW-Authenticate: (.*?)\r$", challenge, re.M)
                if "SHA-256" not in line)  # fmt: skip
    found = dict(re.findall(r'(\w+)="([^"]*)"', line))

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode()).hexdigest()

    count, cnonce = "00000001", "0a4f113b"
    response = md5(
        md5(user, found["realm"], secret), found["nonce"], count, cnonce, "auth", md5(method, uri)
    )
    opaque = f', opaque="{found["opaque"]}"' if "opaque" in found else ""
    return (
        f'Authorization: Digest username="{user}", realm="{found["realm"]}", '
        f'nonce="{found["nonce"]}", uri="{uri}", response="{response}", algorithm=MD5, '
        f'qop=auth, nc={count}, cnonce="{cnonce}"{opaque}'
    )


# ── a carrier that lets the exchange register, and is then replaced by SIPp ─────────────────
class _Carrier(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.registered = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self._wire = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        lines = data.decode().split("\r\n")
        if not lines[0].startswith("REGISTER "):
            return
        wanted = ("via:", "from:", "to:", "call-id:", "cseq:", "contact:")
        kept = [line for line in lines if line.lower().startswith(wanted)]
        answer = ["SIP/2.0 200 OK", *kept, "Expires: 3600", "Content-Length: 0", "", ""]
        self._wire.sendto("\r\n".join(answer).encode(), addr)
        self.registered.set()

    def close(self) -> None:
        self._wire.close()


@contextlib.asynccontextmanager
async def _carrier(host: str, port: int):  # type: ignore[no-untyped-def]
    loop = asyncio.get_running_loop()
    _, carrier = await loop.create_datagram_endpoint(_Carrier, (host, port))
    try:
        yield carrier
    finally:
        carrier.close()
