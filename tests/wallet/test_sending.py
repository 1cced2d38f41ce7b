"""Payments that people send: limits, nodes that fail, crashes, and the chain that has each once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from store.database import Database
from store.tables import SendingRow
from tests.peers.waves_js import READY, waves_js
from tests.peers.waves_node import Chain, WavesNode, waves_node
from wallet.chain import DEEP, Node, NodeError
from wallet.money import WAVES, Asset
from wallet.sending import FEE, VALID, SendingError, Sendings
from wallet.signing import account, new_seed

pytestmark = pytest.mark.skipif(not READY, reason="npm packages are not installed")

ONE = 100_000_000
ETT = "8ofu3VpEaVCFjRqLLqzTMNs5URKUUQMrPp3k6oFmiCc6"
COINS = {
    WAVES: Asset(id=WAVES, name="WAVES", decimals=8), ETT: Asset(id=ETT, name="ETT", decimals=8),
}  # fmt: skip
MOST = {WAVES: (10 * ONE, 15 * ONE), ETT: (200 * ONE, 300 * ONE)}
MINE, TO = account(new_seed(), "T"), account(new_seed(), "T").address


@dataclass
class Purse:
    """Somebody with 100 WAVES and 1000 ETT before a node."""

    node: WavesNode
    database: Database
    told: list[SendingRow] = field(default_factory=list)
    clock: list[datetime] = field(default_factory=lambda: [datetime.now(UTC)])

    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.sendings = self.restarted()

    def restarted(self) -> Sendings:
        """As after a start of the program."""
        made = Sendings(
            self.database, Node(self.node.url), COINS, MOST, 0.05, lambda: self.clock[0]
        )
        made.told = self._hear
        self.sendings = made
        return made

    def _hear(self, row: SendingRow) -> None:
        self.told.append(row)
        self.heard.set()

    async def send(self, amount: int, asset: str = WAVES) -> SendingRow:
        return await self.sendings.send("101", MINE, TO, asset, amount)

    def has(self, asset: str = WAVES) -> int:
        return self.node.chain.balance(TO, asset)


@asynccontextmanager
async def purse(where: Path | URL) -> AsyncIterator[Purse]:
    chain = Chain(given={(MINE.address, WAVES): 100 * ONE, (MINE.address, ETT): 1000 * ONE})
    database = Database(where)
    await database.open()
    async with waves_js() as js, waves_node(chain, js) as node:
        it = Purse(node, database)
        try:
            yield it
        finally:
            await it.sendings.stop()
            await database.close()


async def test_what_is_sent_is_on_the_chain_once(where: Path | URL) -> None:
    async with purse(where) as it:
        row = await it.send(5 * ONE)
        assert row.state == "sent"
        assert it.node.chain.find(row.id) is not None
        assert await it.sendings.look()
        assert it.told == []
        it.node.chain.forge(DEEP)
        assert await it.sendings.look()  # not deep enough yet
        assert it.told == []
        it.node.chain.forge()
        assert not await it.sendings.look()
        assert [(one.id, one.state) for one in it.told] == [(row.id, "confirmed")]
        assert it.has() == 5 * ONE
        assert it.node.chain.balance(MINE.address, WAVES) == 95 * ONE - FEE
        await it.send(7 * ONE, ETT)
        it.node.chain.forge(DEEP + 1)
        await it.sendings.look()
        assert it.has(ETT) == 7 * ONE


async def test_no_more_than_is_allowed(where: Path | URL) -> None:
    async with purse(where) as it:
        for amount in (0, -1, 10 * ONE + 1, 2**63):
            with pytest.raises(SendingError, match="at once is 10 WAVES"):
                await it.send(amount)
        await it.send(10 * ONE)
        with pytest.raises(SendingError, match="a day is 15 WAVES, and 10 WAVES were"):
            await it.send(6 * ONE)
        it.clock[0] += timedelta(days=1, seconds=1)
        # The chain's clock is ours no more: a fault of the clock is told, and nothing was sent.
        with pytest.raises(SendingError, match="clock"):
            await it.send(6 * ONE)


async def test_many_at_once_keep_within_the_day(where: Path | URL) -> None:
    async with purse(where) as it:
        many = await asyncio.gather(
            *(it.send(4 * ONE + n) for n in range(8)), return_exceptions=True
        )
        sent = [one for one in many if isinstance(one, SendingRow)]
        assert len(sent) == 3
        assert all(isinstance(one, SendingRow | SendingError) for one in many)
        assert it.has() == sum(one.amount for one in sent)


async def test_too_little_in_the_wallet(where: Path | URL) -> None:
    async with purse(where) as it:
        it.node.chain.given[MINE.address, WAVES] = ONE
        with pytest.raises(SendingError, match="there are 1 WAVES in the wallet"):
            await it.send(ONE)  # the fee is lacking
        it.node.chain.given[MINE.address, ETT] = 5
        with pytest.raises(SendingError, match=r"0\.00000005 ETT"):
            await it.send(6, ETT)
        assert it.node.chain.mempool == []


async def test_a_dead_node_sends_nothing_and_a_lost_answer_sends_once(where: Path | URL) -> None:
    async with purse(where) as it:
        it.node.status = 503
        with pytest.raises(NodeError):
            await it.send(ONE)
        it.node.status, it.node.lost = 200, True
        row = await it.send(ONE)
        assert row.state == "signed"
        it.node.lost = False
        await it.sendings.look()
        it.node.chain.forge(DEEP + 1)
        await it.sendings.look()
        assert it.has() == ONE
        assert [one.state for one in it.told] == ["confirmed"]


async def test_a_node_that_forgets_is_told_again(where: Path | URL) -> None:
    async with purse(where) as it:
        row = await it.send(ONE)
        it.node.chain.mempool.clear()
        assert await it.sendings.look()
        assert it.node.chain.find(row.id) is not None
        it.node.chain.forge()
        it.node.chain.roll_back(1)
        it.node.chain.forge()
        await it.sendings.look()
        assert it.has() == ONE


async def test_what_a_crash_left_goes_out_at_the_next_start(where: Path | URL) -> None:
    async with purse(where) as it:
        it.node.budget = 1  # the balance, and no broadcast
        row = await it.send(ONE)
        assert row.state == "signed"
        await it.sendings.stop()
        it.node.budget = None
        it.node.took.clear()
        it.restarted().start()
        async with asyncio.timeout(10):
            await it.node.took.wait()
            it.node.chain.forge(DEEP + 1)
            await it.heard.wait()
        assert it.has() == ONE


async def test_what_no_block_can_take_any_more_came_to_nothing(where: Path | URL) -> None:
    """By the clock of the chain: a node that lies behind says nothing about what is new."""
    async with purse(where) as it:
        it.node.budget = 1
        row = await it.send(10 * ONE)
        it.node.budget = None
        await age(it, row, VALID + timedelta(seconds=1))
        it.node.chain.late, it.node.budget = 60.0, 2  # it does not take it either
        await it.sendings.look()
        assert it.told == []
        it.node.chain.late, it.node.budget = 0.0, None
        await it.sendings.look()
        assert [one.state for one in it.told] == ["failed"]
        await it.send(10 * ONE - 1)  # it counts no more


async def age(it: Purse, row: SendingRow, by: timedelta) -> None:
    """As if it had been signed before."""
    async with it.database.writing() as session:
        kept = await session.get(SendingRow, row.id)
        assert kept is not None
        kept.at -= by


async def test_a_fork_before_it_is_deep_sends_it_again(where: Path | URL) -> None:
    async with purse(where) as it:
        await it.send(ONE)
        it.node.chain.forge(2)
        await it.sendings.look()
        it.node.chain.roll_back(2, keep=False)
        await it.sendings.look()
        it.node.chain.forge(DEEP + 1)
        await it.sendings.look()
        assert it.has() == ONE
        assert [one.state for one in it.told] == ["confirmed"]


async def test_the_follower_outlives_a_database_that_fails(
    where: Path | URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with purse(where) as it:
        await it.send(ONE)
        real, failures = it.database.reading, [1, 1]

        def failing() -> Any:
            if failures:
                failures.pop()
                raise OperationalError("SELECT", {}, Exception("locked"))
            return real()

        monkeypatch.setattr(it.database, "reading", failing)
        it.sendings.start()
        it.node.chain.forge(DEEP + 1)
        async with asyncio.timeout(10):
            await it.heard.wait()
        assert not failures


async def test_what_another_program_signed_is_followed(
    where: Path | URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line writes a refund down; the exchange sends it without being told."""
    monkeypatch.setattr("wallet.sending.ANYHOW", 0.2)
    async with purse(where) as it:
        it.sendings.start()
        other = Sendings(it.database, Node(it.node.url), COINS, MOST, 0.05)
        it.node.budget = 1
        row = await other.send("", MINE, TO, WAVES, ONE)
        it.node.budget = None
        assert row.state == "signed"
        async with asyncio.timeout(10):
            await it.node.took.wait()
        await other.stop()


async def test_a_node_that_lies(where: Path | URL) -> None:
    """Balances that are none, and refusals that say nothing."""
    async with purse(where) as it:
        it.node.chain.given[MINE.address, WAVES] = 2**70
        with pytest.raises(NodeError, match="strangely"):
            await it.send(ONE)
