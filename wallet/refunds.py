"""Coins that the host gives back: of what somebody has, or a payment that is nobody's.

They go to the address that the host names, never to the sender by itself: that may be an exchange
where the coins of many people lie. What was taken off the books for one that comes to nothing is
put back.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, update

from store.tables import PaymentRow
from wallet.invoices import CHAIN, SOLD
from wallet.ledger import RECEIVED, Entry, Move, balance, credit_of, post, reverse, transfer
from wallet.money import MOST, Asset
from wallet.purse import REDUCED

CREDIT = "credit"
"What a refund is about that is taken off what somebody has; others are about a payment."


class RefundError(Exception):
    """Nothing was given back; the text says why."""


async def take_credit(
    session: AsyncSession,
    id: str,
    at: datetime,
    extension: str,
    unit: Asset,
    credit: int,
    coin: Asset,
    amount: int,
) -> None:
    """Take what a refund is worth off what somebody has, in the transaction that writes it down.
    Raises `RefundError`."""
    if not 0 < credit <= MOST:
        raise RefundError("say what it is worth, with --credit")
    left, moves = credit, []
    for account in (credit_of(extension) + REDUCED, credit_of(extension)):
        taken = min(left, await balance(session, account, unit.id))
        left -= taken
        moves.append(Move(account=account, asset=unit.id, amount=-taken))
    if left:
        raise RefundError(f"{extension} has only {unit.text(credit - left)}")
    moves += [
        Move(account=SOLD, asset=unit.id, amount=credit),
        *transfer(RECEIVED, CHAIN, coin.id, amount),
    ]
    moving = [move for move in moves if move.amount]
    text = f"given back: {coin.text(amount)}"
    await post(session, Entry(key=f"refund:{id}", kind="refund", at=at, moves=moving, text=text))


async def take_payment(session: AsyncSession, key: str) -> None:
    """A payment that is nobody's is on its way back. Raises `RefundError`."""
    open_ = (
        (col(PaymentRow.key) == key)
        & (col(PaymentRow.extension) == "")
        & (col(PaymentRow.state) == "seen")
    )
    done = await session.execute(update(PaymentRow).where(open_).values(state="refunded"))
    if not getattr(done, "rowcount", 0):  # one of two at once
        raise RefundError("there is no such payment that nobody is known for")


async def undo(session: AsyncSession, id: str, about: str, at: datetime) -> None:
    """A refund came to nothing: what it was about is as it was."""
    if about == CREDIT:
        await reverse(session, f"refund:{id}", at)
    elif about:
        gone = (col(PaymentRow.key) == about) & (col(PaymentRow.state) == "refunded")
        await session.execute(update(PaymentRow).where(gone).values(state="seen"))
