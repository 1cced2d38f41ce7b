"""A way to a server that breaks, or falls silent, at a word of the client's."""

from __future__ import annotations

import asyncio
from typing import Self

from sqlalchemy import URL

from .ports import HOST


class Wire:
    """`async with Wire(url) as wire:`; `wire.url` leads to the same database."""

    def __init__(self, url: URL) -> None:
        self._there = url
        self.breaks_at = b""
        "What reaches the server once more; its answer does not come back, and the connection ends."
        self.silent_at = b""
        "What reaches the server as the last; the connection stays, and nothing passes any more."
        self.happened = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._there.set(host=HOST, port=port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, ours: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        theirs, there = await asyncio.open_connection(self._there.host, self._there.port)
        answers = asyncio.ensure_future(_pass(theirs, back))
        try:
            while data := await ours.read(65_536):
                breaks = bool(self.breaks_at) and self.breaks_at in data
                silent = bool(self.silent_at) and self.silent_at in data
                if breaks or silent:
                    self.breaks_at = self.silent_at = b""
                    answers.cancel()
                    await asyncio.wait((answers,))
                there.write(data)
                if breaks or silent:
                    await theirs.read(1)  # it was done
                    self.happened.set()
                if silent:
                    await asyncio.Event().wait()
                if breaks:
                    break
        finally:
            answers.cancel()
            there.close()
            back.close()


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        target.write(data)
