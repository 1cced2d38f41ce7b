"""A Waves node for tests, with a chain of its own: blocks are made and undone, pages begin anew
when what they were to follow is gone, balances are kept, signatures are checked by the official
JavaScript library, and it can be as slow, strict and broken as public ones are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import dropwhile, islice
from typing import Any

import base58
from aiohttp import web

from tests.peers.waves_js import WavesJs

PAGE_MOST = 1_000
WAVES = "WAVES"
FEE = 100_000
OLD, EARLY = 7_200_000, 5_400_000
"Milliseconds that a transaction may be older than now, or newer."


@dataclass
class Chain:
    """Blocks of transactions, newest last; `mempool` waits for the next."""

    blocks: list[list[dict[str, Any]]] = field(default_factory=lambda: [[]])
    mempool: list[dict[str, Any]] = field(default_factory=list)
    made: int = 0
    late: float = 0.0
    "Seconds that the newest block lies behind the clock."
    given: dict[tuple[str, str], int] = field(default_factory=dict)
    "What addresses have from the beginning, by address and asset."

    def balance(self, address: str, asset: str) -> int:
        """What an address has when all that waits is taken."""
        there = self.given.get((address, asset), 0)
        for tx in [tx for block in self.blocks for tx in block] + self.mempool:
            moved = (tx.get("assetId") or WAVES) == asset
            there += tx["amount"] * moved * (tx.get("recipient") == address)
            if tx.get("sender") == address:
                there -= tx["amount"] * moved + tx.get("fee", 0) * (asset == WAVES)
        return there

    def find(self, id: str) -> tuple[dict[str, Any], int] | None:
        """A transaction, and the height of its block: 0 while it waits."""
        for number, block in enumerate(self.blocks, 1):
            for tx in block:
                if tx["id"] == id:
                    return tx, number
        return next(((tx, 0) for tx in self.mempool if tx["id"] == id), None)

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
        if after:
            behind = dropwhile(lambda tx: tx["id"] != after, self._newest(address))
            if next(behind, None) is not None:
                return list(islice(behind, limit))
        return list(islice(self._newest(address), limit))

    def _newest(self, address: str) -> Iterator[dict[str, Any]]:
        for number in range(self.height, 0, -1):
            for tx in reversed(self.blocks[number - 1]):
                if address in _addresses(tx):
                    yield {**tx, "height": number}


def _addresses(tx: dict[str, Any]) -> set[Any]:
    changes = (tx.get("stateChanges") or {}).get("transfers", [])
    each = [*tx.get("transfers", []), *changes]
    return {
        tx.get("sender"), tx.get("recipient"), tx.get("dApp"),
        *(one.get("recipient") or one.get("address") for one in each if isinstance(one, dict)),
    }  # fmt: skip


class WavesNode:
    """The REST API over a chain. `status` answers everything so, `delay` waits before, and of a
    `budget` each request takes one: without any it answers 429, as public nodes do."""

    def __init__(self, chain: Chain, js: WavesJs | None = None) -> None:
        self.chain, self.status, self.delay, self.asked = chain, 200, 0.0, 0
        self.js = js
        self.budget: int | None = None
        self.lost = False
        "Whether answers to broadcasts are lost on their way."
        self.took = asyncio.Event()
        "A broadcast was taken."
        self.url = ""

    async def height(self, _: web.Request) -> web.Response:
        if refused := await self._first():
            return refused
        return web.json_response({"height": self.chain.height})

    async def last(self, _: web.Request) -> web.Response:
        if refused := await self._first():
            return refused
        stamp = int((time.time() - self.chain.late) * 1000)
        return web.json_response({"height": self.chain.height, "timestamp": stamp})

    async def page(self, request: web.Request) -> web.Response:
        if refused := await self._first():
            return refused
        limit = int(request.match_info["limit"])
        if not 1 <= limit <= PAGE_MOST:
            return web.json_response({"error": 10, "message": "Too big sequence"}, status=400)
        found = self.chain.of(request.match_info["address"], limit, request.query.get("after", ""))
        return web.json_response([found])

    async def balance(self, request: web.Request) -> web.Response:
        if refused := await self._first():
            return refused
        address, asset = request.match_info["address"], request.match_info.get("asset", WAVES)
        there = self.chain.balance(address, asset)
        return web.json_response({"address": address, "confirmations": 0, "balance": there})

    async def state(self, request: web.Request) -> web.Response:
        if refused := await self._first():
            return refused
        id = request.query["id"]
        found = self.chain.find(id)
        if found is None:
            return web.json_response([{"id": id, "status": "not_found"}])
        tx, height = found
        if not height:
            return web.json_response([{"id": id, "status": "unconfirmed"}])
        return web.json_response(
            [
                {
                    "id": id,
                    "status": "confirmed",
                    "height": height,
                    "confirmations": self.chain.height - height,
                    "applicationStatus": tx["applicationStatus"],
                }
            ]
        )

    async def broadcast(self, request: web.Request) -> web.Response:
        if refused := await self._first():
            return refused
        tx = await request.json()
        assert self.js is not None
        try:
            found = await self.js.ask("check", tx={"attachment": "", "feeAssetId": None, **tx})
        except ValueError as error:
            return _no(1, f"failed to parse json message: {error}")
        if why := self._against(tx, found):
            return _no(112, f"State check failed. Reason: {why}")
        if self.chain.find(found["id"]) is None:
            self.chain.put({**tx, "id": found["id"], "sender": found["sender"]})
        self.took.set()
        if self.lost:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({**tx, "id": found["id"]})

    def _against(self, tx: dict[str, Any], found: dict[str, Any]) -> str:
        """Why a transaction is not taken."""
        known = self.chain.find(found["id"])
        if known is not None:
            return f"AlreadyInTheState({found['id']},{known[1]})" if known[1] else ""
        if not found["signed"]:
            return f"Proof doesn't validate as signature for {found['id']}"
        age = int(time.time() * 1000) - tx["timestamp"]
        if age > OLD:
            return f"Transaction timestamp is more than {OLD}ms in the past"
        if -age > EARLY:
            return f"Transaction timestamp is more than {EARLY}ms in the future"
        if tx["fee"] < FEE:
            return f"Fee for TransferTransaction does not exceed minimal value of {FEE} WAVES."
        asset = tx["assetId"] or WAVES
        for coin in {asset, WAVES}:
            needs = tx["amount"] * (coin == asset) + tx["fee"] * (coin == WAVES)
            if self.chain.balance(found["sender"], coin) < needs:
                return "Attempt to transfer unavailable funds: leads to negative waves balance"
        return ""

    async def _first(self) -> web.Response | None:
        self.asked += 1
        await asyncio.sleep(self.delay)
        if self.budget is not None:
            self.budget -= 1
            if self.budget < 0:
                return web.Response(status=429)
        return None if self.status == 200 else web.Response(status=self.status)


def _no(code: int, message: str) -> web.Response:
    return web.json_response({"error": code, "message": message}, status=400)


@asynccontextmanager
async def waves_node(chain: Chain, js: WavesJs | None = None) -> AsyncIterator[WavesNode]:
    """A node that serves; with the JavaScript library it takes transactions as well."""
    node = WavesNode(chain, js)
    app = web.Application()
    app.router.add_get("/blocks/height", node.height)
    app.router.add_get("/transactions/address/{address}/limit/{limit}", node.page)
    app.router.add_get("/blocks/headers/last", node.last)
    app.router.add_get("/addresses/balance/{address}", node.balance)
    app.router.add_get("/assets/balance/{address}/{asset}", node.balance)
    app.router.add_get("/transactions/status", node.state)
    app.router.add_post("/transactions/broadcast", node.broadcast)
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
