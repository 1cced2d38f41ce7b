"""The way in for the command line: a Unix socket in the data directory, one JSON object a line.

Only the user who runs the exchange can open it. Requests name what to `do`; the answer has an
`error` when it could not be done.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from encryptotel.errors import UserError

log = logging.getLogger(__name__)

MAX_REQUEST = 65_536
MAX_CONNECTIONS = 32
IDLE_SECONDS = 60.0
"Seconds a connection may say nothing."
TIMEOUT = 30.0
"Seconds the command line waits for an answer."

Request = Mapping[str, Any]
Handler = Callable[[Request], Awaitable[Mapping[str, Any]]]


class NotRunning(UserError):
    """No exchange serves this data directory."""


class Control:
    """The server side."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen. Raises OSError when another exchange serves here."""
        if self._path.exists():
            if await is_running(self._path):
                raise OSError(f"another exchange is running on {self._path.parent}")
            self._path.unlink()
        before = os.umask(0o177)  # from its first moment the socket is its owner's alone
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, self._path, limit=MAX_REQUEST
            )
        finally:
            os.umask(before)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._open.add(writer)
        try:
            while line := await _line(reader):
                answer = await self._answer(line)
                writer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
                await writer.drain()
        except (ValueError, ConnectionError, TimeoutError):
            pass  # too long a line, or a caller who left or says nothing
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            handler = self._handlers[request["do"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"error": "send one JSON object a line with a known “do”"}
        try:
            return await handler(request)
        except UserError as error:
            return {"error": str(error)}
        except Exception as error:
            log.exception("control: %s failed", request["do"])
            return {"error": str(error) or type(error).__name__}


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(IDLE_SECONDS):
        return await reader.readline()


async def is_running(path: Path) -> bool:
    """Whether somebody answers on a socket."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


async def ask(path: Path, request: Request) -> dict[str, Any]:
    """Ask a running exchange. Raises `NotRunning`."""
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=16 * MAX_REQUEST)
    except OSError as error:
        raise NotRunning(f"no exchange is running on {path.parent}") from error
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(TIMEOUT):
            line = await reader.readline()
        answer = json.loads(line) if line else {"error": "the exchange stopped answering"}
    except (ValueError, TimeoutError, ConnectionError) as error:
        raise NotRunning("the exchange stopped answering") from error
    finally:
        writer.close()
    return dict(answer)
