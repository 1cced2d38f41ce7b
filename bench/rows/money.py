"""A million entries in the ledger: what somebody has, and the proof of all; and what setting money
aside adds to the beginning of a call."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.report import Row, quantile
from bench.rows import Options

ENTRIES, PEOPLE = 1_000_000, 1_000
AT_ONCE = 1_000
INVOICES = 100_000


def measure(options: Options) -> list[Row]:
    """On the program's own tables, in a file."""
    folder = options.folder / "money"
    folder.mkdir(parents=True)
    entries = ENTRIES // 20 if options.quick else ENTRIES
    took, proof, faults, charged, matched = asyncio.run(_ledger(folder, entries))
    assert not faults, faults
    balance = Row("balance", f"what somebody has, of {entries} entries, p99", "ms")
    balance.against(quantile(took, 0.99), 5.0)
    balance.detail = f"median {quantile(took, 0.5):.2f} ms, with the way to the database's thread"
    verify = Row("ledger-verify", f"all accounts of {entries} entries proven", "s")
    verify.against(proof, 30.0)
    verify.detail = f"{entries / proof:.0f} entries a second"
    charging = Row("charging", f"setting money aside, beside {AT_ONCE} calls that go on, p99", "ms")
    charging.against(quantile(charged, 0.99), 1.0)
    charging.detail = f"median {quantile(charged, 0.5):.4f} ms"
    match = Row("invoice-match", f"whose a payment is, of {INVOICES} invoices, p99", "ms")
    match.against(quantile(matched, 0.99), 10.0)
    match.detail = f"median {quantile(matched, 0.5):.2f} ms; by memo and by amount, half each"
    return [balance, verify, charging, match]


async def _ledger(
    folder: Path, entries: int
) -> tuple[list[float], float, list[str], list[float], list[float]]:
    """Milliseconds of each look, seconds of the proof, what it found, milliseconds of each
    reservation, and of each search for an invoice."""
    from store.database import Database  # noqa: PLC0415 - what only this row needs
    from wallet.charging import Charging  # noqa: PLC0415
    from wallet.ledger import balance, credit_of, verify  # noqa: PLC0415
    from wallet.money import Asset  # noqa: PLC0415
    from wallet.rates import Rate, RateDeck  # noqa: PLC0415

    database = Database(folder / "encryptotel.db")
    await database.open()
    await asyncio.to_thread(_fill, folder / "encryptotel.db", entries)
    took = []
    for number in range(1_000):
        began = time.perf_counter()
        async with database.reading() as session:
            await balance(session, credit_of(str(number % PEOPLE)), "EUR")
        took.append(1000 * (time.perf_counter() - began))
    began = time.perf_counter()
    proof = await verify(database)
    proven = time.perf_counter() - began
    deck = RateDeck([Rate(prefix=str(one), name="x", price=10_000) for one in range(1, 100_000)])
    charging = Charging(database, deck, Asset(id="EUR", name="EUR", decimals=2))
    await charging.reload()
    charged = []
    for number in range(2 * AT_ONCE):
        began = time.perf_counter()
        meter = charging.reserve(str(number % (PEOPLE // 100)), "+4930123456")
        charging.begin(meter, f"c{number}", f"l{number}", datetime.now(UTC))
        charged.append(1000 * (time.perf_counter() - began))
    matched = await _matched(database)
    await database.close()
    return took, proven, list(proof.faults), charged[AT_ONCE:], matched


async def _matched(database: Any) -> list[float]:
    """Milliseconds of each search."""
    from wallet.chain import Transfer  # noqa: PLC0415
    from wallet.invoices import Invoices  # noqa: PLC0415
    from wallet.money import WAVES, Asset  # noqa: PLC0415
    from wallet.prices import Prices  # noqa: PLC0415

    coin, unit = Asset(id=WAVES, name="WAVES", decimals=8), Asset(id="EUR", name="EUR", decimals=2)
    desk = Invoices(
        database, unit, {WAVES: coin}, "", Prices({WAVES: 1_000_000}), lambda _: 1, lambda _: None
    )
    found = []
    for number in range(500):
        wanted = number * 199
        memo = _memo(wanted).encode() if number % 2 else b""
        transfer = Transfer(
            tx=f"t{number}", index=0, height=1, at=datetime.now(UTC), asset=WAVES,
            amount=10**9 + wanted, sender="x", attachment=memo,
        )  # fmt: skip
        began = time.perf_counter()
        async with database.reading() as session:
            row = await desk._invoice_for(session, transfer, memo.decode())
        found.append(1000 * (time.perf_counter() - began))
        assert row is not None
        assert row.id == _memo(wanted)
    return found


def _memo(number: int) -> str:
    """As an invoice's id is made."""
    signs = "ABCDEFGHJK"
    return "ET" + "".join(signs[int(digit)] for digit in f"{number:06d}")


def _fill(file: Path, entries: int) -> None:
    """As many calls that somebody paid for."""
    with sqlite3.connect(file) as books:
        books.execute("PRAGMA synchronous=OFF")
        books.executemany(
            "INSERT INTO entry (id, key, at, kind, text) VALUES (?, ?, ?, 'call', 'Germany, 60 s')",
            ((n, f"call:{n:012x}", "2026-11-30 12:00:00.000000") for n in range(1, entries + 1)),
        )
        books.executemany(
            "INSERT INTO posting (entry, account, asset, amount) VALUES (?, ?, 'EUR', ?)",
            (
                row
                for n in range(1, entries + 1)
                for row in ((n, f"credit/{n % PEOPLE}", 1_000), (n, "given", -1_000))
            ),
        )
        books.execute(
            "INSERT INTO balance SELECT account, asset, sum(amount) FROM posting GROUP BY 1, 2"
        )
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}.000000"
        books.executemany(
            "INSERT INTO invoice (id, extension, asset, amount, price, made, expires, state) "
            "VALUES (?, '101', 'WAVES', ?, 1000000, ?, ?, 'new')",
            ((_memo(n), 10**9 + n, now, now) for n in range(INVOICES)),
        )
    books.close()
