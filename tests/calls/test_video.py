"""Video from phone to phone, proved by the colours that arrive."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.ports import Control
from encryptotel.demo.phone import plays
from nlp.commands import Party
from pbx.calls.leg import Leg
from pbx.events import AnswerphoneTook, CallEnded
from pbx.media.codecs import G722, PCMU
from pbx.media.keyframe import FAST_UPDATE, MEDIA_CONTROL, pli
from pbx.media.sdp import Media
from pbx.media.srtp import SrtpPolicy
from pbx.media.tones import share_of, tone
from pbx.vocabulary import CallState, VoIPCall
from tests.calls.cameras import VideoPhone, video
from tests.calls.test_recording import recorded, settings
from tests.office import Office, open_office

LOW, HIGH = 440.0, 850.0


async def two(
    office: Office,
    first: Media | None,
    second: Media | None,
    *,
    srtp: SrtpPolicy = SrtpPolicy.OFFER,
) -> tuple[VideoPhone, VideoPhone]:
    """A red and a blue phone."""
    one = VideoPhone(plays(tone(1, LOW)), "red", first, srtp=srtp)
    other = VideoPhone(plays(tone(1, HIGH)), "blue", second, ring_seconds=0.1)
    await office.phone("101", one)
    await office.phone("102", other)
    return one, other


async def see_each_other(one: VideoPhone, other: VideoPhone) -> None:
    await asyncio.gather(one.until_seen("blue"), other.until_seen("red"))


async def hear_each_other(one: VideoPhone, other: VideoPhone) -> None:
    for phone, hz in ((one, HIGH), (other, LOW)):
        phone.heard.clear()
        async with asyncio.timeout(10):
            await phone.until_heard(lambda heard: len(heard) > 16_000)
        assert share_of(bytes(phone.heard[-8_000:]), hz) > 0.8


def newest(phone: VideoPhone) -> Leg:
    return phone.legs[-1]


@pytest.mark.parametrize("srtp", [SrtpPolicy.OFF, SrtpPolicy.REQUIRE])
@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_both_see_each_other(tmp_path: Path, codec: str, srtp: SrtpPolicy) -> None:
    """The two sides number the codec differently, and one of them may encrypt."""
    async with open_office(tmp_path) as office:
        first = video("H265", codec, "AV1")
        one, other = await two(office, first, video(codec), srtp=srtp)
        leg = await one.call("102")
        await see_each_other(one, other)
        await hear_each_other(one, other)
        leg.hang_up()
        await office.ended()


async def test_a_keyframe_is_asked_for_in_rtcp(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        one, other = await two(office, video("H264"), video("H264"))
        leg = await one.call("102")
        await see_each_other(one, other)
        for asking, asked in ((one, other), (other, one)):
            assert asking.video is not None
            assert asked.camera is not None
            before = asked.camera.whole
            asking.video.send_rtcp(pli(1, asking.video.source))
            async with asyncio.timeout(5):
                while asked.camera.whole == before:
                    await asking.until_seen(asked.colour, 1)
        leg.hang_up()


@pytest.mark.parametrize("feedback", ["nack pli", "ccm fir", ""])
async def test_a_keyframe_asked_for_in_signalling_reaches_a_phone_in_its_own_way(
    tmp_path: Path, feedback: str
) -> None:
    async with open_office(tmp_path) as office:
        one, other = await two(office, video("H264"), video("H264", feedback=feedback))
        leg = await one.call("102")
        await see_each_other(one, other)
        assert leg.session is not None
        leg.session.inform(MEDIA_CONTROL, FAST_UPDATE)
        async with asyncio.timeout(5):
            while not (other.asked_in_signalling if feedback == "" else other.asked):
                await one.until_seen("blue", 1)
        leg.hang_up()


async def test_a_phone_without_video_is_only_heard(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        one, other = await two(office, video("H264"), None)
        leg = await one.call("102")
        await hear_each_other(one, other)
        assert leg.media.remote is not None
        assert [section.port > 0 for section in leg.media.remote.media] == [True, False]
        leg.hang_up()
        assert (await office.ended()).status == 200


async def test_video_comes_and_goes_within_a_call(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        one, other = await two(office, None, None)
        leg = await one.call("102")
        await hear_each_other(one, other)
        other.offers = video("VP8")
        assert await one.add_video(leg, video("VP8")) == 200
        await see_each_other(one, other)
        assert await one.add_video(leg, None) == 200
        assert one.video is None
        assert other.video is None
        await hear_each_other(one, other)
        assert await one.add_video(leg, video("H264", "VP8")) == 200
        await see_each_other(one, other)
        await hear_each_other(one, other)
        leg.hang_up()


async def test_video_that_the_other_side_does_not_want_changes_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        one, other = await two(office, None, None)
        leg = await one.call("102")
        await hear_each_other(one, other)
        assert await one.add_video(leg, video("VP8")) == 200
        assert one.video is None
        await hear_each_other(one, other)
        assert not office.of(CallEnded)
        leg.hang_up()


def refuses_video(leg: Leg) -> bool:
    remote = leg.media.remote
    assert remote is not None
    return [section.port > 0 for section in remote.media] == [True, False]


async def test_the_answerphone_takes_no_video(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.dialogue()
        caller = VideoPhone(plays(tone(1, LOW)), "red", video("H264"))
        await office.phone("102", caller)
        leg = await caller.call("101")  # no phone of the owner's is there
        await office.until(lambda: bool(office.of(AnswerphoneTook)))
        assert refuses_video(leg)
        async with asyncio.timeout(10):
            await caller.until_heard(lambda heard: len(heard) > 16_000)
        leg.hang_up()


def answers(call: VoIPCall) -> None:
    """A script in the manner of PyVoIP."""
    call.answer()
    while call.state is CallState.ANSWERED:
        call.read_audio(160)


async def test_a_script_takes_no_video_however_often_it_is_offered(tmp_path: Path) -> None:
    async with open_office(
        tmp_path,
        extension=(
            {"number": "101", "secret": "secret-101"},
            {"number": "700", "script": "tests.calls.test_video:answers"},
        ),
    ) as office:
        caller = VideoPhone(plays(tone(1, LOW)), "red", video("H264"))
        await office.phone("101", caller)
        leg = await caller.call("700")
        assert refuses_video(leg)
        assert await caller.add_video(leg, video("VP8")) == 200
        assert refuses_video(leg)
        leg.hang_up()


async def test_the_picture_stays_when_the_sound_goes_through_us(tmp_path: Path) -> None:
    """Other codecs, a muted side and a recording: none of them is about the picture."""
    async with open_office(tmp_path, **settings()) as office:
        office.dialogue()
        one = VideoPhone(plays(tone(1, LOW)), "red", video("H264"), codecs=(PCMU,))
        other = VideoPhone(
            plays(tone(1, HIGH)), "blue", video("H264"), codecs=(G722,), ring_seconds=0.1
        )
        await office.phone("102", one)
        await office.phone("101", other)
        leg = await one.call("101")
        (call,) = office.app.exchange.calls.values()
        await see_each_other(one, other)
        await hear_each_other(one, other)
        assert call.bridge is not None
        assert call.bridge.transcoding
        operator, person = office.app.operator, office.app.person
        for what in (Control.RECORD, Control.MUTE):
            await operator.control(person, call.id, what)
            await see_each_other(one, other)
        leg.hang_up()
        assert (await recorded(office)).seconds >= 1


async def test_after_a_hold_and_a_transfer_there_is_something_to_see(tmp_path: Path) -> None:
    """Though nobody asks for a whole picture but the exchange."""
    async with open_office(tmp_path) as office:
        office.dialogue()
        caller = VideoPhone(plays(tone(1, LOW)), "red", video("H264"), asks=False)
        mine, third = (
            VideoPhone(plays(tone(1, HIGH)), colour, video("H264"), ring_seconds=0.1, asks=False)
            for colour in ("blue", "green")
        )
        for number, phone in (("102", caller), ("101", mine), ("103", third)):
            await office.phone(number, phone)
        leg = await caller.call("101")
        (call,) = office.app.exchange.calls.values()
        await see_each_other(caller, mine)
        operator, person = office.app.operator, office.app.person
        await operator.control(person, call.id, Control.HOLD)
        await operator.control(person, call.id, Control.RESUME)
        await see_each_other(caller, mine)
        await operator.transfer(person, call.id, Party(extension="103"))
        await caller.until_seen("green")
        await third.until_seen("red")
        leg.hang_up()
