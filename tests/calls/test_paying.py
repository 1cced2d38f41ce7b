"""Paying in: what belongs to nobody, what the host assigns, and configurations that cannot be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bot.ports import OperatorError
from encryptotel.config import Config
from tests.office import Office, open_office
from tests.peers.waves_node import Chain, waves_node
from wallet.invoices import assign, unclaimed

OURS = "3PJaDyprvekvPXPuAtxrapacuDJopgJRaU3"
ETT = "8ofu3VpEaVCFjRqLLqzTMNs5URKUUQMrPp3k6oFmiCc6"
MONEY = {"rates": "rates.csv", "free": ()}


@asynccontextmanager
async def paid(folder: Path, chain: Chain) -> AsyncIterator[Office]:
    """An office in which people pay in over a node."""
    (folder / "rates.csv").write_text("prefix,name,price\n1,USA,0.60\n")
    async with waves_node(chain) as node:
        waves = {"address": OURS, "node": node.url, "every": 0.1, "prices": {"ETT": "0.05"}}
        async with open_office(folder, money=MONEY, waves=waves) as office:
            office.dialogue()
            yield office


async def test_a_payment_of_nobodys_is_told_and_assigned(tmp_path: Path) -> None:
    chain = Chain()
    async with paid(tmp_path, chain) as office:
        chain.put({"type": 4, "sender": "x", "recipient": OURS, "assetId": ETT, "amount": 10**9})
        chain.forge()
        await office.until(lambda: any("nobody is known for it" in text for text in office.told))
        (row,) = await unclaimed(office.app.database)
        assert await assign(office.app.database, row.key, "101")
        chain.forge()
        await office.until(lambda: any("0.50 EUR credited" in text for text in office.told))
        said = office.app.operator.accounts.balance(office.app.person)
        assert said == (
            "You have 0.50 EUR; 0.50 EUR of it came in as ETT and pays for calls at 20 % off."
        )


async def test_only_what_has_a_price_is_taken(tmp_path: Path) -> None:
    async with paid(tmp_path, Chain()) as office:
        payments, person = office.app.operator.payments, office.app.person
        assert payments is not None
        for amount, coin, why in (
            ("1", "WAVES", "I take ETT, not WAVES"),
            ("0.000000001", "ETT", "ETT has 8 decimals"),
            ("0.01", "ETT", "too little to be worth anything"),
            ("-5", "ETT", "too little"),
            ("1e30", "ETT", "more than there can be"),
        ):
            with pytest.raises(OperatorError, match=why):
                await payments.top_up(person, amount, coin)
        invoice = await payments.top_up(person, "10", "ett")
        assert invoice.link.startswith(
            f"https://wx.network/#send/{ETT}?recipient={OURS}&amount=10."
        )
        assert invoice.link.endswith(f"&attachment={invoice.id}&strict")


@pytest.mark.parametrize(
    ("waves", "why"),
    [
        ({"address": OURS}, "needs .money. rates and .waves. prices"),
        ({"address": "3Pshort"}, "pattern"),
        ({"prices": {"DOGE": "1"}}, "WAVES"),
        ({"prices": {"ETT": "0"}}, "more than nothing"),
        ({"prices": {"ETT": "much"}}, "no sum"),
        ({"confirmations": [["x", 1]]}, "no sum"),
        ({"confirmations": [["0", 0]]}, "greater than or equal to 1"),
        ({"node": "https://node.example/path"}, "pattern"),
    ],
)
def test_what_cannot_be_is_refused(waves: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Config.model_validate({"waves": waves})
