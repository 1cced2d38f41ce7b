"""Disks that are really full and databases that are really locked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

SMALL = 4_000_000
SHARED = 40_000
"What SQLite needs to open a database at all; on a full disk it has it from before."


class Disk(Protocol):
    """Where a data folder lies, and a way to fill it up and to make room again."""

    data: Path
    before: tuple[str, ...]
    "What to put in front of a command that is to start while the disk is full."

    def fill(self, pid: int) -> None:
        """From now on the process (0: whoever comes) cannot make any file longer."""

    def free(self, pid: int) -> None:
        """There is room again."""


class SmallDisk:
    """A file system of 4 MB; the rest of it is taken by another file."""

    def __init__(self, mount: Path) -> None:
        self.data = mount / "data"
        self.before = ()
        self._ballast = mount / "ballast"

    def fill(self, pid: int) -> None:
        with self._ballast.open("wb", buffering=0) as out:
            for size in (65_536, 4096, 1):
                with contextlib.suppress(OSError):
                    while out.write(b"\0" * size):
                        pass

    def free(self, pid: int) -> None:
        self._ballast.unlink()


class Allowance:
    """The kernel's limit on file sizes (RLIMIT_FSIZE): it needs no rights, and a write beyond
    it fails as on a full disk."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.before = ()

    def fill(self, pid: int) -> None:
        if pid:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        self.before = ("prlimit", f"--fsize={SHARED}:unlimited")

    def free(self, pid: int) -> None:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
        self.before = ()


@contextmanager
def small_disk(folder: Path, size: int = SMALL) -> Iterator[Disk]:
    """A small file system where we may mount one, else an allowance."""
    mount = folder / "disk"
    mount.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "encryptotel-test", str(mount)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        yield Allowance(mount)
        return
    try:
        yield SmallDisk(mount)
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


@contextmanager
def allowance(folder: Path) -> Iterator[Disk]:
    yield Allowance(folder)


_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


@asynccontextmanager
async def locked(database: Path) -> AsyncIterator[None]:
    """Another program holds the database while the block runs."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLD, str(database),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    assert (await child.stdout.readline()).strip() == b"held"
    try:
        yield
    finally:
        child.stdin.close()
        await child.wait()
