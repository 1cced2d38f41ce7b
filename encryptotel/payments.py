"""Paying in with WAVES or ETT: invoices for people, and what becomes of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import quote, urlencode

from bot.ports import Invoice, OperatorError, Person, Progress, Step
from encryptotel.config import WavesSection
from encryptotel.followers import Followers
from encryptotel.metering import Metering
from store.database import Database
from store.shelf import Shelf
from wallet.chain import Node
from wallet.invoices import HOLDS, InvoiceError, Invoices, News
from wallet.money import Asset, MoneyError
from wallet.prices import Prices, PricesByHttp
from wallet.watching import Watcher

log = logging.getLogger(__name__)

OFF = "Nobody can pay in here: whoever runs this exchange has given no Waves address."


class Payments:
    """Implements `bot.ports.Payments`."""

    def __init__(
        self,
        database: Database,
        section: WavesSection,
        metering: Metering,
        followers: Followers,
        tell_owner: Callable[[str], None],
    ) -> None:
        self._section, self._metering, self._followers = section, metering, followers
        self._tell_owner = tell_owner
        unit = metering.charging.unit
        coins = {coin.id: coin for coin in section.coins}
        self._prices: Prices | PricesByHttp = Prices(section.micro_prices)
        if section.prices_url:
            names = {coin.name: coin.id for coin in section.coins}
            self._prices = PricesByHttp(section.prices_url, names)
        self.invoices = Invoices(
            database,
            unit,
            coins,
            section.ett,
            self._prices,
            self._confirmations,
            self._news,
        )
        self.watcher = Watcher(
            Node(section.node),
            section.address,
            self.invoices,
            Shelf(database, "waves"),
            section.every,
            tell_owner,
        )
        taken = [coin.name for coin in section.coins]
        metering.more = f"To get more, say “top up 10 {taken[0]}” (I take {' or '.join(taken)})."
        self._shown: dict[str, str] = {}
        "What was told last of each invoice that waits."
        self._telling: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Look for payments from now on."""
        self._prices.start()
        self.watcher.start()

    async def stop(self) -> None:
        """Look no more."""
        await self.watcher.stop()
        await self._prices.stop()
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def top_up(self, person: Person, amount: str, coin: str) -> Invoice:
        """What somebody has to pay, and where. Raises `OperatorError`."""
        if not self._metering.pays(person.extension):
            raise OperatorError("money.free", "you call at the host's expense and need no credit")
        asset = next((one for one in self._section.coins if one.name == coin.upper()), None)
        if asset is None:
            names = " or ".join(one.name for one in self._section.coins)
            raise OperatorError("money.coin", f"I take {names}, not {coin}")
        try:
            row = await self.invoices.open(person.extension, asset, asset.parse(amount))
        except (InvoiceError, MoneyError) as error:
            raise OperatorError("money.invoice", str(error)) from error
        credit = self.invoices.credit(asset, row.amount, row.price)
        self._shown[row.id] = ""
        return Invoice(
            id=row.id,
            address=self._section.address,
            amount=asset.figures(row.amount),
            coin=asset.name,
            asset=asset.id,
            worth=self.invoices.unit.text(credit),
            until=row.expires,
            minutes=int(HOLDS.total_seconds() // 60),
            link=self._link(asset, row.amount, row.id),
        )

    def _link(self, asset: Asset, amount: int, memo: str) -> str:
        """What opens a wallet with everything filled in."""
        query = urlencode(
            {
                "recipient": self._section.address,
                "amount": asset.figures(amount),
                "attachment": memo,
            }
        )
        return f"{self._section.link}/{quote(asset.id)}?{query}&strict"

    def _confirmations(self, credit: int) -> int:
        unit = self.invoices.unit
        steps = [(unit.parse(sum_), blocks) for sum_, blocks in self._section.confirmations]
        return max((blocks for sum_, blocks in steps if credit >= sum_), default=1)

    def _news(self, news: News) -> None:
        task = asyncio.ensure_future(self._tell(news))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, news: News) -> None:
        """Show how an invoice stands, if that has changed."""
        if not news.extension:
            what = self.invoices.coins[news.asset].text(news.amount)
            self._tell_owner(
                f"{what} came in, and nobody is known for it. `encryptotel payments list` shows "
                "it, `encryptotel payments assign` says whose it is."
            )
            return
        if news.credit:
            await self._metering.charging.reload()
        text = self._said(news)
        if not news.invoice:
            if news.credit:
                self._followers.announce(news.extension, text)
            return
        if self._shown.get(news.invoice) == text:
            return
        self._shown[news.invoice] = text
        progress = Progress(call_id=f"invoice {news.invoice}", step=Step.INVOICE, text=text)
        self._followers.spread(news.extension, progress)
        if news.state in ("paid", "overpaid", "expired"):
            self._shown.pop(news.invoice, None)

    def _said(self, news: News) -> str:
        unit = self.invoices.unit
        coin = self.invoices.coins.get(news.asset) or Asset(id="", name="of a coin", decimals=8)
        what = f"Top-up {news.invoice}: " if news.invoice else "Your payment: "
        paid = coin.text(news.amount)
        if news.state == "expired" and not news.credit:
            return f"{what}nothing came in time. What comes later is worth what it is that day."
        if news.credit < 0:
            return f"{what}the chain undid it; {unit.text(-news.credit)} were taken back."
        if not news.credit:
            return f"{what}{paid} seen, {news.confirmed} of {news.needed} confirmations."
        has = unit.text(self._metering.charging.has(news.extension))
        late = f" It came late, so it counts at today's price of {coin.name}." if news.late else ""
        more = {
            "underpaid": " The rest may follow with the same memo.",
            "overpaid": " It was more than asked for, and all of it counts.",
        }.get(news.state, "")
        credit = unit.text(news.credit)
        return f"{what}{paid} confirmed, {credit} credited. You have {has}.{late}{more}"
