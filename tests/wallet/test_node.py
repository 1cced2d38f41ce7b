"""What we rely on of a Waves node: of the test's own, and of a real one where there is one.

With `WAVES_NODE_URL=http://127.0.0.1:6869` a private node is asked as well
(`docker run -p 6869:6869 wavesplatform/waves-private-node`), so that the test's own is right.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tests.peers.waves_js import READY, waves_js
from tests.peers.waves_node import WAVES, Chain, waves_node
from wallet.chain import DEEP, Node, Refused, transfers
from wallet.sending import FEE
from wallet.signing import Account, Signed, account, new_seed, transfer

pytestmark = pytest.mark.skipif(not READY, reason="npm packages are not installed")

ONE = 100_000_000
REAL = os.environ.get("WAVES_NODE_URL", "")
RICH = "waves private node seed with waves tokens"
"Of who has everything on a private node."


@dataclass
class Place:
    """A node, and somebody there who has coins."""

    node: Node
    rich: Account
    chain: Chain | None

    def pays(self, to: str, amount: int, *, age: int = 0, fee: int = FEE) -> Signed:
        at = int(time.time() * 1000) - age
        return transfer(self.rich, to, WAVES, amount, at=at, fee=fee)

    def somebody(self) -> Account:
        return account(new_seed(), self.rich.chain)

    async def confirmed(self, id: str) -> None:
        """Wait for a block that has it."""
        if self.chain is not None:
            self.chain.forge(DEEP + 1)
        async with asyncio.timeout(600):
            while await self.node.state(id) != "confirmed":  # noqa: ASYNC110 - nodes tell nobody
                await asyncio.sleep(1)


@pytest.fixture(params=["ours", "real"] if REAL else ["ours"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    rich = account(RICH, "R")
    if request.param == "real":
        node = Node(REAL)
        yield Place(node, rich, None)
        await node.close()
        return
    chain = Chain(given={(rich.address, WAVES): 10**6 * ONE})
    async with waves_js() as js, waves_node(chain, js) as served:
        node = Node(served.url)
        yield Place(node, rich, chain)
        await node.close()


async def test_what_is_taken_is_waiting_and_then_confirmed(place: Place) -> None:
    to = place.somebody().address
    signed = place.pays(to, 5 * ONE)
    assert await place.node.state(signed.id) == "unknown"
    await place.node.broadcast(signed.tx)
    await place.node.broadcast(signed.tx)  # again, and nothing changes
    await place.confirmed(signed.id)
    await place.node.broadcast(signed.tx)  # also when it is on the chain
    assert await place.node.balance(to, WAVES) == 5 * ONE
    assert await place.node.height() >= 1
    age = datetime.now(UTC) - await place.node.time()
    assert timedelta(seconds=-5) < age < timedelta(minutes=10)


async def test_what_is_wrong_is_refused(place: Place) -> None:
    to, poor = place.somebody().address, place.somebody()
    good = place.pays(to, ONE)
    for tx, why in (
        ({**good.tx, "amount": 2 * ONE}, "refuses it"),  # the signature does not fit
        (place.pays(to, ONE, age=9_000_000).tx, "clock"),
        (place.pays(to, ONE, fee=1).tx, "refuses it"),
        (
            transfer(poor, to, WAVES, ONE, at=int(time.time() * 1000), fee=FEE).tx,
            "too little in the wallet",
        ),
    ):
        with pytest.raises(Refused, match=why):
            await place.node.broadcast(tx)
    assert await place.node.balance(to, WAVES) == 0


async def test_transfers_come_newest_first_in_pages(place: Place) -> None:
    to = place.somebody().address
    for amount in (1, 2, 3):
        signed = place.pays(to, amount * ONE)
        await place.node.broadcast(signed.tx)
        await place.confirmed(signed.id)
    page = await place.node.page(to)
    found = [one for tx in page for one in transfers(tx, to)]
    assert [one.amount // ONE for one in found] == [3, 2, 1]
    assert found[0].tx == signed.id
    assert {one.sender for one in found} == {place.rich.address}
    older = await place.node.page(to, after=found[0].tx)
    assert [tx["id"] for tx in older] == [found[1].tx, found[2].tx]
    nobodys = place.pays(to, 9 * ONE).id  # was never broadcast, as what a fork undid
    assert [tx["id"] for tx in await place.node.page(to, after=nobodys)] == [
        one.tx for one in found
    ]
