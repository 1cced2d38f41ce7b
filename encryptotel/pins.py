"""PINs that are keyed on a telephone: only their scrypt is kept (RFC 7914)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from itertools import pairwise

from bot.ports import OperatorError

SHORTEST, LONGEST = 4, 12
_COST, _BLOCK, _LANES = 2**14, 8, 1
"16 MB and some 50 ms a guess."


def check(pin: str, shortest: int = SHORTEST) -> None:
    """Raises `OperatorError` for a PIN that is none, or one that anybody would try first."""
    if not (pin.isdecimal() and shortest <= len(pin) <= LONGEST):
        raise OperatorError("pin.digits", f"a PIN is {shortest} to {LONGEST} digits")
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(pin)}
    if len(steps) == 1 and steps <= {0, 1, 9}:
        raise OperatorError("pin.easy", "that one is guessed first; choose a less regular PIN")


async def hashed(pin: str) -> str:
    """What is kept of a PIN. Raises `OperatorError` for one that anybody would try first."""
    check(pin)
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{(await _scrypt(pin, salt)).hex()}"


async def matches(pin: str, kept: str) -> bool:
    """Whether a PIN is the one that was kept."""
    salt, _, wanted = kept.partition(":")
    found = await _scrypt(pin[: LONGEST + 1], bytes.fromhex(salt))
    return hmac.compare_digest(found.hex(), wanted)


async def _scrypt(pin: str, salt: bytes) -> bytes:
    return await asyncio.to_thread(
        hashlib.scrypt, pin.encode(), salt=salt, n=_COST, r=_BLOCK, p=_LANES, maxmem=2**26
    )
