"""The port path: a leg's sound as PCM frames of 20 ms, for apps and for legs that share no
codec."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import cycle

from pbx.media.clock import MediaClock
from pbx.media.codecs import CODECS, FRAME_BYTES, FRAME_SAMPLES, SILENCE, Codec
from pbx.media.jitter import JitterBuffer
from pbx.media.port import RtpPort
from pbx.media.rtp import (
    DIGITS,
    ReportBlock,
    RtpPacket,
    event_digit,
    event_payload,
    parse_rtp,
    sender_report,
)

REPORT_EVERY = 250
"Ticks between our RTCP reports: 5 s (RFC 3550 §6.2)."
DIGIT_TICKS = 8
"Length of a digit we send, in ticks: 160 ms."
DIGIT_PAUSE_TICKS = 5
MAX_QUEUED = 15_000
"Frames waiting to be played at most: five minutes."
MAX_LIVE = 10
"Frames live sound may run behind: 200 ms."
MAX_DIGITS = 64


class AudioChannel:
    """PCM in and out of one RTP port.

    Frames are `FRAME_BYTES` of 16-bit mono PCM. `on_frame` gets one a tick while the peer
    sends; what is queued with `play` goes out one a tick, silence in between.
    """

    def __init__(
        self, port: RtpPort, clock: MediaClock, codec: Codec, event_type: int | None
    ) -> None:
        self.codec = codec
        self.on_frame: Callable[[bytes], None] = lambda _: None
        self.on_digit: Callable[[str], None] = lambda _: None
        self._port = port
        self._clock = clock
        self._event_type = event_type
        self._decoders = {known.payload_type: known.decode for known in CODECS}
        self._jitter = JitterBuffer()
        self._queue: deque[bytes] = deque()
        self._background: Iterator[bytes] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._ssrc = secrets.randbits(32)
        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(31)
        self._started = False
        self._packets = self._octets = self._ticks = 0
        self._digits: deque[str] = deque(maxlen=MAX_DIGITS)
        self._digit_tick = 0
        self._last_event = -1
        self._peer_ssrc = 0
        port.sink = self._on_packet
        clock.add(self._tick)

    # ── for apps ────────────────────────────────────────────────────────────────────────
    def play(self, pcm: bytes) -> None:
        """Queue sound; what does not fit in the queue is dropped."""
        for frame in _frames(pcm):
            if len(self._queue) >= MAX_QUEUED:
                break
            self._queue.append(frame)
        if self._queue:
            self._idle.clear()

    def repeat(self, pcm: bytes) -> None:
        """Play over and over, without a gap, whenever nothing is queued."""
        self._background = cycle(_frames(pcm)) if pcm else None

    def play_live(self, frame: bytes) -> None:
        """Queue a frame from somebody speaking now; what ran behind is dropped."""
        while len(self._queue) >= MAX_LIVE:
            self._queue.popleft()
        self.play(frame)

    def stop(self) -> None:
        """Forget what is still to be played."""
        self._background = None
        self._queue.clear()
        self._idle.set()

    async def played(self) -> None:
        """Wait until the queue has been played out."""
        await self._idle.wait()

    def send_digit(self, digit: str) -> None:
        """Send a key press as RFC 4733 events, after those already queued."""
        if digit in DIGITS and self._event_type is not None:
            self._digits.append(digit)

    def close(self) -> None:
        """Let go of the clock and the port."""
        self._clock.remove(self._tick)
        self.stop()

    # ── in ──────────────────────────────────────────────────────────────────────────────
    def _on_packet(self, data: bytes) -> None:
        packet = parse_rtp(data)
        if packet is None:
            return
        if packet.ssrc != self._peer_ssrc:  # another source, with numbers of its own
            self._peer_ssrc = packet.ssrc
            self._jitter = JitterBuffer()
        if packet.payload_type == self._event_type:
            self._on_event(packet)
            return
        decode = self._decoders.get(packet.payload_type)
        if decode is not None:
            self._jitter.push(packet.sequence, decode(packet.payload))

    def _on_event(self, packet: RtpPacket) -> None:
        """A key counts once, at its first packet; all packets of it share a timestamp."""
        found = event_digit(packet.payload)
        if found is not None and packet.timestamp != self._last_event:
            self._last_event = packet.timestamp
            self.on_digit(found[0])

    # ── out ─────────────────────────────────────────────────────────────────────────────
    def _tick(self) -> None:
        frame = self._jitter.pop()
        if frame is not None:
            self.on_frame(frame)
        if self._digits:
            self._send_event()
        else:
            self._send_sound()
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        self._ticks += 1
        if self._ticks % REPORT_EVERY == 0:
            self._report()

    def _send_sound(self) -> None:
        if self._queue:
            frame = self._queue.popleft()
            if not self._queue:
                self._idle.set()
        else:
            frame = next(self._background) if self._background else SILENCE
        self._send(self.codec.payload_type, self.codec.encode(frame), self._timestamp)

    def _send_event(self) -> None:
        """One packet a tick, the end packet three times (RFC 4733 §2.5.1.4), then a pause."""
        tick, digit = self._digit_tick, self._digits[0]
        self._digit_tick += 1
        if tick >= DIGIT_TICKS + 3 + DIGIT_PAUSE_TICKS:
            self._digits.popleft()
            self._digit_tick = 0
        if tick >= DIGIT_TICKS + 3 or self._event_type is None:
            self._send_sound()
            return
        end = tick >= DIGIT_TICKS
        begun = self._timestamp - tick * FRAME_SAMPLES
        duration = (min(tick, DIGIT_TICKS) + 1) * FRAME_SAMPLES
        payload = event_payload(digit, end=end, duration=duration)
        self._send(self._event_type, payload, begun & 0xFFFFFFFF, marker=tick == 0)

    def _send(
        self, payload_type: int, payload: bytes, timestamp: int, *, marker: bool = False
    ) -> None:
        packet = RtpPacket(
            payload_type=payload_type,
            sequence=self._sequence,
            timestamp=timestamp,
            ssrc=self._ssrc,
            payload=payload,
            marker=marker or not self._started,
        )
        self._started = True
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._packets += 1
        self._octets += len(payload)
        self._port.send(packet.encode())

    def _report(self) -> None:
        block = None
        if self._port.stats.received:
            block = ReportBlock(
                ssrc=self._peer_ssrc,
                lost=self._port.lost,
                jitter=0,
                highest=self._port.highest_sequence & 0xFFFFFFFF,
            )
        self._port.send_rtcp(
            sender_report(
                self._ssrc, time.time(), self._timestamp, self._packets, self._octets, block
            )
        )


def _frames(pcm: bytes) -> list[bytes]:
    """PCM cut into frames, the last one filled up with silence."""
    return [
        pcm[start : start + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
        for start in range(0, len(pcm), FRAME_BYTES)
    ]
