"""A phone that agrees on keys with the other phone by ZRTP, as far as anybody in between can see:
the messages are there, their contents are not. Real ZRTP is in `tests/interop/test_zrtp.py`."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import Any

from encryptotel.demo.phone import Behaviour, plays
from pbx.calls.leg import Leg
from pbx.media.port import RtpPort
from pbx.media.sdp import SessionDescription
from pbx.media.tones import tone
from pbx.media.zrtp import message_of
from tests.calls.cameras import VideoPhone

HASH = ("zrtp-hash", "1.10 " + 64 * "a")
_REPLIES = {
    "Hello": "HelloACK",
    "HelloACK": "Commit",
    "Commit": "DHPart1",
    "DHPart1": "DHPart2",
    "DHPart2": "Confirm1",
    "Confirm1": "Confirm2",
    "Confirm2": "Conf2ACK",
    "GoClear": "ClearACK",
}


def zrtp(message: str) -> bytes:
    """A ZRTP packet, whose contents differ each time."""
    body = message.ljust(8).encode() + secrets.token_bytes(24)
    words = 1 + len(body) // 4
    return (
        b"\x10\0\0\1ZRTP" + secrets.token_bytes(4)
        + b"PZ" + words.to_bytes(2, "big") + body + secrets.token_bytes(4)
    )  # fmt: skip


class SealedPhone(VideoPhone):
    """`announces` it in SDP; the caller begins. `sent` and `got` are all its ZRTP packets."""

    def __init__(
        self, behave: Behaviour | None = None, *, announces: bool = True, **options: Any
    ) -> None:
        super().__init__(behave or plays(tone(1, 440.0)), "red", None, **options)
        self._announces = announces
        self.port: RtpPort | None = None
        self.sent: list[bytes] = []
        self.got: list[bytes] = []
        self.sealed = asyncio.Event()
        self.begins = True
        "Whether it agrees on anything at all."

    def description(self) -> SessionDescription:
        return self._announced(super().description())

    def _matching(self, leg: Leg) -> SessionDescription | None:
        found = super()._matching(leg)
        return found and self._announced(found)

    def _announced(self, description: SessionDescription) -> SessionDescription:
        if not self._announces:
            return description
        audio, *rest = description.media
        return replace(description, media=(audio.having(HASH), *rest))

    async def _attend(self, leg: Leg) -> None:
        self.port = leg.media.audio_port
        assert self.port is not None
        self.port.zrtp_sink = self._take
        if leg.direction == "out" and self.begins:
            self._spawn(self._begin())
        await super()._attend(leg)

    async def _begin(self) -> None:
        while not self.got:  # as ZRTP does, whose packets may be lost (RFC 6189 §6)
            self.say("Hello")
            await asyncio.sleep(0.1)

    def say(self, message: str) -> None:
        assert self.port is not None
        self.sent.append(zrtp(message))
        self.port.send_zrtp(self.sent[-1])

    def _take(self, data: bytes) -> None:
        self.got.append(data)
        message = message_of(data)
        if message in ("Conf2ACK", "Confirm2"):
            self.sealed.set()
        if message in _REPLIES:
            self.say(_REPLIES[message])
