"""Invoices in crypto: what somebody wants to pay, what came in for it, and the credit for that.

Each payment is credited by itself once it is confirmed, exactly once: an invoice may be paid in
parts, too little or too much, and nothing that was paid is lost. In time it is credited at the
price that was quoted, later at that of the day. A payment that a fork of the chain undoes is taken
back; what was spent of it meanwhile is owed, and comes off the next one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, func, select, update

from store.database import Database
from store.tables import InvoiceRow, PaymentRow
from wallet.chain import Transfer
from wallet.ledger import RECEIVED, Entry, Move, balance, credit_of, post, transfer
from wallet.money import MOST, Asset
from wallet.purse import REDUCED
from wallet.rates import MICRO

HOLDS = timedelta(minutes=15)
"How long a quoted price holds."
GRACE = timedelta(minutes=2)
"… and a little more, for a payment that was on its way."
KNOWN_BY_AMOUNT = timedelta(days=2)
"For so long an amount alone says whose it is."
MAX_OPEN = 20
"Invoices of one person that wait."
TAILS = 9_999
"The last digits that tell amounts from each other, in the smallest unit."
TOLERANCE = 200
"One part in so many may lack, or be too much."
CHAIN, SOLD, OWED = "chain", "sold", "owed/"
_SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_MEMO = re.compile(f"(?<![A-Z0-9])ET[{_SIGNS}]{{6}}(?![A-Z0-9])")


class InvoiceError(Exception):
    """An invoice that cannot be; the text is for the person."""


class RateSource(Protocol):
    """What coins are worth."""

    def price(self, asset: str) -> int:
        """Of a whole coin now, in millionths of the unit of account. Raises `InvoiceError`."""


@dataclass(frozen=True, kw_only=True)
class News:
    """Something happened to somebody's payment: `left` confirmations of `needed` are lacking,
    `credit` was credited (or taken back, below nothing) and the invoice is in a `state`. Without
    an extension nobody is known for it."""

    extension: str
    invoice: str
    state: str
    asset: str
    amount: int
    confirmed: int = 0
    needed: int = 0
    credit: int = 0
    late: bool = False


class Invoices:
    """`coins` are the assets we take, by id; what comes in as `cheaper` buys more. `confirmations`
    says how many blocks a payment waits for, given its credit; `told` hears what happens."""

    def __init__(
        self,
        database: Database,
        unit: Asset,
        coins: Mapping[str, Asset],
        cheaper: str,
        rates: RateSource,
        confirmations: Callable[[int], int],
        told: Callable[[News], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.unit, self.coins, self.rates, self._cheaper = unit, coins, rates, cheaper
        self._database, self._confirmations, self._told, self._now = (
            database, confirmations, told, now,
        )  # fmt: skip

    # ── what people order ───────────────────────────────────────────────────────────────
    async def open(self, extension: str, coin: Asset, amount: int) -> InvoiceRow:
        """An invoice over about so much, whose last digits are nobody else's. Raises
        `InvoiceError`."""
        price, now = self.rates.price(coin.id), self._now()
        if not 0 < amount <= MOST // 2 or self.credit(coin, amount, price) <= 0:
            raise InvoiceError(f"{coin.text(amount)} is too little to be worth anything here")
        async with self._database.writing() as session:
            waiting = select(func.count()).where(
                col(InvoiceRow.extension) == extension,
                col(InvoiceRow.state) == "new",
                col(InvoiceRow.expires) > now,
            )
            if (await session.execute(waiting)).scalar_one() >= MAX_OPEN:
                raise InvoiceError(f"{MAX_OPEN} invoices wait for you already; pay one, or wait")
            taken = select(InvoiceRow.amount).where(
                col(InvoiceRow.asset) == coin.id,
                col(InvoiceRow.amount).between(amount, amount + TAILS),
                col(InvoiceRow.made) > now - KNOWN_BY_AMOUNT,
            )
            used = set((await session.execute(taken)).scalars())
            free = [tail for tail in range(1, TAILS + 1) if amount + tail not in used]
            if not free:
                raise InvoiceError("too many want to pay just that; take another amount")
            row = InvoiceRow(
                id="ET" + "".join(secrets.choice(_SIGNS) for _ in range(6)),
                extension=extension,
                asset=coin.id,
                amount=amount + secrets.choice(free),
                price=price,
                made=now,
                expires=now + HOLDS,
            )
            session.add(row)
        return row

    async def expire(self) -> None:
        """Tell of invoices that nobody paid in time; what comes later is taken all the same."""
        now = self._now()
        async with self._database.writing() as session:
            over = select(InvoiceRow).where(
                col(InvoiceRow.state) == "new", col(InvoiceRow.expires) <= now
            )
            rows = list((await session.execute(over)).scalars())
            for row in rows:
                row.state = "expired"
        for row in rows:
            self._told(_news(row, "expired"))

    # ── what the chain says ─────────────────────────────────────────────────────────────
    async def see(self, found: Transfer, height: int) -> None:
        """Something is on the chain, whose last block has a number: note it, and credit it when it
        is confirmed. The same again changes nothing."""
        async with self._database.writing() as session:
            row = await session.get(PaymentRow, found.key, with_for_update=True)
            fresh = row is None
            if row is None:
                row = await self._noted(session, found)
            elif row.state == "gone":
                row.state = "seen"
            row.height = found.height
            news = await self._credited(session, row, height)
            if fresh and row.state == "seen" and not row.extension:
                news = News(
                    extension="", invoice="", state="unclaimed", asset=row.asset, amount=row.amount
                )
        if news is not None:
            self._told(news)

    async def vanish(self, key: str) -> None:
        """Something is on the chain no more: what was credited for it is taken back."""
        async with self._database.writing() as session:
            row = await session.get(PaymentRow, key, with_for_update=True)
            if row is None or row.state not in ("seen", "credited"):
                return
            credit = row.credited if row.state == "credited" else 0
            if row.state == "credited":
                await self._take_back(session, row, credit)
            row.state, row.credited = "gone", 0
            state = await self._settled(session, row.invoice)
        if row.extension:
            self._told(
                News(
                    extension=row.extension, invoice=row.invoice, state=state or "gone",
                    asset=row.asset, amount=row.amount, credit=-credit,
                )
            )  # fmt: skip

    async def since(self, height: int) -> Mapping[str, tuple[int, str]]:
        """What is on the chain above a block, as far as we know: by key the block, and the
        state."""
        async with self._database.reading() as session:
            query = select(PaymentRow.key, PaymentRow.height, PaymentRow.state).where(
                col(PaymentRow.height) > height, col(PaymentRow.state) != "gone"
            )
            return {key: (at, state) for key, at, state in (await session.execute(query)).all()}

    def credit(self, coin: Asset, amount: int, price: int) -> int:
        """What an amount is worth in the unit of account, rounded down."""
        return int(amount * price // 10 ** (coin.decimals + MICRO - self.unit.decimals))

    # ── parts ───────────────────────────────────────────────────────────────────────────
    async def _noted(self, session: AsyncSession, found: Transfer) -> PaymentRow:
        """A payment that is new, with whose it is."""
        memo = found.attachment.decode("utf-8", "replace").replace("\0", "")
        taken = found.asset in self.coins and found.amount <= MOST
        invoice = await self._invoice_for(session, found, memo) if taken else None
        row = PaymentRow(
            key=found.key,
            asset=found.asset,
            amount=min(found.amount, MOST),
            sender=found.sender,
            memo=memo[:140],
            height=found.height,
            at=found.at,
            seen=self._now(),
            invoice=invoice.id if invoice else "",
            extension=invoice.extension if invoice else "",
            state="seen" if taken else "ignored",
        )
        session.add(row)
        return row

    async def _invoice_for(
        self, session: AsyncSession, found: Transfer, memo: str
    ) -> InvoiceRow | None:
        """By the memo; without one by the amount, if that is one invoice's alone."""
        for id in _MEMO.findall(memo.upper())[:3]:
            if (row := await session.get(InvoiceRow, id)) is not None:
                return row
        same = select(InvoiceRow).where(
            col(InvoiceRow.asset) == found.asset,
            col(InvoiceRow.amount) == found.amount,
            col(InvoiceRow.made) > self._now() - KNOWN_BY_AMOUNT,
        )
        rows = list((await session.execute(same.limit(2))).scalars())
        return rows[0] if len(rows) == 1 else None

    async def _credited(self, session: AsyncSession, row: PaymentRow, height: int) -> News | None:
        """Credit a payment that is confirmed; what there is to tell."""
        coin = self.coins.get(row.asset)
        if row.state != "seen" or not row.extension or coin is None:
            return None
        invoice = await session.get(InvoiceRow, row.invoice) if row.invoice else None
        quoted = invoice is not None and invoice.asset == row.asset
        late = invoice is None or not quoted or row.seen > invoice.expires + GRACE
        try:
            price = self.rates.price(coin.id) if late or invoice is None else invoice.price
        except InvoiceError:  # it waits until it is known what it is worth
            return None
        credit = self.credit(coin, row.amount, price)
        needed, confirmed = self._confirmations(credit), max(0, height - row.height)
        if confirmed >= needed:
            await self._give(session, row, credit)
        state = await self._settled(session, row.invoice)
        return News(
            extension=row.extension,
            invoice=row.invoice,
            state=state or row.state,
            asset=row.asset,
            amount=row.amount,
            confirmed=min(confirmed, needed),
            needed=needed,
            credit=row.credited,
            late=late and row.state == "credited",
        )

    async def _give(self, session: AsyncSession, row: PaymentRow, credit: int) -> None:
        row.state, row.credited, row.times = "credited", credit, row.times + 1
        debt = -min(0, await balance(session, OWED + row.extension, self.unit.id))
        paid = min(debt, credit)
        moves = [
            *transfer(CHAIN, RECEIVED, row.asset, row.amount),
            Move(account=SOLD, asset=self.unit.id, amount=-credit),
            Move(account=self._account(row), asset=self.unit.id, amount=credit - paid),
            Move(account=OWED + row.extension, asset=self.unit.id, amount=paid),
        ]
        await self._post(session, f"paid:{row.key}:{row.times}", "payment", moves, row)

    async def _take_back(self, session: AsyncSession, row: PaymentRow, credit: int) -> None:
        left, moves = credit, list(transfer(RECEIVED, CHAIN, row.asset, row.amount))
        moves.append(Move(account=SOLD, asset=self.unit.id, amount=credit))
        other = credit_of(row.extension) + REDUCED
        for account in dict.fromkeys((self._account(row), credit_of(row.extension), other)):
            taken = min(left, await balance(session, account, self.unit.id))
            left -= taken
            moves.append(Move(account=account, asset=self.unit.id, amount=-taken))
        moves.append(Move(account=OWED + row.extension, asset=self.unit.id, amount=-left))
        await self._post(session, f"undone:{row.key}:{row.times}", "undone", moves, row)

    def _account(self, row: PaymentRow) -> str:
        """Where the credit of a payment goes."""
        return credit_of(row.extension) + (REDUCED if row.asset == self._cheaper else "")

    async def _post(
        self, session: AsyncSession, key: str, kind: str, moves: Sequence[Move], row: PaymentRow
    ) -> None:
        coin = self.coins.get(row.asset)
        text = f"{'payment of' if kind == 'payment' else 'undone by the chain:'} "
        text += coin.text(row.amount) if coin is not None else row.asset
        moving = [move for move in moves if move.amount]
        await post(session, Entry(key=key, kind=kind, at=self._now(), moves=moving, text=text))

    async def _settled(self, session: AsyncSession, id: str) -> str:
        """Put an invoice into the state its payments make; empty if there is none."""
        invoice = await session.get(InvoiceRow, id) if id else None
        if invoice is None:
            return ""
        await session.flush()
        query = select(PaymentRow.amount, PaymentRow.state).where(
            col(PaymentRow.invoice) == id,
            col(PaymentRow.asset) == invoice.asset,
            col(PaymentRow.state).in_(("seen", "credited")),
        )
        paid = (await session.execute(query)).all()
        total, about = sum(amount for amount, _ in paid), invoice.amount // TOLERANCE
        if not paid:
            invoice.state = "expired" if invoice.expires <= self._now() else "new"
        elif any(state == "seen" for _, state in paid):
            invoice.state = "seen"
        elif total < invoice.amount - about:
            invoice.state = "underpaid"
        else:
            invoice.state = "overpaid" if total > invoice.amount + about else "paid"
        return invoice.state


async def assign(database: Database, key: str, extension: str) -> bool:
    """Say whose a payment is that nobody knew; False if there is none such."""
    async with database.writing() as session:
        unknown = (col(PaymentRow.key) == key) & (col(PaymentRow.extension) == "")
        done = await session.execute(update(PaymentRow).where(unknown).values(extension=extension))
        return bool(getattr(done, "rowcount", 0))


async def unclaimed(database: Database) -> Sequence[PaymentRow]:
    """Payments that are nobody's, newest first."""
    async with database.reading() as session:
        query = select(PaymentRow).where(
            col(PaymentRow.extension) == "", col(PaymentRow.state) == "seen"
        )
        found = await session.execute(query.order_by(col(PaymentRow.height).desc()).limit(100))
        return list(found.scalars())


def _news(row: InvoiceRow, state: str) -> News:
    return News(
        extension=row.extension, invoice=row.id, state=state, asset=row.asset, amount=row.amount
    )
