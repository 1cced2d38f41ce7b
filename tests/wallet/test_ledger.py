"""The ledger: what must not be is not written, what is written once is there once, and proof."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from store.database import Database
from wallet.ledger import (
    CALLS,
    GIVEN,
    Entry,
    LedgerError,
    Move,
    balances,
    credit_of,
    export,
    post,
    statement,
    transfer,
    verify,
)
from wallet.money import MOST

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ALICE = credit_of("101")


@pytest.fixture
async def database(where: Path | URL) -> AsyncIterator[Database]:
    database = Database(where)
    await database.open()
    yield database
    await database.close()


def entry(key: str, *moves: Move, kind: str = "test") -> Entry:
    return Entry(key=key, kind=kind, at=NOW, moves=moves, text="why, “so”")


async def posted(database: Database, one: Entry) -> bool:
    async with database.writing() as session:
        return await post(session, one)


async def test_an_event_counts_once_however_often_it_comes(database: Database) -> None:
    gift = entry("gift:1", *transfer(GIVEN, ALICE, "EUR", 1_000))
    assert await posted(database, gift)
    assert not await posted(database, gift)
    assert not await posted(database, entry("gift:1", *transfer(GIVEN, ALICE, "EUR", 5)))
    assert dict(await balances(database)) == {(ALICE, "EUR"): 1_000, (GIVEN, "EUR"): -1_000}
    assert dict(await balances(database, "credit/")) == {(ALICE, "EUR"): 1_000}
    assert (await verify(database)).faults == []
    ((at, kind, asset, amount, said),) = await statement(database, ALICE, limit=10)
    assert (at, kind, asset, amount, said) == (NOW, "test", "EUR", 1_000, "why, “so”")


@pytest.mark.parametrize(
    ("moves", "why"),
    [
        ((), "does not add up"),
        ((Move(account=ALICE, asset="EUR", amount=5),), "does not add up"),
        (
            (
                Move(account=ALICE, asset="EUR", amount=5),
                Move(account=GIVEN, asset="WAVES", amount=-5),
            ),
            "does not add up",
        ),
        (transfer(ALICE, CALLS, "EUR", 101), "too little"),
        (transfer(ALICE, CALLS, "WAVES", 1), "too little"),
        (transfer(GIVEN, ALICE, "EUR", MOST), "too much"),
        (transfer(GIVEN, ALICE, "EUR", MOST + 1), "larger than any"),
        (transfer(GIVEN, ALICE, "EUR", -(2**80)), "larger than any"),
    ],
)
async def test_what_must_not_be_is_not_written_at_all(
    database: Database, moves: tuple[Move, ...], why: str
) -> None:
    await posted(database, entry("gift", *transfer(GIVEN, ALICE, "EUR", 100)))
    before = await balances(database)
    with pytest.raises(LedgerError, match=why):
        await posted(database, entry("bad", *moves))
    assert await balances(database) == before
    assert (await verify(database)).entries == 1


async def test_nothing_that_was_written_can_be_changed(database: Database) -> None:
    await posted(database, entry("gift", *transfer(GIVEN, ALICE, "EUR", 100)))
    for statement_ in ("UPDATE posting SET amount = 1", "DELETE FROM entry", "DELETE FROM posting"):
        with pytest.raises(DBAPIError, match="only ever added to"):
            async with database.writing() as session:
                await session.execute(text(statement_))
    assert (await verify(database)).faults == []


async def test_whoever_goes_round_the_rules_is_found(database: Database) -> None:
    await posted(database, entry("gift", *transfer(GIVEN, ALICE, "EUR", 100)))
    await posted(database, entry("call", *transfer(ALICE, CALLS, "EUR", 30)))
    async with database.writing() as session:
        for bad in (
            "UPDATE balance SET amount = 90 WHERE account = 'credit/101'",
            "INSERT INTO entry (key, at, kind, text) VALUES ('x', '2026-01-01 00:00:00', 'x', '')",
            "INSERT INTO posting (entry, account, asset, amount) "
            "VALUES (1, 'credit/102', 'EUR', -7)",
        ):
            await session.execute(text(bad))
    assert list((await verify(database)).faults) == [
        "entry 1 does not add up",
        "1 entries move nothing",
        "credit/101 has 90 of EUR, and should have 70",
        "credit/102 has 0 of EUR, and should have -7",
        "credit/102 owes 7 of EUR",
    ]


async def test_who_spends_at_once_spends_no_more_than_there_is(database: Database) -> None:
    """Two programs on the same tables."""
    await posted(database, entry("gift", *transfer(GIVEN, ALICE, "EUR", 100)))
    other = Database(database.path or database.url)

    async def spend(number: int) -> int:
        try:
            await posted(
                (database, other)[number % 2],
                entry(f"call:{number}", *transfer(ALICE, CALLS, "EUR", 7)),
            )
        except LedgerError:
            return 0
        return 7

    spent = sum(await asyncio.gather(*(spend(number) for number in range(40))))
    await other.close()
    assert spent == 98
    assert (await balances(database))[CALLS, "EUR"] == 98
    assert (await verify(database)).faults == []


async def test_all_of_it_can_be_had_as_csv(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wallet.ledger.PAGE", 3)
    for number in range(5):
        await posted(database, entry(f"gift:{number}", *transfer(GIVEN, ALICE, "EUR", number + 1)))
    rows = list(csv.DictReader(io.StringIO("".join([piece async for piece in export(database)]))))
    assert len(rows) == 10
    assert sum(int(row["amount"]) for row in rows) == 0
    assert rows[1] == {
        "entry": "1", "at": "2026-11-30T12:00:00Z", "kind": "test", "key": "gift:0",
        "account": ALICE, "asset": "EUR", "amount": "1", "text": "why, “so”",
    }  # fmt: skip
