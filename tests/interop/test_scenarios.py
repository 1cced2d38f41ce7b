"""A phone that we did not write calls a number, keys a PIN and sends coins; the program runs as
people run it, and the transaction is found on the node, whose signatures the official library
checks."""

from __future__ import annotations

import re

import pytest

from tests.peers.exchange import Config, Exchange
from tests.peers.waves_js import READY, waves_js
from tests.peers.waves_node import WAVES, Chain, waves_node
from wallet.signing import account

from .common import LOW, heard_by, phone, plain

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not READY, reason="not installed: npm packages"),
]
NEEDS = ("baresip",)
PIN = "271828"
TO = account("somebody", "T").address


async def test_coins_are_sent_by_a_phone_that_keys_a_pin() -> None:
    chain = Chain()
    async with waves_js() as js, waves_node(chain, js) as node:
        waves = {"waves": {"chain": "T", "node": node.url, "every": 0.1}}
        async with (
            Exchange(Config(plain("101", "102"), extra=waves)) as exchange,
            phone(exchange, "101", LOW) as alice,
        ):
            asked = await exchange.say(f"when I call *77 and enter my PIN send 5 WAVES to {TO}")
            assert "What shall the scenario be called?" in asked
            assert "When you call *77 and key your PIN" in await exchange.say("rent")
            await alice.dial("*77")
            await heard_by(alice, "You have no PIN for your wallet yet.")
            await alice.digits(f"{PIN}#")
            await heard_by(alice, "Once more, please.")
            await alice.digits(f"{PIN}#")
            await heard_by(alice, "Thank you. This is your PIN now.")
            await alice.hangup()
            found = re.search(r"\b3\w{34}\b", await exchange.say("my wallet"))
            assert found is not None
            chain.given[found[0], WAVES] = 100 * 10**8
            await alice.dial("*77")
            await heard_by(alice, "Please enter your PIN, and then the hash key.")
            await alice.digits(f"{PIN}#")
            await heard_by(alice, f"5 waves, to the address that ends in: {', '.join(TO[-4:])}.")
            await alice.digits("1")
            await heard_by(alice, "It is sent.")
            await alice.closed(within=20)
            (tx,) = chain.mempool
            assert (tx["sender"], tx["recipient"], tx["amount"]) == (found[0], TO, 5 * 10**8)
            told = await exchange.cli("say", "my wallet")
            assert any(f"transaction {tx['id']}" in news["text"] for news in told["news"])
            assert "94.999 WAVES" in told["replies"][0]["text"]
            assert PIN not in exchange.log()
