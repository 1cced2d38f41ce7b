"""SIPp 3.6: one call per process, SIP by an XML scenario, media by our own `RtpTone`.

SIPp writes every message it sends and receives into a fifo; from there come the events tests
wait for, and the SDP that tells the media endpoint where to send.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from . import ports
from .proc import Feed, PeerError, Process
from .rtp import RtpTone

SCENARIOS = Path(__file__).parent / "scenarios"
Address = tuple[str, int]
_HEAD = re.compile(
    rb"-{20,} [^\n]*\n(?:UDP|TCP|TLS) message (sent|received) \D{0,3}(\d+)[^\n]*\n\n"
)


@dataclass(frozen=True)
class Message:
    """One SIP message as SIPp saw it."""

    received: bool
    text: str

    @property
    def start(self) -> str:
        return self.text.split("\r\n", 1)[0]

    @property
    def status(self) -> int:
        """The code of a response, 0 for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Of the request, or of the request a response belongs to."""
        found = re.search(r"^CSeq:\s*\d+\s+(\w+)", self.text, re.M | re.I)
        return found[1].upper() if found else ""

    def header(self, name: str) -> str:
        found = re.search(rf"^{name}\s*:\s*(.*?)\r?$", self.text, re.M | re.I)
        return found[1] if found else ""

    @property
    def sdp(self) -> str:
        body = self.text.split("\r\n\r\n", 1)[-1]
        return body if body.startswith("v=0") else ""

    def __str__(self) -> str:
        return f"{'<<<' if self.received else '>>>'} {self.text}"


@dataclass(frozen=True)
class Result:
    """How a SIPp process ended."""

    code: int
    successful: int
    failed: int
    errors: str


class Sipp:
    """One SIPp process; use as `async with`. `media` is its `RtpTone`, `messages` its wire."""

    def __init__(
        self,
        scenario: str,
        server: Address | None = None,
        *,
        host: str = ports.HOST,
        port: int = 0,
        transport: str = "udp",
        number: str = "sipp",
        to: str = "",
        user: str = "",
        password: str = "",
        tone: float = 0,
        variables: Mapping[str, object] | None = None,
        keys: Mapping[str, object] | None = None,
        answer: str = "",
        within: float = 30,
    ) -> None:
        """`server` set: we call it. `number` is who we are, `to` whom we call.

        `answer`: the scenario for calls that arrive while the first scenario still runs.
        """
        self.scenario = scenario
        self.server = server
        self.host = host
        self.port = port or ports.free_port()
        self.transport = transport
        self.number = number
        self.to = to
        self.user = user or number
        self.password = password
        self.hz = tone
        self.variables = dict(variables or {})
        self.keys = dict(keys or {})
        self.answer = answer
        self.within = within
        self.messages: Feed[Message] = Feed(f"sipp {scenario} {number}")
        self.media: RtpTone
        self._process: Process
        self._folder = tempfile.TemporaryDirectory(prefix="sipp-", ignore_cleanup_errors=True)
        self._tail: asyncio.Task[None] | None = None
        self._result: Result | None = None

    @property
    def address(self) -> Address:
        return (self.host, self.port)

    async def __aenter__(self) -> Self:
        self.media = await RtpTone.open(self.hz)
        try:
            await self._start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._close()

    async def _start(self) -> None:
        folder = Path(self._folder.name)
        fifo = folder / "messages"
        os.mkfifo(fifo)
        reader = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader),
            os.fdopen(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb"),
        )
        # a writer of our own, so that the pipe does not end before SIPp has opened it
        self._hold = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        keys = {
            "from_user": self.number,
            "rtp_port": self.media.port,
            "contact_port": self.port,
            "expires": 60,
            **self.keys,
        }
        argv: list[str | Path] = [
            "sipp", "-sf", SCENARIOS / f"{self.scenario}.xml", "-i", self.host,
            "-p", str(self.port), "-t", {"udp": "u1", "tcp": "t1"}[self.transport],
            "-nostdin", "-trace_msg", "-message_file", fifo,
            "-trace_err", "-error_file", folder / "errors",
            "-trace_stat", "-stf", folder / "stat.csv",
            "-timeout", f"{self.within:g}s", "-timeout_error", "-cp", str(ports.free_port()),
            "-aa",
        ]  # fmt: skip
        if self.server is not None:
            argv += ["-m", "1"]  # a callee may be asked OPTIONS first, and SIPp counts that
            argv += ["-s", self.to or self.number, "-au", self.user, "-ap", self.password]
        if self.answer:
            argv += ["-oocsf", SCENARIOS / f"{self.answer}.xml"]
        for name, value in keys.items():
            argv += ["-key", name, str(value)]
        for name, value in self.variables.items():
            argv += ["-set", name, str(value)]
        if self.server is not None:
            argv.append(f"{self.server[0]}:{self.server[1]}")
        self._process = await Process.start(f"sipp {self.scenario}", argv, cwd=folder)
        self._tail = asyncio.create_task(self._read(reader))
        if self.server is None:
            bound = asyncio.create_task(ports.wait_bound(self.port, self.transport))
            ended = asyncio.create_task(self._process.child.wait())
            await asyncio.wait({bound, ended}, return_when=asyncio.FIRST_COMPLETED)
            bound.cancel()
            if ended.done():
                raise PeerError(f"sipp {self.scenario} did not start\n{self.log()}")
            ended.cancel()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        data = b""
        while chunk := await reader.read(65536):
            data += chunk
            while head := _HEAD.search(data):
                end = head.end() + int(head[2])
                if len(data) < end:
                    break
                text = data[head.end() : end].decode(errors="replace")
                self._message(Message(head[1] == b"received", text))
                data = data[end:]

    def _message(self, message: Message) -> None:
        if message.sdp:
            (self.media.remote_sdp if message.received else self.media.local_sdp)(message.sdp)
        if message.method == "BYE":
            self.media.stop()
        self.messages.push(message)

    async def _close(self) -> None:
        with contextlib.suppress(AttributeError):
            await self._process.stop()
        self.media.close()
        if self._tail is not None:
            os.close(self._hold)
            self._tail.cancel()
            self._tail = None
        self._folder.cleanup()

    # -- what tests ask --------------------------------------------------------------------

    async def received(self, what: int | str, within: float = 10) -> Message:
        """Wait for a response code or a request method from the other side."""
        return await self.messages.wait(
            lambda m: m.received and what in (m.status, "" if m.status else m.method),
            within,
            what=f"received {what}",
        )

    async def answered(self, within: float = 10) -> None:
        """The call is up: our ACK went out, or theirs arrived, after a 200 to INVITE."""
        await self.messages.wait(
            lambda m: m.status == 200 and m.method == "INVITE", within, what="an answer"
        )

    @property
    def final(self) -> Message:
        """The last final answer to INVITE or REGISTER received."""
        answers = [
            m for m in self.messages.items
            if m.received and m.status >= 200 and m.method in ("INVITE", "REGISTER")
        ]  # fmt: skip
        if not answers:
            raise PeerError(f"sipp {self.scenario}: no final answer\n{self.log()}")
        return answers[-1]

    async def finish(self, check: bool = True, within: float | None = None) -> Result:
        """Wait until the scenario is through; PeerError with the whole wire when it failed."""
        if self._result is None and (self.answer or self.server is None):
            # a callee never ends by itself: the answered call's end is the end
            await self._over(within or self.within)
            self._result = Result(0, 1, 0, self.errors())
        if self._result is None:
            code = await self._process.wait(within or self.within + 5)
            await asyncio.sleep(0)
            rows = []
            stat = Path(self._folder.name) / "stat.csv"
            if stat.exists():
                rows = list(csv.DictReader(stat.read_text().splitlines(), delimiter=";"))
            last = rows[-1] if rows else {}
            self._result = Result(
                code,
                int(last.get("SuccessfulCall(C)") or 0),
                int(last.get("FailedCall(C)") or 0),
                self.errors(),
            )
        if check and self._result.code != 0:
            raise PeerError(
                f"sipp {self.scenario}: exit {self._result.code}, "
                f"{self._result.failed} failed\n{self.log()}"
            )
        return self._result

    async def _over(self, within: float) -> None:
        """Until a BYE has been answered, or an ACK to a refusal has come."""
        wire = self.messages

        def through(message: Message) -> bool:
            if message.status == 200 and message.method == "BYE":
                return True
            refused = any(m.status >= 400 and not m.received for m in wire.items)
            return refused and message.received and message.start.startswith("ACK ")

        await wire.wait(through, within, what="the end of its call")

    def errors(self) -> str:
        path = Path(self._folder.name) / "errors"
        return path.read_text(errors="replace") if path.exists() else ""

    def log(self) -> str:
        """Errors and wire, for a failing test's message."""
        wire = "\n".join(map(str, self.messages.items))
        screen = "" if self.messages.items else self._process.lines.tail(20)
        return f"--- errors\n{self.errors()}\n--- wire\n{wire}\n{screen}"


