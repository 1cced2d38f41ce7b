"""Video phones without a person: each films one colour, and tells the colours it sees.

The pictures are real H.264 and VP8 by FFmpeg. After the first picture none is whole until
somebody asks for one: a phone that sees nothing does, as all do, unless it is told not to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.video.frame import PictureType

from encryptotel.demo.phone import Behaviour, Phone
from pbx.calls.leg import Leg, Target, only
from pbx.media.keyframe import asks_for_keyframe, pli
from pbx.media.negotiate import own_audio
from pbx.media.port import RtpPort
from pbx.media.rtp import RtpPacket, parse_rtp
from pbx.media.sdp import Direction, Media, SessionDescription

COLOURS = {"red": (200, 30, 30), "green": (30, 170, 30), "blue": (30, 30, 200)}
PICTURES = 10
"Pictures a second."
SIZE = (80, 64)
MAX_PAYLOAD = 1_100
_CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    "H264": (
        "libx264",
        "h264",
        {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "forced-idr": "1"},
    ),
    "VP8": ("libvpx", "vp8", {"deadline": "realtime", "cpu-used": "16", "lag-in-frames": "0"}),
}


def video(*codecs: str, feedback: str = "nack pli", direction: Direction = "sendrecv") -> Media:
    """An offer of video; payload numbers from 96 on in this order."""
    numbers = {str(96 + index): codec for index, codec in enumerate(codecs)}
    attributes = [("rtpmap", f"{number} {codec}/90000") for number, codec in numbers.items()]
    for number, codec in numbers.items():
        if codec == "H264":
            attributes.append(("fmtp", f"{number} profile-level-id=42e01f;packetization-mode=1"))
    if feedback:
        attributes.append(("rtcp-fb", f"* {feedback}"))
    return Media(
        kind="video",
        port=9,
        protocol="RTP/AVP",
        formats=tuple(numbers),
        attributes=tuple(attributes),
        direction=direction,
    )


class Camera:
    """Films a colour in a codec: `packets` makes the next picture."""

    def __init__(self, colour: str, codec: str, payload_type: int) -> None:
        name, _, options = _CODECS[codec]
        self._coder = cast(Any, av.CodecContext.create(name, "w"))
        self._coder.width, self._coder.height = SIZE
        self._coder.pix_fmt, self._coder.framerate = "yuv420p", PICTURES
        self._coder.time_base, self._coder.bit_rate = Fraction(1, 90_000), 400_000
        self._coder.options = {**options, "g": "100000"}
        self._paint = np.array(COLOURS[colour], np.int16)
        self._random = np.random.default_rng(1)
        self._codec, self._payload_type = codec, payload_type
        self._ssrc = int(self._random.integers(1, 2**31)) ^ id(self) & 0xFFFF
        self._sequence = self._count = 0
        self.wanted = True
        "Whether the next picture is to be a whole one."
        self.whole = 0
        "Whole pictures so far."

    def packets(self) -> Iterator[bytes]:
        noise = self._random.integers(-25, 25, (SIZE[1], SIZE[0], 1))
        paint = np.clip(self._paint + noise, 0, 255).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(paint, format="rgb24").reformat(format="yuv420p")
        frame.pts = self._count * 90_000 // PICTURES
        frame.time_base = Fraction(1, 90_000)
        frame.pict_type = PictureType.I if self.wanted else PictureType.NONE
        self.whole += self.wanted
        self.wanted = False
        self._count += 1
        for coded in self._coder.encode(frame):
            payloads = list(_h264(bytes(coded)) if self._codec == "H264" else _vp8(bytes(coded)))
            for index, payload in enumerate(payloads):
                self._sequence = (self._sequence + 1) & 0xFFFF
                yield RtpPacket(
                    payload_type=self._payload_type,
                    sequence=self._sequence,
                    timestamp=frame.pts & 0xFFFFFFFF,
                    ssrc=self._ssrc,
                    payload=payload,
                    marker=index == len(payloads) - 1,
                ).encode()


class Screen:
    """Shows what it gets. `seen` counts pictures by colour; a picture that cannot be decoded makes
    it blind until a whole one comes, as it does on a phone."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self._coder: Any = av.CodecContext.create(_CODECS[codec][1], "r")
        self._parts: list[bytes] = []
        self._sequence: int | None = None
        self.blind = True
        self.seen: Counter[str] = Counter()

    def take(self, packet: RtpPacket) -> None:
        if self._sequence is not None and packet.sequence != (self._sequence + 1) & 0xFFFF:
            self.blind = True
        self._sequence = packet.sequence
        self._parts.append(packet.payload)
        if packet.marker:
            parts, self._parts = self._parts, []
            picture, whole = _from_h264(parts) if self.codec == "H264" else _from_vp8(parts)
            self.blind = self.blind and not whole
            if not self.blind:
                with contextlib.suppress(av.error.InvalidDataError):
                    self._show(picture)

    def _show(self, picture: bytes) -> None:
        for frame in self._coder.decode(av.Packet(picture)):
            paint = frame.to_ndarray(format="rgb24").reshape(-1, 3).mean(axis=0)
            self.seen[min(COLOURS, key=lambda name: np.abs(COLOURS[name] - paint).sum())] += 1


