"""Coins that the host gives back, by the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncSession

from encryptotel.config import Config
from encryptotel.errors import UserError
from store.database import Database
from store.tables import PaymentRow, SendingRow
from wallet.chain import Node, NodeError
from wallet.ledger import LedgerError
from wallet.money import Asset
from wallet.rates import MICRO
from wallet.refunds import CREDIT, RefundError, take_credit, take_payment
from wallet.sending import SendingError, Sendings
from wallet.signing import Account, is_address

Book = Callable[[AsyncSession, SendingRow], Awaitable[None]]
"Takes off the books what is given back."


def worth(config: Config, coin: Asset, amount: int) -> int:
    """What coins are worth by the prices of the configuration. Raises `UserError`."""
    price = config.waves.micro_prices.get(coin.id)
    if price is None or config.waves.prices_url:
        raise UserError("say what it is worth, with --credit")
    return int(amount * price // 10 ** (coin.decimals + MICRO - config.money.decimals))


class Refunds:
    """Gives back from the account of the host."""

    def __init__(self, config: Config, database: Database, host: Account) -> None:
        self._config, self._database, self._host = config, database, host
        self._coins = {coin.id: coin for coin in config.waves.all_coins}

    async def of_credit(
        self, extension: str, credit: int, coin: Asset, amount: int, to: str
    ) -> str:
        """Give back for what somebody has; what was done. Raises `UserError`."""
        unit = self._config.money.asset

        async def book(session: AsyncSession, row: SendingRow) -> None:
            await take_credit(session, row.id, row.at, extension, unit, credit, coin, amount)

        return await self._give(to, coin, amount, book, CREDIT)

    async def of_payment(self, key: str, to: str) -> str:
        """Give back a payment that is nobody's; what was done. Raises `UserError`."""
        async with self._database.reading() as session:
            row = await session.get(PaymentRow, key)
        if row is None or row.asset not in self._coins or row.extension or row.state != "seen":
            raise UserError("there is no such payment that nobody is known for")
        await self._check_confirmed(row)

        async def book(session: AsyncSession, _: SendingRow) -> None:
            await take_payment(session, key)

        return await self._give(to, self._coins[row.asset], row.amount, book, key)

    async def _check_confirmed(self, row: PaymentRow) -> None:
        """Raises `UserError` for a payment that the chain may still undo."""
        needed = max((blocks for _, blocks in self._config.waves.confirmations), default=1)
        node = Node(self._config.waves.node)
        try:
            there = await node.height() - row.height
        except NodeError as error:
            raise UserError(f"nothing was given back: {error}") from error
        finally:
            await node.close()
        if there < needed:
            raise UserError(
                f"that payment has {max(0, there)} of {needed} confirmations; try again later"
            )

    async def _give(self, to: str, coin: Asset, amount: int, book: Book, about: str) -> str:
        if not is_address(to, self._config.waves.chain):
            raise UserError(f"{to} is no Waves address: a character of it may be wrong")
        waves = self._config.waves
        sendings = Sendings(self._database, Node(waves.node), self._coins, {}, waves.every)
        try:
            row = await sendings.give("", self._host, to, coin.id, amount, book, about)
        except (SendingError, NodeError, RefundError, LedgerError) as error:
            raise UserError(f"nothing was given back: {error}") from error
        finally:
            await sendings.stop()
        what = f"{coin.short(amount)} to {to}: transaction {row.id}"
        if row.state == "signed":
            return f"Signed {what}; no node answers, and the exchange keeps trying for two hours."
        return f"Sent {what}"
