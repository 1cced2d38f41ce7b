"""Thousands of phones that register, each from an address of its own, over UDP or TCP."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.exchange import SECRET, Exchange
from bench.process import BenchError, Child
from bench.sip import Address, Registration, bound_socket, free_port

WINDOW = 48
"""Phones that wait for an answer at the same time."""
AGAIN, PATIENCE = 1.0, 60.0
SLOWEST = 100
"""Phones a second that are given up on."""
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
    """Phones of an exchange, by number; ``stream`` keeps a TCP connection for each.

    ``put_off`` counts how often the exchange asked one to come later (503, or a connection not
    taken): that phone waits as it was told, and fewer phones try at the same time.
    """

    server: Address
    stream: bool = False
    put_off: int = 0
    port: int = field(default_factory=lambda: free_port("127.16.0.1"))
    _phones: dict[int, Registration] = field(default_factory=dict)

    def register(self, phones: Sequence[int]) -> float:
        """Register (or refresh) phones, many at a time; the seconds it took."""
        begun = time.monotonic()
        fresh = deque(phones)
        later: deque[tuple[float, int]] = deque()
        waiting: dict[int, float] = {}
        window, done = float(WINDOW), 0
        with selectors.DefaultSelector() as selector:
            while done < len(phones):
                if time.monotonic() - begun > PATIENCE + len(phones) / SLOWEST:
                    raise BenchError(f"{done} of {len(phones)} phones registered in time")
                while len(waiting) < window and (index := _next(fresh, later)) is not None:
                    try:
                        phone = self._phone(index)
                        phone.send()
                    except ConnectionError:
                        self._retry(index, 1.0, later)
                        continue
                    selector.register(phone.sock, selectors.EVENT_READ, index)
                    waiting[index] = time.monotonic() + AGAIN
                for key, _ in selector.select(0.05):
                    index, phone = key.data, self._phones[key.data]
                    try:
                        status = phone.receive()
                    except ConnectionError:
                        status = -1
                    if status in (0, 100, 401):
                        continue
                    selector.unregister(key.fileobj)
                    del waiting[index]
                    if status == 200:
                        done += 1
                        window = min(WINDOW, window + 1 / window)
                    elif status in (-1, 503):
                        self._retry(index, phone.retry_after or 1.0, later)
                        window = max(1.0, window / 2)
                    else:
                        raise BenchError(f"a REGISTER was answered {status}")
                    if not self.stream or status == -1:
                        phone.sock.close()
                self._again(waiting)
        return time.monotonic() - begun

    def _phone(self, index: int) -> Registration:
        """The phone with a socket: UDP phones give theirs back once they are registered."""
        known = self._phones.get(index)
        if known is not None and self.stream and known.sock.fileno() >= 0:
            return known
        if self.stream:
            sock = socket.create_connection(self.server, 10, (host(index), 0))
        else:
            sock = bound_socket((host(index), self.port))
        sock.setblocking(False)
        if known is None:
            known = Registration(sock, self.server, str(FIRST + index), SECRET)
            self._phones[index] = known
        known.sock = sock
        return known

    def _retry(self, index: int, seconds: float, later: deque[tuple[float, int]]) -> None:
        self.put_off += 1
        later.append((time.monotonic() + seconds, index))

    def _again(self, waiting: dict[int, float]) -> None:
        """Over UDP, repeat what was not answered."""
        now = time.monotonic()
        for index, due in waiting.items():
            if now > due and not self.stream:
                self._phones[index].send()
                waiting[index] = now + AGAIN

    def close(self) -> None:
        """Close all connections."""
        for phone in self._phones.values():
            with contextlib.suppress(OSError):
                phone.sock.close()


def _next(fresh: deque[int], later: deque[tuple[float, int]]) -> int | None:
    """The next phone to try: one whose waiting is over, else a new one."""
    if later and (later[0][0] <= time.monotonic()):
        return later.popleft()[1]
    return fresh.popleft() if fresh else None


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
