"""Giving one's place in a call to somebody else, and calls between more than two: who hears whom
is told apart by tone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.ports import Control
from encryptotel.demo.phone import Phone, plays
from nlp.commands import Call, Conference, Party
from pbx.events import CallTransferred, ConferenceChanged
from pbx.media.codecs import G722, PCMU
from pbx.media.music import hold_music
from pbx.media.tones import tone
from tests.calls.test_callback import telephone_network
from tests.hearing import match
from tests.office import NEVER, Office, open_office, quiet

SECONDS = 2 * 8000
WINDOW = np.hanning(SECONDS // 2)
TONES = {"101": 440.0, "102": 620.0, "103": 850.0}


def tells(phone: Phone, *hertz: float) -> bool:
    """Whether the last second a phone heard was these tones, all of them and nothing else."""
    heard = np.frombuffer(bytes(phone.heard[-SECONDS:]), "<i2").astype(float)
    if 2 * heard.size < SECONDS or not heard.any():
        return False
    power = np.abs(np.fft.rfft(heard * WINDOW)) ** 2
    shares = [power[round(hz) - 5 : round(hz) + 6].sum() / power.sum() for hz in hertz]
    return bool(sum(shares) > 0.9 and min(shares) > 0.5 / len(hertz))


async def hears(phone: Phone, *numbers: str) -> None:
    wanted = [TONES[number] for number in numbers]
    async with asyncio.timeout(15):
        await phone.until_heard(lambda _: tells(phone, *wanted))


async def desk(office: Office, *numbers: str, **options: Any) -> list[Phone]:
    """Phones that each play a tone of their own."""
    return [
        await office.phone(
            number, Phone(plays(tone(1, TONES[number])), ring_seconds=0.1, **options)
        )
        for number in numbers
    ]


async def connected(office: Office, to: str = "102") -> Any:
    """A call of the owner's to somebody."""
    operator = office.app.operator
    office.dialogue()
    placed = await operator.call(office.app.person, Call(to=(Party(extension=to),)))
    await office.until(lambda: "You are connected." in office.told)
    return operator, placed.call_id


async def test_a_call_is_given_to_somebody_else(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        operator, call_id = await connected(office)
        await hears(alice, "102")
        who = await operator.transfer(office.app.person, call_id, Party(extension="103"))
        assert who == "Carol (103)"
        await office.until(lambda: bool(office.of(CallTransferred)))
        await hears(bob, "103")
        await hears(carol, "102")
        await office.until(lambda: "Transferred to 103." in office.told)
        assert alice.legs == []
        assert operator.active_calls(office.app.person) == []
        for leg in list(carol.legs):
            leg.hang_up()
        assert (await office.ended()).status == 200


async def test_the_other_side_hears_music_until_somebody_answers_who_may_not(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 2}) as office:
        alice, bob = await desk(office, "101", "102")
        await office.phone("103", Phone(quiet, ring_seconds=NEVER))
        operator, call_id = await connected(office)
        await hears(alice, "102")
        await operator.transfer(office.app.person, call_id, Party(extension="103"))
        music = hold_music() * 2
        async with asyncio.timeout(10):
            await bob.until_heard(lambda heard: match(music, bytes(heard[-SECONDS:])) > 0.9)
        await office.until(lambda: "Not transferred: no answer." in office.told)
        await hears(alice, "102")
        await hears(bob, "101")


async def test_whoever_transfers_may_hang_up_at_once(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice, bob = await desk(office, "101", "102")
        carol = await office.phone("103", Phone(plays(tone(1, 850.0)), ring_seconds=1.0))
        operator, call_id = await connected(office)
        await operator.transfer(office.app.person, call_id, Party(extension="103"))
        for leg in list(alice.legs):
            leg.hang_up()
        await hears(bob, "103")
        await hears(carol, "102")


async def test_when_nobody_answers_a_call_left_behind_it_ends(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 2}) as office:
        alice, bob = await desk(office, "101", "102")
        await office.phone("103", Phone(quiet, ring_seconds=NEVER))
        operator, call_id = await connected(office)
        await operator.transfer(office.app.person, call_id, Party(extension="103"))
        for leg in list(alice.legs):
            leg.hang_up()
        for leg in list(bob.legs):
            await leg.ended()
        await office.ended()


