"""Child processes whose output can be waited for, and `Feed`, the list one can wait on."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class PeerError(AssertionError):
    """A peer program did not do what the test asked of it; the text carries its log."""


def missing(*programs: str) -> list[str]:
    """Those of `programs` that this machine does not have."""
    return [name for name in programs if shutil.which(name, path=_path()) is None]


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Feed(Generic[T]):
    """Everything that has happened so far, in order; `wait` looks back first, then ahead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: list[T] = []
        self.closed = False
        self._changed = asyncio.Event()

    def push(self, item: T) -> None:
        self.items.append(item)
        self._changed.set()

    def close(self) -> None:
        self.closed = True
        self._changed.set()

    async def wait(
        self, wanted: Callable[[T], bool], within: float = 10, since: int = 0, what: str = ""
    ) -> T:
        """First item from index `since` on that is `wanted`; PeerError on time-out or end."""
        seen = since
        try:
            async with asyncio.timeout(within):
                while True:
                    while seen < len(self.items):
                        item = self.items[seen]
                        seen += 1
                        if wanted(item):
                            return item
                    if self.closed:
                        raise PeerError(f"{self.name} ended before {what or 'it'}\n{self.tail()}")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            why = f"{self.name}: no {what or 'such event'} in {within:g} s\n{self.tail()}"
            raise PeerError(why) from None

    def tail(self, count: int = 60) -> str:
        return "\n".join(str(item) for item in self.items[-count:])


class Process:
    """One child: its output lines are a feed, and it is always stopped by its own pid."""

    def __init__(self, name: str, child: asyncio.subprocess.Process) -> None:
        self.name = name
        self.child = child
        self.lines: Feed[str] = Feed(name)
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls,
        name: str,
        argv: Sequence[str | Path],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
    ) -> Self:
        """Start `argv`; stdout and stderr together become `lines`."""
        child = await asyncio.create_subprocess_exec(
            *(["stdbuf", "-oL"] if shutil.which("stdbuf") else []),
            *map(str, argv),
            cwd=cwd,
            env={**os.environ, "PATH": _path(), "LC_ALL": "C", **(env or {})},
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
            start_new_session=True,  # a group of its own, to be ended as one
        )
        return cls(name, child)

    async def _read(self) -> None:
        assert self.child.stdout is not None
        try:
            async for raw in self.child.stdout:
                self.lines.push(raw.decode(errors="replace").rstrip())
        finally:
            self.lines.close()

    async def wait_line(self, pattern: str, within: float = 10, since: int = 0) -> re.Match[str]:
        """First output line from index `since` on that contains the regular expression."""
        regex = re.compile(pattern)
        line = await self.lines.wait(
            lambda text: regex.search(text) is not None, within, since, f"line /{pattern}/"
        )
        found = regex.search(line)
        assert found is not None
        return found

    def write(self, line: str) -> None:
        """One line to its standard input."""
        assert self.child.stdin is not None
        self.child.stdin.write(line.encode() + b"\n")

    async def wait(self, within: float = 10) -> int:
        """Its exit code, once it has ended by itself and all its output is read."""
        try:
            async with asyncio.timeout(within):
                code = await self.child.wait()
                await self._reader
        except TimeoutError:
            raise PeerError(
                f"{self.name} still runs after {within:g} s\n{self.lines.tail()}"
            ) from None
        return code

    async def stop(self, sig: signal.Signals = signal.SIGTERM, within: float = 5) -> int:
        """Ask it to end, kill it when it does not; its exit code."""
        if self.child.returncode is None:
            try:
                self.child.send_signal(sig)
                async with asyncio.timeout(within):
                    await self.child.wait()
            except ProcessLookupError:
                pass
            except TimeoutError:
                # With its children: one that is left holds the pipe, and `wait` waits for that.
                os.killpg(self.child.pid, signal.SIGKILL)
        code = await self.child.wait()
        try:  # a grandchild may hold the pipe open: then its last words do not matter
            async with asyncio.timeout(1):
                await self._reader
        except TimeoutError:
            self._reader.cancel()
        return code