class VideoPhone(Phone):
    """A phone with a camera, unless `video` is None, and a screen."""

    def __init__(
        self,
        behave: Behaviour,
        colour: str,
        offers: Media | None,
        *,
        asks: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(behave, **options)
        self.asks = asks
        self._asked_at = 0.0
        self._numbers: dict[int, str] = {}
        self.offers = offers
        self.colour = colour
        self.camera: Camera | None = None
        self.screen: Screen | None = None
        self.video: RtpPort | None = None
        self.asked = 0
        "Times it was asked for a whole picture in RTCP."
        self.asked_in_signalling = 0
        self._changed = asyncio.Event()
        self._filming: asyncio.Task[None] | None = None

    async def call(self, number: str, like: SessionDescription | None = None) -> Leg:
        account = self._account
        assert account is not None
        leg = self._leg(number, "out")
        await leg.dial(
            Target(
                peer=number,
                uri=f"sip:{number}@{self._domain}",
                from_uri=f"sip:{account.username}@{self._domain}",
                contact_user=account.username,
                ways=only(self._flow),
                credentials=account,
                srtp=self._srtp,
            ),
            like or self.description(),
        )
        self._spawn(self._attend(leg))
        return leg

    def description(self) -> SessionDescription:
        """What it can do."""
        sections = (own_audio(self._codecs), *((self.offers,) if self.offers else ()))
        return SessionDescription(media=sections)

    async def add_video(self, leg: Leg, offers: Media | None) -> int:
        """Turn the camera on, or with None off, in a call; the status of the re-INVITE."""
        self.offers = offers
        assert leg.session is not None
        assert leg.media.local is not None
        audio, *rest = leg.media.local.media
        wanted = offers or replace(rest[0].refused())
        body = await leg.media.offer(
            SessionDescription(media=(audio, wanted)), profile=leg.media.profile
        )
        response = await leg.session.reoffer(body)
        if response.status < 300:
            leg.media.take_answer(response.body)
            self._film(leg)
        return response.status

    async def until_seen(self, colour: str, count: int = 5, within: float = 8) -> None:
        """Wait until so many more pictures of a colour were seen."""
        before = self.screen.seen[colour] if self.screen else 0
        async with asyncio.timeout(within):
            while self.screen is None or self.screen.seen[colour] - before < count:
                self._changed.clear()
                await self._changed.wait()

    # ── parts ───────────────────────────────────────────────────────────────────────────
    async def accept(self, leg: Leg) -> None:
        await leg.answer(self._matching(leg))

    async def _attend(self, leg: Leg) -> None:
        leg.reoffer = lambda body: self._reoffered(leg, body)
        self._film(leg)
        await super()._attend(leg)

    async def _reoffered(self, leg: Leg, body: bytes) -> bytes | int:
        await leg.media.take_offer(body)
        answer = leg.media.answer(self._matching(leg))
        self._film(leg)
        return answer

    def _matching(self, leg: Leg) -> SessionDescription | None:
        remote = leg.media.remote
        if remote is None:
            return None
        mine = {"audio": own_audio(self._codecs), "video": self.offers}
        sections = [
            (section.port and mine.get(section.kind)) or section.refused()
            for section in remote.media
        ]
        return SessionDescription(media=tuple(sections))

    def _film(self, leg: Leg) -> None:
        """Look at what was agreed on, and film and show that."""
        if self._filming is not None:
            self._filming.cancel()
        self.video = None
        for index, port in enumerate(leg.media.ports):
            described = leg.media.described(index)
            if port is None or described is None or described[0].kind != "video":
                continue
            local, remote, answer = described
            agreed = [name.partition("/")[0] for _, name in answer.named]
            codec = next(name for name in agreed if name in _CODECS)
            number = remote.payload(f"{codec}/90000")
            assert number is not None
            self.video, self.screen = port, Screen(codec)
            self._numbers = {int(p): name.partition("/")[0] for p, name in local.named}
            self.camera = Camera(self.colour, codec, number)
            port.sink, port.rtcp_sink = self._see, self._asked
            leg.on_picture_lost = self._asked_in_signalling
            wanted = remote.direction in ("sendrecv", "recvonly")
            if wanted and local.direction in ("sendrecv", "sendonly"):
                self._filming = self._spawn(self._roll(port, self.camera))

    async def _roll(self, port: RtpPort, camera: Camera) -> None:
        while True:
            for packet in camera.packets():
                port.send(packet)
            await asyncio.sleep(1 / PICTURES)

    def _see(self, data: bytes) -> None:
        packet = parse_rtp(data)
        assert packet is not None
        assert self.screen is not None
        codec = self._numbers[packet.payload_type]
        if codec != self.screen.codec:  # of those agreed on the sender may use any
            self.screen = Screen(codec)
        self.screen.take(packet)
        self._changed.set()
        now = asyncio.get_running_loop().time()
        if self.asks and self.screen.blind and self.video and now > self._asked_at + 0.5:
            self._asked_at = now
            self.video.send_rtcp(pli(1, packet.ssrc))

    def _asked(self, data: bytes) -> None:
        if asks_for_keyframe(data) and self.camera is not None:
            self.asked += 1
            self.camera.wanted = True

    def _asked_in_signalling(self) -> None:
        self.asked_in_signalling += 1
        if self.camera is not None:
            self.camera.wanted = True


# ── payload formats ─────────────────────────────────────────────────────────────────────
def _h264(picture: bytes) -> Iterator[bytes]:
    """Single NAL units and FU-A (RFC 6184 §5.6, §5.8)."""
    for unit in picture.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]:
        if len(unit) <= MAX_PAYLOAD:
            yield unit
            continue
        head, kind, body = unit[0] & 0xE0 | 28, unit[0] & 0x1F, unit[1:]
        for start in range(0, len(body), MAX_PAYLOAD):
            last = start + MAX_PAYLOAD >= len(body)
            flags = (0x80 if start == 0 else 0) | (0x40 if last else 0)
            yield bytes((head, flags | kind)) + body[start : start + MAX_PAYLOAD]


def _from_h264(parts: list[bytes]) -> tuple[bytes, bool]:
    """The picture, and whether it is a whole one."""
    picture, whole = b"", False
    for part in parts:
        kind = part[0] & 0x1F
        if kind != 28:
            picture += b"\0\0\0\1" + part
            whole |= kind == 5
        else:
            if part[1] & 0x80:
                picture += b"\0\0\0\1" + bytes((part[0] & 0xE0 | part[1] & 0x1F,))
            picture += part[2:]
            whole |= part[1] & 0x1F == 5
    return picture, whole


def _vp8(picture: bytes) -> Iterator[bytes]:
    """With the one-octet descriptor (RFC 7741 §4.2)."""
    for start in range(0, len(picture), MAX_PAYLOAD):
        yield bytes((0x10 if start == 0 else 0,)) + picture[start : start + MAX_PAYLOAD]


def _from_vp8(parts: list[bytes]) -> tuple[bytes, bool]:
    picture = b"".join(part[1:] for part in parts)
    return picture, bool(picture) and not picture[0] & 1
