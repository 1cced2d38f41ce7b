"""Wallets that a PIN opens: the right one, wrong ones, many at once, and what lies on the disk."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import URL

from store.database import Database
from store.tables import VaultRow
from wallet.vault import NoVault, Vaults, WrongPin, _unseal

PIN = "271828"


@asynccontextmanager
async def vaults(where: Path | URL, folder: Path) -> AsyncIterator[tuple[Vaults, Database]]:
    database = Database(where)
    await database.open()
    try:
        yield Vaults(database, folder / "vault.key", "T"), database
    finally:
        await database.close()


async def test_the_right_pin_opens_it(where: Path | URL, tmp_path: Path) -> None:
    async with vaults(where, tmp_path) as (it, _):
        with pytest.raises(NoVault):
            await it.open("101", PIN)
        assert await it.state("101") is None
        address = await it.make("101", PIN)
        assert await it.make("101", "314159") == address  # it stays as it is
        first, again = await it.open("101", PIN), await it.open("101", PIN)
        assert first == again
        assert first.address == address
        assert len(first.seed.split()) == 15
        await it.change("101", first, "314159")
        with pytest.raises(WrongPin):
            await it.open("101", PIN)
        assert (await it.open("101", "314159")).seed == first.seed


async def test_three_wrong_pins_lock_it_until_its_owner_unlocks(
    where: Path | URL, tmp_path: Path
) -> None:
    async with vaults(where, tmp_path) as (it, _):
        await it.make("101", PIN)
        for left in (2, 1):
            with pytest.raises(WrongPin) as wrong:
                await it.open("101", "000001")
            assert wrong.value.left == left
        await it.open("101", PIN)  # which forgives
        for left in (2, 1, 0, 0):
            with pytest.raises(WrongPin) as wrong:
                await it.open("101", "000001")
            assert wrong.value.left == left
        with pytest.raises(WrongPin):
            await it.open("101", PIN)
        state = await it.state("101")
        assert state is not None
        assert state.locked
        await it.unlock("101")
        await it.open("101", PIN)


async def test_many_tries_at_once_are_not_more_than_three(
    where: Path | URL, tmp_path: Path
) -> None:
    async with vaults(where, tmp_path) as (it, _):
        await it.make("101", PIN)
        pins = [f"{number:06}" for number in range(10)] + [PIN]
        found = await asyncio.gather(*(it.open("101", pin) for pin in pins), return_exceptions=True)
        assert all(isinstance(one, WrongPin) for one in found)


async def test_what_lies_on_the_disk_needs_pin_secret_and_address(tmp_path: Path) -> None:
    async with vaults(tmp_path / "encryptotel.db", tmp_path) as (it, database):
        await it.make("101", PIN)
        account = await it.open("101", PIN)
        async with database.reading() as session:
            row = await session.get(VaultRow, "101")
        assert row is not None
        secret = tmp_path / "vault.key"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        key = bytes.fromhex(secret.read_text())
        assert _unseal(row.sealed, PIN, key, row.address) == account.seed
        for wrong in (
            (PIN, bytes(32), row.address),
            (PIN + "0", key, row.address),
            (PIN, key, "another address"),
        ):
            with pytest.raises(InvalidTag):
                _unseal(row.sealed, *wrong)
        assert_nowhere(tmp_path, account.seed, PIN)


def assert_nowhere(folder: Path, *words: str) -> None:
    on_disk = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    for word in words:
        assert word.encode() not in on_disk
