"""Twenty people who chat at once: a message handed to the bot to its INVITE on the wire.

The whole way: the Bot API server that the tests use and the unmodified Telegram library, or
Prosody and slixmpp; then language, operator, gatekeeper, journal and SIP. The clock starts when a
person's client has sent the message. Each writes once a second, at a moment of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import secrets
import shutil
import socket
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.exchange import Exchange
from bench.process import BenchError
from bench.report import Row, quantile
from bench.rows import Options
from bench.server import CALLEE_HOST, CARRIER_HOST, Wiring
from bench.sip import bound_socket, parse, respond
from tests.peers import certs, prosody, telegram

PEOPLE = 20
LIMIT_MS = 150.0
PATIENCE = 10.0
SHAPES = (
    "call {n} from the US line and call me back on 101",
    "Call the number {n} from the USA zone number, then call me back on 101",
    "please dial {n} from the USA zone and call back 101",
)


class Wire:
    """The carrier and the phone: every INVITE is noted by its number and refused."""

    def __init__(self, carrier: socket.socket, phone: socket.socket) -> None:
        self._tag = secrets.token_hex(4)
        self._awaited: dict[str, asyncio.Future[float]] = {}
        loop = asyncio.get_running_loop()
        for sock in (carrier, phone):
            sock.setblocking(False)
            loop.add_reader(sock, self._read, sock)
        self._sockets = (carrier, phone)

    def close(self) -> None:
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)

    def invite_to(self, digits: str) -> asyncio.Future[float]:
        """The moment when an INVITE to that number comes."""
        self._awaited[digits] = asyncio.get_running_loop().create_future()
        return self._awaited[digits]

    def _read(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            data, source = sock.recvfrom(65535)
            now, message = time.monotonic(), parse(data)
            if message is None or message.status or message.method == "ACK":
                return
            busy = message.method == "INVITE"
            reply = respond(message, "486 Busy Here" if busy else "200 OK", self._tag)
            sock.sendto(reply, source)
            digits = re.sub(r"\D", "", message.uri.partition("@")[0])
            awaited = self._awaited.pop(digits, None)
            if busy and awaited is not None and not awaited.done():
                awaited.set_result(now)


Network = Callable[[Path], Any]
"Opens a network: the sections of the configuration, and a way to meet somebody on it."


@asynccontextmanager
async def _telegram(folder: Path) -> AsyncIterator[tuple[dict[str, Any], Any]]:
    async with telegram.TelegramServer() as server:

        async def meet(number: int) -> Any:
            return server.user(1000 + number, f"P{number}")

        yield {"telegram": {"token": telegram.TOKEN, "api": server.url}}, meet


@asynccontextmanager
async def _jabber(folder: Path) -> AsyncIterator[tuple[dict[str, Any], Any]]:
    certificate = await certs.make(folder, prosody.DOMAIN)
    async with prosody.Prosody(certificate) as server, contextlib.AsyncExitStack() as stack:
        bot = await server.register("pbx", "bot-secret")

        async def meet(number: int) -> Any:
            jid = await server.register(f"p{number}", "secret")
            talker = prosody.Talker(jid, "secret", bot, certificate.ca)
            talker.connect("127.0.0.1", server.port)
            async with asyncio.timeout(PATIENCE):
                await talker.online.wait()
            stack.push_async_callback(talker.disconnect)
            return talker

        section = {"jid": bot, "password": "bot-secret", "host": "127.0.0.1"}
        yield {"xmpp": {**section, "port": server.port, "ca_file": str(certificate.ca)}}, meet


async def _joined(meet: Any, log: Path) -> Sequence[Any]:
    """Twenty people who were let in, the first of them the owner."""
    code = await asyncio.to_thread(_first_way, log)
    owner = await meet(0)
    owner.says(code[1])
    await owner.sees(lambda text: "Welcome" in text)
    people = [owner]
    for number in range(1, PEOPLE):
        since = len(owner.feed.items)
        owner.says(f"invite P{number}")
        said = await owner.feed.wait(lambda text: "Send" in text, PATIENCE, since)
        way = re.search(r"(?:start=|body=)([\w-]{16})", said)
        if way is None:
            raise BenchError(f"no way in: {said}")
        person = await meet(number)
        person.says(way[1])
        await person.sees(lambda text: "Welcome" in text)
        people.append(person)
    return people


def _first_way(log: Path) -> re.Match[str]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if code := re.search(r"(?:start=|body=|write )([\w-]{16})", log.read_text()):
            return code
        time.sleep(0.05)
    raise BenchError("the exchange gave no way in")


async def _took(network: Network, folder: Path, rounds: int) -> list[float]:
    """Milliseconds from each message to its INVITE."""
    took: list[float] = []
    with contextlib.ExitStack() as stack:
        carrier = stack.enter_context(bound_socket((CARRIER_HOST, 0)))
        phone = stack.enter_context(bound_socket((CALLEE_HOST, 0)))
        async with network(folder) as (sections, meet):
            exchange = Exchange(Wiring.fresh(), folder, carrier.getsockname())
            exchange.sections = {**sections, "chat": {"confirm": False}}
            await asyncio.to_thread(exchange.__enter__)
            stack.callback(exchange.__exit__, None, None, None)
            await asyncio.to_thread(exchange.register, phone, "101")
            wire = Wire(carrier, phone)
            people = await _joined(meet, folder / "log")
            dice = random.Random(20)
            for turn in range(rounds):
                begun: dict[str, float] = {}
                invites: dict[str, asyncio.Future[float]] = {}
                moments = sorted(dice.uniform(0, 1) for _ in people)
                started = time.monotonic()
                for number, person in enumerate(people):
                    await asyncio.sleep(started + moments[number] - time.monotonic())
                    digits = f"1202555{100 + number:04}"
                    invites[digits] = wire.invite_to(digits)
                    spelled = f"+1 202 555 {100 + number:04}"
                    person.says(SHAPES[(turn + number) % len(SHAPES)].format(n=spelled))
                    begun[digits] = time.monotonic()
                done, _ = await asyncio.wait(invites.values(), timeout=PATIENCE)
                if len(done) < len(invites):
                    raise BenchError(f"{len(invites) - len(done)} messages led to no INVITE")
                took += [1000 * (invites[d].result() - at) for d, at in begun.items()]
                await asyncio.sleep(1)  # the calls end, and people have read that
            wire.close()
    return took


def measure(options: Options) -> list[Row]:
    """One row a network."""
    rows = []
    networks: dict[str, Network] = {"telegram": _telegram, "jabber": _jabber}
    for name, network in networks.items():
        (options.folder / f"people-{name}").mkdir(parents=True, exist_ok=True)
        title = f"{PEOPLE} people on {name}: message → INVITE, p99"
        row = Row(f"people-{name}", title, "ms", goal=1.0)
        rows.append(row)
        if name == "jabber" and shutil.which("prosody") is None:
            row.skipped = "prosody is not installed"
            continue
        turns = 2 if options.quick else 10
        took = asyncio.run(_took(network, options.folder / f"people-{name}", turns))
        row.against(quantile(took, 0.99), LIMIT_MS)
        row.detail = (
            f"{len(took)} messages; p50 {statistics.median(took):.0f} ms, longest {max(took):.0f}"
        )
    return rows
