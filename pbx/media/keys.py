"""Key presses on their way: as RFC 4733 events, as SIP INFO, and put into a relayed stream."""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Iterator

from pbx.media.clock import MediaClock
from pbx.media.codecs import FRAME_MS
from pbx.media.negotiate import AudioTerms
from pbx.media.port import RtpPort, Sink
from pbx.media.rtp import DIGITS, RtpPacket, event_payload

TICKS = 8
"Length of a key press we send, in ticks: 160 ms."
END_PACKETS = 3
"How often its end is told (RFC 4733 §2.5.1.4)."
PAUSE_TICKS = 5
MAX_KEYS = 64
"Key presses waiting to be sent at most."
_PATIENCE = 3
"Ticks to wait for the first packet of the stream that a key is put into."
KEYS = frozenset(DIGITS)
DTMF_RELAY = "application/dtmf-relay"
FRAMES = 1000 // FRAME_MS
"Ticks, or frames, a second."
_INFO_KEYS = {key: key for key in DIGITS} | {str(number): key for number, key in enumerate(DIGITS)}


def info_key(content_type: str, body: bytes) -> str:
    """The key an INFO tells of: `application/dtmf-relay` (`Signal=5`) or `application/dtmf`
    (`5`), by its name or its number of RFC 4733; empty when it is about something else."""
    kind = content_type.partition(";")[0].strip().lower()
    text = body[:200].decode("ascii", "replace").strip()
    if kind == DTMF_RELAY:
        found = re.search(r"^\s*signal\s*=\s*(\S{1,2})\s*$", text, re.IGNORECASE | re.MULTILINE)
        text = found[1] if found else ""
    elif kind != "application/dtmf":
        return ""
    return _INFO_KEYS.get(text.upper(), "")


def info_body(key: str) -> bytes:
    """The same to be sent, as `DTMF_RELAY`."""
    return f"Signal={key}\r\nDuration=160\r\n".encode()


def key_events(key: str, clock: int) -> Iterator[bytes | None]:
    """The payload of each tick of a key press, its end told several times, and then None
    through the pause behind it. `clock` is that of the events, in Hz."""
    for tick in range(TICKS + END_PACKETS):
        duration = (min(tick, TICKS) + 1) * (clock // FRAMES)
        yield event_payload(key, end=tick >= TICKS, duration=duration)
    for _ in range(PAUSE_TICKS):
        yield None


class KeyInjector:
    """Puts key presses into a stream that is relayed packet by packet to `target`.

    While a key is sent its packets take the place of the sound; before and after, sound goes to
    `forward` with its sequence numbers moved, so that the peer sees one stream without a gap.
    """

    def __init__(
        self, forward: Sink, target: RtpPort, terms: AudioTerms, clock: MediaClock
    ) -> None:
        self._forward = forward
        self._target = target
        self._terms = terms
        self._clock = clock
        self._step = terms.codec.clock // FRAMES
        self._keys: deque[str] = deque(maxlen=MAX_KEYS)
        self._events: Iterator[bytes | None] | None = None
        self._ticking = False
        self._patience = _PATIENCE
        self._moved = 0
        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(31)
        self._ssrc = secrets.randbits(32)
        self._begun = 0
        self._first = False

    def relay(self, data: bytes) -> None:
        """A packet of sound on its way."""
        ssrc = int.from_bytes(data[8:12], "big")
        if self._events is not None:
            self._moved -= ssrc == self._ssrc
            return
        if ssrc != self._ssrc:
            self._ssrc, self._moved = ssrc, 0
        self._patience = 0
        self._sequence = (int.from_bytes(data[2:4], "big") + self._moved) & 0xFFFF
        self._timestamp = int.from_bytes(data[4:8], "big")
        self._forward(data[:2] + self._sequence.to_bytes(2, "big") + data[4:])

    def press(self, key: str) -> None:
        """Send a key press after those already waiting."""
        if key not in KEYS or self._terms.event_type is None:
            return
        self._keys.append(key)
        if not self._ticking:
            self._ticking = True
            self._clock.add(self._tick)

    def close(self) -> None:
        """Let go of the clock."""
        self._clock.remove(self._tick)

    def _tick(self) -> None:
        if self._patience:  # for a packet that tells the stream's numbers
            self._patience -= 1
            return
        self._timestamp = (self._timestamp + self._step) & 0xFFFFFFFF
        if self._events is None:
            if not self._keys:
                self._ticking = False
                self._clock.remove(self._tick)
                return
            self._events = key_events(self._keys.popleft(), self._terms.event_clock)
            self._begun, self._first = self._timestamp, True
        payload = next(self._events, b"")
        if payload:
            self._send(payload)
        elif payload is not None:
            self._events = None

    def _send(self, payload: bytes) -> None:
        assert self._terms.event_type is not None
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._moved += 1
        packet = RtpPacket(
            payload_type=self._terms.event_type,
            sequence=self._sequence,
            timestamp=self._begun,
            ssrc=self._ssrc,
            payload=payload,
            marker=self._first,
        )
        self._first = False
        self._target.send(packet.encode())
