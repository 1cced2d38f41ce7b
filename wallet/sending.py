"""Payments that people make: signed, written down, and given to a node until the chain has them.

What is signed is written down before any node sees it. So after a crash the same transaction goes
out again, and the chain takes it once: its id is the hash of what was signed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, func, select

from store.database import Database
from store.tables import SendingRow, VaultRow
from wallet.chain import Node, NodeError, Refused
from wallet.money import WAVES, Asset
from wallet.refunds import undo

if TYPE_CHECKING:
    from wallet.signing import Account, Signed

log = logging.getLogger(__name__)

FEE = 100_000
"Of a transfer, in the smallest unit of WAVES."
DAY = timedelta(days=1)
VALID = timedelta(hours=2, minutes=10)
"Nodes take nothing that was signed longer ago than two hours."
WAITING = ("signed", "sent")
ANYHOW = 60.0
"Seconds after which it is looked whether anything waits: the command line signs as well."
AT_ONCE = 4
"Payments that a node is asked of at the same time."


class SendingError(Exception):
    """Nothing was sent; the text says why, for the person."""


class Sendings:
    """`coins` are what can be sent, by id, `most` how much of each in one payment and within a
    day."""

    def __init__(
        self,
        database: Database,
        node: Node,
        coins: Mapping[str, Asset],
        most: Mapping[str, tuple[int, int]],
        every: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database, self._node, self._every = database, node, every
        self._now = now
        self.told: Callable[[SendingRow], None] = lambda row: None
        "Hears what becomes of a payment."
        self.coins, self._most = coins, most
        self._wake = asyncio.Event()
        self._wake.set()
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow payments, those of the last run as well."""
        self._following = asyncio.ensure_future(self._follow())

    async def stop(self) -> None:
        """Follow no more; the next start goes on."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        await self._node.close()

    def check(self, asset: str, amount: int, spent: int = 0) -> None:
        """Raises `SendingError` for a sum that nobody may send who `spent` so much today."""
        coin, (most, a_day) = self.coins[asset], self._most[asset]
        if not 0 < amount <= most:
            raise SendingError(f"the most that can be sent at once is {coin.short(most)}")
        if spent + amount > a_day:
            raise SendingError(
                f"the most that can be sent within a day is {coin.short(a_day)}, and "
                f"{coin.short(spent)} were sent"
            )

    async def allows(self, extension: str, asset: str, amount: int) -> None:
        """Raises `SendingError` for a sum that nobody may send, or not any more today."""
        async with self._database.reading() as session:
            spent = await _spent(session, extension, asset, self._now() - DAY)
        self.check(asset, amount, spent)

    async def balances(self, address: str) -> Mapping[str, int]:
        """What is at an address, by asset. Raises `NodeError`."""
        return {coin: await self._node.balance(address, coin) for coin in self.coins}

    async def send(
        self, extension: str, giver: Account, to: str, asset: str, amount: int
    ) -> SendingRow:
        """Send it; how that stands, which is `signed` while no node answers. Raises `SendingError`
        when it was not sent, `NodeError` when nobody knows what there is to send."""
        self.check(asset, amount)

        async def book(session: AsyncSession, row: SendingRow) -> None:
            await session.get(VaultRow, extension, with_for_update=True)  # one after the other
            self.check(asset, amount, await _spent(session, extension, asset, row.at - DAY))

        return await self.give(extension, giver, to, asset, amount, book)

    async def give(
        self,
        extension: str,
        giver: Account,
        to: str,
        asset: str,
        amount: int,
        book: Callable[[AsyncSession, SendingRow], Awaitable[None]],
        about: str = "",
    ) -> SendingRow:
        """Send something, whatever the limits; `book` does what belongs into the transaction that
        writes it down. Raises as `send`, and what `book` raises."""
        await self._covers(giver.address, asset, amount)
        now = self._now()
        stamp = int(now.timestamp() * 1000)
        signed = await asyncio.to_thread(_signed, giver, to, asset, amount, stamp)
        row = SendingRow(
            id=signed.id,
            extension=extension,
            asset=asset,
            amount=amount,
            recipient=to,
            at=now,
            tx=json.dumps(signed.tx),
            about=about,
        )
        async with self._database.writing() as session:
            await book(session, row)
            session.add(row)
        try:
            return await self._first_sent(row, signed)
        except (NodeError, DBAPIError) as error:  # it is written down, and goes out later
            log.warning("a payment waits: %s", getattr(error, "orig", error))
            return row
        finally:
            self._wake.set()

    async def _first_sent(self, row: SendingRow, signed: Signed) -> SendingRow:
        try:
            await self._node.broadcast(signed.tx)
        except Refused as refused:  # nobody has it, unless it was sent again meanwhile
            row = await self._note(row, "failed", str(refused), only=("signed",))
            if row.state == "failed":
                raise SendingError(str(refused)) from None
            return row
        return await self._note(row, "sent")

    async def _covers(self, address: str, asset: str, amount: int) -> None:
        """Raises `SendingError` when there is too little."""
        waves = await self._node.balance(address, WAVES)
        needs = FEE + (amount if asset == WAVES else 0)
        fee = self.coins[WAVES].short(FEE)
        if waves < needs:
            has = self.coins[WAVES].short(waves)
            raise SendingError(f"there are {has} in the wallet, and it takes the fee of {fee} too")
        if asset != WAVES:
            there = await self._node.balance(address, asset)
            if there < amount:
                raise SendingError(f"there are {self.coins[asset].short(there)} in the wallet")

    async def of(self, extension: str, limit: int) -> Sequence[SendingRow]:
        """What somebody sent, newest first."""
        query = select(SendingRow).where(col(SendingRow.extension) == extension)
        async with self._database.reading() as session:
            found = await session.execute(query.order_by(col(SendingRow.at).desc()).limit(limit))
            return list(found.scalars())

    # ── what becomes of it ──────────────────────────────────────────────────────────────
    async def _note(
        self, row: SendingRow, state: str, reason: str = "", only: Sequence[str] = WAITING
    ) -> SendingRow:
        """How one stands from now on, if it stands as one of `only`; how it does."""
        async with self._database.writing() as session:
            kept = await session.get(SendingRow, row.id, with_for_update=True)
            if kept is None:
                return row
            if kept.state in only:
                kept.state, kept.reason = state, reason[:200]
                if state == "failed":
                    await undo(session, kept.id, kept.about, self._now())
        return kept

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANYHOW):
                    await self._wake.wait()
            self._wake.clear()
            try:
                left = await self.look()
            except DBAPIError as error:
                log.error("payments wait, the database fails: %s", error.orig)
                left = True
            except Exception:
                log.exception("payments could not be looked at")
                left = True
            if left:
                await asyncio.sleep(self._every)
                self._wake.set()

    async def look(self) -> bool:
        """See how what waits stands now, and tell of what is settled; whether some waits still."""
        query = select(SendingRow).where(col(SendingRow.state).in_(WAITING))
        async with self._database.reading() as session:
            found = await session.execute(query.order_by(col(SendingRow.at)).limit(100))
            waiting = list(found.scalars())
        places = asyncio.Semaphore(AT_ONCE)

        async def settled(row: SendingRow) -> bool:
            async with places:
                return await self._settled(row)

        return not all(await asyncio.gather(*map(settled, waiting)))

    async def _settled(self, row: SendingRow) -> bool:
        """Whether one is settled now. What a node does not know waits until no block can take it
        any more, by the clock of the chain: a node that lies behind knows nothing of what is new,
        and another may have it still."""
        try:
            state = await self._node.state(row.id)
            if state == "unknown":
                if await self._node.time() - row.at > VALID:
                    return await self._settle(row, "failed", "no node took it within two hours")
                await self._node.broadcast(await asyncio.to_thread(json.loads, row.tx))
                await self._note(row, "sent", only=("signed",))
        except (NodeError, Refused) as error:
            log.warning("a payment waits: %s", error)
            return False
        if state == "confirmed":
            return await self._settle(row, "confirmed")
        if state == "failed":
            return await self._settle(row, "failed", "its block says so")
        return False

    async def _settle(self, row: SendingRow, state: str, reason: str = "") -> bool:
        self.told(await self._note(row, state, reason))
        return True


def _signed(giver: Account, to: str, asset: str, amount: int, at: int) -> Signed:
    """In a thread: what it needs is loaded by those who have a wallet only."""
    from wallet.signing import transfer

    return transfer(giver, to, asset, amount, at=at, fee=FEE)


async def _spent(session: AsyncSession, extension: str, asset: str, since: datetime) -> int:
    query = select(func.coalesce(func.sum(SendingRow.amount), 0)).where(
        col(SendingRow.extension) == extension,
        col(SendingRow.asset) == asset,
        col(SendingRow.at) > since,
        col(SendingRow.state) != "failed",
    )
    return int((await session.execute(query)).scalar_one())
