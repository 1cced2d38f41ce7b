"""Seeds of wallets, each sealed by its owner's PIN and a secret of this machine.

A PIN alone is soon guessed; with Argon2id (RFC 9106) each guess takes 64 MB and a tenth of a
second, and whoever copies the database lacks the secret, which lies in a file of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import select

from store.database import Database
from store.secret import NoSecret, secret_in
from store.tables import VaultRow

if TYPE_CHECKING:
    from wallet.signing import Account

TRIES = 3
"Wrong PINs after which only the owner's chat opens it again."
SALT, NONCE = 16, 12
_PASSES, _LANES, _MEMORY = 3, 1, 65_536
"Of Argon2id; memory in KiB (RFC 9106 §4, the second recommendation, on one lane)."


class WrongPin(Exception):
    """A wallet that does not open: `left` tries are left, none when it is locked."""

    def __init__(self, left: int) -> None:
        super().__init__("wrong PIN")
        self.left = left


class NoVault(Exception):
    """Somebody has no wallet."""


class VaultClosed(Exception):
    """No PIN opens it now: the secret of this machine is missing, or another than it was sealed
    with. The text is for whoever runs the exchange."""


@dataclass(frozen=True, kw_only=True)
class VaultState:
    """What is known of a wallet without its PIN."""

    address: str
    locked: bool


class Vaults:
    """All wallets. `secret` gives that of this machine, `chain` is the letter of theirs."""

    def __init__(self, database: Database, secret: Path, chain: str) -> None:
        self._database, self._secret, self._chain = database, secret, chain
        self._deriving = asyncio.Semaphore(2)
        "So that many callers do not take all memory."

    async def state(self, extension: str) -> VaultState | None:
        """What there is to know of somebody's wallet; None without one."""
        async with self._database.reading() as session:
            row = await session.get(VaultRow, extension)
        if row is None:
            return None
        return VaultState(address=row.address, locked=row.tries >= TRIES)

    async def make(self, extension: str, pin: str) -> str:
        """Make somebody a wallet; its address, or nothing when there is one already, which stays
        as it is. Raises `VaultClosed`."""
        made = await asyncio.to_thread(self._new)
        own = await self._own_for_new()
        sealed = await self._sealed(made, pin, own)

        async def make(session: AsyncSession) -> str:
            if await session.get(VaultRow, extension, with_for_update=True) is not None:
                return ""
            row = VaultRow(
                extension=extension,
                address=made.address,
                sealed=sealed,
                secret=_named(own),
                made=datetime.now(UTC),
            )
            session.add(row)
            return row.address

        return await self._database.together(make)

    async def open(self, extension: str, pin: str) -> Account:
        """Somebody's wallet. Each try is counted before it is made, so that many at once are not
        more than many in turn. Raises `WrongPin`, `NoVault` and `VaultClosed`."""
        if await self.state(extension) is None:
            raise NoVault
        own = await asyncio.to_thread(self._own)
        async with self._database.writing() as session:
            row = await session.get(VaultRow, extension, with_for_update=True)
            if row is None:
                raise NoVault
            if row.secret != _named(own):
                raise VaultClosed(f"{self._secret} is another than this wallet was sealed with")
            row.tries = min(row.tries + 1, TRIES + 1)
            address, sealed, left = row.address, row.sealed, TRIES - row.tries
        if left < 0:
            raise WrongPin(0)
        async with self._deriving:
            try:
                seed = await asyncio.to_thread(_unseal, sealed, pin, own, address)
            except InvalidTag:
                raise WrongPin(left) from None
        await self.unlock(extension)
        return await asyncio.to_thread(self._account, seed)

    async def change(self, extension: str, account: Account, pin: str) -> None:
        """Seal an open wallet by another PIN. Raises `VaultClosed`."""
        own = await asyncio.to_thread(self._own)
        sealed = await self._sealed(account, pin, own)

        async def change(session: AsyncSession) -> None:
            row = await session.get(VaultRow, extension, with_for_update=True)
            if row is not None and row.address == account.address:
                row.sealed, row.secret = sealed, _named(own)

        await self._database.together(change)

    async def unlock(self, extension: str) -> None:
        """Let PINs be tried again."""

        async def unlock(session: AsyncSession) -> None:
            row = await session.get(VaultRow, extension, with_for_update=True)
            if row is not None:
                row.tries = 0

        await self._database.together(unlock)

    async def forget(self, extension: str) -> None:
        """Throw a wallet away, with all that may be in it."""

        async def forget(session: AsyncSession) -> None:
            row = await session.get(VaultRow, extension)
            if row is not None:
                await session.delete(row)

        await self._database.together(forget)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    async def _sealed(self, account: Account, pin: str, own: bytes) -> bytes:
        async with self._deriving:
            return await asyncio.to_thread(_seal, account.seed, pin, own, account.address)

    def _new(self) -> Account:
        from wallet.signing import account, new_seed  # loaded by those who have a wallet only

        return account(new_seed(), self._chain)

    def _account(self, seed: str) -> Account:
        from wallet.signing import account

        return account(seed, self._chain)

    def _own(self) -> bytes:
        """The secret of this machine. Raises `VaultClosed`."""
        try:
            return secret_in(self._secret, make=False)
        except NoSecret as error:
            raise VaultClosed(str(error)) from error

    async def _own_for_new(self) -> bytes:
        """The same, made for the very first wallet: when others are there, it was lost."""
        async with self._database.reading() as session:
            first = (await session.execute(select(VaultRow.extension).limit(1))).scalar() is None
        try:
            return await asyncio.to_thread(secret_in, self._secret, make=first)
        except NoSecret as error:
            raise VaultClosed(str(error)) from error


def _named(secret: bytes) -> str:
    """Tells one secret from another, and nothing of it."""
    return hashlib.sha256(b"vault " + secret).hexdigest()[:16]


def _seal(seed: str, pin: str, secret: bytes, address: str) -> bytes:
    salt, nonce = secrets.token_bytes(SALT), secrets.token_bytes(NONCE)
    return salt + nonce + _cipher(pin, salt, secret).encrypt(nonce, seed.encode(), address.encode())


def _unseal(sealed: bytes, pin: str, secret: bytes, address: str) -> str:
    """Raises `InvalidTag` for another PIN, secret or address."""
    salt, nonce, rest = sealed[:SALT], sealed[SALT : SALT + NONCE], sealed[SALT + NONCE :]
    return _cipher(pin, salt, secret).decrypt(nonce, rest, address.encode()).decode()


def _cipher(pin: str, salt: bytes, secret: bytes) -> ChaCha20Poly1305:
    derivation = Argon2id(
        salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY, secret=secret
    )
    return ChaCha20Poly1305(derivation.derive(pin.encode()))
