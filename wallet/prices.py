"""What coins are worth: as the configuration says, or as a server tells."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from decimal import Decimal

import httpx

from wallet.https import authorities
from wallet.invoices import InvoiceError
from wallet.rates import MICRO

log = logging.getLogger(__name__)

EVERY = 60.0
"Seconds between looks at the server."
STALE = 900.0
"Seconds after which what it said counts no more."
MAX_ANSWER = 100_000
MOST = Decimal(1_000_000)


class Prices:
    """A `RateSource` with fixed prices: millionths of the unit of account for a whole coin."""

    def __init__(self, prices: Mapping[str, int]) -> None:
        self._prices = prices

    def price(self, asset: str) -> int:
        """Of a whole coin. Raises `InvoiceError`."""
        if asset not in self._prices:
            raise InvoiceError("whoever runs this exchange has set no price for that")
        return self._prices[asset]

    def start(self) -> None:
        """There is nothing to look at."""

    async def stop(self) -> None:
        """There is nothing to end."""


class PricesByHttp:
    """A `RateSource` that asks a server for a JSON object: a number in the unit of account for each
    coin's name. `names` gives the asset of each; what is old counts no more."""

    def __init__(
        self,
        url: str,
        names: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._names, self._clock = url, names, clock
        self._prices: dict[str, int] = {}
        self._at = float("-inf")
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(15.0), follow_redirects=False, verify=authorities()
        )
        self._task: asyncio.Task[None] | None = None

    def price(self, asset: str) -> int:
        """Of a whole coin. Raises `InvoiceError`."""
        if self._clock() - self._at > STALE or asset not in self._prices:
            raise InvoiceError("I do not know what that is worth just now; try again later")
        return self._prices[asset]

    def start(self) -> None:
        """Ask from now on."""
        self._task = asyncio.ensure_future(self._ask())

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._client.aclose()

    async def _ask(self) -> None:
        while True:
            try:
                await self.look()
            except (httpx.HTTPError, ValueError, TimeoutError, RecursionError) as error:
                log.warning("the prices of coins could not be had: %s", type(error).__name__)
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Ask once. Raises ValueError for an answer that makes no sense, and what the network
        raises; what was known before stays until it is old."""
        body = bytearray()
        async with asyncio.timeout(30), self._client.stream("GET", self._url) as got:
            if got.status_code != httpx.codes.OK:
                raise ValueError(f"the server answers {got.status_code}")
            async for piece in got.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER:
                    raise ValueError("the answer is too long")
        found = json.loads(bytes(body), parse_float=Decimal, parse_int=_short)
        if not isinstance(found, dict):
            raise ValueError("the answer is no object")
        prices = {
            asset: int(Decimal(found[name]).scaleb(MICRO))
            for name, asset in self._names.items()
            if _is_price(found.get(name))
        }
        if not prices:
            raise ValueError("the answer has no price")
        self._prices, self._at = prices, self._clock()


def _is_price(value: object) -> bool:
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return number and 0 < value < MOST  # type: ignore[operator]


def _short(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("a number is too long")
    return int(digits)
