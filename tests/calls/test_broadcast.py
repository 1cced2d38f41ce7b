"""One phone shows, others watch: proved by the colour and the tone that arrive."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from array import array
from pathlib import Path
from typing import Any, cast

import pytest

from encryptotel.demo.phone import Phone, plays
from pbx.calls.apps.broadcast import OVER, PAUSED, WAIT, Broadcast, Watcher
from pbx.calls.leg import Leg
from pbx.events import BroadcastChanged
from pbx.media.codecs import CODECS, RATE
from pbx.media.keyframe import fir, pli
from pbx.media.port import RtpPort, RtpPorts
from pbx.media.relay import renumbered
from pbx.media.sdp import Media
from pbx.media.tones import share_of, tone
from pbx.ports import CallRefused
from tests.calls.cameras import VideoPhone, video
from tests.hearing import match
from tests.office import Office, open_office

DOOR = 440.0
SPEAKS = 850.0
"What those who watch say, and nobody shall hear."
PIECE = 4_800
"Bytes of 0.3 s."
NUMBERS = ("101", "102", "103", "104", "105")


def station(folder: Path, **broadcast: Any) -> Any:
    section = {"number": "620", "name": "The door", "sender": "101", **broadcast}
    extensions = tuple({"number": number, "secret": f"secret-{number}"} for number in NUMBERS)
    return open_office(folder, extension=extensions, broadcast=(section,))


async def camera(office: Office, number: str = "101", offers: Media | None = None) -> VideoPhone:
    offers = offers or video("VP8", "H264")
    phone = VideoPhone(plays(tone(1, DOOR)), "red", offers, asks=False)
    await office.phone(number, phone)
    return phone


async def watcher(office: Office, number: str, offers: Media | None, **options: Any) -> VideoPhone:
    """A phone that shows what it gets, and never asks for anything."""
    phone = VideoPhone(plays(tone(1, SPEAKS)), "blue", offers, asks=False, **options)
    await office.phone(number, phone)
    return phone


async def hears_the_door(phone: Phone) -> None:
    phone.heard.clear()
    async with asyncio.timeout(10):
        await phone.until_heard(lambda heard: share_of(bytes(heard[-8_000:]), DOOR) > 0.8)


def words(office: Office, text: str) -> Any:
    """What is said, made beforehand: no two renderings of a sentence are the same."""
    return office.app.exchange.speaker.say(text.format(name="The door"))


async def hears(phone: Phone, sound: bytes) -> None:
    async with asyncio.timeout(15):
        while True:  # looking takes time, in which nothing is heard: not before it can be there
            enough = len(phone.heard) + len(sound) + RATE
            await phone.until_heard(lambda heard: len(heard) > enough)  # noqa: B023
            if share_heard(phone, sound) > 0.7:
                return


def share_heard(phone: Phone, sound: bytes) -> float:
    """How much of a sound was heard, piece by piece: a busy machine leaves gaps in it."""
    pieces = [sound[at : at + PIECE] for at in range(0, len(sound) - PIECE, PIECE)]
    loud = [one for one in pieces if max(map(abs, array("h", one))) > 1_000]
    return sum(match(bytes(phone.heard), one) > 0.8 for one in loud) / len(loud)


async def test_all_see_and_hear_the_one(tmp_path: Path) -> None:
    """Whoever comes late sees at once, though nobody but the exchange asks for a whole picture;
    each numbers the codec differently, and one hears in another codec."""
    pcmu = [codec for codec in CODECS if codec.name == "PCMU/8000"]
    async with station(tmp_path) as office:
        door = await camera(office, offers=video("AV1", "VP8", "H264"))
        first = await watcher(office, "102", video("H264", "VP8"))
        await door.call("620")
        leg = await first.call("620")
        await first.until_seen("red")
        await hears_the_door(first)
        late = await watcher(office, "103", video("H265", "H264"), codecs=pcmu)
        await late.call("620")
        await late.until_seen("red")
        await asyncio.gather(hears_the_door(first), hears_the_door(late))
        assert door.asked >= 2
        assert leg.media.remote is not None
        # they show nothing, and may not; what they say nobody hears
        assert not door.heard or share_of(bytes(door.heard[-8_000:]), SPEAKS) < 0.1
        assert [section.direction for section in leg.media.remote.media] == ["sendrecv", "sendonly"]
        assert first.camera is not None
        assert first.camera.whole == late.camera.whole == 0
        assert door.screen is not None
        assert not door.screen.seen


async def test_whoever_watches_shows_nothing_whatever_they_send(tmp_path: Path) -> None:
    async with station(tmp_path) as office:
        door = await camera(office)
        good, bad = [await watcher(office, n, video("VP8", "H264")) for n in ("102", "103")]
        await door.call("620")
        await good.call("620")
        leg = await bad.call("620")
        await good.until_seen("red")
        assert bad.video is not None
        bad.video.sending = True
        assert bad.camera is not None
        for _ in range(20):
            for packet in bad.camera.packets():
                bad.video.send(packet)
        await good.until_seen("red", 10)
        assert good.screen is not None
        assert set(good.screen.seen) == {"red"}
        assert door.screen is not None
        assert not door.screen.seen
        leg.hang_up()


async def test_who_comes_early_waits_and_sees_when_it_begins(tmp_path: Path) -> None:
    async with station(tmp_path) as office:
        early = await watcher(office, "102", video("H264"))
        said = await words(office, WAIT)
        await early.call("620")
        await hears(early, said)
        door = await camera(office)
        await door.call("620")
        await early.until_seen("red")  # in the one codec of the camera's that they can show
        await hears_the_door(early)


async def test_the_sender_comes_back_after_a_pause(tmp_path: Path) -> None:
    async with station(tmp_path) as office:
        door, viewer = await camera(office), await watcher(office, "102", video("VP8", "H264"))
        leg = await door.call("620")
        await viewer.call("620")
        await viewer.until_seen("red")
        said = await words(office, PAUSED)
        viewer.heard.clear()
        leg.hang_up()
        await hears(viewer, said)
        await door.call("620")
        await viewer.until_seen("red")
        await hears_the_door(viewer)


async def test_it_is_over_when_the_sender_stays_away(tmp_path: Path) -> None:
    async with station(tmp_path, pause=0.5) as office:
        door, viewer = await camera(office), await watcher(office, "102", video("VP8", "H264"))
        leg = await door.call("620")
        watching = await viewer.call("620")
        await viewer.until_seen("red")
        said = await words(office, OVER)
        viewer.heard.clear()
        leg.hang_up()
        await watching.ended()
        assert share_heard(viewer, said) > 0.7
        ended = await office.ended(2)
        assert ended.cause == "the broadcast is over"
        assert office.of(BroadcastChanged)[-1].over


async def test_only_the_sender_shows(tmp_path: Path) -> None:
    async with station(tmp_path) as office:
        stranger = await camera(office, "102")
        await stranger.call("620")
        viewer, said = await watcher(office, "103", video("H264")), await words(office, WAIT)
        await viewer.call("620")
        await hears(viewer, said)
        assert viewer.screen is not None
        assert not viewer.screen.seen


async def test_without_a_sender_whoever_calls_first_shows(tmp_path: Path) -> None:
    async with station(tmp_path, sender="") as office:
        first, second = await camera(office, "102"), await watcher(office, "103", video("H264"))
        await first.call("620")
        await second.call("620")
        await second.until_seen("red")


async def test_a_phone_without_video_listens(tmp_path: Path) -> None:
    async with station(tmp_path) as office:
        door, listener = await camera(office), await watcher(office, "102", None)
        await door.call("620")
        await listener.call("620")
        await hears_the_door(listener)


async def test_places_are_counted(tmp_path: Path) -> None:
    async with station(tmp_path, watchers=2) as office:
        phones = [await watcher(office, number, None) for number in ("102", "103", "104")]
        legs = [await phone.call("620") for phone in phones[:2]]
        with pytest.raises(CallRefused) as refused:
            await phones[2].call("620")
        assert refused.value.status == 486
        legs[0].hang_up()
        await office.ended(2)
        await phones[2].call("620")  # a place is free again


async def test_a_storm_of_requests_is_one_a_second(tmp_path: Path) -> None:
    async with station(tmp_path) as office:
        door, viewer = await camera(office), await watcher(office, "102", video("VP8", "H264"))
        await door.call("620")
        await viewer.call("620")
        await viewer.until_seen("red")
        before = door.asked
        assert viewer.video is not None
        for number in range(300):
            viewer.video.send_rtcp(pli(1, 2) if number % 2 else fir(1, 2, number))
        await viewer.until_seen("red", 25)
        assert 1 <= door.asked - before <= 4


async def test_the_camera_may_be_turned_on_later(tmp_path: Path) -> None:
    async with station(tmp_path) as office:
        door = VideoPhone(plays(tone(1, DOOR)), "red", None, asks=False)
        await office.phone("101", door)
        viewer = await watcher(office, "102", video("VP8", "H264"))
        leg = await door.call("620")
        await viewer.call("620")
        await hears_the_door(viewer)
        assert await door.add_video(leg, video("VP8")) == 200
        await viewer.until_seen("red")
        await hears_the_door(viewer)


async def test_a_reload_ends_one_that_is_gone(tmp_path: Path) -> None:
    async with station(tmp_path) as office:
        door, viewer = await camera(office), await watcher(office, "102", video("VP8", "H264"))
        await door.call("620")
        watching = await viewer.call("620")
        await viewer.until_seen("red")
        office.app.broadcasts.configure(())
        await watching.ended()
        await office.ended(2)
        with pytest.raises(CallRefused) as refused:
            await viewer.call("620")
        assert refused.value.status == 404


async def test_a_packet_for_the_most_who_may_watch_does_not_hold_the_loop() -> None:
    """Five milliseconds are the most that anything may take."""
    broadcast = Broadcast(number="620", say=quiet_say)
    ports = RtpPorts("127.0.0.1", 20_000, 29_998)
    opened: list[RtpPort] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as screens:
        screens.bind(("127.0.0.1", 0))
        for _ in range(200):
            port = await RtpPort.open(ports)
            port.aim(screens.getsockname())
            opened.append(port)
            pictures = renumbered(port.send, {96: 97}, (), lambda: None)
            broadcast.watching.append(Watcher(cast(Leg, None), pictures=pictures))
        broadcast._note_ways()
        took = []
        for _ in range(200):
            began = time.thread_time()
            broadcast._on_picture(b"\x80\x60" + bytes(1_100))
            took.append(time.thread_time() - began)
    for port in opened:
        assert port.stats.sent == 200
        port.close()
    print(f"{1e6 * statistics.median(took) / 200:.1f} µs a packet and watcher")
    assert statistics.median(took) < 0.005


async def quiet_say(text: str) -> bytes:
    """Nobody is to hear anything."""
    return b""
