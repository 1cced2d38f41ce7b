"""Whose call it is: who may do something with it, whom it is recorded for, and who pays, also
when people come, go and change their minds at the same moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyrage
import pytest

from bot.ports import Control, OperatorError, Person, Role
from encryptotel.demo.phone import Phone, plays
from nlp.commands import Call, Conference, Party
from pbx.calls import conference
from pbx.events import CallTransferred, LegAnswered, LegRinging
from pbx.media.tones import tone
from tests.calls.test_callback import NUMBER, telephone_network
from tests.calls.test_recording import recorded, settings
from tests.calls.test_transfer import connected, desk, hears
from tests.office import NEVER, Office, open_office, quiet

CAROL = Conference(participants=(Party(extension="103"),))
OUTSIDE = Conference(participants=(Party(number=NUMBER),))


def member(number: str, name: str, **more: Any) -> Person:
    return Person(id=f"m{number}", name=name, extension=number, role=Role.MEMBER, **more)


def a_key() -> str:
    return str(pyrage.x25519.Identity.generate().to_public())


def hang_up(phone: Phone) -> None:
    for leg in list(phone.legs):
        leg.hang_up()


async def until(happened: Any) -> None:
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def no_permits(office: Office) -> bool:
    gatekeeper = office.app.gatekeeper
    return not gatekeeper._at_once and not gatekeeper._on_trunk


async def test_a_recording_is_for_whoever_ordered_it(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        office.app.followers.follow(member("102", "Bob", key=a_key(), records=True), lambda _: None)
        await desk(office, "101", "102")
        office.dialogue()
        order = Call(to=(Party(extension="102"),), record=True)
        await office.app.operator.call(office.app.person, order)
        await until(lambda: office.app.recordings._running)
        (row,) = office.app.recordings._running.values()
        assert row.extension == "101"


async def test_whoever_has_an_extension_now_is_not_who_had_it(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        followers = office.app.followers
        followers.follow(member("104", "Old", key=a_key(), records=True), lambda _: None)()
        new = replace(member("104", "New"), id="another")
        followers.follow(new, lambda _: None)
        assert followers.person("104") == new


async def test_who_left_a_conference_has_nothing_to_say_in_it(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        alice, bob, _ = await desk(office, "101", "102", "103")
        operator, call_id = await connected(office)
        await operator.conference(office.app.person, CAROL)
        await hears(alice, "102", "103")
        hang_up(bob)
        await hears(alice, "103")
        gone = member("102", "Bob", key=a_key())
        assert operator.active_calls(gone) == []
        for what in (Control.RECORD, Control.MUTE):
            with pytest.raises(OperatorError, match="ended already"):
                await operator.control(gone, call_id, what)


async def test_who_gave_their_place_away_by_mobile_has_none(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        network = await telephone_network(office, Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        bob, _ = await desk(office, "102", "103")
        operator, person = office.app.operator, office.app.person
        office.dialogue()
        order = Call(to=(Party(extension="102"),), callback=Party(number=NUMBER))
        placed = await operator.call(person, order)
        await office.until(lambda: "You are connected." in office.told)
        await operator.transfer(person, placed.call_id, Party(extension="103"))
        await hears(bob, "103")
        assert operator.active_calls(person) == []
        await network.stop()


async def test_a_recording_ends_when_its_owner_leaves(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        alice, bob, _ = await desk(office, "101", "102", "103")
        operator, call_id = await connected(office)
        await operator.control(office.app.person, call_id, Control.RECORD)
        await hears(alice, "102")
        await asyncio.sleep(1.0)
        await operator.transfer(office.app.person, call_id, Party(extension="103"))
        await hears(bob, "103")
        assert office.app.exchange.calls[call_id].recorder is None
        assert (await recorded(office)).peer == "102"


async def test_a_recording_that_begins_when_the_call_ends_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_office(tmp_path, **settings()) as office:
        await desk(office, "101", "102")
        operator, call_id = await connected(office)
        recordings = office.app.recordings
        opens, ended = recordings._open, asyncio.Event()

        async def slow(*what: Any) -> Any:
            file = await opens(*what)
            await ended.wait()
            return file

        monkeypatch.setattr(recordings, "_open", slow)
        order = operator.control(office.app.person, call_id, Control.RECORD)
        recording = asyncio.ensure_future(order)
        await until((tmp_path / "recordings").exists)
        await operator.hang_up(office.app.person, call_id)
        await office.ended()
        ended.set()
        with pytest.raises(OperatorError, match="is over"):
            await recording
        assert not recordings._running
        assert list((tmp_path / "recordings").iterdir()) == []
        assert await recordings.latest("101", 9) == []


async def test_an_outside_party_that_answers_as_the_call_ends_costs_nothing_more(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path) as office:
        network = await telephone_network(office, Phone(quiet, ring_seconds=0.2))
        await desk(office, "101", "102")
        operator, call_id = await connected(office)
        call = office.app.exchange.calls[call_id]
        take = call.emit

        def end_then(event: Any) -> None:
            take(event)
            if isinstance(event, LegAnswered) and event.peer == NUMBER:
                call.hang_up()

        call.emit = end_then
        await operator.conference(office.app.person, OUTSIDE)
        await office.ended()
        await until(lambda: no_permits(office) and not network.legs)
        await network.stop()


async def test_no_outside_leg_stays_up_when_the_call_changed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_office(tmp_path) as office:
        network = await telephone_network(office, Phone(plays(tone(1, 850.0)), ring_seconds=1.0))
        await desk(office, "101", "102", "103")
        operator, call_id = await connected(office)
        await operator.transfer(office.app.person, call_id, Party(number=NUMBER))
        await office.until(lambda: any("ringing" in t and "555" in t for t in office.told))
        await operator.conference(office.app.person, CAROL)
        refused = "103: that call is being transferred just now."
        await office.until(lambda: refused in office.told)
        await office.until(lambda: bool(office.of(CallTransferred)))
        hang_up(network)
        await office.ended()
        monkeypatch.setattr(conference, "MAX_PARTIES", 2)
        office.told.clear()
        await connected(office)
        await operator.conference(office.app.person, OUTSIDE)
        full = "a conference has 2 at most"
        await office.until(lambda: any(full in text for text in office.told))
        await until(lambda: no_permits(office) and not network.legs)
        await network.stop()


async def test_the_echo_test_is_no_conference(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice, bob = await desk(office, "101", "102")
        operator, echoing = await connected(office, "600")
        placed = await operator.conference(
            office.app.person, Conference(participants=(Party(extension="102"),))
        )
        assert placed.call_id != echoing
        await hears(bob, "101")
        assert len(alice.legs) == 2


async def test_calling_back_later_is_planned_once(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.dialogue()
        await office.phone("101", Phone(quiet, ring_seconds=NEVER))
        bob = await office.phone("102", Phone(quiet))
        calling = asyncio.ensure_future(bob.call("101"))
        await office.until(lambda: bool(office.of(LegRinging)))
        operator, person = office.app.operator, office.app.person
        (call_id,) = office.app.exchange.calls
        await operator.call_back_later(person, call_id)
        with pytest.raises(OperatorError, match="rings no more"):
            await operator.call_back_later(person, call_id)
        assert len(await operator.plans(person)) == 1
        await calling


async def test_who_transfers_is_told_that_it_failed_and_nobody_else(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 1}) as office:
        office.dialogue()
        told: list[str] = []
        bob = member("102", "Bob")
        office.app.followers.follow(bob, lambda progress: told.append(progress.text))
        alice, his = await desk(office, "101", "102")
        await office.phone("103", Phone(quiet, ring_seconds=NEVER))
        await his.call("101")
        await hears(alice, "102")
        (call_id,) = office.app.exchange.calls
        await office.app.operator.transfer(bob, call_id, Party(extension="103"))
        await until(lambda: "Not transferred: no answer." in told)
        assert not any("Not transferred" in text for text in office.told)


async def test_while_a_call_is_being_transferred_nothing_else_is_done_to_it(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path) as office:
        alice, bob = await desk(office, "101", "102")
        await office.phone("103", Phone(quiet, ring_seconds=NEVER))
        operator, call_id = await connected(office)
        await operator.transfer(office.app.person, call_id, Party(extension="103"))
        await office.until(lambda: "103 is ringing …" in office.told)
        with pytest.raises(OperatorError, match="being transferred"):
            await operator.control(office.app.person, call_id, Control.MUTE)
        hang_up(alice)
        hang_up(bob)
        await office.ended()
