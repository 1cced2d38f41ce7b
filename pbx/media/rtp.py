"""RTP and RTCP packets (RFC 3550), and telephone events inside RTP (RFC 4733). No I/O."""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = struct.Struct("!BBHII")
_REPORT_BLOCK = struct.Struct("!IB3sIIII")
DIGITS = "0123456789*#ABCD"
MAX_PACKET = 1500

SR, RR, SDES, BYE = 200, 201, 202, 203


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


@dataclass(frozen=True, kw_only=True)
class ReportBlock:
    """What a receiver says of one stream (RFC 3550 §6.4.1). `jitter` in timestamp units."""

    ssrc: int
    lost: int
    jitter: int
    fraction: int = 0
    highest: int = 0
    last_sr: int = 0
    delay: int = 0

    def encode(self) -> bytes:
        lost = max(-(2**23), min(self.lost, 2**23 - 1)).to_bytes(3, "big", signed=True)
        return _REPORT_BLOCK.pack(
            self.ssrc, self.fraction, lost, self.highest, self.jitter, self.last_sr, self.delay
        )


def parse_reports(data: bytes) -> list[ReportBlock] | None:
    """The report blocks of a compound RTCP packet; None if it is not RTCP."""
    blocks: list[ReportBlock] = []
    position = 0
    while position + 8 <= len(data):
        if data[position] >> 6 != 2:
            return None
        count, kind = data[position] & 0x1F, data[position + 1]
        size = 4 + 4 * int.from_bytes(data[position + 2 : position + 4], "big")
        if position + size > len(data):
            return None
        if kind in (SR, RR):
            start = position + (28 if kind == SR else 8)
            for index in range(count):
                at = start + 24 * index
                if at + 24 > position + size:
                    return None
                ssrc, fraction, lost, highest, jitter, last_sr, delay = _REPORT_BLOCK.unpack_from(
                    data, at
                )
                blocks.append(
                    ReportBlock(
                        ssrc=ssrc,
                        fraction=fraction,
                        lost=int.from_bytes(lost, "big", signed=True),
                        highest=highest,
                        jitter=jitter,
                        last_sr=last_sr,
                        delay=delay,
                    )
                )
        position += size
    return blocks if position else None


def sender_report(
    ssrc: int,
    wall_time: float,
    timestamp: int,
    packets: int,
    octets: int,
    block: ReportBlock | None,
) -> bytes:
    """An SR with our CNAME, for the streams we make ourselves. `wall_time` in Unix seconds."""
    seconds, fraction = divmod(wall_time + 2_208_988_800, 1)
    body = struct.pack(
        "!IIIIII",
        ssrc,
        int(seconds) & 0xFFFFFFFF,
        int(fraction * 2**32),
        timestamp,
        packets & 0xFFFFFFFF,
        octets & 0xFFFFFFFF,
    ) + (block.encode() if block else b"")
    return _packet(SR, 1 if block else 0, body) + _cname(ssrc)


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def _cname(ssrc: int) -> bytes:
    item = struct.pack("!IBB", ssrc, 1, 8) + f"{ssrc:08x}".encode() + b"\0"
    return _packet(SDES, 1, item + b"\0" * (-len(item) % 4))


def event_payload(digit: str, *, end: bool, duration: int, volume: int = 10) -> bytes:
    """A telephone-event payload (RFC 4733 §2.3). `duration` in timestamp units."""
    return struct.pack("!BBH", DIGITS.index(digit), (0x80 if end else 0) | volume, duration)


def event_digit(payload: bytes) -> tuple[str, bool] | None:
    """The digit of a telephone-event payload and whether it ended; None for other events."""
    if len(payload) < 4 or payload[0] >= len(DIGITS):
        return None
    return DIGITS[payload[0]], bool(payload[1] & 0x80)
