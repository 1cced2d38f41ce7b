"""What the exchange does not understand passes through it untouched: any codec, and video."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from encryptotel.demo.phone import Phone
from pbx.calls.leg import Leg, Target, only
from pbx.media.rtp import RtpPacket
from pbx.media.sdp import Media, SessionDescription
from pbx.sip.digest import Credentials
from pbx.sip.transaction import InviteServerTransaction
from tests.office import Office, open_office, quiet

VIDEO_CALL = SessionDescription(
    host="127.0.0.1",
    media=(
        Media(
            kind="audio",
            port=9,
            protocol="RTP/AVP",
            formats=("96",),
            attributes=(("rtpmap", "96 opus/48000/2"), ("fmtp", "96 useinbandfec=1")),
        ),
        Media(
            kind="video",
            port=9,
            protocol="RTP/AVPF",
            formats=("97",),
            attributes=(("rtpmap", "97 VP8/90000"), ("rtcp-fb", "97 nack pli")),
        ),
    ),
)


class VideoPhone(Phone):
    """Answers with whatever it is offered and keeps the packets of each stream."""

    def __init__(self) -> None:
        super().__init__(quiet)
        self.packets: list[list[bytes]] = [[], []]
        self.news = asyncio.Event()

    async def _answer(self, transaction: InviteServerTransaction) -> None:
        leg = self._leg("", "in")
        leg.take(transaction, direct=False)
        offered = await leg.media.take_offer(transaction.request.body)
        await leg.answer(offered)
        self.listen_to(leg)
        await leg.ended()

    def listen_to(self, leg: Leg) -> None:
        for stream, port in enumerate(leg.media.ports):
            assert port is not None
            port.sink = lambda data, stream=stream: self._keep(stream, data)

    def _keep(self, stream: int, data: bytes) -> None:
        self.packets[stream].append(data)
        self.news.set()

    async def has(self, stream: int, count: int) -> list[bytes]:
        async with asyncio.timeout(5):
            while len(self.packets[stream]) < count:
                self.news.clear()
                await self.news.wait()
        return self.packets[stream]


async def video_call(office: Office, caller: VideoPhone, number: str) -> Leg:
    leg = caller._leg(number, "out")
    host, port = office.app.addresses["udp"].rsplit(":", 1)
    await leg.dial(
        Target(
            peer=number,
            uri=f"sip:{number}@{host}:{port}",
            from_uri="sip:101@encryptotel.local",
            contact_user="101",
            ways=only(caller._flow),
            credentials=Credentials(username="101", secret="secret-101"),
        ),
        VIDEO_CALL,
    )
    caller.listen_to(leg)
    return leg


def packets(payload_type: int, count: int) -> list[bytes]:
    return [
        RtpPacket(
            payload_type=payload_type,
            sequence=65_530 + n & 0xFFFF,
            timestamp=n * 3000,
            ssrc=0x1234,
            payload=os.urandom(200 + n),
            marker=n % 3 == 0,
        ).encode()
        for n in range(count)
    ]


async def test_opus_and_video_arrive_byte_for_byte_and_the_offer_keeps_its_words(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path) as office:
        caller = await office.phone("101", VideoPhone())
        callee = await office.phone("102", VideoPhone())
        assert isinstance(caller, VideoPhone)
        assert isinstance(callee, VideoPhone)
        leg = await video_call(office, caller, "102")
        (answering,) = callee.legs
        assert answering.media.remote is not None
        audio, video = answering.media.remote.media
        assert audio.codec("96") == "opus/48000/2"
        assert audio.formats[0] == "96"
        assert audio.values("fmtp")[0] == "96 useinbandfec=1"
        assert (video.protocol, video.values("rtcp-fb")) == ("RTP/AVPF", ["97 nack pli"])
        for stream, payload_type in ((0, 96), (1, 97)):
            there, back = packets(payload_type, 20), packets(payload_type, 20)
            for one, other in zip(there, back, strict=True):
                leg.media.ports[stream].send(one)  # type: ignore[union-attr]
                answering.media.ports[stream].send(other)  # type: ignore[union-attr]
            assert await callee.has(stream, 20) == there
            assert await caller.has(stream, 20) == back
        leg.hang_up()


async def test_the_echo_extension_sends_video_back_too(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        caller = await office.phone("101", VideoPhone())
        assert isinstance(caller, VideoPhone)
        leg = await video_call(office, caller, "600")
        sent = packets(97, 5)
        for packet in sent:
            leg.media.ports[1].send(packet)  # type: ignore[union-attr]
        echoed = await caller.has(1, 5)
        assert [packet[12:] for packet in echoed] == [packet[12:] for packet in sent]
        assert {packet[8:12] for packet in echoed} != {sent[0][8:12]}
        leg.hang_up()


async def test_feedback_reaches_the_sender_of_the_video(tmp_path: Path) -> None:
    """A picture loss indication (RFC 4585 §6.3.1) goes to the other side, not to us."""
    async with open_office(tmp_path) as office:
        caller = await office.phone("101", VideoPhone())
        callee = await office.phone("102", VideoPhone())
        assert isinstance(caller, VideoPhone)
        leg = await video_call(office, caller, "102")
        got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        (answering,) = callee.legs
        answering.media.ports[1].rtcp_sink = got.set_result  # type: ignore[union-attr]
        loss = bytes([0x81, 206, 0, 2]) + (1).to_bytes(4, "big") + (0x1234).to_bytes(4, "big")
        leg.media.ports[1].send_rtcp(loss)  # type: ignore[union-attr]
        assert await asyncio.wait_for(got, 5) == loss
        leg.hang_up()
