"""Seeds of wallets, each sealed by its owner's PIN and a secret of this machine.

A PIN alone is soon guessed; with Argon2id (RFC 9106) each guess takes 64 MB and a tenth of a
second, and whoever copies the database lacks the secret, which lies in a file of its own.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from sqlalchemy.ext.asyncio import AsyncSession

from store.database import Database
from store.tables import VaultRow

if TYPE_CHECKING:
    from wallet.signing import Account

TRIES = 3
"Wrong PINs after which only the owner's chat opens it again."
SECRET_BYTES, SALT, NONCE = 32, 16, 12
_PASSES, _LANES, _MEMORY = 3, 1, 65_536
"Of Argon2id; memory in KiB (RFC 9106 §4, the second recommendation, on one lane)."


class WrongPin(Exception):
    """A wallet that does not open: `left` tries are left, none when it is locked."""

    def __init__(self, left: int) -> None:
        super().__init__("wrong PIN")
        self.left = left


class NoVault(Exception):
    """Somebody has no wallet."""


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
        """Make somebody a wallet; its address. One that is there already stays as it is."""
        made = await asyncio.to_thread(self._new)
        sealed = await self._sealed(made, pin)

        async def make(session: AsyncSession) -> str:
            row = await session.get(VaultRow, extension, with_for_update=True)
            if row is None:
                row = VaultRow(
                    extension=extension,
                    address=made.address,
                    sealed=sealed,
                    made=datetime.now(UTC),
                )
                session.add(row)
            return row.address

        return await self._database.together(make)

    async def open(self, extension: str, pin: str) -> Account:
        """Somebody's wallet. Each try is counted before it is made, so that many at once are not
        more than many in turn. Raises `WrongPin`, `NoVault`."""

        async with self._database.writing() as session:
            row = await session.get(VaultRow, extension, with_for_update=True)
            if row is None:
                raise NoVault
            row.tries = min(row.tries + 1, TRIES + 1)
            address, sealed, left = row.address, row.sealed, TRIES - row.tries
        if left < 0:
            raise WrongPin(0)
        async with self._deriving:
            try:
                seed = await asyncio.to_thread(_unseal, sealed, pin, self._own(), address)
            except InvalidTag:
                raise WrongPin(left) from None
        await self.unlock(extension)
        return await asyncio.to_thread(self._account, seed)

    async def change(self, extension: str, account: Account, pin: str) -> None:
        """Seal an open wallet by another PIN."""
        sealed = await self._sealed(account, pin)

        async def change(session: AsyncSession) -> None:
            row = await session.get(VaultRow, extension, with_for_update=True)
            if row is not None and row.address == account.address:
                row.sealed = sealed

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
    async def _sealed(self, account: Account, pin: str) -> bytes:
        async with self._deriving:
            return await asyncio.to_thread(_seal, account.seed, pin, self._own(), account.address)

    def _new(self) -> Account:
        from wallet.signing import account, new_seed  # loaded by those who have a wallet only

        return account(new_seed(), self._chain)

    def _account(self, seed: str) -> Account:
        from wallet.signing import account

        return account(seed, self._chain)

    def _own(self) -> bytes:
        """The secret of this machine, made at its first use."""
        if not self._secret.exists():
            self._secret.touch(mode=0o600)
            self._secret.write_text(secrets.token_hex(SECRET_BYTES))
        return bytes.fromhex(self._secret.read_text().strip())


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
