"""`kill -9` while calls are paid for and payments come in: the books are right, and everything is
paid for and credited once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import base58
import pytest

from encryptotel.accounts import give
from store.database import Database
from store.tables import InvoiceRow
from tests.endurance.program import OncePhone, Program
from tests.office import quiet
from tests.peers.exchange import Config, Extension, Trunk
from tests.peers.waves_node import Chain, waves_node
from wallet.invoices import Invoices
from wallet.ledger import CALLS, GIVEN, balances, verify
from wallet.money import Asset
from wallet.prices import Prices

NUMBER = "+12025550143"
OURS = "3PJaDyprvekvPXPuAtxrapacuDJopgJRaU3"
ETT = Asset(id="8ofu3VpEaVCFjRqLLqzTMNs5URKUUQMrPp3k6oFmiCc6", name="ETT", decimals=8)
GIVEN_CENTS = 1_000_000
NEAR = 3.0
"Seconds that may be missing: the mark of the last run is as old, and the answer had to be noted."


@pytest.mark.timeout(240)
async def test_a_kill_while_calls_are_paid_for(tmp_path: Path) -> None:
    await _kill_again_and_again(tmp_path, 4)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_hundred_kills_while_calls_are_paid_for(tmp_path: Path) -> None:
    await _kill_again_and_again(tmp_path, 100)


async def _kill_again_and_again(folder: Path, rounds: int) -> None:
    """Three people call outside at once in each round, one of them hangs up before the kill."""
    network = OncePhone(quiet)
    host, port = await network.listen()
    (folder / "rates.csv").write_text("prefix,name,price,fee,increments\n1,USA,0.6,0,1/1\n")
    program = Program(folder, ("101",), extra={"money": {"rates": "rates.csv", "free": []}})
    program.sections["limits"] = {
        "trunk_calls_at_once": 10, "trunk_calls_per_hour": 10_000, "trunk_minutes_per_day": 10_000,
    }  # fmt: skip
    config = Config(
        [Extension("101", "secret-101")],
        [Trunk("us", host, port, ["+12025550100"])],
        extra=program.sections,
    )
    program.write_config(config.toml())
    phones = [OncePhone() for _ in range(3)]
    await _give(program)
    await program.start()
    for phone in phones:
        await phone.join(program, "101")
    chance, talked = Random(9), 0.0
    loop = asyncio.get_running_loop()
    for _ in range(rounds):
        began = loop.time()
        calls = [asyncio.ensure_future(phone.call(NUMBER)) for phone in phones]
        await asyncio.sleep(chance.uniform(0.0, 3.0))
        if calls[0].done() and calls[0].exception() is None:
            calls[0].result().hang_up()
        await asyncio.sleep(chance.uniform(0.0, 0.3))
        await program.kill()
        talked += 3 * (loop.time() - began)
        for one in calls:
            one.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        for phone in (*phones, network):
            for leg in list(phone.legs):
                leg.hang_up()
        await program.start()
        await program.until(
            "SELECT seconds FROM charge", lambda rows: all(r["seconds"] is not None for r in rows)
        )
    await program.stop()
    await asyncio.gather(*(phone._stack.close() for phone in (*phones, network)))
    charges = program.rows("SELECT * FROM charge")
    assert len({one["leg"] for one in charges}) == len(charges)
    assert all(one["cost"] == one["seconds"] for one in charges)
    paid = sum(one["cost"] for one in charges)
    assert len(charges) <= 3 * rounds
    assert talked - 3 * rounds * NEAR <= paid <= talked + len(charges)
    database = Database(program.data / "encryptotel.db")
    await database.open()
    assert (await verify(database)).faults == []
    found = await balances(database)
    assert found["credit/101", "EUR"] == GIVEN_CENTS - paid
    assert found.get((CALLS, "EUR"), 0) == paid
    assert found[GIVEN, "EUR"] == -GIVEN_CENTS
    await database.close()


async def _give(program: Program) -> None:
    program.data.mkdir()
    database = Database(program.data / "encryptotel.db")
    await database.open()
    unit = Asset(id="EUR", name="EUR", decimals=2)
    await give(database, unit, "101", GIVEN_CENTS, "a present")
    await database.close()


@pytest.mark.timeout(240)
async def test_a_kill_while_payments_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _kill_amid_payments(tmp_path, monkeypatch, 3)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_hundred_kills_while_payments_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _kill_amid_payments(tmp_path, monkeypatch, 100)


async def _kill_amid_payments(folder: Path, monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    """With memos of invoices, some undone by a fork and made again; in the end all is as if nothing
    had happened."""
    monkeypatch.setattr("wallet.invoices.MAX_OPEN", 10_000)
    monkeypatch.setenv("ENCRYPTOTEL_WAVES__PRICES", json.dumps({"ETT": "0.05"}))
    (folder / "rates.csv").write_text("prefix,name,price\n1,USA,0.6\n")
    chance, chain, paid = Random(11), Chain(), 0
    async with waves_node(chain) as node:
        waves = {"address": OURS, "node": node.url, "every": 0.1}
        extra = {"money": {"rates": "rates.csv", "free": []}, "waves": waves}
        program = Program(folder, ("101",), extra=extra)
        invoices = await _invoices(program, 3 * rounds)
        await program.start()
        for _ in range(rounds):
            for _ in range(chance.randrange(1, 4)):
                invoice = invoices.pop()
                paid += invoice.amount * 5 // 10**8
                chain.put(
                    {
                        "type": 4, "sender": "x", "recipient": OURS, "assetId": ETT.id,
                        "amount": invoice.amount,
                        "attachment": base58.b58encode(invoice.id.encode()).decode(),
                    }
                )  # fmt: skip
            chain.forge(chance.choice([1, 2]))
            await asyncio.sleep(chance.uniform(0.0, 0.8))
            if chance.random() < 0.3:
                chain.roll_back(2)
                chain.forge(3)
            await program.kill()
            await program.start()
        chain.forge(12)
        await program.until(
            "SELECT state FROM payment",
            lambda rows: (
                len(rows) == 3 * rounds - len(invoices)
                and all(row["state"] == "credited" for row in rows)
            ),
        )
        await program.stop()
    database = Database(program.data / "encryptotel.db")
    await database.open()
    assert (await verify(database)).faults == []
    found = await balances(database)
    assert found["credit/101/ETT", "EUR"] == paid
    await database.close()


async def _invoices(program: Program, count: int) -> list[InvoiceRow]:
    program.data.mkdir()
    database = Database(program.data / "encryptotel.db")
    await database.open()
    unit = Asset(id="EUR", name="EUR", decimals=2)
    prices = Prices({ETT.id: 50_000})
    desk = Invoices(database, unit, {ETT.id: ETT}, ETT.id, prices, lambda _: 1, lambda _: None)
    found = [await desk.open("101", ETT, 10 * 10**8) for _ in range(count)]
    await database.close()
    return found
