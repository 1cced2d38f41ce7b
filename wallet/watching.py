"""Watches the chain for payments: page by page back to where no fork reaches, again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from store.shelf import Shelf
from wallet.chain import PAGE, Node, NodeError, Transfer, transfers
from wallet.invoices import Invoices

log = logging.getLogger(__name__)

ROLLBACK = 110
"Blocks that may still change: nodes go back by 100 at most."
MAX_PAGES = 200
PACE = 4.0
"Seconds between pages: public nodes allow 17 a minute."
BEHIND = 3
"Blocks a node may lack that another of its name had."


class Watcher:
    """Looks every so many seconds, and at once when asked to; `told` hears once that it cannot,
    and once that it can again."""

    def __init__(
        self,
        node: Node,
        address: str,
        invoices: Invoices,
        shelf: Shelf,
        every: float,
        told: Callable[[str], None],
    ) -> None:
        self._node, self._address, self._invoices = node, address, invoices
        self._shelf, self._every, self._told = shelf, every, told
        self._missing: set[str] = set()
        "What was not there when we looked last."
        self._trouble = ""
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch from now on."""
        self._task = asyncio.ensure_future(self._watch())

    async def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._node.close()

    @property
    def trouble(self) -> str:
        """Why payments cannot be looked for just now; empty when all is well."""
        return self._trouble

    def look_soon(self) -> None:
        """Do not wait for the next time."""
        self._wanted.set()

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
                self._note("")
            except NodeError as error:
                self._note(str(error))
            except DBAPIError as error:
                log.error("payments wait, the database fails: %s", error.orig)
            except Exception:
                log.exception("payments could not be looked for")
            self._wanted.clear()
            try:
                async with asyncio.timeout(self._every):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    def _note(self, trouble: str) -> None:
        if bool(trouble) != bool(self._trouble):
            self._told(
                f"I cannot look for payments: {trouble}. Nothing is lost; I go on trying."
                if trouble
                else "I can look for payments again."
            )
        self._trouble = trouble

    async def look(self) -> None:
        """See all that came in since the last time, and what is there no more. Raises
        `NodeError`."""
        height = await self._node.height()
        known = (await self._shelf.all()).get("seen", {}).get("height", height)
        if height < known - BEHIND:
            raise NodeError("the Waves node is behind")
        floor = min(known, height) - ROLLBACK
        found = await self._found(floor)
        before = await self._invoices.since(floor)
        for one in sorted(found.values(), key=lambda one: (one.height, one.key)):
            if before.get(one.key) not in ((one.height, "credited"), (one.height, "ignored")):
                await self._invoices.see(one, max(height, one.height))
        there = await self._invoices.since(floor)
        missing = {key for key, (at, _) in there.items() if at <= height} - found.keys()
        for key in missing & self._missing:  # twice: a page may have been read amid a fork
            await self._invoices.vanish(key)
        self._missing = missing
        await self._invoices.expire()
        if height != known or not await self._shelf.all():
            await self._shelf.keep({"seen": {"height": height}})

    async def _found(self, floor: int) -> dict[str, Transfer]:
        """What came in above a block."""
        found: dict[str, Transfer] = {}
        ids: set[str] = set()
        after = ""
        for number in range(MAX_PAGES):
            if number:
                await asyncio.sleep(PACE)
            page = await self._node.page(self._address, after)
            fresh = [tx for tx in page if isinstance(tx.get("id"), str) and tx["id"] not in ids]
            ids |= {tx["id"] for tx in fresh}
            for tx in fresh:
                found |= {one.key: one for one in transfers(tx, self._address)}
            heights = [tx["height"] for tx in page if isinstance(tx.get("height"), int)]
            if len(page) < PAGE or min(heights, default=floor + 1) <= floor:
                return {key: one for key, one in found.items() if one.height > floor}
            if not fresh:  # it began anew: what it was to follow is gone
                raise NodeError("the chain changed while it was read")
            after = fresh[-1]["id"]
        raise NodeError("the Waves node has more payments than can be looked at")
