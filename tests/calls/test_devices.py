"""Phones with an account of their own: it is theirs alone, and can be taken away."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.ports import OperatorError
from encryptotel.demo.phone import Phone, plays
from encryptotel.directory import MAX_REVOKED, DirectoryError
from encryptotel.phones import REVOKED
from pbx.events import CallEnded, DeviceUnregistered, LoginFailed
from pbx.media.srtp import SrtpPolicy
from pbx.media.tones import share_of, tone
from pbx.ports import CallRefused
from pbx.sip.digest import Credentials
from store.tables import DeviceRow
from tests.office import Office, open_office, quiet


async def joins(office: Office, row: DeviceRow, phone: Phone | None = None) -> Phone:
    return await office.phone(
        row.extension, phone or Phone(quiet), username=row.username, secret=row.secret
    )


async def status_of(office: Office, row: DeviceRow) -> int:
    """What a phone is told that tries to register."""
    host, port = office.app.addresses["udp"].rsplit(":", 1)
    phone = Phone(quiet)
    await phone.listen()
    account = Credentials(username=row.username, secret=row.secret)
    domain = office.app.config.exchange.domain
    status = await phone.register((host, int(port)), account, domain, number=row.extension)
    await phone.stop()
    return status


def here(office: Office, number: str = "101") -> list[str]:
    return [binding.username for binding in office.app.exchange.registrar.bindings(number)]


async def test_each_phone_rings_and_has_its_own_secret(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        directory = office.app.directory
        desk, tablet = (
            await directory.add_device("101", "desk"),
            await directory.add_device("101", ""),
        )
        assert desk.secret != tablet.secret
        assert (desk.username[:4], tablet.name) == ("101.", "phone")
        sounding = Phone(plays(tone(1, 440.0)), ring_seconds=0.1)
        await joins(office, desk, sounding)
        await joins(office, tablet, Phone(quiet, ring_seconds=60))
        await office.phone("101", Phone(quiet, ring_seconds=60))  # and one with the extension's
        assert sorted(here(office)) == sorted(["101", desk.username, tablet.username])
        bob = await office.phone("102", Phone(quiet))
        leg = await bob.call("101")
        await bob.until_heard(lambda pcm: share_of(bytes(pcm)[-8000:], 440.0) > 0.9)
        leg.hang_up()
        leg = await sounding.call("102")  # the extension calls, whatever its account
        assert bob.legs[-1].peer == "101"
        mixed = DeviceRow(**{**desk.model_dump(), "secret": tablet.secret})
        assert await status_of(office, mixed) == 401


async def test_a_phone_cannot_register_for_another_extension(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        desk = await office.app.directory.add_device("101", "desk")
        stolen = DeviceRow(**{**desk.model_dump(), "extension": "102"})
        assert await status_of(office, stolen) == 403


async def test_revoking_drops_one_phone_and_nothing_else(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        directory, person = office.app.directory, office.app.person
        lost, kept = (
            await directory.add_device("101", "lost"),
            await directory.add_device("101", "kept"),
        )
        gone = await joins(office, lost)
        await joins(office, kept)
        bob = await office.phone("102", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        await gone.call("102")
        assert await office.app.operator.revoke_phone(person, lost.username) == "lost"
        assert here(office) == [kept.username]
        (event,) = office.of(DeviceUnregistered)
        assert (event.extension, event.reason) == ("101", REVOKED)
        gone.heard.clear()
        await gone.until_heard(lambda pcm: share_of(bytes(pcm)[-16000:], 440.0) > 0.9)
        assert office.of(CallEnded) == []  # the call goes on
        assert bob.legs
        for _ in range(2 * office.app.config.guard.failures):  # it is not taken for an attacker
            assert await status_of(office, lost) == 403
        assert office.of(LoginFailed) == []
        wrong = DeviceRow(**{**lost.model_dump(), "secret": "guessed"})
        assert await status_of(office, wrong) == 401
        with pytest.raises(CallRefused):
            await gone.call("600")
        assert await status_of(office, kept) == 200


async def test_nobody_revokes_what_is_not_theirs(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        row = await office.app.directory.add_device("102", "Bob's")
        for id in (row.username, "101", "102", "101.zzzz", ""):
            with pytest.raises(OperatorError):
                await office.app.operator.revoke_phone(office.app.person, id)
        assert office.app.directory.devices("102") == [row]


async def test_a_list_of_what_is_there(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        desk = await office.app.directory.add_device("101", "desk")
        await office.app.directory.add_device("101", "desk")
        await joins(office, desk, Phone(quiet, agent="Desk 1.0"))
        await office.phone("101", Phone(quiet))
        phones = await office.app.operator.phones(office.app.person)
        assert [(p.name, p.agent, p.since is not None, bool(p.id)) for p in phones] == [
            ("desk", "Desk 1.0", True, True),
            ("desk 2", "", False, True),
            ("", "EncryptoTel headless phone", True, False),
        ]


async def test_phones_are_reached_after_a_restart_unless_revoked_meanwhile(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        directory = office.app.directory
        rows = [await directory.add_device("101", name) for name in ("desk", "lost")]
        for row in rows:
            phone = await joins(office, row)
            phone.stop = phone._stack.close  # type: ignore[method-assign]  # stays registered
        since = {b.username: b.since for b in office.app.exchange.registrar.bindings("101")}
        await office.app.journal.caught_up()
        await directory.revoke_device(rows[1].username)  # the registration is still in the table
    async with open_office(tmp_path) as office:
        (binding,) = office.app.exchange.registrar.bindings("101")
        assert binding.username == rows[0].username
        assert binding.since == since[rows[0].username]


async def test_a_reload_drops_what_was_revoked_from_the_command_line(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        directory = office.app.directory
        rows = [await directory.add_device("101", name) for name in ("desk", "lost")]
        for row in rows:
            await joins(office, row)
        async with office.app.database.writing() as session:  # another process
            lost = await session.get(DeviceRow, rows[1].username)
            assert lost is not None
            lost.revoked = datetime.now(UTC)
        await office.app.reload()
        assert here(office) == [rows[0].username]


async def test_only_the_latest_revoked_ones_are_remembered(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        directory = office.app.directory
        rows = [await directory.add_device("101", "desk")]
        for _ in range(MAX_REVOKED + 1):
            await directory.revoke_device(rows[-1].username)
            rows.append(await directory.add_device("101", "desk"))
        assert [row.username for row in directory.devices("101")] == [rows[-1].username]
        assert directory.account(rows[0].username) is None
        second = directory.account(rows[1].username)
        assert second is not None
        assert second.revoked


async def test_who_gets_a_number_later_does_not_get_its_phones(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        directory = office.app.directory
        await directory.add_extension("104", "Dan", SrtpPolicy.OFFER)
        row = await directory.add_device("104", "Dan's")
        link = await office.app.phones.offer("104", "tablet")
        await directory.remove_extension("104")
        assert await status_of(office, row) == 401
        await directory.add_extension("104", "Eve", SrtpPolicy.OFFER)
        assert await status_of(office, row) == 401
        assert await office.app.phones.redeem(link.page.rpartition("/")[2]) is None
        with pytest.raises(DirectoryError, match="there is no extension 199"):
            await directory.add_device("199", "nobody's")


async def test_who_is_forgotten_leaves_no_phone_behind(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        row = await office.app.directory.add_device("101", "desk")
        await joins(office, row)
        assert b'"desk"' in await office.app.operator.export(office.app.person)
        await office.app.operator.forget(office.app.person)
        assert here(office) == []
        assert await status_of(office, row) == 401
