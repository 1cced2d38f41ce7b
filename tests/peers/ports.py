"""Free ports on loopback, and waiting until somebody listens on one."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
# Below Linux's ephemeral range, so that no outgoing connection can take what we have handed out.
_ZONES = {2: (10_000, 17_998), 200: (18_000, 23_998), 2000: (24_000, 31_998)}
"Where ranges of at most so many ports are from: short ones would leave no long gaps."
_next: dict[int, int] = {}


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True


def free_range(count: int) -> int:
    """First (even) of `count` neighbouring ports, free on UDP and TCP. Each call goes on behind
    the one before, so that whoever asked has long bound theirs when it is their turn again."""
    size = next(size for size in _ZONES if count <= size)
    lowest, highest = _ZONES[size]
    first = _next.get(size) or random.randrange(lowest, highest, 2)
    for _ in range(20_000):
        if first + count > highest:
            first = lowest
        taken = next((p for p in range(first, first + count) if not _is_free(p)), None)
        if taken is None:
            _next[size] = first + count + count % 2
            return first
        first = taken + 2 - taken % 2
    raise RuntimeError(f"no {count} neighbouring free ports")


def free_port() -> int:
    """One even port, free on UDP and TCP; the odd one above it is free as well (RTCP)."""
    return free_range(2)


def is_bound(port: int, transport: str = "udp") -> bool:
    """Whether any local socket holds the port: UDP bound, or TCP/TLS listening."""
    udp = transport == "udp"
    state = "07" if udp else "0A"
    for table in ("udp", "udp6") if udp else ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        rows = path.read_text().splitlines()[1:] if path.exists() else []
        for row in map(str.split, rows):
            if int(row[1].rsplit(":", 1)[1], 16) == port and row[3] == state:
                return True
    return False


async def wait_bound(port: int, transport: str = "udp", within: float = 10) -> None:
    """Return as soon as some process holds the port, without sending it anything."""
    async with asyncio.timeout(within):
        while not is_bound(port, transport):  # noqa: ASYNC110 - the kernel sends no event for this
            await asyncio.sleep(0.01)
