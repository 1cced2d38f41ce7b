"""Reading the Waves chain: what an address was paid, by a node's REST API.

Nothing a node says is trusted further than it must be: answers are bounded, what is not as
documented is left out, failed transactions do not count, and assets are told by their id.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import base58
import httpx

from wallet.https import authorities
from wallet.money import WAVES

MAX_ANSWER = 8_000_000
PAGE = 100
"Transactions of one page; nodes give no more than 1 000."
TIMEOUT = httpx.Timeout(20.0, connect=10.0)
MAX_ATTACHMENT = 140
MOST = 2**63 - 1
STRANGE = "the Waves node answers strangely"
TRANSFER, MASS_TRANSFER, INVOKE, ETHEREUM = 4, 11, 16, 18
MAX_ADDRESS, MAX_ID = 64, 64
DEEP = 3
"Blocks behind one that make a payment of ours certain: few forks are longer."


class NodeError(Exception):
    """The node cannot be asked, or answers strangely; the text is for people."""


class Refused(Exception):
    """The node does not take a transaction; the text is for people."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Something that came to an address: the `index`-th in its transaction."""

    tx: str
    index: int
    height: int
    at: datetime
    asset: str
    amount: int
    sender: str
    attachment: bytes = field(default=b"", repr=False)

    @property
    def key(self) -> str:
        return f"{self.tx}:{self.index}"


class Node:
    """One node. `close` it."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, timeout=TIMEOUT, follow_redirects=False, verify=authorities()
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def height(self) -> int:
        """The number of the last block. Raises `NodeError`."""
        found = await self._get("/blocks/height")
        height = found.get("height") if isinstance(found, dict) else None
        if not isinstance(height, int) or not 0 <= height <= MOST:
            raise NodeError(STRANGE)
        return height

    async def page(self, address: str, after: str = "") -> Sequence[Mapping[str, Any]]:
        """The transactions of an address, newest first, older than the one `after`. Raises
        `NodeError`."""
        query = {"after": after} if after else {}
        found = await self._get(f"/transactions/address/{address}/limit/{PAGE}", query)
        if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], list):
            raise NodeError(STRANGE)
        return [tx for tx in found[0] if isinstance(tx, dict)]

    async def balance(self, address: str, asset: str) -> int:
        """What is at an address, in the smallest unit. Raises `NodeError`."""
        path = f"/addresses/balance/{address}"
        if asset != WAVES:
            path = f"/assets/balance/{address}/{asset}"
        found = await self._get(path)
        there = found.get("balance") if isinstance(found, dict) else None
        if not isinstance(there, int) or not 0 <= there <= MOST:
            raise NodeError(STRANGE)
        return there

    async def broadcast(self, tx: Mapping[str, Any]) -> None:
        """Give a signed transaction to the network; one that it has already changes nothing.
        Raises `Refused` and `NodeError`."""
        status, found = await self._ask("POST", "/transactions/broadcast", body=tx)
        if status == httpx.codes.OK:
            return
        message = found.get("message") if isinstance(found, dict) else None
        if status != httpx.codes.BAD_REQUEST or not isinstance(message, str):
            raise NodeError(f"the Waves node answers {status}")
        if "AlreadyInTheState" not in message and "already in the state" not in message:
            raise Refused(_why(message))

    async def state(self, id: str) -> str:
        """How a transaction stands: confirmed (by `DEEP` blocks), failed, waiting or unknown.
        Raises `NodeError`."""
        found = await self._get("/transactions/status", {"id": id})
        if not isinstance(found, list) or not found or not isinstance(found[0], dict):
            raise NodeError(STRANGE)
        one = found[0]
        if one.get("status") != "confirmed":
            return "waiting" if one.get("status") == "unconfirmed" else "unknown"
        if one.get("applicationStatus") != "succeeded":
            return "failed"
        deep = one.get("confirmations")
        return "confirmed" if isinstance(deep, int) and deep >= DEEP else "waiting"

    async def time(self) -> datetime:
        """When the last block was made. Raises `NodeError`."""
        found = await self._get("/blocks/headers/last")
        stamp = found.get("timestamp") if isinstance(found, dict) else None
        if not isinstance(stamp, int) or not 0 <= stamp < 2**42:
            raise NodeError(STRANGE)
        return datetime.fromtimestamp(stamp / 1000, UTC)

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        status, found = await self._ask("GET", path, query)
        if status != httpx.codes.OK:
            raise NodeError(f"the Waves node answers {status}")
        return found

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON of an answer, which is None for what is none. Raises `NodeError`."""
        request = self._client.build_request(method, path, params=query, json=body)
        try:
            async with asyncio.timeout(60):
                got = await self._client.send(request, stream=True)
                try:
                    answer = await _bounded(got)
                finally:
                    await got.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            raise NodeError("the Waves node cannot be reached") from error
        try:
            return got.status_code, await asyncio.to_thread(json.loads, answer)
        except (ValueError, RecursionError) as error:
            if got.status_code == httpx.codes.OK:
                raise NodeError(STRANGE) from error
            return got.status_code, None


