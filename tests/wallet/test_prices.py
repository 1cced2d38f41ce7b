"""What coins are worth, by a server that may say anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web

from tests.calendars.test_sources import server
from wallet.invoices import InvoiceError
from wallet.prices import STALE, Prices, PricesByHttp

NAMES = {"WAVES": "WAVES", "ETT": "8ofu3"}


class Says:
    def __init__(self, body: str, status: int = 200) -> None:
        self.body, self.status = body, status

    async def __call__(self, _: web.Request) -> web.Response:
        return web.Response(text=self.body, status=self.status)


@asynccontextmanager
async def asking(says: Says, clock: list[float]) -> AsyncIterator[PricesByHttp]:
    async with server(says) as url:
        prices = PricesByHttp(url, NAMES, lambda: clock[0])
        yield prices
        await prices.stop()


async def test_what_a_server_says_counts_until_it_is_old() -> None:
    clock, says = [0.0], Says('{"WAVES": 1.234567, "ETT": 0.05, "BTC": 90000}')
    async with asking(says, clock) as prices:
        with pytest.raises(InvoiceError, match="try again later"):
            prices.price("WAVES")
        await prices.look()
        assert (prices.price("WAVES"), prices.price("8ofu3")) == (1_234_567, 50_000)
        says.body = '{"WAVES": 2}'
        await prices.look()
        assert prices.price("WAVES") == 2_000_000
        with pytest.raises(InvoiceError):
            prices.price("8ofu3")
        clock[0] = STALE + 1
        with pytest.raises(InvoiceError):
            prices.price("WAVES")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 200),
        ("[]", 200),
        ("{}", 200),
        ('{"WAVES": "1.2"}', 200),
        ('{"WAVES": -1}', 200),
        ('{"WAVES": 0}', 200),
        ('{"WAVES": 1e99}', 200),
        ('{"WAVES": NaN}', 200),
        ('{"WAVES": true}', 200),
        ('{"WAVES": ' + "9" * 5_000 + "}", 200),
        ('{"WAVES": 1}', 500),
        ('{"WAVES": 1}' + " " * 200_000, 200),
        ("[" * 50_000, 200),
    ],
)
async def test_what_makes_no_sense_changes_nothing(body: str, status: int) -> None:
    clock, says = [0.0], Says('{"WAVES": 1.5}')
    async with asking(says, clock) as prices:
        await prices.look()
        says.body, says.status = body, status
        with pytest.raises((ValueError, RecursionError, httpx.HTTPError)):
            await prices.look()
        assert prices.price("WAVES") == 1_500_000


async def test_fixed_prices() -> None:
    prices = Prices({"WAVES": 1})
    assert prices.price("WAVES") == 1
    with pytest.raises(InvoiceError, match="no price"):
        prices.price("8ofu3")
