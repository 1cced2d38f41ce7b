"""Phones that share no codec, no payload numbers or no way to tell keys, through the exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from encryptotel.demo.phone import Behaviour, Phone, plays
from pbx.calls.leg import Leg
from pbx.media.codecs import CODECS, G722, OPUS, PCMA, PCMU, Codec
from pbx.media.dtmf import DtmfDetector
from pbx.media.sdp import Media, SessionDescription
from pbx.media.session import MediaSession
from pbx.media.tones import share_of, tone
from pbx.sip.transaction import InviteServerTransaction
from tests.calls.test_relay import VideoPhone, packets, video_call
from tests.office import Office, open_office

SECOND = 16_000
"Bytes of PCM."


class KeylessMedia(MediaSession):
    """Speaks of no telephone events."""

    def _publish(self, media: list[Media]) -> bytes:
        kept = []
        for one in media:
            events = [f for f in one.formats if "event" in one.codec(f)]
            formats = tuple(f for f in one.formats if f not in events)
            attributes = tuple(
                (key, value) for key, value in one.attributes
                if (value or "").split(" ")[0] not in events
            )  # fmt: skip
            kept.append(
                Media(
                    kind=one.kind, port=one.port, protocol=one.protocol, formats=formats,
                    host=one.host, attributes=attributes, direction=one.direction,
                )
            )  # fmt: skip
        return super()._publish(kept)


class KeylessPhone(Phone):
    """A phone from before RFC 4733."""

    def _leg(self, peer: str, direction: str) -> Leg:
        leg = super()._leg(peer, direction)
        leg.media = KeylessMedia(self._ports, self._host, self._srtp, self._codecs)
        return leg


def phone(behave: Behaviour, codecs: Sequence[Codec], kind: type[Phone] = Phone) -> Phone:
    return kind(behave, codecs=codecs, ring_seconds=0.05)


async def hears(listener: Phone, hertz: float) -> None:
    """Wait until a phone has heard nothing else for a second, from now on."""
    listener.heard.clear()
    async with asyncio.timeout(20):
        await listener.until_heard(
            lambda heard: (
                len(heard) % 3200 == 0
                and len(heard) >= SECOND
                and share_of(bytes(heard[-SECOND:]), hertz) >= 0.9
            )
        )


def rates(office: Office) -> set[int]:
    """The sampling rates at which the exchange decodes a call."""
    (call,) = office.app.exchange.calls.values()
    return {leg._audio.rate for leg in call.legs if leg._audio is not None}


def relayed(office: Office) -> bool:
    """Whether nothing of the call is decoded in the exchange."""
    (call,) = office.app.exchange.calls.values()
    return all(leg._audio is None for leg in call.legs)


@pytest.mark.parametrize(
    ("one", "two"),
    [(G722, PCMA), (OPUS, PCMA), (OPUS, G722), (PCMU, PCMA)],
    ids=lambda codec: codec.name.partition("/")[0],
)
async def test_phones_without_a_codec_in_common_hear_each_other(
    tmp_path: Path, one: Codec, two: Codec
) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", phone(plays(tone(1, 440.0)), [one]))
        bob = await office.phone("102", phone(plays(tone(1, 620.0)), [two]))
        leg = await alice.call("102")
        assert leg.media.codec is one
        assert bob.legs[0].media.codec is two
        assert rates(office) == {min(one.rate, two.rate)}  # wideband stays wide
        await hears(alice, 620.0)
        await hears(bob, 440.0)
        leg.hang_up()


@pytest.mark.parametrize(
    ("caller", "callee", "spoken"),
    [
        ([OPUS, PCMU], [PCMU], PCMU),
        ([G722, PCMA, PCMU], [PCMU, PCMA], PCMA),
        ([PCMA, OPUS], [OPUS, PCMA], PCMA),
        (CODECS, CODECS, PCMU),
    ],
)
async def test_what_both_speak_is_relayed_not_transcoded(
    tmp_path: Path, caller: Sequence[Codec], callee: Sequence[Codec], spoken: Codec
) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", phone(plays(tone(1, 440.0)), caller))
        bob = await office.phone("102", phone(plays(tone(1, 620.0)), callee))
        leg = await alice.call("102")
        assert leg.media.codec is bob.legs[0].media.codec is spoken
        assert relayed(office)
        await hears(bob, 440.0)
        leg.hang_up()


class OtherNumbers(VideoPhone):
    """Answers under payload numbers of its own."""

    NUMBERS = {b"96": b"111", b"97": b"120"}  # noqa: RUF012

    async def _answer(self, transaction: InviteServerTransaction) -> None:
        leg = self._leg("", "in")
        leg.take(transaction, direct=False)
        offered = await leg.media.take_offer(transaction.request.body)
        body = leg.media.answer(offered)
        for old, new in self.NUMBERS.items():
            body = body.replace(b" " + old + b"\r\n", b" " + new + b"\r\n")
            body = body.replace(b":" + old + b" ", b":" + new + b" ")
            body = body.replace(b" " + old + b" ", b" " + new + b" ")
        assert leg.session is not None
        leg.media.local = SessionDescription.parse(body)
        leg.session.accept(body)
        leg._note_answered()
        self.listen_to(leg)
        await leg.ended()


async def test_payload_numbers_of_both_sides_are_told_apart(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        caller = await office.phone("101", VideoPhone())
        callee = await office.phone("102", OtherNumbers())
        assert isinstance(caller, VideoPhone)
        assert isinstance(callee, VideoPhone)
        leg = await video_call(office, caller, "102")
        (answering,) = callee.legs
        assert leg.media.remote is not None
        assert [media.formats[0] for media in leg.media.remote.media] == ["96", "97"]
        for stream, mine, theirs in ((0, 96, 111), (1, 97, 120)):
            there, back = packets(mine, 8), packets(theirs, 8)
            for one, other in zip(there, back, strict=True):
                leg.media.ports[stream].send(one)  # type: ignore[union-attr]
                answering.media.ports[stream].send(other)  # type: ignore[union-attr]
            for got, sent, number in (
                (await callee.has(stream, 8), there, theirs),
                (await caller.has(stream, 8), back, mine),
            ):
                for one, other in zip(got, sent, strict=True):
                    assert one[1] & 0x7F == number
                    assert one[1] & 0x80 == other[1] & 0x80  # the marker stays
                    assert one[:1] + one[2:] == other[:1] + other[2:]
        leg.hang_up()


# ── keys ────────────────────────────────────────────────────────────────────────────────
async def talking(
    office: Office, one: type[Phone], two: type[Phone]
) -> tuple[Phone, Phone, Leg, Leg]:
    """A call between phones that play a tone, up and heard on both sides."""
    alice = await office.phone("101", phone(plays(tone(1, 440.0)), [PCMU], one))
    bob = await office.phone("102", phone(plays(tone(1, 620.0)), [PCMU], two))
    leg = await alice.call("102")
    await hears(alice, 620.0)
    await hears(bob, 440.0)
    return alice, bob, leg, bob.legs[0]


async def info(leg: Leg, key: str) -> None:
    """Press a key the way that tells it by INFO."""
    session = leg.session
    assert session is not None
    request = session.dialog.request("INFO")
    request.set("content-type", "application/dtmf-relay")
    request.body = f"Signal={key}\r\nDuration=160\r\n".encode()
    response = await session._request_inside(request)
    assert response.status == 200


# A phone that agreed to events listens for nothing else, and one that did not, for tones only.
async def test_events_become_tones_for_a_phone_that_takes_none(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        _, _, leg, other = await talking(office, Phone, KeylessPhone)
        for key in "15#":
            leg.audio.send_digit(key)
        assert await other.digits(3, within=10) == "15#"
        leg.hang_up()


async def test_tones_become_events_for_a_phone_that_takes_them(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        _, bob, leg, other = await talking(office, KeylessPhone, Phone)
        bob.heard.clear()
        for key in "42*":
            leg.audio.send_digit(key)
        assert await other.digits(3, within=10) == "42*"
        detector = DtmfDetector(8000)
        assert detector.feed(bytes(bob.heard)) == ""  # and not as tones too
        leg.hang_up()


async def test_between_phones_without_events_tones_pass_untouched(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        _, _, leg, other = await talking(office, KeylessPhone, KeylessPhone)
        assert relayed(office)
        leg.audio.send_digit("8")
        assert await other.digits(1, within=10) == "8"
        leg.hang_up()


async def test_info_becomes_events_in_the_relayed_stream(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        _, bob, leg, other = await talking(office, Phone, Phone)
        for key in "7#":
            await info(leg, key)
        assert await other.digits(2, within=10) == "7#"
        assert relayed(office)
        await hears(bob, 440.0)
        leg.hang_up()


async def test_info_becomes_tones_where_nobody_takes_events(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        _, bob, leg, other = await talking(office, KeylessPhone, KeylessPhone)
        await info(leg, "3")
        assert await other.digits(1, within=10) == "3"
        assert not relayed(office)
        await hears(bob, 440.0)
        leg.hang_up()
