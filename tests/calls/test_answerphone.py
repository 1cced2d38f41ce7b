"""The answerphone, by what callers hear and what is on the message they leave."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.ports import Control, Progress, Step
from encryptotel.demo.phone import Phone
from encryptotel.keys import identity_of
from encryptotel.sealed import opened
from pbx.calls.leg import Leg
from pbx.events import CallEnded, LegRinging, MessageLeft
from pbx.media import ogg
from pbx.media.codecs import RATE
from pbx.media.tones import level, share_of, tone
from pbx.ports import CallRefused
from tests.calls.test_recording import SEED, seed_key
from tests.hearing import beeped
from tests.narrator import narrated
from tests.office import NEVER, BusyPhone, Office, open_office, quiet

SAID = 620.0


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(tmp_path, calls={"ring_timeout": 1}) as opened:
        yield opened


def follow(office: Office) -> list[Progress]:
    """What the owner is told of their calls."""
    told: list[Progress] = []

    def hear(progress: Progress) -> None:
        told.append(progress)
        office._wake()

    office.app.operator.follow(office.app.person, hear)
    return told


async def leaves_a_message(phone: Phone, leg: Leg) -> None:
    """Waits for the tone, says something for three seconds and hangs up."""
    await phone.until_heard(beeped)
    await asyncio.wait_for(leg.play(bytes(RATE) + tone(3.0, SAID) + bytes(RATE)), 10)
    leg.hang_up()


async def _called(office: Office, behave: Any = leaves_a_message) -> Phone:
    carol = await office.phone("103", Phone(behave, ring_seconds=0.1))
    await carol.call("101")
    return carol


async def test_who_is_not_answered_leaves_a_message(office: Office) -> None:
    told = follow(office)
    await office.phone("101", Phone(quiet, ring_seconds=NEVER))
    carol = await _called(office)
    await office.until(lambda: any(one.step is Step.VOICEMAIL for one in told))
    (left,) = [one for one in told if one.step is Step.VOICEMAIL]
    assert left.peer == "Carol (103)"
    assert 3 <= left.seconds <= 4
    assert left.file is not None
    sound = ogg.decoded(left.file.content)
    assert share_of(sound[RATE:-RATE], SAID) > 0.95
    assert -25 < level(sound) < -8
    greeting = bytes(carol.heard).partition(bytes(4000))[0] or bytes(carol.heard)
    assert level(greeting) > -35, "the greeting is heard"
    await office.until(lambda: any(one.step is Step.MISSED for one in told))
    assert Step.JOINED not in [one.step for one in told]
    kept = await office.app.operator.voicemail(office.app.person)
    assert [message.file.content for message in kept] == [left.file.content]


@pytest.mark.parametrize("there", ["nobody", "busy"])
async def test_a_busy_phone_and_none_have_one_as_well(office: Office, there: str) -> None:
    follow(office)
    if there == "busy":
        await office.phone("101", BusyPhone(quiet))
    await _called(office)
    await office.until(lambda: bool(office.of(MessageLeft)))


async def test_a_ringing_call_is_sent_there_from_the_chat(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 60}) as office:
        told = follow(office)
        await office.phone("101", Phone(quiet, ring_seconds=NEVER))
        calling = asyncio.ensure_future(_called(office))
        await office.until(lambda: bool(office.of(LegRinging)))
        await office.app.operator.control(office.app.person, told[0].call_id, Control.MAILBOX)
        await office.until(lambda: any(one.step is Step.VOICEMAIL for one in told))
        await calling


async def test_who_says_nothing_leaves_nothing(office: Office) -> None:
    async def silent(phone: Phone, leg: Leg) -> None:
        await leg.ended()

    told = follow(office)
    await _called(office, silent)
    await office.ended()
    assert office.of(CallEnded)[-1].cause == "left no message"
    assert office.of(MessageLeft) == []
    assert [one.step for one in told] == [Step.INCOMING, Step.MISSED]


async def test_the_hash_key_ends_a_message(office: Office) -> None:
    async def keyed(phone: Phone, leg: Leg) -> None:
        await phone.until_heard(beeped)
        await leg.play(bytes(RATE) + tone(2.0, SAID))
        leg.audio.send_digit("#")
        await leg.ended()

    follow(office)
    await _called(office, keyed)
    ended = await office.ended()
    assert ended.cause == "left a message"


async def test_what_was_said_is_kept_when_the_exchange_stops(tmp_path: Path) -> None:
    async def talks(phone: Phone, leg: Leg) -> None:
        await phone.until_heard(beeped)
        await leg.play(bytes(RATE) + tone(4.0, SAID))
        leg.audio.repeat(tone(1.0, SAID))
        await leg.ended()

    async with open_office(tmp_path, calls={"ring_timeout": 1, "drain": 0}) as office:
        follow(office)
        carol = await _called(office, talks)
        await carol.until_heard(beeped)
        await asyncio.wait_for(carol.legs[0].audio.played(), 10)
        office.app.exchange.hang_up_all("the exchange is stopping")
    async with open_office(tmp_path) as office:
        (kept,) = await office.app.mailbox.latest("101", 10)
        assert share_of(ogg.decoded(kept.sound), SAID) > 0.8


async def test_where_nobody_would_hear_it_there_is_none(office: Office) -> None:
    carol = await office.phone("103", Phone(quiet))
    with pytest.raises(CallRefused) as refused:
        await carol.call("101")
    assert refused.value.status == 480


async def test_messages_are_few_and_go_with_their_person(office: Office) -> None:
    mailbox = office.app.mailbox
    for n in range(105):
        event = MessageLeft(
            call_id=str(n), at=office.app.exchange.now(), extension="101", caller="103",
            sound=tone(0.1, SAID),
        )  # fmt: skip
        await mailbox.take(event)
    assert len(await mailbox.latest("101", 1000)) == 100
    await office.app.operator.forget(office.app.person)
    assert list(await mailbox.latest("101", 1000)) == []


def on_disk(folder: Path, plain: bytes) -> bool:
    """Whether something stands in the database as it is."""
    return any(plain in file.read_bytes() for file in folder.glob("encryptotel.db*"))


async def test_messages_are_kept_sealed_for_who_they_are_for(tmp_path: Path) -> None:
    sections = {"answerphone": {"seal": True}, "recording": {"key": seed_key()}}
    async with open_office(tmp_path, calls={"ring_timeout": 1}, **sections) as office:
        told = follow(office)
        await _called(office)
        await office.until(lambda: any(one.step is Step.VOICEMAIL for one in told))
        (left,) = [one for one in told if one.step is Step.VOICEMAIL]
        assert left.file is not None
        assert left.file.is_voice  # what is given at once can be played
        (kept,) = await office.app.operator.voicemail(office.app.person)
        assert kept.file.name.endswith(".ogg.age")
        file = tmp_path / "message.ogg.age"
        file.write_bytes(kept.file.content)
        assert opened(file, identity_of(SEED)) == left.file.content
    assert not on_disk(tmp_path, left.file.content[200:400])


async def test_what_was_said_is_written_beside_a_message(tmp_path: Path) -> None:
    """By a real recogniser, of what a narrator says over the telephone; the words stay with it."""

    async def narrates(phone: Phone, leg: Leg) -> None:
        await phone.until_heard(beeped)
        await asyncio.wait_for(leg.play(bytes(RATE) + narrated(8.0) + bytes(RATE)), 20)
        leg.hang_up()

    sections = {"calls": {"ring_timeout": 1}, "menus": {"recogniser": "moonshine"}}
    async with open_office(tmp_path, **sections) as office:
        told = follow(office)
        await _called(office, narrates)
        await office.until(lambda: any(one.step is Step.VOICEMAIL for one in told), 60)
        (left,) = [one for one in told if one.step is Step.VOICEMAIL]
        words = set(re.findall(r"[a-z]+", left.text.lower()))
        assert {"best", "worst", "times", "wisdom"} <= words, left.text
        (row,) = await office.app.mailbox.latest("101", 1)
        assert row.words == left.text


async def test_a_recogniser_that_is_not_there_loses_no_message(tmp_path: Path) -> None:
    menus = {"recogniser": "vosk", "model": "nowhere"}
    async with open_office(tmp_path, calls={"ring_timeout": 1}, menus=menus) as office:
        told = follow(office)
        await _called(office)
        await office.until(lambda: any(one.step is Step.VOICEMAIL for one in told), 30)
        (left,) = [one for one in told if one.step is Step.VOICEMAIL]
        assert left.text == ""
        assert left.file is not None