async def test_phones_that_share_no_codec_are_joined_by_a_transfer(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await desk(office, "101")
        (bob,) = await desk(office, "102", codecs=(PCMU,))
        (carol,) = await desk(office, "103", codecs=(G722,))
        operator, call_id = await connected(office)
        await operator.transfer(office.app.person, call_id, Party(extension="103"))
        await hears(bob, "103")
        await hears(carol, "102")


async def test_outside_a_transfer_costs_a_permit_that_is_given_back(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        network = await telephone_network(office, Phone(plays(tone(1, 850.0))))
        _, bob = await desk(office, "101", "102")
        operator, call_id = await connected(office)
        await operator.transfer(office.app.person, call_id, Party(number="+12025550143"))
        await hears(bob, "103")
        held = office.app.gatekeeper._at_once
        assert held == {"101": 1}
        for leg in list(network.legs):
            leg.hang_up()
        await office.ended()
        assert held == {}
        await network.stop()


async def test_everybody_hears_all_others_and_not_themselves(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        office.dialogue()
        operator = office.app.operator
        order = Conference(participants=(Party(extension="102"), Party(extension="103")))
        placed = await operator.conference(office.app.person, order)
        assert placed.to == "Bob (102), Carol (103)"
        await hears(alice, "102", "103")
        await hears(bob, "101", "103")
        await hears(carol, "101", "102")
        there = "In the conference: you, Bob (102), Carol (103)."
        await office.until(lambda: any(sorted(t) == sorted(there) for t in office.told))
        for leg in list(bob.legs):
            leg.hang_up()
        await hears(alice, "103")
        await hears(carol, "101")
        for leg in list(alice.legs):
            leg.hang_up()
        for leg in list(carol.legs):
            await leg.ended()  # one alone is no conference
        assert (await office.ended()).status == 200


async def test_a_call_becomes_a_conference_and_one_may_be_mute_in_it(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        operator, call_id = await connected(office)
        order = Conference(participants=(Party(extension="103"),))
        placed = await operator.conference(office.app.person, order)
        assert placed.call_id == call_id
        await hears(alice, "102", "103")
        await hears(bob, "101", "103")
        await operator.control(office.app.person, call_id, Control.MUTE)
        await hears(bob, "103")
        await hears(carol, "102")
        (call,) = operator.active_calls(office.app.person)
        assert call.muted
        assert call.conference
        await operator.control(office.app.person, call_id, Control.UNMUTE)
        await hears(bob, "101", "103")
        assert office.of(ConferenceChanged)


async def test_mixed_codecs_meet(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        (alice,) = await desk(office, "101", codecs=(PCMU,))
        (bob,) = await desk(office, "102", codecs=(G722,))
        (carol,) = await desk(office, "103", codecs=(G722,))
        office.dialogue()
        order = Conference(participants=(Party(extension="102"), Party(extension="103")))
        await office.app.operator.conference(office.app.person, order)
        await hears(alice, "102", "103")
        await hears(bob, "101", "103")
        await hears(carol, "101", "102")


async def test_who_does_not_come_is_told_of(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 5}) as office:
        alice, bob = await desk(office, "101", "102")
        await office.phone("103", Phone(quiet, ring_seconds=NEVER))
        office.dialogue()
        order = Conference(participants=(Party(extension="102"), Party(extension="103")))
        await office.app.operator.conference(office.app.person, order)
        await office.until(lambda: "103: no answer." in office.told)
        await hears(alice, "102")
        await hears(bob, "101")


async def test_a_conference_to_which_nobody_comes_ends(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 1}) as office:
        await desk(office, "101")
        await office.phone("102", Phone(quiet, ring_seconds=NEVER))
        office.dialogue()
        order = Conference(participants=(Party(extension="102"),))
        await office.app.operator.conference(office.app.person, order)
        ended = await office.ended()
        assert (ended.status, ended.cause) == (480, "nobody else came")


@pytest.mark.parametrize("hertz", [440.0, 620.0])
def test_tells(hertz: float) -> None:
    """The measure itself: one tone is not another, nor two."""
    phone = Phone.__new__(Phone)
    phone.heard = bytearray(tone(1, hertz))
    assert tells(phone, hertz)
    assert not tells(phone, 700.0)
    assert not tells(phone, hertz, 700.0)
