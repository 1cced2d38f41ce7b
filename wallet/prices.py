"""What coins are worth, as the configuration says."""

from __future__ import annotations

from collections.abc import Mapping

from wallet.invoices import InvoiceError


class Prices:
    """A `RateSource` with fixed prices: millionths of the unit of account for a whole coin."""

    def __init__(self, prices: Mapping[str, int]) -> None:
        self._prices = prices

    def price(self, asset: str) -> int:
        """Of a whole coin. Raises `InvoiceError`."""
        if asset not in self._prices:
            raise InvoiceError("whoever runs this exchange has set no price for that")
        return self._prices[asset]
