"""Accounts on the Waves chain, and transfers that they sign, made by pywaves without a network.

All of it is arithmetic of some milliseconds: call it in a thread. Nothing here is ever printed:
pywaves shows seeds to whoever asks an `Address` for its text.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import base58

from wallet.money import WAVES

if not logging.getLogger().handlers:  # else pywaves would begin to log to the terminal
    logging.getLogger().addHandler(logging.NullHandler())

import pywaves
import pywaves_curve25519 as curve
from pywaves.address import wordList as WORDS
from pywaves.crypto import hashChain
from waves.transaction_pb2 import Transaction  # type: ignore[attr-defined]

WORDS_OF_SEED = 15
"Of 2 048: 165 bits."
VERSION, BYTES, CHECKSUM = 1, 26, 4
"Of an address: its first byte, its length, and what of that is its checksum."


class SigningError(Exception):
    """What was signed does not fit what was to be signed: a fault in a library."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who may spend what is at an address."""

    address: str
    chain: str
    seed: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A transfer as nodes take it; sent twice it is the same."""

    id: str
    tx: Mapping[str, Any] = field(repr=False)


def new_seed() -> str:
    """Words that nobody had before."""
    return " ".join(secrets.choice(WORDS) for _ in range(WORDS_OF_SEED))


def account(seed: str, chain: str) -> Account:
    """The account of a seed on the chain with a letter: W is the main one."""
    made = pywaves.Address(seed=seed, pywaves=_offline(chain))
    return Account(address=str(made.address), chain=chain, seed=seed)


def is_address(text: str, chain: str) -> bool:
    """Whether an address is whole, and of that chain."""
    try:
        raw = base58.b58decode(text) if len(text) <= 2 * BYTES else b""
    except ValueError:
        return False
    checksum = hashChain(raw[:-CHECKSUM])[:CHECKSUM].encode("latin-1")
    return (
        len(raw) == BYTES
        and raw[:2] == bytes((VERSION, ord(chain)))
        and raw[-CHECKSUM:] == checksum
    )


def transfer(giver: Account, to: str, asset: str, amount: int, *, at: int, fee: int) -> Signed:
    """A signed transfer, made at a time in milliseconds since 1970. Raises `SigningError`."""
    chain = _offline(giver.chain)
    sender = pywaves.Address(seed=giver.seed, pywaves=chain)
    taker = pywaves.Address(address=to, pywaves=chain)
    if asset == WAVES:
        made = sender.sendWaves(taker, amount, txFee=fee, timestamp=at)
    else:
        coin = SimpleNamespace(assetId=asset)
        made = sender.sendAsset(taker, coin, amount, feeAsset="", txFee=fee, timestamp=at)
    tx: dict[str, Any] = json.loads(made["api-data"])
    tx |= {"chainId": ord(giver.chain), "assetId": None if asset == WAVES else asset}
    body = encoded(tx)
    public, proof = base58.b58decode(tx["senderPublicKey"]), base58.b58decode(tx["proofs"][0])
    if curve.verifySignature(public, body, proof) != 0:
        raise SigningError("the signature of a transfer does not fit it")
    id = base58.b58encode(hashlib.blake2b(body, digest_size=32).digest()).decode()
    return Signed(id=id, tx=tx)


def encoded(tx: Mapping[str, Any]) -> bytes:
    """A transfer as it is signed (waves/protobuf-schemas, `Transaction`); its id is the hash."""
    body = Transaction(
        chain_id=tx["chainId"],
        sender_public_key=base58.b58decode(tx["senderPublicKey"]),
        timestamp=tx["timestamp"],
        version=tx["version"],
    )
    body.fee.amount = tx["fee"]
    body.transfer.recipient.public_key_hash = base58.b58decode(tx["recipient"])[2:-CHECKSUM]
    body.transfer.amount.amount = tx["amount"]
    if tx["assetId"]:
        body.transfer.amount.asset_id = base58.b58decode(tx["assetId"])
    return bytes(body.SerializeToString())


@lru_cache
def _offline(chain: str) -> pywaves.PyWaves:
    made = pywaves.PyWaves()
    made.setOffline()
    made.setChain("chain", chain)
    return made
