"""The official Waves libraries for JavaScript, in a process of their own: they say what addresses,
keys, ids and signatures are right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "waves_js"
READY = (HERE / "node_modules" / "@waves" / "waves-transactions").is_dir()


class WavesJs:
    """Asks one thing after the other; what there is to ask is in `waves_js/waves.js`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._one = asyncio.Lock()

    async def ask(self, do: str, **question: Any) -> Any:
        """The answer. Raises `ValueError` where the libraries raise something."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._one, asyncio.timeout(30):
            self._process.stdin.write(json.dumps({"do": do, **question}).encode() + b"\n")
            answer = json.loads(await self._process.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["ok"]


@asynccontextmanager
async def waves_js() -> AsyncIterator[WavesJs]:
    """The libraries, for as long as they are wanted."""
    process = await asyncio.create_subprocess_exec(
        "node", HERE / "waves.js",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20,
    )  # fmt: skip
    try:
        yield WavesJs(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
