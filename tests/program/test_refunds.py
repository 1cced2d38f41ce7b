"""Coins that the host gives back by the command line, on a node whose signatures the official
library checks; and the seed of a wallet, for keeping on paper."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from store.database import Database
from store.tables import PaymentRow
from tests.peers.waves_js import READY, waves_js
from tests.peers.waves_node import WAVES, Chain, WavesNode, waves_node
from tests.program.test_command_line import run
from wallet.ledger import Entry, balances, credit_of, post, transfer
from wallet.purse import REDUCED
from wallet.refunds import RefundError, take_payment
from wallet.signing import account
from wallet.vault import Vaults

pytestmark = pytest.mark.skipif(not READY, reason="npm packages are not installed")

ONE = 100_000_000
ETT = "8ofu3VpEaVCFjRqLLqzTMNs5URKUUQMrPp3k6oFmiCc6"
HOST, TO = account("the host's own words", "T"), account("somebody", "T").address
CONFIG = """
[waves]
chain = "T"
address = "{address}"
node = "{node}"
prices = {{ WAVES = "1.50", ETT = "0.05" }}
[money]
rates = "rates.csv"
[[extension]]
number = "102"
secret = "secret-102"
"""


@dataclass
class Host:
    """Whoever runs an exchange, at a command line."""

    folder: Path
    node: WavesNode

    async def runs(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run, *words, cwd=self.folder, **more)

    async def books(self) -> dict[tuple[str, str], int]:
        database = Database(self.folder / "data" / "encryptotel.db")
        await database.open()
        try:
            return dict(await balances(database))
        finally:
            await database.close()


@asynccontextmanager
async def host(folder: Path) -> AsyncIterator[Host]:
    """With 100 WAVES and 1000 ETT; 102 has 2 EUR, 1 of it from ETT."""
    chain = Chain(
        blocks=[[] for _ in range(20)],
        given={(HOST.address, WAVES): 100 * ONE, (HOST.address, ETT): 1000 * ONE},
    )
    (folder / "data").mkdir()
    (folder / "seed").write_text("the host's own words\n")
    database = Database(folder / "data" / "encryptotel.db")
    await database.open()
    async with database.writing() as session:
        for number, to in enumerate((credit_of("102"), credit_of("102") + REDUCED)):
            moves = transfer("given", to, "EUR", 100)
            await post(
                session, Entry(key=f"k{number}", kind="given", at=datetime.now(UTC), moves=moves)
            )
        session.add(payment())
    await database.close()
    async with waves_js() as js, waves_node(chain, js) as node:
        (folder / "data" / "config.toml").write_text(
            CONFIG.format(address=HOST.address, node=node.url)
        )
        yield Host(folder, node)


def payment() -> PaymentRow:
    now = datetime.now(UTC)
    return PaymentRow(
        key="tx:0", asset=ETT, amount=7 * ONE, sender="3N", height=5, at=now, seen=now
    )


REFUND = ("refund", "102", "30", "ETT", "--to", TO, "--key", "seed", "--yes")


async def test_credit_goes_back_as_coins(tmp_path: Path) -> None:
    async with host(tmp_path) as it:
        done = await it.runs(*REFUND)
        assert done.returncode == 0, done.stderr
        (tx,) = it.node.chain.mempool
        assert done.stdout == f"Sent 30 ETT to {TO}: transaction {tx['id']}\n"
        assert (tx["sender"], tx["recipient"], tx["amount"]) == (HOST.address, TO, 30 * ONE)
        books = await it.books()
        assert books[credit_of("102"), "EUR"] == 50  # 1.50 EUR, of what came as ETT first
        assert books[credit_of("102") + REDUCED, "EUR"] == 0
        assert (await it.runs("ledger", "verify")).stdout.startswith("✓")


async def test_a_payment_of_nobodys_goes_back_once(tmp_path: Path) -> None:
    async with host(tmp_path) as it:
        words = ("payments", "refund", "tx:0", "--to", TO, "--key", "seed", "--yes")
        done = await it.runs(*words)
        assert done.stdout.startswith(f"Sent 7 ETT to {TO}"), done.stderr
        again = await it.runs(*words)
        assert "there is no such payment" in again.stderr
        assert json.loads((await it.runs("payments", "list", "--json")).stdout) == {"payments": []}
        assert it.node.chain.balance(TO, ETT) == 7 * ONE


async def test_a_payment_that_may_be_undone_does_not_go_back(tmp_path: Path) -> None:
    async with host(tmp_path) as it:
        it.node.chain.roll_back(10)
        refused = await it.runs("payments", "refund", "tx:0", "--to", TO, "--key", "seed", "--yes")
        assert "that payment has 5 of 10 confirmations; try again later" in refused.stderr
        assert it.node.chain.mempool == []


async def test_two_at_once_give_a_payment_back_once(tmp_path: Path) -> None:
    async with host(tmp_path):
        databases = [Database(tmp_path / "data" / "encryptotel.db") for _ in range(2)]
        for one in databases:
            await one.open()
        async with databases[0].reading() as other:
            await other.get(PaymentRow, "tx:0")
        results = await asyncio.gather(*(_take(one) for one in databases), return_exceptions=True)
        assert sorted(type(one) for one in results if one) in ([RefundError], [OperationalError])
        for one in databases:
            await one.close()


async def _take(database: Database) -> None:
    async with database.writing() as session:
        await take_payment(session, "tx:0")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("refund", "102", "41", "ETT", "--to", TO), "102 has only 2.00 EUR"),
        (("refund", "102", "1001", "ETT", "--to", TO), "there are 1000 ETT in the wallet"),
        (("refund", "109", "1", "ETT", "--to", TO), "there is no extension 109"),
        (("refund", "102", "1", "DOGE", "--to", TO), "take WAVES or ETT"),
        (("refund", "102", "1", "ETT", "--to", TO[:-1] + "1"), "is no Waves address"),
        (("refund", "102", "0.01", "ETT", "--to", TO), "say what it is worth"),
        (("payments", "refund", "tx:9", "--to", TO), "there is no such payment"),
        (("refund", "102", "0", "ETT", "--to", TO), "more than nothing"),
        (("refund", "102", "much", "ETT", "--to", TO), "is no sum"),
    ],
)
async def test_what_cannot_be_given_back(tmp_path: Path, words: Any, why: str) -> None:
    async with host(tmp_path) as it:
        before = await it.books()
        refused = await it.runs(*words, "--key", "seed", "--yes")
        assert refused.returncode == 1
        assert why in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        assert await it.books() == before
        assert it.node.chain.mempool == []


async def test_what_the_node_refuses_is_put_back(tmp_path: Path) -> None:
    """It says what there is, and then that there is nothing."""
    async with host(tmp_path) as it:
        before, asked = await it.books(), 0
        balance = it.node.chain.balance

        def fewer(address: str, asset: str) -> int:
            nonlocal asked
            asked += 1
            return balance(address, asset) if asked <= 2 else 0

        it.node.chain.balance = fewer  # type: ignore[method-assign]
        refused = await it.runs(*REFUND)
        assert "nothing was given back: there is too little in the wallet" in refused.stderr
        assert {key: sum_ for key, sum_ in (await it.books()).items() if sum_} == before
        assert (await it.runs("ledger", "verify")).stdout.startswith("✓")


async def test_the_wrong_seed_and_second_thoughts(tmp_path: Path) -> None:
    async with host(tmp_path) as it:
        (tmp_path / "other").write_text("other words")
        refused = await it.runs(*REFUND[:-3], "--key", "other", "--yes")
        assert f"not of {HOST.address}" in refused.stderr
        assert "other words" not in refused.stderr + refused.stdout
        refused = await it.runs(*REFUND[:-1], stdin="n\n")
        assert "Send 30 ETT to" in refused.stdout
        assert refused.returncode != 0
        assert it.node.chain.mempool == []
        assert it.node.chain.balance(HOST.address, WAVES) == 100 * ONE


async def test_a_seed_is_shown_to_who_knows_the_pin(tmp_path: Path) -> None:
    async with host(tmp_path) as it:
        database = Database(tmp_path / "data" / "encryptotel.db")
        await database.open()
        address = await Vaults(database, tmp_path / "data" / "vault.key", "T").make("102", "271828")
        await database.close()
        shown = await it.runs("wallet", "102", stdin="271828\n")
        seed = shown.stdout.split("seed")[1].strip()
        assert account(seed, "T").address == address
        refused = await it.runs("wallet", "102", stdin="271829\n")
        assert "that PIN is wrong; 2 tries are left" in refused.stderr
        assert "has no wallet" in (await it.runs("wallet", "103", stdin="1\n")).stderr