async def _bounded(got: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in got.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER:
            raise NodeError("the Waves node answers at too great a length")
    return bytes(body)


def _why(message: str) -> str:
    """What a node says against a transaction, in short and for people."""
    if "negative" in message and "balance" in message:
        return "there is too little in the wallet"
    if "more than" in message and "in the" in message and "imestamp" in message:
        return "the clock of this machine, or of the node, is wrong"
    return f"the Waves node refuses it: {message.rpartition('Reason: ')[2][:120]}"


def transfers(tx: Mapping[str, Any], address: str) -> list[Transfer]:
    """What a transaction brought an address; nothing for one that failed, or is not as it should
    be."""
    id, height, sender = tx.get("id"), tx.get("height"), tx.get("sender")
    stamp = tx.get("timestamp")
    if (
        tx.get("applicationStatus") != "succeeded"
        or not _is_text(id, MAX_ID)
        or not _is_text(sender, MAX_ADDRESS)
        or sender == address  # we move what is ours
        or not isinstance(height, int)
        or not 0 < height <= MOST
        or not isinstance(stamp, int)
        or not 0 <= stamp < 2**42
    ):
        return []
    found: list[Transfer] = []
    for index, (recipient, asset, amount) in enumerate(_parts(tx, address)):
        if recipient != address or not _is_amount(amount):
            continue
        if asset is not None and not _is_text(asset, MAX_ID):
            continue
        found.append(
            Transfer(
                tx=str(id),
                index=index,
                height=height,
                at=datetime.fromtimestamp(stamp / 1000, UTC),
                asset=asset or WAVES,
                amount=amount,
                sender=str(sender),
                attachment=_attachment(tx.get("attachment")),
            )
        )
    return found


def _parts(tx: Mapping[str, Any], address: str) -> list[tuple[Any, Any, Any]]:
    """Recipient, asset and amount of all that a transaction moved, in its order."""
    kind = tx.get("type")
    if kind == TRANSFER:
        to = tx.get("recipient")
        if isinstance(to, str) and to.startswith("alias:"):
            to = address  # it is among ours and not from us: the alias is ours as well
        return [(to, tx.get("assetId"), tx.get("amount"))]
    if kind == MASS_TRANSFER:
        each = _dicts(tx.get("transfers"))
        return [(one.get("recipient"), tx.get("assetId"), one.get("amount")) for one in each]
    if kind == INVOKE:
        return _payments(tx) + _changes(tx)
    if kind == ETHEREUM:
        payload = tx.get("payload")
        if not isinstance(payload, dict):
            return []
        if payload.get("type") == "transfer":
            return [(payload.get("recipient"), payload.get("asset"), payload.get("amount"))]
        return _payments(payload) + _changes(payload)
    return []


def _payments(tx: Mapping[str, Any]) -> list[tuple[Any, Any, Any]]:
    """What a script was paid with."""
    each = _dicts(tx.get("payment"))
    return [(tx.get("dApp"), one.get("assetId"), one.get("amount")) for one in each]


def _changes(tx: Mapping[str, Any]) -> list[tuple[Any, Any, Any]]:
    """What a script moved."""
    changes = tx.get("stateChanges")
    each = _dicts(changes.get("transfers")) if isinstance(changes, dict) else []
    return [(one.get("address"), one.get("asset"), one.get("amount")) for one in each]


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most and value.isascii()


def _is_amount(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST


def _attachment(value: Any) -> bytes:
    """Base58 on the wire; nothing for what is none."""
    if not isinstance(value, str) or len(value) > 2 * MAX_ATTACHMENT:
        return b""
    try:
        return bytes(base58.b58decode(value))[:MAX_ATTACHMENT]
    except ValueError:
        return b""
