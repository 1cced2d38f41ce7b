"""A Waves node for tests, with a chain of its own: blocks are made and undone, pages begin anew
when what they were to follow is gone, and it can be as slow and broken as public ones are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import base58
from aiohttp import web

PAGE_MOST = 1_000


@dataclass
class Chain:
    """Blocks of transactions, newest last; `mempool` waits for the next."""

    blocks: list[list[dict[str, Any]]] = field(default_factory=lambda: [[]])
    mempool: list[dict[str, Any]] = field(default_factory=list)
    made: int = 0

    @property
    def height(self) -> int:
        return len(self.blocks)

    def forge(self, blocks: int = 1) -> None:
        """Make blocks: what waits is in the first."""
        for _ in range(blocks):
            taken, self.mempool = self.mempool, []
            self.blocks.append(taken)
            for tx in taken:
                tx["height"] = self.height

    def roll_back(self, blocks: int, *, keep: bool = True) -> None:
        """Undo blocks; what was in them waits again, or with `keep` False never was."""
        for _ in range(min(blocks, self.height - 1)):
            gone = self.blocks.pop()
            if keep:
                self.mempool = gone + self.mempool

    def put(self, tx: dict[str, Any]) -> None:
        """A transaction that waits for the next block, checked by whoever made it."""
        tx.setdefault("applicationStatus", "succeeded")
        tx.setdefault("timestamp", int(time.time() * 1000))
        if "id" not in tx:
            self.made += 1
            tx["id"] = base58.b58encode(b"%032d" % self.made).decode()
        self.mempool.append(tx)

    def of(self, address: str, limit: int, after: str = "") -> list[dict[str, Any]]:
        """What concerns an address, newest first; an `after` that is not there begins anew."""
        found = [
            {**tx, "height": number}
            for number in range(self.height, 0, -1)
            for tx in reversed(self.blocks[number - 1])
            if address in _addresses(tx)
        ]
        ids = [tx["id"] for tx in found]
        begin = ids.index(after) + 1 if after in ids else 0
        return found[begin : begin + limit]


def _addresses(tx: dict[str, Any]) -> set[Any]:
    changes = (tx.get("stateChanges") or {}).get("transfers", [])
    each = [*tx.get("transfers", []), *changes]
    return {
        tx.get("sender"), tx.get("recipient"), tx.get("dApp"),
        *(one.get("recipient") or one.get("address") for one in each if isinstance(one, dict)),
    }  # fmt: skip


class WavesNode:
    """The REST API over a chain. `status` answers everything so, `delay` waits before."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.status, self.delay, self.asked = chain, 200, 0.0, 0
        self.url = ""

    async def height(self, _: web.Request) -> web.Response:
        if refused := await self._first():
            return refused
        return web.json_response({"height": self.chain.height})

    async def page(self, request: web.Request) -> web.Response:
        if refused := await self._first():
            return refused
        limit = int(request.match_info["limit"])
        if not 1 <= limit <= PAGE_MOST:
            return web.json_response({"error": 10, "message": "Too big sequence"}, status=400)
        found = self.chain.of(request.match_info["address"], limit, request.query.get("after", ""))
        return web.json_response([found])

    async def _first(self) -> web.Response | None:
        self.asked += 1
        await asyncio.sleep(self.delay)
        return None if self.status == 200 else web.Response(status=self.status)


@asynccontextmanager
async def waves_node(chain: Chain) -> AsyncIterator[WavesNode]:
    """A node that serves."""
    node = WavesNode(chain)
    app = web.Application()
    app.router.add_get("/blocks/height", node.height)
    app.router.add_get("/transactions/address/{address}/limit/{limit}", node.page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    node.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield node
    finally:
        await runner.cleanup()
