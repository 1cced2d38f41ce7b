"""What the exchange tells a program by itself, signed (standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from encryptotel_client.events import Event, event_of

SECRET = "whsec_"  # noqa: S105 - what secrets begin with
SHORTEST = 16
"Bytes."


class Headers(Protocol):
    """Headers as servers have them: a dictionary, or a message of `http.server`."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Names and values."""


class BadSignature(Exception):
    """What came is not from the exchange, was changed on its way, or is old."""


def opened(
    secret: str,
    headers: Headers,
    body: bytes,
    *,
    now: float | None = None,
    tolerance: float = 300,
) -> Event:
    """The event in a request that the exchange signed with the secret that was shown once. `body`
    is as it came, byte for byte; `now` are seconds since 1970, and clocks may differ by `tolerance`
    seconds. The same event may come again, with the same id. Raises `BadSignature`, and ValueError
    for a secret that is none."""
    given = {name.lower(): value for name, value in headers.items()}
    try:
        id, stamp, signatures = (
            given[f"webhook-{name}"] for name in ("id", "timestamp", "signature")
        )
    except KeyError as missing:
        raise BadSignature(f"there is no {missing.args[0]}") from None
    signed = _bytes(f"{id}.{stamp}.") + body
    ours = b"v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest())
    if not any(hmac.compare_digest(ours, _bytes(one)) for one in signatures.split()):
        raise BadSignature("the signature is not the exchange's")
    current = time.time() if now is None else now
    if not stamp.isdecimal() or abs(current - float(stamp)) > tolerance:
        raise BadSignature("that was signed at another time")
    told = json.loads(body)
    at = datetime.fromisoformat(told["timestamp"])
    return event_of(told["data"], id=id, kind=told["type"], at=at)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < SHORTEST:  # as of a variable that was not set: anybody could sign with it
        raise ValueError("that is no secret of a webhook")
    return key


def _bytes(text: str) -> bytes:
    """A header, whatever a server made of bytes that are no text."""
    return text.encode("utf-8", "surrogatepass")
