"""The ledger: double entry, only ever added to, each event once by its key.

Every entry moves sums between accounts and adds up to nothing for each asset. Balances are kept
beside the postings, in the same transaction; `verify` adds everything up anew. What a person has
is the account ``credit/EXTENSION``; it must not go below nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert
from sqlalchemy import select as select_columns
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, func, select, update

from store.database import Database
from store.tables import BalanceRow, EntryRow, PostingRow
from store.upsert import insert_new
from wallet.money import MOST
from wallet.purse import REDUCED

CREDIT = "credit/"
"What belongs to people begins so."
GIVEN, CALLS, RECEIVED, LEFT = "given", "income/calls", "received", "left"
"Credit from the host, what calls brought, coins that came in, and what people left behind."
PAGE = 5_000
"Rows of an export read at once."


class LedgerError(Exception):
    """An entry that must not be: it does not add up, or somebody would be owing."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """A sum that an account gets (or gives, below nothing)."""

    account: str
    asset: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something that happened: `key` is the same whenever the same event comes again."""

    key: str
    kind: str
    at: datetime
    moves: Sequence[Move]
    text: str = ""


def credit_of(extension: str) -> str:
    """The account of what somebody has."""
    return f"{CREDIT}{extension}"


def extension_of(account: str) -> str:
    """Whose an account is; empty for one that is nobody's."""
    whose = account.removeprefix(CREDIT).removesuffix(REDUCED)
    return whose if account.startswith(CREDIT) else ""


def transfer(giver: str, taker: str, asset: str, amount: int) -> tuple[Move, Move]:
    """The moves that bring a sum from one account to another."""
    return (
        Move(account=giver, asset=asset, amount=-amount),
        Move(account=taker, asset=asset, amount=amount),
    )


async def post(session: AsyncSession, entry: Entry) -> bool:
    """Write an entry in the transaction of what it is about; False when it was written before.
    Raises `LedgerError`, and then the transaction must be undone."""
    sums: dict[str, int] = {}
    for move in entry.moves:
        if abs(move.amount) > MOST:
            raise LedgerError("a sum is larger than any can be")
        sums[move.asset] = sums.get(move.asset, 0) + move.amount
    if not entry.moves or any(sums.values()):
        raise LedgerError(f"the entry {entry.key} does not add up")
    connection = await session.connection()
    dialect = connection.dialect.name
    values = {"key": entry.key, "at": entry.at, "kind": entry.kind, "text": entry.text[:200]}
    known = select(EntryRow.id).where(col(EntryRow.key) == entry.key)
    if (await session.execute(known)).scalar() is not None:
        return False
    made = await connection.execute(insert(EntryRow), values)
    (number,) = made.inserted_primary_key or (None,)
    rows = [
        {"entry": number, "account": m.account, "asset": m.asset, "amount": m.amount}
        for m in entry.moves
    ]
    await connection.execute(insert(PostingRow), rows)
    for move in entry.moves:
        there = {"account": move.account, "asset": move.asset, "amount": 0}
        await connection.execute(insert_new(dialect, BalanceRow), [there])
        changed = await connection.execute(
            update(BalanceRow)
            .where(
                col(BalanceRow.account) == move.account,
                col(BalanceRow.asset) == move.asset,
                col(BalanceRow.amount).between(
                    -MOST - min(0, move.amount), MOST - max(0, move.amount)
                ),
            )
            .values(amount=col(BalanceRow.amount) + move.amount)
            .returning(col(BalanceRow.amount))
        )
        left = changed.scalar()
        if left is None or (left < 0 and move.account.startswith(CREDIT)):
            raise LedgerError(f"the account {move.account} has too little, or too much")
    return True


async def close_account(session: AsyncSession, extension: str, at: datetime) -> None:
    """What somebody leaves behind goes back to the host. Raises `LedgerError`."""
    mine = credit_of(extension)
    left = [
        (account, asset, amount)
        for (account, asset), amount in (await balances_in(session, mine)).items()
        if amount and account in (mine, mine + REDUCED)
    ]
    moves = [move for account, asset, n in left for move in transfer(account, LEFT, asset, n)]
    if moves:
        key = f"left:{extension}:{at:%Y%m%dT%H%M%S.%f}"
        await post(session, Entry(key=key, kind="left", at=at, moves=moves, text="left behind"))


async def reverse(session: AsyncSession, key: str, at: datetime) -> bool:
    """Undo an entry by another; False when it was undone before. Raises `LedgerError`."""
    query = (
        select_columns(col(PostingRow.account), col(PostingRow.asset), col(PostingRow.amount))
        .join(EntryRow, col(EntryRow.id) == col(PostingRow.entry))
        .where(col(EntryRow.key) == key)
    )
    moves = [
        Move(account=account, asset=asset, amount=-amount)
        for account, asset, amount in (await session.execute(query)).all()
    ]
    return await post(session, Entry(key=f"undone:{key}", kind="undone", at=at, moves=moves))


