"""RTP packets (RFC 3550), and telephone events inside them (RFC 4733). No I/O."""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = struct.Struct("!BBHII")
DIGITS = "0123456789*#ABCD"
MAX_PACKET = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpPacket:
    """One RTP packet; `payload` without padding and extensions."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def encode(self) -> bytes:
        second = self.payload_type | (0x80 if self.marker else 0)
        header = HEADER.pack(0x80, second, self.sequence, self.timestamp, self.ssrc)
        return header + self.payload


def parse_rtp(data: bytes) -> RtpPacket | None:
    """None for anything that is not a sound RTP packet."""
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    start, end = 12 + 4 * (first & 0x0F), len(data)
    if first & 0x10:
        if start + 4 > end:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if first & 0x20:
        end -= data[-1]
        if data[-1] == 0:
            return None
    if start > end:
        return None
    return RtpPacket(
        payload_type=second & 0x7F,
        sequence=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=data[start:end],
        marker=bool(second & 0x80),
    )


def event_payload(digit: str, *, end: bool, duration: int, volume: int = 10) -> bytes:
    """A telephone-event payload (RFC 4733 §2.3). `duration` in timestamp units."""
    return struct.pack("!BBH", DIGITS.index(digit), (0x80 if end else 0) | volume, duration)


def event_digit(payload: bytes) -> tuple[str, bool] | None:
    """The digit of a telephone-event payload and whether it ended; None for other events."""
    if len(payload) < 4 or payload[0] >= len(DIGITS):
        return None
    return DIGITS[payload[0]], bool(payload[1] & 0x80)
