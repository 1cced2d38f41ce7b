"""Joins two legs: packet by packet where they speak the same, through PCM where they do not."""

from __future__ import annotations

import asyncio

from pbx.calls.leg import Leg, Reoffer
from pbx.media.port import RtpPort
from pbx.media.sdp import NotAcceptable, SdpError


class Bridge:
    """Two legs that hear each other. Either one's re-INVITE (hold, resume, new codecs) is
    carried to the other, so that both always agree."""

    def __init__(self, first: Leg, second: Leg) -> None:
        self.first = first
        self.second = second
        self.transcoding = False

    def connect(self) -> None:
        """Let sound flow. May be called again when the media of a leg changed."""
        self.transcoding = not _speak_alike(self.first, self.second)
        for leg, other in ((self.first, self.second), (self.second, self.first)):
            leg.reoffer = self._reoffer_from(leg, other)
        if self.transcoding:
            _transcode(self.first, self.second)
        else:
            self._relay()

    async def over(self) -> None:
        """Wait until one side hangs up, then end the other."""
        waits = [asyncio.ensure_future(leg.ended()) for leg in (self.first, self.second)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for leg in (self.first, self.second):
            leg.hang_up()

    def _relay(self) -> None:
        pairs = zip(self.first.media.ports, self.second.media.ports, strict=False)
        for leg in (self.first, self.second):
            leg.release_audio()
        for one, other in pairs:
            if one is not None and other is not None:
                _join(one, other)
                _join(other, one)

    def _reoffer_from(self, leg: Leg, other: Leg) -> Reoffer:
        async def reoffer(body: bytes) -> bytes | int:
            if self.transcoding or other.session is None:
                return await leg.answer_locally(body)
            return await _carry(self, leg, other, body)

        return reoffer


async def _carry(bridge: Bridge, leg: Leg, other: Leg, body: bytes) -> bytes | int:
    """Take `leg`'s new offer to `other` and bring the answer back."""
    assert other.session is not None
    before = leg.media.remote
    try:
        offered = await leg.media.take_offer(body)
        offer = await other.media.offer(offered, profile=other.profile)
    except NotAcceptable:
        return 488
    except SdpError:
        return 400
    except OSError:
        return 503
    response = await other.session.reinvite(offer)
    if response.status >= 300:
        leg.media.restore(before)
        return response.status if response.status in (488, 491) else 488
    try:
        answered = other.media.take_answer(response.body)
        answer = leg.media.answer(answered)
    except SdpError:
        return 488
    bridge.connect()
    return answer


def _join(source: RtpPort, target: RtpPort) -> None:
    source.sink = target.send
    source.rtcp_sink = target.send_rtcp


def _speak_alike(first: Leg, second: Leg) -> bool:
    """Whether the payload numbers of both legs mean the same to both."""
    one, two = first.media.agreed_audio, second.media.agreed_audio
    if one is None or two is None:
        return True  # nothing we could decode: relay whatever there is
    codec = first.media.codec
    if codec is None or second.media.codec is None:
        return True
    return (
        codec is second.media.codec or set(one.formats) == set(two.formats)
    ) and first.media.event_type == second.media.event_type


def _transcode(first: Leg, second: Leg) -> None:
    for source, target in ((first, second), (second, first)):
        source.audio.on_frame = target.audio.play_live
        source.audio.on_digit = target.audio.send_digit
