"""Sound that an rtpengine carries: phones see nothing of it, and we see nothing of the sound unless
there is something to do with it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from encryptotel.demo.phone import Phone, plays
from pbx.calls.call import Call
from pbx.calls.leg import Leg
from pbx.events import LegMeasured
from pbx.media import audio
from pbx.media.codecs import G722, PCMA, PCMU, Codec
from pbx.media.sdp import Media
from pbx.media.session import MediaSession
from pbx.media.srtp import SrtpPolicy
from pbx.media.tones import level, tone
from store.journal import recent_calls
from tests.calls.test_extensions import hears, reoffer
from tests.calls.test_quality import Stranger
from tests.office import Office, open_office
from tests.peers.rtpengine import Rtpengine


def the_call(office: Office) -> Call:
    (call,) = office.app.exchange.calls.values()
    return call


def by_us(call: Call) -> list[int]:
    """The packets of each side that came by us so far."""
    ports = [leg.media.audio_port for leg in call.legs]
    return [port.received for port in ports if port is not None]


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not happened():  # noqa: ASYNC110  # nothing tells of what engines do
            await asyncio.sleep(0.01)


async def patched(call: Call) -> None:
    """Wait until both sides are joined at their engines and nothing is on its way to us."""
    await until(lambda: all(leg.anchor is not None and leg.anchor.plugged for leg in call.legs))
    before = by_us(call)
    while True:
        await asyncio.sleep(0.1)  # five packets of each
        if by_us(call) == before:
            return
        before = by_us(call)


async def talk(office: Office, alice: Phone, bob: Phone, number: str = "102") -> Leg:
    leg = await alice.call(number)
    await asyncio.gather(hears(alice, 620.0), hears(bob, 440.0))
    return leg


async def still_talk(alice: Phone, bob: Phone) -> None:
    """What both hear from now on."""
    for phone in (alice, bob):
        phone.heard.clear()
    await asyncio.gather(hears(alice, 620.0), hears(bob, 440.0))


@pytest.mark.parametrize(
    ("codecs", "srtp"),
    [
        ((PCMU, PCMU), (SrtpPolicy.OFFER, SrtpPolicy.OFFER)),
        ((PCMU, PCMU), (SrtpPolicy.REQUIRE, SrtpPolicy.OFF)),
        ((PCMU, PCMA), (SrtpPolicy.OFF, SrtpPolicy.OFFER)),
        ((G722, PCMA), (SrtpPolicy.OFFER, SrtpPolicy.OFFER)),
    ],
)
async def test_the_sound_of_two_phones_does_not_come_by_us(
    tmp_path: Path,
    rtpengine: Rtpengine,
    monkeypatch: pytest.MonkeyPatch,
    codecs: tuple[Codec, Codec],
    srtp: tuple[SrtpPolicy, SrtpPolicy],
) -> None:
    monkeypatch.setattr(audio, "REPORT_EVERY", 10)
    async with open_office(tmp_path, media={"rtpengines": [rtpengine.asked]}) as office:
        alice, bob = (
            Phone(plays(tone(1, hertz)), codecs=(codec,), srtp=policy)
            for hertz, codec, policy in zip((440.0, 620.0), codecs, srtp, strict=True)
        )
        await office.phone("101", alice)
        await office.phone("102", bob)
        leg = await talk(office, alice, bob)
        call = the_call(office)
        await patched(call)
        for phone in (alice, bob):
            for side in phone.legs:
                assert side.media.remote is not None
                assert side.media.remote.audio is not None
                assert rtpengine.carries(side.media.remote.audio.port)
        assert [one.secured for one in call.legs] == [
            policy is not SrtpPolicy.OFF for policy in srtp
        ]
        await still_talk(alice, bob)
        for phone in (alice, bob):
            (side,) = phone.legs
            port, terms = side.media.audio_port, side.media.audio_terms
            assert port is not None
            assert terms is not None
            # Our phones would understand others as well.
            assert terms.receives[port.latest[1] & 127] in phone._codecs
        await patched(call)
        leg.hang_up()
        await office.ended()
        await office.until(lambda: len(office.of(LegMeasured)) == 2)
        for measured in office.of(LegMeasured):
            ended = measured.ended
            assert ended.received > 100
            assert ended.sent > 100
            assert ended.mos is not None
            assert ended.mos > 4
        await office.app.journal.caught_up()
        ((_, legs),) = await recent_calls(office.app.database)
        assert all(row.received > 100 and row.mos for row in legs)


async def test_what_is_done_with_the_sound_is_done_by_us(
    tmp_path: Path, rtpengine: Rtpengine
) -> None:
    async with open_office(tmp_path, media={"rtpengines": [rtpengine.asked]}) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0))))
        bob = await office.phone("102", Phone(plays(tone(1, 620.0)), codecs=(PCMA,)))
        leg = await talk(office, alice, bob)
        call = the_call(office)
        bridge = call.bridge
        assert bridge is not None
        await patched(call)
        bridge.mute(bridge.first, on=True)
        await until(lambda: not any(one.anchor and one.anchor.plugged for one in call.legs))
        alice.heard.clear()
        await hears(alice, 620.0)
        bob.heard.clear()
        await bob.until_heard(lambda heard: len(heard) > 8000 and level(bytes(heard[-8000:])) < -70)
        bridge.mute(bridge.first, on=False)  # joined again, where the phones' numbers allow it
        await still_talk(alice, bob)
        bridge.hold(bridge.second)
        await until(lambda: not any(one.anchor and one.anchor.plugged for one in call.legs))
        bridge.resume()
        await still_talk(alice, bob)
        leg.hang_up()
        await office.ended()


@pytest.mark.parametrize("codecs", [(PCMU, PCMU), (PCMU, PCMA)])
async def test_a_phone_that_says_the_same_again_is_joined_again(
    tmp_path: Path, rtpengine: Rtpengine, codecs: tuple[Codec, Codec]
) -> None:
    """As every few minutes, to tell that it is there (RFC 4028)."""
    async with open_office(tmp_path, media={"rtpengines": [rtpengine.asked]}) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0)), codecs=codecs[:1]))
        bob = await office.phone("102", Phone(plays(tone(1, 620.0)), codecs=codecs[1:]))
        leg = await talk(office, alice, bob)
        call = the_call(office)
        await patched(call)
        for _ in range(2):
            await reoffer(leg, "sendrecv")
            await patched(call)
            await still_talk(alice, bob)
        leg.hang_up()
        await office.ended()


@pytest.mark.parametrize("codecs", [(PCMU, PCMU), (PCMU, PCMA)])
async def test_two_stars_are_seen_though_they_do_not_come_by_us(
    tmp_path: Path, rtpengine: Rtpengine, codecs: tuple[Codec, Codec]
) -> None:
    async with open_office(tmp_path, media={"rtpengines": [rtpengine.asked]}) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0)), codecs=codecs[:1]))
        bob = await office.phone("102", Phone(plays(tone(1, 620.0)), codecs=codecs[1:]))
        leg = await talk(office, alice, bob)
        call = the_call(office)
        await patched(call)
        keyed = asyncio.Event()
        assert call.bridge is not None
        call.bridge.on_stars = lambda who: keyed.set() if who is call.bridge.first else None
        for _ in range(2):
            leg.audio.send_digit("*")
        async with asyncio.timeout(5):
            await keyed.wait()
        await patched(call)
        leg.hang_up()
        await office.ended()


class HiddenMedia(MediaSession):
    """Of a phone behind NAT that knows nothing of it."""

    def _publish(self, media: list[Media]) -> bytes:
        return super()._publish(media).replace(b"127.0.0.1", b"192.168.7.7")


class HiddenPhone(Phone):
    def _leg(self, peer: str, direction: str) -> Leg:
        leg = super()._leg(peer, direction)
        leg.media = HiddenMedia(self._ports, self._host, self._srtp, self._codecs)
        return leg


@pytest.mark.parametrize("kind", [Phone, HiddenPhone])
@pytest.mark.parametrize("srtp", [SrtpPolicy.OFF, SrtpPolicy.REQUIRE])
async def test_a_third_party_is_not_heard_and_hears_nothing(
    tmp_path: Path, rtpengine: Rtpengine, srtp: SrtpPolicy, kind: type[Phone]
) -> None:
    """Neither at the engine nor at our own ports, whatever it sends."""
    async with open_office(tmp_path, media={"rtpengines": [rtpengine.asked]}) as office:
        alice = await office.phone("101", kind(plays(tone(1, 440.0)), srtp=srtp))
        bob = await office.phone("102", Phone(plays(tone(1, 620.0)), srtp=srtp))
        leg = await talk(office, alice, bob)
        call = the_call(office)
        await patched(call)
        heard: list[bytes] = []
        told: list[int] = [port.port for one in call.legs for port in one.media.ports if port]
        for phone in (alice, bob):
            port, remote = phone.legs[0].media.audio_port, phone.legs[0].media.remote
            assert port is not None
            assert remote is not None
            assert remote.audio is not None
            told.append(remote.audio.port)
            into = port.sink
            port.sink = lambda data, into=into: (heard.append(data), into(data))[-1]  # type: ignore[misc]
        strangers = [Stranger(host) for host in ("127.0.0.1", "127.0.0.9")]
        for number in range(60):
            for stranger in strangers:
                stranger.attacks(told, number)
            await asyncio.sleep(0.01)
        await still_talk(alice, bob)
        assert len(heard) > 60
        assert not [data for data in heard if data[8:12] == (666).to_bytes(4, "big")]
        assert [stranger.got() for stranger in strangers] == [0, 0]
        for stranger in strangers:
            stranger.socket.close()
        leg.hang_up()
        await office.ended()


async def test_calls_outlive_the_engine_that_carries_them(tmp_path: Path) -> None:
    """By another, and when none is left by us."""
    async with AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(Rtpengine()) for _ in range(2)]
        media = {"rtpengines": [one.asked for one in engines]}
        office = await stack.enter_async_context(open_office(tmp_path, media=media))
        alice = await office.phone("101", Phone(plays(tone(1, 440.0))))
        bob = await office.phone("102", Phone(plays(tone(1, 620.0)), srtp=SrtpPolicy.REQUIRE))
        leg = await talk(office, alice, bob)
        call = the_call(office)
        await patched(call)
        used = {one.anchor.engine for one in call.legs if one.anchor is not None}
        assert len(used) == 2  # each side by the one that carried less
        await engines[0].process.stop(signal.SIGKILL)
        await until(
            lambda: {
                str(one.anchor.engine) if one.anchor is not None else "" for one in call.legs
            } == {f"rtpengine {engines[1].asked}"}
        )  # fmt: skip
        await patched(call)
        await still_talk(alice, bob)
        await engines[1].process.stop(signal.SIGKILL)
        await until(lambda: all(one.anchor is None for one in call.legs))
        await still_talk(alice, bob)
        assert call.ending is None
        assert all(one.secured for one in call.legs)
        other = await alice.call("600")
        other.hang_up()
        await engines[0].start()
        await office.app.exchange.engines.all[0].connected()
        leg.hang_up()
        await office.ended(2)
        again = await talk(office, alice, bob)
        await patched(the_call(office))
        again.hang_up()
        await office.ended(3)


async def test_menus_and_conferences_hear_by_an_engine(
    tmp_path: Path, rtpengine: Rtpengine
) -> None:
    async with open_office(tmp_path, media={"rtpengines": [rtpengine.asked]}) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0))))
        leg = await alice.call("600")  # which gives everything back
        await hears(alice, 440.0)
        assert by_us(the_call(office))[0] > 0
        leg.hang_up()
        await office.ended()


async def test_nothing_is_offered_or_taken_that_does_not_encrypt(
    tmp_path: Path, rtpengine: Rtpengine
) -> None:
    """Engines know suites without a cipher."""

    class NullMedia(MediaSession):
        def _publish(self, media: list[Media]) -> bytes:
            null = "crypto:9 NULL_HMAC_SHA1_80 inline:" + "A" * 40
            return (
                super()._publish(media).replace(b"a=crypto:", f"a={null}\r\na=crypto:".encode(), 1)
            )

    class NullPhone(Phone):
        def _leg(self, peer: str, direction: str) -> Leg:
            leg = super()._leg(peer, direction)
            leg.media = NullMedia(self._ports, self._host, self._srtp, self._codecs)
            return leg

    async with open_office(tmp_path, media={"rtpengines": [rtpengine.asked]}) as office:
        alice = await office.phone("101", NullPhone(plays(tone(1, 440.0)), srtp=SrtpPolicy.REQUIRE))
        bob = await office.phone("102", Phone(plays(tone(1, 620.0)), srtp=SrtpPolicy.REQUIRE))
        leg = await talk(office, alice, bob)
        for side in (*alice.legs, *bob.legs):
            assert side.media.remote is not None
            assert side.media.remote.audio is not None
            keys = side.media.remote.audio.values("crypto")
            assert keys
            suites = [one.split()[1] for one in keys]
            assert not [one for one in suites if "NULL" in one or "F8" in one]
        leg.hang_up()
        await office.ended()
