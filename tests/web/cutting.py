"""A line between a program and the exchange that is cut where a test says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Line:
    """Passes bytes on, encrypted as they are. `answers` is how many bytes of what the exchange
    sends still pass before all connections are cut; None: all. While `down`, nobody gets one."""

    def __init__(self, host: str, port: int) -> None:
        self.answers: int | None = None
        self.down = False
        self.connections = self.cuts = 0
        self.url = ""
        self.news = asyncio.Condition()
        self._there = host, port
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def until_cut(self, count: int) -> None:
        """Wait until it was cut so often."""
        async with asyncio.timeout(20), self.news:
            await self.news.wait_for(lambda: self.cuts >= count)

    def cut(self) -> None:
        """Cut all connections."""
        self.cuts += 1
        for writer in self._open:
            writer.transport.abort()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.down:
            writer.transport.abort()
            return
        there, on = await asyncio.open_connection(*self._there)
        ends = {writer, on}
        self._open |= ends
        both = self._pass(reader, on), self._back(there, writer)
        tasks = {asyncio.ensure_future(one) for one in both}
        self._tasks |= tasks
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open -= ends
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks -= tasks
            for end in ends:
                end.close()

    async def _pass(self, reader: asyncio.StreamReader, on: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while some := await reader.read(65_536):
                on.write(some)
                await on.drain()

    async def _back(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while some := await there.read(65_536):
                if self.answers is not None and len(some) > self.answers:
                    writer.write(some[: self.answers])
                    await writer.drain()
                    self.answers = None
                    self.cut()
                    async with self.news:
                        self.news.notify_all()
                    return
                if self.answers is not None:
                    self.answers -= len(some)
                writer.write(some)
                await writer.drain()


@asynccontextmanager
async def line_to(host: str, port: int) -> AsyncIterator[Line]:
    """A line to a server."""
    line = Line(host, port)
    server = await asyncio.start_server(line.take, "127.0.0.1", 0)
    line.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        server.close()
        line.cut()
        await asyncio.gather(*line._tasks, return_exceptions=True)
