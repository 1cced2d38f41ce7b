"""Offer and answer between two legs' media, on real sockets, with and without keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pbx.media.codecs import G722, OPUS, PCMA, PCMU
from pbx.media.port import RtpPort, RtpPorts
from pbx.media.rtp import RtpPacket
from pbx.media.sdp import SdpError, SessionDescription
from pbx.media.session import MediaSession, NotAcceptable, Profile
from pbx.media.srtp import SrtpPolicy, new_crypto

OFF, OFFER, REQUIRE = SrtpPolicy.OFF, SrtpPolicy.OFFER, SrtpPolicy.REQUIRE
PLAIN, MAYBE, SECURE = Profile.PLAIN, Profile.OPPORTUNISTIC, Profile.SECURE


class Legs:
    """Makes media sessions, closes them, and moves packets between them."""

    def __init__(self) -> None:
        self._ports = RtpPorts("127.0.0.1", 21_000, 21_998)
        self._made: list[MediaSession] = []

    def leg(self, policy: SrtpPolicy = OFFER, **more: object) -> MediaSession:
        made = MediaSession(self._ports, "127.0.0.1", policy, **more)  # type: ignore[arg-type]
        self._made.append(made)
        return made

    def close(self) -> None:
        for made in self._made:
            made.close()


@pytest.fixture
async def legs() -> AsyncIterator[Legs]:
    made = Legs()
    yield made
    made.close()


def port_of(leg: MediaSession) -> RtpPort:
    assert leg.audio_port is not None
    return leg.audio_port


_numbers = iter(range(1, 60_000))


def packet(payload: bytes = b"\xff" * 160, sequence: int = 0) -> bytes:
    return RtpPacket(
        payload_type=0, sequence=sequence or next(_numbers), timestamp=0, ssrc=7, payload=payload
    ).encode()


async def heard(sender: MediaSession, receiver: MediaSession, payload: bytes = b"hello") -> bool:
    """Whether a packet one leg sends comes out of the other."""
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    to = port_of(receiver)
    to.sink = lambda data: None if got.done() else got.set_result(data)
    before = to.stats.rejected
    data = packet(payload)
    port_of(sender).send(data)
    for _ in range(500):  # the loopback delivers at once, on one of the next turns
        if got.done() or to.stats.rejected != before:
            break
        await asyncio.sleep(0)
    return got.done() and got.result() == data


async def agreed(legs: Legs, offerer: SrtpPolicy, profile: Profile, answerer: SrtpPolicy):  # type: ignore[no-untyped-def]
    one, two = legs.leg(offerer), legs.leg(answerer)
    await two.take_offer(await one.offer(profile=profile))
    one.take_answer(two.answer())
    return one, two


# ── the matrix: offer × policy of the answerer ──────────────────────────────────────────────
@pytest.mark.parametrize(
    ("profile", "policy", "protocol", "encrypted"),
    [
        (PLAIN, OFF, "RTP/AVP", False),
        (PLAIN, OFFER, "RTP/AVP", False),
        (PLAIN, REQUIRE, None, None),
        (MAYBE, OFF, "RTP/AVP", False),
        (MAYBE, OFFER, "RTP/AVP", True),
        (MAYBE, REQUIRE, "RTP/AVP", True),
        (SECURE, OFF, None, None),
        (SECURE, OFFER, "RTP/SAVP", True),
        (SECURE, REQUIRE, "RTP/SAVP", True),
    ],
)
async def test_offer_and_policy(
    legs: Legs, profile: Profile, policy: SrtpPolicy, protocol: str | None, encrypted: bool
) -> None:
    if protocol is None:
        with pytest.raises(NotAcceptable):
            await agreed(legs, OFFER, profile, policy)
        return
    one, two = await agreed(legs, OFFER, profile, policy)
    assert one.remote is not None
    media = one.remote.media[0]
    assert media.protocol == protocol
    assert len(media.values("crypto")) == (1 if encrypted else 0)
    assert one.secured == two.secured == encrypted
    assert (port_of(one).outbound is not None) == encrypted
    assert await heard(one, two)
    assert await heard(two, one)


@pytest.mark.parametrize("profile", [PLAIN, MAYBE])
async def test_a_leg_that_requires_encryption_refuses_a_plain_answer(
    legs: Legs, profile: Profile
) -> None:
    with pytest.raises(NotAcceptable, match="does not encrypt"):
        await agreed(legs, REQUIRE, profile, OFF)


async def test_a_secure_offer_refuses_a_plain_answer(legs: Legs) -> None:
    one, two = legs.leg(), legs.leg()
    await two.take_offer(await one.offer(profile=SECURE))
    answer = two.answer()
    lines = [line for line in answer.split(b"\r\n") if not line.startswith(b"a=crypto")]
    with pytest.raises(NotAcceptable):
        one.take_answer(b"\r\n".join(lines))


async def test_an_answer_with_a_key_for_a_tag_never_offered_is_no_key(legs: Legs) -> None:
    one, two = legs.leg(), legs.leg()
    await two.take_offer(await one.offer(profile=SECURE))
    with pytest.raises(NotAcceptable):
        one.take_answer(two.answer().replace(b"a=crypto:1 ", b"a=crypto:5 "))


async def test_an_answer_that_mixes_up_tag_and_suite_is_no_key(legs: Legs) -> None:
    one, two = legs.leg(), legs.leg()
    await two.take_offer(await one.offer(profile=SECURE))
    with pytest.raises(NotAcceptable):
        one.take_answer(two.answer().replace(b"a=crypto:1 ", b"a=crypto:2 "))


@pytest.mark.parametrize(
    ("profile", "wide"),
    [(SECURE, ["AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_80"]), (Profile.OPPORTUNISTIC, [])],
)
async def test_offers_name_the_best_suite_first(
    legs: Legs, profile: Profile, wide: list[str]
) -> None:
    offer = SessionDescription.parse(await legs.leg().offer(profile=profile))
    suites = [value.split()[1] for value in offer.media[0].values("crypto")]
    assert suites == [*wide, "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]


async def test_the_wrong_key_is_rejected(legs: Legs) -> None:
    one, two = legs.leg(), legs.leg()
    await two.take_offer(await one.offer(profile=SECURE))
    wrong = SessionDescription.parse(two.answer())
    key = dict(wrong.media[0].attributes)["crypto"]
    other = new_crypto("1", "AEAD_AES_256_GCM").attribute()[1]
    assert key is not None
    assert other is not None
    assert two.local is not None
    one.take_answer(two.local.encode().replace(key.encode(), other.encode()))
    assert not await heard(two, one)
    assert port_of(one).stats.rejected == 1
    assert port_of(one).stats.received == 0


async def test_plain_packets_are_rejected_on_an_encrypted_stream(legs: Legs) -> None:
    one, two = await agreed(legs, OFFER, SECURE, OFFER)
    port_of(one).secure(None, None)
    assert not await heard(one, two)
    assert port_of(two).stats.rejected == 1


# ── re-INVITE ───────────────────────────────────────────────────────────────────────────────
async def test_encryption_goes_on_over_a_reinvite(legs: Legs) -> None:
    one, two = await agreed(legs, OFFER, SECURE, OFFER)
    assert await heard(one, two)
    sessions = port_of(one).outbound, port_of(two).inbound
    await two.take_offer(await one.offer(profile=SECURE))
    one.take_answer(two.answer())
    assert (port_of(one).outbound, port_of(two).inbound) == sessions  # no counter starts anew
    assert await heard(one, two)
    await one.take_offer(await two.offer(profile=SECURE))
    two.take_answer(one.answer())
    assert await heard(one, two)
    assert await heard(two, one)


async def test_an_unchanged_description_keeps_its_version(legs: Legs) -> None:
    one, two = await agreed(legs, OFFER, SECURE, OFFER)
    assert one.local is not None
    before = one.local.version
    assert await one.offer(profile=SECURE) == one.local.encode()
    assert one.local.version == before
    await one.offer(profile=PLAIN)
    assert one.local.version == before + 1
    assert two.local is not None


async def test_hold_and_resume(legs: Legs) -> None:
    one, two = await agreed(legs, OFF, PLAIN, OFF)
    assert one.local is not None
    offer = one.local.encode()
    held = await two.take_offer(offer.replace(b"a=sendrecv", b"a=sendonly"))
    assert held.on_hold
    assert b"a=recvonly" in two.answer()
    assert not port_of(two).sending
    await two.take_offer(offer)
    assert b"a=sendrecv" in two.answer()
    assert await heard(two, one)


async def test_hold_as_of_old(legs: Legs) -> None:
    one, two = await agreed(legs, OFF, PLAIN, OFF)
    assert one.local is not None
    await two.take_offer(one.local.encode().replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 0.0.0.0"))
    assert not port_of(two).sending


# ── codecs ──────────────────────────────────────────────────────────────────────────────────
def sdp(formats: str, *attributes: str, port: int = 4000, more: str = "") -> bytes:
    lines = [
        "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
        f"m=audio {port} RTP/AVP {formats}", *(f"a={item}" for item in attributes),
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n" + more).encode()


@pytest.mark.parametrize(
    ("formats", "codec"),
    [("0 8", PCMU), ("8 0", PCMA), ("18 9 8", G722), ("3 0", PCMU), ("18 107 0", OPUS)],
)
async def test_the_callers_first_codec_that_is_ours_is_spoken(
    legs: Legs, formats: str, codec: object
) -> None:
    leg = legs.leg()
    await leg.take_offer(sdp(formats, "rtpmap:107 opus/48000/2"))
    leg.answer()
    assert leg.codec is codec
    assert leg.event_type is None


async def test_digits_keep_the_callers_payload_type(legs: Legs) -> None:
    leg = legs.leg()
    await leg.take_offer(sdp("8 96", "rtpmap:96 telephone-event/8000"))
    answer = SessionDescription.parse(leg.answer())
    assert answer.media[0].formats == ("8", "96")
    assert leg.event_type == 96
    assert leg.codec_name == "PCMA/8000"


async def test_no_codec_in_common(legs: Legs) -> None:
    leg = legs.leg()
    await leg.take_offer(sdp("4 18"))
    with pytest.raises(NotAcceptable, match="no codec"):
        leg.answer()


async def test_a_leg_may_speak_less(legs: Legs) -> None:
    offer = SessionDescription.parse(await legs.leg(codecs=[PCMA]).offer(profile=PLAIN))
    assert offer.media[0].formats == ("8", "101")


async def test_unknown_payloads_and_video_are_carried_over(legs: Legs) -> None:
    """The relay path: the other leg is offered what the caller offered."""
    caller, callee = legs.leg(), legs.leg()
    video = "m=video 5000 RTP/AVPF 99\r\na=rtpmap:99 VP8/90000\r\na=rtcp-fb:99 nack\r\n"
    offered = await caller.take_offer(
        sdp("111 0", "rtpmap:111 opus/48000/2", "candidate:1 1 UDP 1 1.1.1.1 1 typ host",
            "rtcp:9", "ice-pwd:x", more=video)
    )  # fmt: skip
    onward = SessionDescription.parse(await callee.offer(offered, profile=PLAIN))
    assert [m.kind for m in onward.media] == ["audio", "video"]
    assert onward.media[0].formats == ("111", "0", "9", "8", "101")  # and what we transcode
    assert onward.media[0].attributes[0] == ("rtpmap", "111 opus/48000/2")
    assert not {"candidate", "rtcp", "ice-pwd"} & {key for key, _ in onward.media[0].attributes}
    assert onward.media[1].values("rtcp-fb") == ["99 nack"]
    assert onward.media[1].protocol == "RTP/AVPF"
    accepted = callee.take_answer(sdp("111", "rtpmap:111 opus/48000/2", more=video))
    answer = SessionDescription.parse(caller.answer(accepted))
    assert answer.media[0].formats == ("111",)
    assert all(m.port for m in answer.media)
    assert caller.codec_name == "opus/48000/2"


async def test_a_refused_video_is_refused_on_the_other_side(legs: Legs) -> None:
    caller, callee = legs.leg(), legs.leg()
    video = "m=video 5000 RTP/AVP 99\r\n"
    offered = await caller.take_offer(sdp("0", more=video))
    await callee.offer(offered, profile=PLAIN)
    accepted = callee.take_answer(sdp("0", more="m=video 0 RTP/AVP 99\r\n"))
    answer = SessionDescription.parse(caller.answer(accepted))
    assert [bool(m.port) for m in answer.media] == [True, False]
    assert callee.ports[1] is caller.ports[1] is None  # given back


async def test_other_media_are_refused_and_audio_stays(legs: Legs) -> None:
    leg = legs.leg()
    await leg.take_offer(sdp("0", more="m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"))
    answer = SessionDescription.parse(leg.answer())
    assert [bool(m.port) for m in answer.media] == [True, False]


@pytest.mark.parametrize(
    "body", [b"", b"v=0\r\n", b"v=0\r\nm=audio 0 RTP/AVP 0\r\n", b"v=0\r\nm=audio 4 TCP/MSRP *\r\n"]
)
async def test_offer_invalid(legs: Legs, body: bytes) -> None:
    with pytest.raises(SdpError):
        await legs.leg().take_offer(body)


async def test_answer_invalid(legs: Legs) -> None:
    leg = legs.leg()
    await leg.offer(profile=PLAIN)
    with pytest.raises(SdpError, match="another number"):
        leg.take_answer(sdp("0", more="m=video 5000 RTP/AVP 99\r\n"))
    with pytest.raises(NotAcceptable, match="refused"):
        leg.take_answer(sdp("0", port=0))


async def test_closing_gives_the_ports_back() -> None:
    ports = RtpPorts("127.0.0.1", 22_990, 22_993)
    first, second = (MediaSession(ports, "127.0.0.1", OFF) for _ in range(2))
    await first.offer(profile=PLAIN)
    await second.offer(profile=PLAIN)
    third = MediaSession(ports, "127.0.0.1", OFF)
    with pytest.raises(OSError, match="in use"):
        await third.offer(profile=PLAIN)
    first.close()
    await asyncio.sleep(0)
    await third.offer(profile=PLAIN)
    second.close()
    third.close()
