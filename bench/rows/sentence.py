"""Sentence typed to INVITE on the wire, through the control socket, to a bare socket as carrier.

The clock runs from the moment the sentence is written to ``control.sock`` until the datagram with
the INVITE to its number is read at the trunk's address, so it covers the language, the operator,
the gatekeeper, the journal and the SIP stack. The carrier answers 486, so no call lives on.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import secrets
import select
import socket
import statistics
import time
from pathlib import Path

from bench.exchange import Exchange
from bench.process import BenchError
from bench.report import Row, quantile
from bench.rows import Options
from bench.server import CALLEE_HOST, CARRIER_HOST, Wiring
from bench.sip import Message, bound_socket, parse, respond

LIMIT_MS = 100.0
PATIENCE = 3.0
PAUSE = 0.1
GIVE_UP = 3
AREAS = ("202", "212", "303", "415", "617", "713", "206", "312")
SHAPES = (
    "Call the number {n} from the USA zone number, then call me back on 101",
    "call {n} from the US line and call me back on 101",
    "From the USA number, call {n} and then ring me on 101",
    "please dial {n} from the USA zone and call back 101",
    "I need to talk to {n}, use the USA line and call me back on 101",
    "ring {n} via the US zone number then call me at 101",
    "Could you call {n} using the USA zone number and then call me back on 101?",
)


def _sentences(count: int) -> list[tuple[str, str]]:
    """Different sentences with different numbers: text, and the digits that must be dialled."""
    made: list[tuple[str, str]] = []
    dice = random.Random(2)
    for index in range(count):
        area, last = dice.choice(AREAS), f"01{index % 100:02}"
        spelled = dice.choice(
            (f"+1 {area} 555 {last}", f"+1{area}555{last}", f"+1-{area}-555-{last}")
        )
        text = SHAPES[index % len(SHAPES)].format(n=spelled)
        made.append((text, f"1{area}555{last}"))
    return made


class Typist:
    """The control socket and the two SIP addresses a sentence leads to."""

    def __init__(
        self, control: socket.socket, carrier: socket.socket, phone: socket.socket
    ) -> None:
        self._control = control
        self._sockets = (control, carrier, phone)
        self._carrier = carrier
        self._tag = secrets.token_hex(4)
        self._buffer = b""

    def _refuse(self, sock: socket.socket) -> Message | None:
        """Read one datagram and answer it: every INVITE is busy, all else is fine."""
        try:
            data, source = sock.recvfrom(65535)
        except ConnectionRefusedError:
            return None
        message = parse(data)
        if message is None or message.status or message.method == "ACK":
            return None
        status = "486 Busy Here" if message.method == "INVITE" else "200 OK"
        sock.sendto(respond(message, status, self._tag), source)
        return message

    def _reply(self) -> str | None:
        chunk = self._control.recv(65536)
        if not chunk:
            raise BenchError("the exchange closed its control socket")
        self._buffer += chunk
        if b"\n" not in self._buffer:
            return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def say(self, text: str, digits: str) -> tuple[float | None, float | None, str]:
        """Type one sentence: milliseconds until its INVITE and until its reply, and the reply."""
        request = json.dumps({"do": "say", "text": text}).encode() + b"\n"
        invited: float | None = None
        replied: float | None = None
        reply = ""
        begun = time.monotonic()
        deadline = begun + PATIENCE
        self._control.sendall(request)
        while time.monotonic() < deadline and (invited is None or replied is None):
            for ready in select.select(self._sockets, [], [], deadline - time.monotonic())[0]:
                now = (time.monotonic() - begun) * 1000
                if ready is self._control:
                    line = self._reply()
                    if line is not None:
                        replied, reply = now, line
                    continue
                message = self._refuse(ready)
                if ready is not self._carrier or message is None or message.method != "INVITE":
                    continue
                if invited is None and digits in re.sub(r"\D", "", message.uri.partition("@")[0]):
                    invited = now
        self.rest(PAUSE)
        return invited, replied, reply

    def rest(self, seconds: float) -> None:
        """Let the call end: answer what still comes, for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for ready in select.select(self._sockets[1:], [], [], left)[0]:
                self._refuse(ready)


def control_of(data: Path) -> socket.socket:
    """The control socket of a running exchange."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    deadline = time.monotonic() + 5
    while True:
        try:
            sock.connect(str(data / "control.sock"))
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchError(f"no control socket in {data}: {error}") from None
            time.sleep(0.05)
        else:
            return sock


def measure(options: Options) -> list[Row]:
    """Sentences one after the other, the first one included."""
    count = 20 if options.quick else 100
    row = Row(
        "sentence",
        "sentence typed → INVITE, p99",
        "ms",
        peer=LIMIT_MS,
        peer_name="limit",
        goal=1.0,
    )
    took: list[float] = []
    silent: list[str] = []
    with contextlib.ExitStack() as stack:
        carrier = stack.enter_context(bound_socket((CARRIER_HOST, 0)))
        phone = stack.enter_context(bound_socket((CALLEE_HOST, 0)))
        exchange = Exchange(Wiring.fresh(), options.folder / "sentence", carrier.getsockname())
        stack.enter_context(exchange)
        exchange.register(phone, "101")
        control = stack.enter_context(control_of(exchange.data))
        typist = Typist(control, carrier, phone)
        for text, digits in _sentences(count):
            invited, replied, reply = typist.say(text, digits)
            row.rounds.append({"text": text, "invite_ms": invited, "reply_ms": replied})
            if invited is None:
                silent.append(f"{text!r} → {reply or 'no reply'}")
                if len(silent) >= GIVE_UP and not took:
                    break
            else:
                took.append(invited)
    if not took:
        row.failed = f"no sentence led to an INVITE; the first: {silent[0]}"
        return [row]
    row.ours = quantile(took, 0.99)
    row.ratio = row.ours / LIMIT_MS
    row.detail = (
        f"{len(took)} of {count} sentences; p50 {statistics.median(took):.1f} ms, "
        f"p99 {row.ours:.1f} ms, longest {max(took):.1f} ms, the first {took[0]:.1f} ms"
    )
    if silent:
        row.failed = f"{len(silent)} of {count} led to no INVITE: {silent[0]}"
    return [row]
