"""Thousands of phones that register, each from an address of its own, over UDP or TCP."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.exchange import SECRET, Exchange
from bench.process import BenchError, Child
from bench.sip import Address, Registration, bound_socket

WINDOW = 48
"""Phones that wait for an answer at the same time."""
AGAIN, PATIENCE = 1.0, 20.0
PORT = 5060
FIRST = 300_000


class CrowdedExchange(Exchange):
    """The exchange with as many extensions in its tables as phones will register."""

    phones = 20_000

    def start(self) -> Child:
        """Make the tables, then start as usual."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        asyncio.run(_add_extensions(self.data, self.phones))
        return super().start()


async def _add_extensions(data: Path, count: int) -> None:
    from store.database import Database  # noqa: PLC0415 - only this row needs the tables
    from store.tables import ExtensionRow  # noqa: PLC0415

    database = Database(data / "encryptotel.db")
    await database.open()
    async with database.writing() as session:
        session.add_all(
            ExtensionRow(number=str(FIRST + index), name="Bench", secret=SECRET, srtp="off")
            for index in range(count)
        )
    await database.close()


def host(index: int) -> str:
    """The loopback address of a phone, one for each."""
    return f"127.{16 + index // 50_000}.{index // 250 % 200}.{1 + index % 250}"


@dataclass
class Crowd:
    """Phones of an exchange, by number; ``stream`` keeps a TCP connection for each."""

    server: Address
    stream: bool = False
    _phones: dict[int, Registration] = field(default_factory=dict)

    def _phone(self, index: int) -> Registration:
        """The phone with a socket: UDP phones give theirs back once they are registered."""
        address = (host(index), PORT)
        known = self._phones.get(index)
        if known is not None and self.stream:
            return known
        if self.stream:
            sock = socket.socket()
            sock.bind((host(index), 0))
            sock.connect(self.server)
        else:
            sock = bound_socket(address)
        sock.setblocking(False)
        if known is None:
            known = Registration(sock, self.server, str(FIRST + index), SECRET)
            self._phones[index] = known
        known.sock = sock
        return known

    def register(self, phones: Sequence[int]) -> float:
        """Register (or refresh) phones, many at a time; the seconds it took."""
        begun = time.monotonic()
        waiting: dict[Registration, tuple[float, float]] = {}
        coming = iter(phones)
        done = 0
        with selectors.DefaultSelector() as selector:
            while done < len(phones):
                while len(waiting) < WINDOW and (index := next(coming, None)) is not None:
                    phone = self._phone(index)
                    selector.register(phone.sock, selectors.EVENT_READ, phone)
                    phone.send()
                    waiting[phone] = (time.monotonic(), time.monotonic() + AGAIN)
                for key, _ in selector.select(0.2):
                    phone = key.data
                    status = phone.receive()
                    if status == 200:
                        selector.unregister(phone.sock)
                        del waiting[phone]
                        done += 1
                        if not self.stream:
                            phone.sock.close()
                    elif status not in (0, 401, 100):
                        raise BenchError(f"a REGISTER was answered {status}")
                self._again(waiting)
        return time.monotonic() - begun

    def _again(self, waiting: dict[Registration, tuple[float, float]]) -> None:
        now = time.monotonic()
        for phone, (since, due) in list(waiting.items()):
            if now - since > PATIENCE:
                raise BenchError(f"a phone was not registered in {PATIENCE:.0f} s")
            if now > due and not self.stream:
                phone.send()
                waiting[phone] = (since, now + AGAIN)

    def close(self) -> None:
        """Close all connections."""
        for phone in self._phones.values():
            with contextlib.suppress(OSError):
                phone.sock.close()


def rest(server: Exchange, at_least: float) -> None:
    """Wait until everything of the registering has expired and nothing is left to do.

    A transaction over UDP lives for 32 s (RFC 3261 §17.2.2, timer J).
    """
    until = time.monotonic() + at_least
    quiet, before = 0, server.cpu()
    while time.monotonic() < until or quiet < 3:
        time.sleep(0.5)
        now = server.cpu()
        quiet = quiet + 1 if now - before < 0.05 else 0
        before = now
        if time.monotonic() > until + 60:
            raise BenchError("the exchange does not come to rest")
