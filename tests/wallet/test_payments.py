"""Payments in crypto: a machine of invoices, payments, duplicates, forks, crashes and clocks that
jump; and whatever may be on a chain."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import base58
import pytest
from sqlalchemy import URL
from sqlmodel import select

from store.database import Database
from store.shelf import Shelf
from store.tables import InvoiceRow, PaymentRow
from tests.peers.waves_node import Chain, WavesNode, waves_node
from wallet.chain import Node, NodeError, transfers
from wallet.invoices import InvoiceError, Invoices, News, assign, unclaimed
from wallet.ledger import CALLS, Entry, balances, credit_of, post, transfer, verify
from wallet.money import WAVES, Asset
from wallet.purse import REDUCED
from wallet.watching import ROLLBACK, Watcher

EUR = Asset(id="EUR", name="EUR", decimals=2)
COIN = Asset(id=WAVES, name="WAVES", decimals=8)
ETT = Asset(id="8ofu3VpEaVCFjRqLLqzTMNs5URKUUQMrPp3k6oFmiCc6", name="ETT", decimals=8)
FAKE = "9ofu3VpEaVCFjRqLLqzTMNs5URKUUQMrPp3k6oFmiCc7"
COINS = {one.id: one for one in (COIN, ETT)}
OURS, THEIRS = "3PJaDyprvekvPXPuAtxrapacuDJopgJRaU3", "3PMH7nn3Bn6ybv8mE2rgz2ryPvdodtYmTwq"
BEGIN = datetime(2026, 11, 30, 12, tzinfo=UTC)
ONE = 100_000_000


class Rates:
    """Of the day, as the test wants them; in euros."""

    def __init__(self) -> None:
        self.of = {WAVES: 1_500_000, ETT.id: 50_000}

    def price(self, asset: str) -> int:
        if asset not in self.of:
            raise InvoiceError("nobody knows what that is worth")
        return self.of[asset]


class Direct(Node):
    """The same chain without a socket in between, for very many steps."""

    def __init__(self, chain: Chain) -> None:
        super().__init__("http://127.0.0.1:9")
        self.chain = chain

    async def height(self) -> int:
        return self.chain.height

    async def page(self, address: str, after: str = "") -> Sequence[Mapping[str, Any]]:
        return self.chain.of(address, 100, after)


class Desk:
    """Invoices over a chain, with a clock."""

    def __init__(self, database: Database, chain: Chain, node: Node, clock: list[datetime]) -> None:
        self.database, self.chain, self.rates = database, chain, Rates()
        self.news: list[News] = []
        self.told: list[str] = []
        self.clock = clock
        self.invoices = Invoices(
            database, EUR, COINS, ETT.id, self.rates, lambda credit: 3 if credit < 1_000 else 10,
            self.news.append, lambda: self.clock[0],
        )  # fmt: skip
        self.watcher = Watcher(
            node, OURS, self.invoices, Shelf(database, "waves"), 0.05, self.told.append
        )

    def pays(self, amount: int, asset: str = WAVES, memo: str = "", **more: Any) -> dict[str, Any]:
        tx = {
            "type": 4, "sender": THEIRS, "recipient": OURS, "amount": amount,
            "assetId": None if asset == WAVES else asset,
            "attachment": base58.b58encode(memo.encode()).decode(), **more,
        }  # fmt: skip
        self.chain.put(tx)
        return tx

    async def blocks(self, count: int = 1) -> None:
        self.chain.forge(count)
        await self.watcher.look()

    async def has(self, extension: str = "101") -> int:
        found = await balances(self.database)
        mine = credit_of(extension)
        return sum(
            found.get((one, "EUR"), 0) for one in (mine, mine + REDUCED, f"owed/{extension}")
        )

    async def state(self, invoice: InvoiceRow) -> str:
        async with self.database.reading() as session:
            row = await session.get(InvoiceRow, invoice.id)
        assert row is not None
        return row.state

    async def payments(self) -> list[PaymentRow]:
        async with self.database.reading() as session:
            return list((await session.execute(select(PaymentRow))).scalars())


@asynccontextmanager
async def desk(where: Path | URL, node: WavesNode | None = None) -> AsyncIterator[Desk]:
    database = Database(where)
    await database.open()
    chain = node.chain if node is not None else Chain()
    reading = Node(node.url) if node is not None else Direct(chain)
    made = Desk(database, chain, reading, [BEGIN])
    try:
        await made.watcher.look()
        yield made
        proof = await verify(database)
        assert list(proof.faults) == []
    finally:
        await made.watcher.stop()
        await database.close()


async def test_an_invoice_is_seen_confirmed_and_credited_once(where: Path | URL) -> None:
    """Through a node by HTTP."""
    async with waves_node(Chain()) as node, desk(where, node) as it:
        invoice = await it.invoices.open("101", COIN, 2 * ONE)
        assert 2 * ONE < invoice.amount < 2 * ONE + 10_000
        it.pays(invoice.amount, memo=invoice.id)
        for state, has in (("seen", 0), ("seen", 0), ("seen", 0), ("paid", 300), ("paid", 300)):
            await it.blocks()
            assert (await it.state(invoice), await it.has()) == (state, has)
            await it.watcher.look()
        assert [(one.confirmed, one.needed, one.credit) for one in it.news] == [
            (0, 3, 0), (0, 3, 0), (1, 3, 0), (1, 3, 0), (2, 3, 0), (2, 3, 0), (3, 3, 300),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "state", "has"),
    [
        ((1.0,), "paid", 300),
        ((0.4, 0.6), "paid", 299),
        ((0.3, 0.3, 0.4), "paid", 300),
        ((0.998,), "paid", 299),
        ((0.5,), "underpaid", 150),
        ((1.5,), "overpaid", 450),
    ],
)
async def test_parts_too_little_and_too_much(
    tmp_path: Path, parts: tuple[float, ...], state: str, has: int
) -> None:
    async with desk(tmp_path / "x.db") as it:
        invoice = await it.invoices.open("101", COIN, 2 * ONE)
        for part in parts:
            it.pays(round(invoice.amount * part), memo=f"for {invoice.id}, thanks")
        await it.blocks(5)
        assert await it.state(invoice) == state
        assert abs(await it.has() - has) <= 1


async def test_without_a_memo_the_amount_says_whose_it_is(where: Path | URL) -> None:
    async with desk(where) as it:
        mine = await it.invoices.open("101", ETT, 10 * ONE)
        theirs = await it.invoices.open("102", ETT, 10 * ONE)
        assert mine.amount != theirs.amount
        it.pays(theirs.amount, ETT.id)
        await it.blocks(5)
        assert (await it.has("101"), await it.has("102")) == (0, 50)


async def test_what_is_nobodys_is_kept_until_somebody_says_whose(where: Path | URL) -> None:
    async with desk(where) as it:
        it.pays(7 * ONE, ETT.id, memo="hello?")
        await it.blocks(5)
        (row,) = await unclaimed(it.database)
        assert not await assign(it.database, "nothing:0", "101")
        assert await assign(it.database, row.key, "101")
        assert not await assign(it.database, row.key, "102")
        await it.watcher.look()
        assert await it.has("101") == 35
        assert await unclaimed(it.database) == []


async def test_what_comes_late_is_worth_what_it_is_that_day(where: Path | URL) -> None:
    async with desk(where) as it:
        invoice = await it.invoices.open("101", COIN, 2 * ONE)
        it.clock[0] += timedelta(minutes=20)
        await it.watcher.look()
        assert await it.state(invoice) == "expired"
        assert [one.state for one in it.news] == ["expired"]
        it.rates.of[WAVES] = 1_000_000
        it.pays(invoice.amount, memo=invoice.id.lower())
        await it.blocks(5)
        assert await it.has() == 200
        assert it.news[-1].late
        assert await it.state(invoice) == "paid"


async def test_a_price_that_nobody_knows_delays_and_loses_nothing(where: Path | URL) -> None:
    async with desk(where) as it:
        invoice = await it.invoices.open("101", COIN, ONE)
        it.clock[0] += timedelta(minutes=20)
        price = it.rates.of.pop(WAVES)
        it.pays(invoice.amount, memo=invoice.id)
        await it.blocks(5)
        assert await it.has() == 0
        it.rates.of[WAVES] = price
        await it.watcher.look()
        assert await it.has() == 150


async def test_a_fork_takes_back_and_what_was_spent_is_owed(where: Path | URL) -> None:
    async with desk(where) as it:
        invoice = await it.invoices.open("101", COIN, 2 * ONE)
        it.pays(invoice.amount, memo=invoice.id)
        await it.blocks(5)
        assert await it.has() == 300
        spent = transfer(credit_of("101"), CALLS, "EUR", 120)
        async with it.database.writing() as session:
            await post(session, Entry(key="call:1", kind="call", at=BEGIN, moves=spent))
        it.chain.roll_back(5, keep=False)
        it.chain.forge(6)
        await it.watcher.look()
        assert await it.has() == 180, "it may have been read amid the fork"
        await it.watcher.look()
        assert await it.has() == -120
        assert (await balances(it.database))[credit_of("101"), "EUR"] == 0
        assert it.news[-1].credit == -300
        assert await it.state(invoice) == "new"
        it.pays(invoice.amount, memo=invoice.id)
        await it.blocks(5)
        assert await it.has() == 180
        assert (await balances(it.database))["owed/101", "EUR"] == 0


async def test_a_fork_that_brings_the_same_again_counts_it_once(where: Path | URL) -> None:
    async with desk(where) as it:
        invoice = await it.invoices.open("101", COIN, 2 * ONE)
        it.pays(invoice.amount, memo=invoice.id)
        await it.blocks(5)
        for times in range(2, 5):
            it.chain.roll_back(5)
            waiting, it.chain.mempool = it.chain.mempool, []
            it.chain.forge(5)
            for _ in range(3):
                await it.watcher.look()
            assert await it.has() == 0
            it.chain.mempool = waiting
            await it.blocks(5)
            assert await it.has() == 300
            assert await it.state(invoice) == "paid"
            (row,) = await it.payments()
            assert row.times == times


HOSTILE: dict[str, Any] = {
    "failed": {"applicationStatus": "script_execution_failed"},
    "no status": {"applicationStatus": None},
    "to others": {"recipient": THEIRS},
    "from ourselves": {"sender": OURS},
    "nowhere": {"recipient": None},
    "nothing": {"amount": 0},
    "less than nothing": {"amount": -5},
    "too much for the chain": {"amount": 2**63},
    "a fraction": {"amount": 1.5},
    "true": {"amount": True},
    "words": {"amount": "100"},
    "no type": {"type": "4"},
    "another type": {"type": 7},
    "a list for an id": {"id": ["x"]},
    "a long id": {"id": "x" * 5_000},
    "a time of words": {"timestamp": "now"},
    "a time beyond time": {"timestamp": 2**62},
    "asset of another kind": {"assetId": 5},
    "a height of words": {"height": "5"},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_not_as_it_should_be_is_nothing(what: str) -> None:
    good = {
        "type": 4, "id": "a", "sender": THEIRS, "recipient": OURS, "amount": 5, "height": 3,
        "timestamp": 1_700_000_000_000, "applicationStatus": "succeeded", "assetId": None,
    }  # fmt: skip
    assert [one.amount for one in transfers(good, OURS)] == [5]
    assert transfers({**good, **HOSTILE[what]}, OURS) == []


def test_an_alias_of_ours_is_us() -> None:
    tx = {
        "type": 4, "id": "a", "sender": THEIRS, "recipient": "alias:W:pbx", "amount": 5,
        "height": 3, "timestamp": 1_700_000_000_000, "applicationStatus": "succeeded",
    }  # fmt: skip
    assert [one.amount for one in transfers(tx, OURS)] == [5]


async def test_a_coin_that_is_taken_no_more_stops_nothing(where: Path | URL) -> None:
    async with desk(where) as it:
        one = await it.invoices.open("101", COIN, ONE)
        other = await it.invoices.open("101", ETT, 10 * ONE)
        it.pays(one.amount, memo=one.id)
        it.pays(other.amount, ETT.id, memo=other.id)
        await it.blocks()
        it.invoices.coins = {ETT.id: ETT}
        await it.blocks(5)
        assert await it.has() == 50
        it.invoices.coins = COINS
        await it.watcher.look()
        assert await it.has() == 200


async def test_dust_that_a_fork_undoes_leaves_no_trace(where: Path | URL) -> None:
    async with desk(where) as it:
        one = await it.invoices.open("101", ETT, 10 * ONE)
        it.pays(1, ETT.id, memo=one.id)
        await it.blocks(5)
        it.chain.roll_back(5, keep=False)
        it.chain.forge(6)
        for _ in range(2):
            await it.watcher.look()
        assert (await balances(it.database))["received", ETT.id] == 0


async def test_whatever_people_put_on_the_chain(where: Path | URL) -> None:
    """A false asset of the same name, dust, hostile words, very many at once, scripts, and the
    largest there can be."""
    async with desk(where) as it:
        invoice = await it.invoices.open("101", ETT, 10 * ONE)
        it.pays(invoice.amount, FAKE, memo=invoice.id)
        it.pays(2**63 - 1, FAKE)
        it.pays(2**63 - 1, FAKE)
        it.pays(1, ETT.id, memo=invoice.id)
        it.pays(5, ETT.id, memo="'); DROP TABLE payment; -- \u202e\0 <b>" + "x" * 90)
        it.pays(5, ETT.id, attachment="0OIl not base58 " * 8)
        it.pays(5, ETT.id, attachment="z" * 100_000)
        it.pays(5, ETT.id, attachment={"type": "string", "value": "x"})
        outputs = [{"recipient": OURS if n % 2 else THEIRS, "amount": ONE} for n in range(100)]
        it.pays(0, ETT.id, memo=invoice.id, type=11, recipient=None, transfers=outputs)
        moved = {"transfers": [{"address": OURS, "asset": ETT.id, "amount": ONE}, None, 5]}
        it.pays(0, type=16, recipient=None, dApp=THEIRS, stateChanges=moved, memo=invoice.id)
        await it.blocks(12)
        payments = {one.key: one for one in await it.payments()}
        assert len(payments) == 3 + 5 + 50 + 1
        assert sum(one.state == "ignored" for one in payments.values()) == 3
        assert await it.has() == (50 + 1) * 5
        assert await it.state(invoice) == "overpaid"


async def test_more_than_a_page_and_pages_that_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wallet.watching.PACE", 0.0)
    async with waves_node(Chain()) as node, desk(tmp_path / "x.db", node) as it:
        invoice = await it.invoices.open("101", ETT, 10 * ONE)
        for _ in range(350):
            it.pays(ONE, ETT.id, memo=invoice.id)
        await it.blocks(12)
        assert await it.has() == 350 * 5
        real, asked = it.chain.of, 0

        def forks(address: str, limit: int, after: str = "") -> list[dict[str, Any]]:
            nonlocal asked
            asked += 1
            return real(address, limit, "gone" if after else "")

        it.chain.of = forks  # type: ignore[method-assign]
        with pytest.raises(NodeError, match="changed while it was read"):
            await it.watcher.look()
        assert await it.has() == 350 * 5


@pytest.mark.parametrize("status", [429, 500, 503, 302])
async def test_a_node_that_fails_is_told_once_and_loses_nothing(
    tmp_path: Path, status: int
) -> None:
    async with waves_node(Chain()) as node, desk(tmp_path / "x.db", node) as it:
        invoice = await it.invoices.open("101", COIN, ONE)
        node.status = status
        it.watcher.start()
        async with asyncio.timeout(20):
            while node.asked < 8:  # noqa: ASYNC110  # the node is another's
                await asyncio.sleep(0.02)
            it.pays(invoice.amount, memo=invoice.id)
            it.chain.forge(5)
            node.status = 200
            while len(it.told) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await it.has() == 150
        assert it.told == [
            f"I cannot look for payments: the Waves node answers {status}. Nothing is lost; I "
            "go on trying.",
            "I can look for payments again.",
        ]


async def test_a_node_that_is_behind_takes_nothing_back(where: Path | URL) -> None:
    async with desk(where) as it:
        invoice = await it.invoices.open("101", COIN, ONE)
        it.pays(invoice.amount, memo=invoice.id)
        await it.blocks(20)
        real = it.chain.blocks
        it.chain.blocks = real[:1]
        for _ in range(3):
            with pytest.raises(NodeError, match="behind"):
                await it.watcher.look()
        it.chain.blocks = real
        await it.watcher.look()
        assert await it.has() == 150


async def test_what_cannot_be_an_invoice_is_refused(where: Path | URL) -> None:
    async with desk(where) as it:
        for amount in (0, -5, 1, 2**62):
            with pytest.raises(InvoiceError, match="too little"):
                await it.invoices.open("101", ETT, amount)
        for _ in range(20):
            await it.invoices.open("101", ETT, ONE)
        with pytest.raises(InvoiceError, match="20 invoices wait"):
            await it.invoices.open("101", ETT, ONE)
        del it.rates.of[ETT.id]
        with pytest.raises(InvoiceError, match="worth"):
            await it.invoices.open("102", ETT, ONE)


async def test_a_long_life(where: Path | URL) -> None:
    await a_life(where, 400)


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_twenty_thousand_steps(tmp_path: Path) -> None:
    await a_life(tmp_path / "x.db", 20_000)


async def a_life(where: Path | URL, steps: int) -> None:
    """Invoices, payments with and without a memo, to nobody and twice, forks, crashes at any moment
    of a look, restarts, and clocks that jump: the books are right after each step, nothing is
    credited twice, and in the end all that is on the chain is."""
    chance = random.Random(20_000)
    async with desk(where) as it:
        invoices: list[InvoiceRow] = []
        ours: list[dict[str, Any]] = []
        for step in range(steps):
            match chance.randrange(10):
                case 0:
                    extension, coin = (
                        chance.choice(["101", "102", "103"]),
                        chance.choice([COIN, ETT]),
                    )
                    try:
                        invoices.append(
                            await it.invoices.open(extension, coin, chance.randrange(1, 50) * ONE)
                        )
                    except InvoiceError:
                        it.clock[0] += timedelta(hours=1)
                case 1 | 2 | 3 if invoices:
                    invoice = chance.choice(invoices[-20:])
                    part = chance.choice([1, 1, 1, 2, 3])
                    memo = chance.choice([invoice.id, invoice.id, ""])
                    ours.append(it.pays(invoice.amount // part, invoice.asset, memo))
                case 4:
                    it.chain.forge(chance.choice([1, 1, 2, 12]))
                case 5:
                    it.chain.roll_back(chance.randrange(1, 8), keep=chance.random() < 0.7)
                    it.chain.forge(chance.randrange(0, 3))
                case 6:
                    it.clock[0] += timedelta(minutes=chance.choice([1, 10, 30, -20, 3_000]))
                case 7:
                    await crashes(it, chance)
                case _:
                    with contextlib.suppress(NodeError):  # behind, after a long fork
                        await it.watcher.look()
            if step % max(50, steps // 40) == 0:
                assert list((await verify(it.database)).faults) == []
        await settle(it)
        there = {tx["id"] for block in it.chain.blocks for tx in block}
        payments = await it.payments()
        for row in payments:
            on_chain = row.key.partition(":")[0] in there
            recent = row.height > it.chain.height - ROLLBACK
            if row.extension and (on_chain or not recent):
                assert row.state == ("credited" if on_chain else row.state)
        known = {row.key.partition(":")[0] for row in payments}
        assert {tx["id"] for tx in ours if tx["id"] in there} <= known
        found = await balances(it.database)
        sold = -found.get(("sold", "EUR"), 0)
        assert sold == sum(row.credited for row in payments if row.state == "credited")
        for coin in (COIN, ETT):
            paid = sum(r.amount for r in payments if r.state == "credited" and r.asset == coin.id)
            assert found.get(("received", coin.id), 0) == paid


async def crashes(it: Desk, chance: random.Random) -> None:
    """The program is killed at one of the moments at which a look waits for something, and begun
    anew."""
    left = chance.randrange(1, 60)

    def step(task: asyncio.Task[None]) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            task.cancel()

    task = asyncio.ensure_future(it.watcher.look())
    while not task.done():
        step(task)
        await asyncio.sleep(0)
    await asyncio.gather(task, return_exceptions=True)
    again = Desk(it.database, it.chain, Direct(it.chain), it.clock)
    again.rates.of = it.rates.of
    it.invoices, it.watcher = again.invoices, again.watcher


async def settle(it: Desk) -> None:
    """Until the chain is quiet and all was looked at."""
    it.chain.forge(30)
    for _ in range(4):
        try:
            await it.watcher.look()
        except NodeError:
            it.chain.forge(10)
