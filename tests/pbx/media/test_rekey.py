"""A phone that changes its SRTP keys or its suite in the middle of a call."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pbx.media.port import RtpPort, RtpPorts
from pbx.media.rtp import RtpPacket
from pbx.media.sdp import SessionDescription
from pbx.media.session import MediaSession
from pbx.media.srtp import CryptoLine, SrtpPolicy, SrtpSession, choose_crypto, new_crypto, session

PHONE = ("127.0.0.1", 40_404)


def packet(sequence: int, ssrc: int = 5) -> bytes:
    return RtpPacket(
        payload_type=0, sequence=sequence & 0xFFFF, timestamp=0, ssrc=ssrc, payload=b"x" * 20
    ).encode()


class Wire:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, to: object) -> None:
        self.sent.append(data)

    def close(self) -> None:
        pass


class Leg:
    """One leg of ours, and the phone's side of its keys."""

    def __init__(self) -> None:
        self.media = MediaSession(
            RtpPorts("127.0.0.1", 26_000, 26_998), "127.0.0.1", SrtpPolicy.REQUIRE
        )
        self.heard: list[bytes] = []
        self.wire = Wire()

    async def offered(self, line: CryptoLine) -> CryptoLine:
        """The phone offers with this key; ours in the answer."""
        sdp = SessionDescription.parse(
            b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            b"m=audio %d RTP/SAVP 0\r\na=crypto:%s\r\n" % (PHONE[1], line.attribute()[1].encode())
        )
        await self.media.take_offer(sdp.encode())
        answer = SessionDescription.parse(self.media.answer())
        self.port.sink = self.heard.append
        chosen = choose_crypto(answer.media[0])
        assert chosen is not None
        return chosen

    @property
    def port(self) -> RtpPort:
        assert self.media.audio_port is not None
        return self.media.audio_port

    def hears(self, sender: SrtpSession, plain: bytes) -> bool:
        self.heard.clear()
        self.port.datagram_received(sender.protect(plain), PHONE)
        return self.heard == [plain]

    def says(self, plain: bytes) -> bytes:
        self.port.attach(self.wire)
        self.port.send(plain)
        return self.wire.sent[-1]


@pytest.fixture
async def leg() -> AsyncIterator[Leg]:
    made = Leg()
    yield made
    made.media.close()


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"])
async def test_new_keys_are_used_at_once_and_old_ones_no_more(leg: Leg, suite: str) -> None:
    old, new = new_crypto("1", suite), new_crypto("1", suite)
    ours = await leg.offered(old)
    before = session(old, inbound=False)
    listener = session(ours, inbound=True)
    assert leg.hears(before, packet(65_535))
    assert leg.hears(before, packet(65_536))
    assert listener.unprotect(leg.says(packet(65_535))) == packet(65_535)
    assert listener.unprotect(leg.says(packet(65_536))) == packet(65_536)
    again = await leg.offered(new)
    assert not leg.hears(before, packet(65_537))
    assert leg.hears(session(new, inbound=False), packet(65_538))
    assert again.key == ours.key  # our key stays, so its packet counter must go on:
    assert listener.unprotect(leg.says(packet(65_537))) == packet(65_537)


async def test_an_offer_with_the_same_key_keeps_the_counter_of_the_peer(leg: Leg) -> None:
    line = new_crypto()
    await leg.offered(line)
    sender = session(line, inbound=False)
    assert leg.hears(sender, packet(65_535))
    assert leg.hears(sender, packet(65_536))
    await leg.offered(line)
    assert leg.hears(sender, packet(65_537))
    replayed = leg.port.stats.replayed
    leg.port.datagram_received(session(line, inbound=False).protect(packet(65_535)), PHONE)
    assert leg.heard == [packet(65_537)]
    assert leg.port.stats.replayed == replayed + 1


async def test_another_suite_has_another_key(leg: Leg) -> None:
    first = await leg.offered(new_crypto("1", "AES_CM_128_HMAC_SHA1_80"))
    line = new_crypto("1", "AEAD_AES_128_GCM")
    second = await leg.offered(line)
    assert second.suite == "AEAD_AES_128_GCM"
    assert second.key != first.key
    assert leg.hears(session(line, inbound=False), packet(1))
    assert session(second, inbound=True).unprotect(leg.says(packet(1))) == packet(1)


async def test_a_new_source_is_heard_at_any_sequence_number(leg: Leg) -> None:
    """A phone that plays music to the held side, say, under its one key."""
    line = new_crypto()
    await leg.offered(line)
    sender = session(line, inbound=False)
    for ssrc, sequence in ((5, 60_000), (6, 10), (5, 60_001), (7, 65_535), (7, 65_536)):
        assert leg.hears(sender, packet(sequence, ssrc))