def caller(
    server: Address,
    to: str,
    *,
    number: str,
    password: str = "",
    tone: float = 0,
    talk: float = 2.5,
    hold: bool = False,
    callee_hangs_up: bool = False,
    **options: object,
) -> Sipp:
    """Calls `to`, talks for `talk` seconds (before, on, and after a hold), hangs up or waits."""
    variables: dict[str, object] = {"talk": round(talk * 1000)}
    if hold:
        variables["hold"] = 1
    if callee_hangs_up:
        variables["callee_hangs_up"] = 1
    return Sipp(
        "uac", server, number=number, to=to, password=password, tone=tone, variables=variables,
        **options,  # type: ignore[arg-type]
    )  # fmt: skip


def callee(
    number: str,
    *,
    tone: float = 0,
    ring: float = 0.1,
    talk: float = 2.5,
    early: bool = False,
    hangs_up: bool = False,
    **options: object,
) -> Sipp:
    """Rings `ring` seconds (with sound when `early`), answers, hangs up after `talk` or waits."""
    variables: dict[str, object] = {"talk": round(talk * 1000), "ring": round(ring * 1000)}
    if early:
        variables["early"] = 1
    if hangs_up:
        variables["i_hang_up"] = 1
    return Sipp("uas", number=number, tone=tone, variables=variables, **options)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def registered_callee(
    server: Address,
    number: str,
    password: str,
    *,
    answer: str = "uas",
    transport: str = "udp",
    tone: float = 0,
    ring: float = 0.1,
    talk: float = 2.5,
    early: bool = False,
    hangs_up: bool = False,
) -> AsyncIterator[Sipp]:
    """A phone that has registered, and takes its call on the connection it registered on."""
    variables: dict[str, object] = {"talk": round(talk * 1000), "ring": round(ring * 1000)}
    if early:
        variables["early"] = 1
    if hangs_up:
        variables["i_hang_up"] = 1
    async with Sipp(
        "register_and_stay", server, number=number, password=password, transport=transport,
        tone=tone, answer=answer, variables=variables if answer == "uas" else {},
    ) as phone:  # fmt: skip
        await phone.messages.wait(lambda m: m.received and m.status == 200, what="200 to REGISTER")
        yield phone


async def register(
    server: Address,
    number: str,
    password: str,
    *,
    port: int = 0,
    transport: str = "udp",
    expires: int = 60,
    user: str = "",
) -> Message:
    """Register `port` as a phone of `number` (a `callee` can take the port over); the 200."""
    async with Sipp(
        "register", server, number=number, user=user, password=password, transport=transport,
        port=port, keys={"expires": expires}, within=10,
    ) as one:  # fmt: skip
        await one.finish()
        return one.final
