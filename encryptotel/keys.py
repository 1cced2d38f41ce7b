"""The owner's keys: an age key, or a Waves account, whose Curve25519 key is one as well.

A Waves public key written as an age recipient (bech32, ``age1…``) is the recording key, and the
account's seed opens what is sealed for it.
"""

from __future__ import annotations

import base58
import pyrage
from bech32 import bech32_encode, convertbits

from encryptotel.errors import UserError

_BYTES = 32


class BadKey(UserError):
    """A text that is no key; it says what would be one."""


def recipient_of(text: str) -> str:
    """The age recipient of a Waves public key (base58) or of what is one already. Raises
    `BadKey`."""
    text = text.strip()
    if text.startswith("age1"):
        try:
            return str(pyrage.x25519.Recipient.from_str(text))
        except pyrage.RecipientError as error:
            raise BadKey("that age key has a mistake in it; copy it again") from error
    return _bech32("age", _decoded(text))


def identity_of(text: str) -> str:
    """The age key of a Waves seed (words), of a Waves private key (base58), or of what is one
    already. Raises `BadKey`."""
    text = text.strip()
    if text.upper().startswith("AGE-SECRET-KEY-"):
        return text.upper()
    private = text if len(text.split()) == 1 and len(text) > 40 else _private_of(text)
    return _bech32("age-secret-key-", _decoded(private)).upper()


def _private_of(seed: str) -> str:
    """A Waves account's private key, by its seed; without asking any node."""
    import pywaves

    pywaves.setOffline()
    return str(pywaves.Address(seed=seed).privateKey)


def _decoded(text: str) -> bytes:
    try:
        key = base58.b58decode(text)
    except ValueError:
        key = b""
    if len(key) != _BYTES:
        raise BadKey(
            "that is no key: I need the public key of a Waves account (43 or 44 letters and "
            "digits) or an age recipient (age1…)"
        )
    return key


def _bech32(kind: str, key: bytes) -> str:
    bits = convertbits(key, 8, 5)
    assert bits is not None
    return str(bech32_encode(kind, bits))
