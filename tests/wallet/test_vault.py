"""Wallets that a PIN opens: the right one, wrong ones, many at once, and what lies on the disk."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import URL

from store.database import Database
from store.tables import VaultRow
from wallet.vault import NoVault, VaultClosed, Vaults, WrongPin, _unseal

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
        assert await it.make("101", "314159") == ""  # it stays as it is
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
        tries = (it.open("101", f"{number:06}") for number in range(10))
        found = await asyncio.gather(*tries, return_exceptions=True)
        lefts = [one.left for one in found if isinstance(one, WrongPin)]
        assert sorted(lefts) == [0] * 8 + [1, 2]
        with pytest.raises(WrongPin):
            await it.open("101", PIN)


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


async def test_a_secret_that_is_lost_damaged_or_another_counts_no_try(tmp_path: Path) -> None:
    async with vaults(tmp_path / "encryptotel.db", tmp_path) as (it, _):
        await it.make("101", PIN)
        secret = tmp_path / "vault.key"
        whole = secret.read_text()
        for text in ("", whole[:-2], "00" * 32):
            secret.write_text(text)
            for _ in range(4):
                with pytest.raises(VaultClosed):
                    await it.open("101", PIN)
        secret.unlink()
        with pytest.raises(VaultClosed, match="missing"):
            await it.open("101", PIN)
        with pytest.raises(VaultClosed, match="missing"):
            await it.make("102", PIN)  # a new one would shut the others out
        assert not secret.exists()
        secret.write_text(whole)
        await it.open("101", PIN)


async def test_many_first_wallets_share_one_secret(tmp_path: Path) -> None:
    async with vaults(tmp_path / "encryptotel.db", tmp_path) as (it, _):
        names = [str(number) for number in range(101, 107)]
        await asyncio.gather(*(it.make(name, PIN) for name in names))
        for name in names:
            await it.open(name, PIN)
        assert [name for name in os.listdir(tmp_path) if "vault" in name] == ["vault.key"]