async def balance(session: AsyncSession, account: str, asset: str) -> int:
    """What an account has of an asset, in the transaction of what is done with it."""
    row = await session.get(BalanceRow, (account, asset), with_for_update=True)
    return row.amount if row is not None else 0


async def balances(database: Database, account: str = "") -> Mapping[tuple[str, str], int]:
    """What there is by account and asset; of all accounts that begin so."""
    async with database.reading() as session:
        return await balances_in(session, account)


async def balances_in(session: AsyncSession, account: str) -> Mapping[tuple[str, str], int]:
    """The same, in a transaction."""
    query = select(BalanceRow).where(col(BalanceRow.account).startswith(account, autoescape=True))
    found = (await session.execute(query.order_by(col(BalanceRow.account)))).scalars()
    return {(row.account, row.asset): row.amount for row in found}


async def statement(
    database: Database, *accounts: str, limit: int
) -> Sequence[tuple[datetime, str, str, int, str]]:
    """The latest that accounts got and gave, newest first: when, kind, asset, sum, text."""
    query = (
        select_columns(
            col(EntryRow.at),
            col(EntryRow.kind),
            col(PostingRow.asset),
            col(PostingRow.amount),
            col(EntryRow.text),
        )
        .join(EntryRow, col(EntryRow.id) == col(PostingRow.entry))
        .where(col(PostingRow.account).in_(accounts))
        .order_by(col(PostingRow.id).desc())
        .limit(limit)
    )
    async with database.reading() as session:
        return [
            (at, kind, asset, amount, text)
            for at, kind, asset, amount, text in (await session.execute(query)).all()
        ]


async def income(database: Database) -> Sequence[tuple[str, str, str, int]]:
    """What came in, by day (UTC, as YYYY-MM-DD), kind and asset; what calls brought, and what was
    received on the chain."""
    query = (
        select_columns(
            col(EntryRow.at), col(EntryRow.kind), col(PostingRow.asset), col(PostingRow.amount)
        )
        .join(EntryRow, col(EntryRow.id) == col(PostingRow.entry))
        .where(col(PostingRow.account).in_((CALLS, RECEIVED)))
        .order_by(col(PostingRow.id))
    )
    sums: dict[tuple[str, str, str], int] = {}
    async with database.reading() as session:
        rows = await session.stream(query)
        async for at, kind, asset, amount in rows:
            key = (f"{at:%Y-%m-%d}", kind, asset)
            sums[key] = sums.get(key, 0) + amount
    return [(day, kind, asset, amount) for (day, kind, asset), amount in sorted(sums.items())]


# ── proof ───────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class Proof:
    """What adding everything up anew found; `faults` are sentences, none when all is well."""

    entries: int
    accounts: int
    faults: Sequence[str]


async def verify(database: Database) -> Proof:
    """Add all entries up anew: each to nothing, each account to its balance, and nobody
    owing."""
    faults: list[str] = []
    async with database.reading() as session:
        count = (await session.execute(select(func.count(col(EntryRow.id))))).scalar_one()
        added = func.sum(PostingRow.amount)
        uneven = (
            select(PostingRow.entry)
            .group_by(col(PostingRow.entry), col(PostingRow.asset))
            .having(added != 0)
            .limit(20)
        )
        for number in (await session.execute(uneven)).scalars():
            faults.append(f"entry {number} does not add up")
        moved = (
            await session.execute(select(func.count(func.distinct(PostingRow.entry))))
        ).scalar()
        if moved != count:
            faults.append(f"{count - (moved or 0)} entries move nothing")
        totals = select(PostingRow.account, PostingRow.asset, added).group_by(
            col(PostingRow.account), col(PostingRow.asset)
        )
        sums = {(a, asset): int(n) for a, asset, n in (await session.execute(totals)).all()}
    kept = await balances(database)
    for key in sorted({*sums, *kept}):
        account, asset = key
        has, should = kept.get(key, 0), sums.get(key, 0)
        if has != should:
            faults.append(f"{account} has {has} of {asset}, and should have {should}")
        if account.startswith(CREDIT) and should < 0:
            faults.append(f"{account} owes {-should} of {asset}")
    return Proof(entries=count, accounts=len(sums), faults=faults)


async def export(database: Database) -> AsyncIterator[str]:
    """All postings as CSV, oldest first, in pieces."""
    yield _csv(("entry", "at", "kind", "key", "account", "asset", "amount", "text"))
    after = 0
    while True:
        query = (
            select(PostingRow, EntryRow)
            .join(EntryRow, col(EntryRow.id) == col(PostingRow.entry))
            .where(col(PostingRow.id) > after)
            .order_by(col(PostingRow.id))
            .limit(PAGE)
        )
        async with database.reading() as session:
            rows = (await session.execute(query)).all()
        if not rows:
            return
        yield "".join(
            _csv(
                (
                    e.id,
                    f"{e.at:%Y-%m-%dT%H:%M:%SZ}",
                    e.kind,
                    e.key,
                    p.account,
                    p.asset,
                    p.amount,
                    e.text,
                )
            )
            for p, e in rows
        )
        after = rows[-1][0].id or after


def _csv(values: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(values)
    return out.getvalue()
