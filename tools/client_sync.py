"""Writes the client for programs without asyncio from the one with it: `make client`."""

from __future__ import annotations

import re

from tools.client_shapes import ROOT, formatted

SOURCE, FILE = ROOT / "encryptotel_client/aio.py", ROOT / "encryptotel_client/client.py"
WORDS = {
    "AsyncClient": "Client",
    "AsyncGenerator": "Generator",
    "asyncio.sleep": "time.sleep",
    "import asyncio": "import time",
    "async def": "def",
    "async with": "with",
    "async for": "for",
    "await ": "",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aiter_bytes": "iter_bytes",
    "aread": "read",
    "aclose": "close",
    "with asyncio": "without asyncio; `make client` writes this file",
}
"What is said differently; the first that fits counts."


def client() -> str:
    """The module with the client that waits."""
    words = re.compile("|".join(map(re.escape, WORDS)))
    text = words.sub(lambda found: WORDS[found.group()], SOURCE.read_text("utf-8"))
    return formatted(text, FILE)


if __name__ == "__main__":
    FILE.write_text(client(), "utf-8")
    print(FILE.relative_to(ROOT))
