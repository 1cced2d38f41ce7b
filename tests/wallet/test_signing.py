"""Addresses, keys, ids and signatures, beside the official libraries."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from typing import Any

import base58
import pytest

from tests.peers.waves_js import READY, WavesJs, waves_js
from wallet.money import WAVES
from wallet.sending import FEE
from wallet.signing import account, encoded, is_address, new_seed, transfer

pytestmark = pytest.mark.skipif(not READY, reason="npm packages are not installed")

ETT = "8ofu3VpEaVCFjRqLLqzTMNs5URKUUQMrPp3k6oFmiCc6"
SEEDS = ("a", "abc def", new_seed(), new_seed(), "x" * 200)


@pytest.fixture
async def js() -> AsyncIterator[WavesJs]:
    async with waves_js() as libraries:
        yield libraries


async def test_accounts_are_the_same(js: WavesJs) -> None:
    for seed in SEEDS:
        for chain in "WTSR":
            ours = account(seed, chain)
            theirs = await js.ask("account", seed=seed, chain=chain)
            assert ours.address == theirs["address"]


async def test_the_same_is_an_address(js: WavesJs) -> None:
    """Whole ones, of other chains, and with each character changed."""
    chance = random.Random(5)
    ours = account("abc", "T").address
    tried = [ours, "", "3N", ours + "1", ours[:-1], "O0Il", "ü" * 35, account("abc", "W").address]
    for at in range(len(ours)):
        other = chance.choice("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
        tried.append(ours[:at] + other + ours[at + 1 :])
    for text in tried:
        try:
            theirs = await js.ask("known", address=text, chain="T")
        except ValueError:
            theirs = False
        assert is_address(text, "T") == theirs, text
    assert is_address(ours, "T")
    assert not is_address(ours, "W")


@pytest.mark.parametrize("asset", [WAVES, ETT])
async def test_our_transfers_verify_there(js: WavesJs, asset: str) -> None:
    giver, now = account(new_seed(), "T"), int(time.time() * 1000)
    for amount in (1, FEE, 5 * 10**8, 2**63 - 1):
        to = account(new_seed(), "T").address
        signed = transfer(giver, to, asset, amount, at=now, fee=FEE)
        found = await js.ask("check", tx=dict(signed.tx))
        assert found == {"id": signed.id, "signed": True, "sender": giver.address}


async def test_theirs_are_read_here_as_they_are(js: WavesJs) -> None:
    for asset in (None, ETT):
        params: dict[str, Any] = {
            "recipient": account("to", "T").address, "amount": 7, "chainId": 84, "assetId": asset,
        }  # fmt: skip
        theirs = await js.ask("transfer", seed="abc def", params=params)
        assert base58.b58encode(encoded(theirs)).decode() == await js.ask("bytes", tx=theirs)


async def test_whatever_is_changed_is_seen(js: WavesJs) -> None:
    giver = account("abc def", "T")
    signed = transfer(giver, account("to", "T").address, ETT, 7, at=1_700_000_000_000, fee=FEE)
    for change in (
        {"amount": 8}, {"fee": FEE + 1}, {"timestamp": 1_700_000_000_001}, {"assetId": None},
        {"recipient": account("other", "T").address}, {"chainId": ord("W")},
        {"senderPublicKey": (await js.ask("account", seed="other", chain="T"))["publicKey"]},
    ):  # fmt: skip
        found = await js.ask("check", tx={**signed.tx, **change})
        assert not found["signed"], change
        assert found["id"] != signed.id


async def test_nothing_secret_is_printed() -> None:
    giver = account("very secret words", "T")
    signed = transfer(giver, giver.address, WAVES, 1, at=1, fee=FEE)
    assert "secret" not in f"{giver!r} {signed!r} {giver} {signed}"
