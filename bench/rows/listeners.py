"""A thousand programs that listen for events over TLS: how long after it happened each has heard of
a message, and what memory a listener takes."""

from __future__ import annotations

import asyncio
import ssl
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bench.process import BenchError
from bench.report import Row, quantile
from bench.rows import Options
from encryptotel.api_keys import ApiKeys
from store.database import Database
from store.tables import PersonRow
from tests.peers.exchange import WEB, Config, Exchange, Extension

LISTENERS, EACH = 1_000, 8
"Programs in all, and of one person."
LIMIT_MS = 100.0
MESSAGES, APART = 200, 0.05
"Each to one person, so that eight hear of it."
AT_ONCE = 25
"""Connections that are made at the same time."""


class Listener:
    """One connection that reads what happens."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.heard: dict[str, float] = {}
        "When each message was, by its words."

    async def listen(self) -> None:
        """Note when each message was heard, by its words."""
        while line := await self._reader.readline():
            if line.startswith(b"data: ") and (at := line.find(b"bench-")) > 0:
                self.heard[line[at : at + 10].decode()] = time.monotonic()

    def close(self) -> None:
        """Hear no more."""
        self._writer.close()


async def _connected(
    address: tuple[str, int], trusted: ssl.SSLContext, token: str, number: int
) -> Listener:
    """One that listens; each comes from an address of its own, as programs do."""
    here = f"127.1.{number // 200}.{number % 200 + 1}"
    reader, writer = await asyncio.open_connection(
        *address, ssl=trusted, local_addr=(here, 0), server_hostname="127.0.0.1"
    )
    writer.write(
        f"GET /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n".encode()
    )
    await reader.readuntil(b"retry: ")
    return Listener(reader, writer)


async def _keys(data: Path, people: Sequence[str]) -> list[str]:
    """Everybody is somebody, with a key for each of their programs. The exchange is not running."""
    database = Database(data / "encryptotel.db")
    await database.open()
    async with database.writing() as session:
        for number in people:
            session.add(PersonRow(id=f"p{number}", name=number, extension=number, role="member",
                                  talked_at=datetime.now(UTC)))  # fmt: skip
    keys = ApiKeys(database)
    made = [await keys.make(number, "bench", ["events", "messages"]) for number in people]
    await database.close()
    return made


async def _measured(listeners: int) -> tuple[list[float], float]:
    """Milliseconds from each message to each who heard of it, and kilobytes a listener."""
    people = [str(200 + number) for number in range(listeners // EACH)]
    phones = [Extension(number, f"secret-{number}") for number in people]
    config = Config(phones, extra={**WEB, "limits": {"texts_per_hour": 100_000}})
    exchange = Exchange(config)
    exchange.data.mkdir()
    tokens = await _keys(exchange.data, people)
    async with exchange:
        host, port = exchange.address("web")
        trusted = ssl.create_default_context(cafile=exchange.ca)
        before = (await exchange.cli("status"))["health"]["memory_mb"]
        gate = asyncio.Semaphore(AT_ONCE)

        async def connect(number: int) -> Listener:
            async with gate:
                return await _connected((host, port), trusted, tokens[number // EACH], number)

        found = await asyncio.gather(*(connect(number) for number in range(listeners)))
        after = (await exchange.cli("status"))["health"]["memory_mb"]
        listening = [asyncio.ensure_future(one.listen()) for one in found]
        async with httpx.AsyncClient(
            base_url=f"https://{host}:{port}/v1", verify=trusted
        ) as client:
            took = await _told(client, found, people, tokens)
        for one in found:
            one.close()
        await asyncio.gather(*listening, return_exceptions=True)
    return took, 1000 * (after - before) / listeners


async def _told(
    client: httpx.AsyncClient,
    listeners: Sequence[Listener],
    people: Sequence[str],
    tokens: Sequence[str],
) -> list[float]:
    """Send messages to one after the other, and wait until all who listen for them have heard."""
    took: list[float] = []
    sent: dict[str, float] = {}
    for number in range(MESSAGES):
        words, to = f"bench-{number:04}", number % len(people)
        sender = {"authorization": f"Bearer {tokens[(to + 1) % len(people)]}"}
        sent[words] = time.monotonic()
        order = {"to": people[to], "text": words}
        answer = await client.post("/messages", json=order, headers=sender)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise BenchError(f"{answer.status_code}: {answer.text[:200]}")
        await asyncio.sleep(max(0.0, sent[words] + APART - time.monotonic()))
    await asyncio.sleep(1)  # for the last; who has not heard by then is told of
    for number, (words, at) in enumerate(sent.items()):
        first = number % len(people) * EACH
        for one in listeners[first : first + EACH]:
            if words not in one.heard:
                raise BenchError(f"somebody did not hear {words}")
            took.append(1000 * (one.heard[words] - at))
    return took


def measure(options: Options) -> list[Row]:
    """One row."""
    listeners = 160 if options.quick else LISTENERS
    row = Row("listeners", f"a message heard by {listeners:,} programs that listen, p99", "ms")
    took, memory = asyncio.run(_measured(listeners))
    row.against(quantile(took, 0.99), LIMIT_MS)
    row.detail = (
        f"{len(took)} times heard, from the request on; p50 {statistics.median(took):.1f} ms, "
        f"longest {max(took):.0f}; {memory:.0f} kB a listener"
    )
    return [row]
