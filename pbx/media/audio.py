"""The port path: a leg's sound as PCM frames of 20 ms, for apps and for legs that share no
codec."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import cycle

from pbx.media.clock import MediaClock
from pbx.media.codecs import RATE
from pbx.media.dtmf import DtmfDetector, key_tone
from pbx.media.keys import FRAMES, KEYS, MAX_KEYS, PAUSE_TICKS, TICKS, key_events
from pbx.media.negotiate import AudioTerms
from pbx.media.playout import Playout
from pbx.media.port import RtpPort
from pbx.media.resample import Resampler
from pbx.media.rtcp import report
from pbx.media.rtp import (
    RtpPacket,
    event_digit,
    parse_rtp,
)

REPORT_EVERY = 250
"Ticks between our RTCP reports: 5 s (RFC 3550 §6.2)."
MAX_QUEUED = 15_000
"Frames waiting to be played at most: five minutes."
MAX_LIVE = 10
"Frames live sound may run behind: 200 ms."


class AudioChannel:
    """PCM in and out of one RTP port.

    Frames are 20 ms of 16-bit mono PCM at `rate`. `on_frame` gets one a tick from the peer's
    first packet on; what is queued with `play` goes out one a tick, silence in between.
    """

    def __init__(
        self, port: RtpPort, clock: MediaClock, terms: AudioTerms, rate: int = RATE
    ) -> None:
        self.rate = rate
        self.on_frame: Callable[[bytes], None] = lambda _: None
        self.on_digit: Callable[[str], None] = lambda _: None
        self._port = port
        self._clock = clock
        self._size = 2 * rate // FRAMES
        self._silence = bytes(self._size)
        self._queue: deque[bytes] = deque()
        self._live: deque[bytes] = deque(maxlen=MAX_LIVE)
        self._tones: deque[bytes] = deque()
        self._background: Iterator[bytes] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._ssrc = secrets.randbits(32)
        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(31)
        before = parse_rtp(port.last) if port.last else None
        if before is not None:  # many phones fall silent when a stream begins anew
            self._ssrc, self._sequence = before.ssrc, (before.sequence + 1) & 0xFFFF
            self._timestamp = (before.timestamp + terms.codec.clock // FRAMES) & 0xFFFFFFFF
        self._sound = b""
        self._sound_at = 0
        self._started = False
        self._packets = self._octets = self._ticks = 0
        self._digits: deque[str] = deque(maxlen=MAX_KEYS)
        self._events: Iterator[bytes | None] | None = None
        self._begun = 0
        self._last_event = -1
        self.adopt(terms)
        port.sink = self._on_packet
        clock.add(self._tick)

    def adopt(self, terms: AudioTerms) -> None:
        """Speak by these terms from now on."""
        self.terms = terms
        codec = terms.codec
        self._encode = codec.encoder(self.rate, terms.packet_ms)
        self._packet = 2 * self.rate * terms.packet_ms // 1000
        self._sound = b""
        self._playout = Playout(terms.receives, self.rate)
        # Where keys are told as events, tones in the sound are just tones.
        self._detector = DtmfDetector(self.rate) if terms.event_type is None else None

    # ── for apps ────────────────────────────────────────────────────────────────────────
    def play(self, pcm: bytes) -> None:
        """Queue sound at `RATE`; what does not fit in the queue is dropped."""
        for frame in self._frames(pcm):
            if len(self._queue) >= MAX_QUEUED:
                break
            self._queue.append(frame)
        if self._queue:
            self._idle.clear()

    def repeat(self, pcm: bytes) -> None:
        """Play over and over, without a gap, whenever nothing is queued."""
        self._background = cycle(self._frames(pcm)) if pcm else None

    def play_live(self, frame: bytes) -> None:
        """Queue a frame, at this channel's rate, from somebody speaking now; what ran behind is
        dropped."""
        self._live.append(frame)

    def stop(self) -> None:
        """Forget what is still to be played."""
        self._background = None
        self._queue.clear()
        self._live.clear()
        self._idle.set()

    async def played(self) -> None:
        """Wait until the queue has been played out."""
        await self._idle.wait()

    def send_digit(self, digit: str) -> None:
        """Send a key press after those already queued: as RFC 4733 events, or as its tones to
        somebody who takes no events. Other sound is left out meanwhile."""
        if digit not in KEYS:
            return
        if self.terms.event_type is not None:
            self._digits.append(digit)
        elif len(self._tones) < MAX_KEYS * (TICKS + PAUSE_TICKS):
            sound = key_tone(digit, TICKS / FRAMES, self.rate)
            self._tones += _cut(sound + self._silence * PAUSE_TICKS, self._size)

    def _frames(self, pcm: bytes) -> list[bytes]:
        return frames_of(pcm, self.rate)

    def close(self) -> None:
        """Let go of the clock and the port."""
        self._clock.remove(self._tick)
        self.stop()

    # ── in ──────────────────────────────────────────────────────────────────────────────
    def _on_packet(self, data: bytes) -> None:
        packet = parse_rtp(data)
        if packet is None:
            return
        if packet.payload_type in self.terms.event_types:
            self._playout.pass_over(packet)
            self._on_event(packet)
            return
        self._playout.receive(packet)

    def _on_event(self, packet: RtpPacket) -> None:
        """A key counts once, at its first packet; all packets of it share a timestamp."""
        found = event_digit(packet.payload)
        if found is not None and packet.timestamp != self._last_event:
            self._last_event = packet.timestamp
            self.on_digit(found[0])

    # ── out ─────────────────────────────────────────────────────────────────────────────
    def _tick(self) -> None:
        frame = self._playout.frame()
        if frame is not None:
            self.on_frame(self._without_keys(frame) if self._detector else frame)
        frame = self._next_frame()
        if not self._send_event():
            self._send_sound(frame)
        self._timestamp = (self._timestamp + self.terms.codec.clock // FRAMES) & 0xFFFFFFFF
        self._ticks += 1
        if self._ticks % REPORT_EVERY == 0:
            self._report()

    def _without_keys(self, frame: bytes) -> bytes:
        """Tell of keys that begin to sound in a frame, and take out what sounds of them, so
        that nobody hears them twice."""
        assert self._detector is not None
        for key in self._detector.feed(frame):
            self.on_digit(key)
        return self._silence if self._detector.held else frame

    def _next_frame(self) -> bytes:
        """The sound of this tick. Live sound is not kept waiting by keys."""
        live = self._live.popleft() if self._live else None
        if self._tones:
            return self._tones.popleft()
        if self._queue:
            frame = self._queue.popleft()
            if not self._queue:
                self._idle.set()
            return frame
        return live or (next(self._background) if self._background else self._silence)

    def _send_sound(self, frame: bytes) -> None:
        """Send what makes whole packets of the length the peer wants."""
        if not self._sound:
            self._sound_at = self._timestamp
        self._sound += frame
        terms = self.terms
        while len(self._sound) >= self._packet:
            pcm, self._sound = self._sound[: self._packet], self._sound[self._packet :]
            self._send(terms.payload_type, self._encode(pcm), self._sound_at)
            step = terms.codec.clock * terms.packet_ms // 1000
            self._sound_at = (self._sound_at + step) & 0xFFFFFFFF

    def _send_event(self) -> bool:
        """Send what there is to be sent of a key this tick; False when that is nothing."""
        terms, marker = self.terms, self._events is None
        if terms.event_type is None:
            return False
        if self._events is None:
            if not self._digits:
                return False
            self._events = key_events(self._digits.popleft(), terms.event_clock)
            self._begun = self._timestamp
        payload = next(self._events, b"")
        if not payload:
            if payload is not None:
                self._events = None
            return False
        self._sound = b""
        self._send(terms.event_type, payload, self._begun, marker=marker)
        return True

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
        self._port.send_rtcp(
            report(
                self._ssrc,
                time.time(),
                self._timestamp,
                self._packets,
                self._octets,
                self._port.report_block(),
            )
        )


@lru_cache(16)
def resampled(pcm: bytes, rate: int) -> bytes:
    """Sound of `RATE` at another; what is played often is kept."""
    return Resampler(RATE, rate)(pcm) if rate != RATE else pcm


def frames_of(pcm: bytes, rate: int) -> list[bytes]:
    """Sound of `RATE` as frames at another, the last one filled up with silence."""
    return _cut(resampled(pcm, rate), 2 * rate // FRAMES)


def _cut(pcm: bytes, size: int) -> list[bytes]:
    """PCM cut into frames, the last one filled up with silence."""
    return [pcm[at : at + size].ljust(size, b"\0") for at in range(0, len(pcm), size)]
