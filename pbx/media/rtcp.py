"""RTCP packets (RFC 3550 §6), read and made. No I/O."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

SR, RR, SDES, BYE = 200, 201, 202, 203
_FIRST_KIND, _LAST_KIND = 192, 223  # RFC 5761 §4
_NTP_EPOCH = 2_208_988_800
_BLOCK = struct.Struct("!IB3sIIII")
_SENDER = struct.Struct("!IIIIII")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportBlock:
    """What a receiver says of one stream (§6.4.1). `jitter` in timestamp units, `fraction` lost
    in 256ths, `last_sr` and `delay` in 65536ths of a second."""

    ssrc: int
    lost: int
    jitter: int
    fraction: int = 0
    highest: int = 0
    last_sr: int = 0
    delay: int = 0

    def encode(self) -> bytes:
        lost = max(-(2**23), min(self.lost, 2**23 - 1)).to_bytes(3, "big", signed=True)
        return _BLOCK.pack(
            self.ssrc, self.fraction, lost, self.highest, self.jitter, self.last_sr, self.delay
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Reports:
    """What we read of a compound packet: the report blocks in it, the middle 32 bits of the
    NTP time of its sender report (None: it has none), and who said goodbye."""

    blocks: list[ReportBlock] = field(default_factory=list)
    sender_time: int | None = None
    gone: list[int] = field(default_factory=list)


def parse_reports(data: bytes) -> Reports | None:
    """None for anything that is not sound RTCP; kinds we do not know are passed over."""
    blocks: list[ReportBlock] = []
    gone: list[int] = []
    sender_time: int | None = None
    position, end = 0, len(data)
    while position < end:
        if position + 4 > end or data[position] >> 6 != 2:
            return None
        count, kind = data[position] & 0x1F, data[position + 1]
        after = position + 4 + 4 * (data[position + 2] << 8 | data[position + 3])
        if after > end or not _FIRST_KIND <= kind <= _LAST_KIND:
            return None
        if kind in (SR, RR):
            start = position + (28 if kind == SR else 8)
            if start + 24 * count > after:
                return None
            if kind == SR and sender_time is None:
                sender_time = int.from_bytes(data[position + 10 : position + 14], "big")
            blocks += (_block(data, start + 24 * index) for index in range(count))
        elif kind == BYE:
            if position + 4 + 4 * count > after:
                return None
            gone += struct.unpack_from(f"!{count}I", data, position + 4)
        position = after
    return Reports(blocks=blocks, sender_time=sender_time, gone=gone) if end else None


def report(
    ssrc: int,
    wall_time: float,
    timestamp: int,
    packets: int,
    octets: int,
    block: ReportBlock | None,
) -> bytes:
    """A report with our CNAME on the streams we make ourselves: an SR, or an RR while nothing
    was sent (§6.4). `wall_time` in Unix seconds."""
    about = block.encode() if block else b""
    count = 1 if block else 0
    if not packets:
        return _packet(RR, count, ssrc.to_bytes(4, "big") + about) + _cname(ssrc)
    seconds, fraction = divmod(wall_time + _NTP_EPOCH, 1)
    sender = _SENDER.pack(
        ssrc,
        int(seconds) & 0xFFFFFFFF,
        int(fraction * 2**32),
        timestamp,
        packets & 0xFFFFFFFF,
        octets & 0xFFFFFFFF,
    )
    return _packet(SR, count, sender + about) + _cname(ssrc)


def _block(data: bytes, at: int) -> ReportBlock:
    ssrc, fraction, lost, highest, jitter, last_sr, delay = _BLOCK.unpack_from(data, at)
    return ReportBlock(
        ssrc=ssrc,
        fraction=fraction,
        lost=int.from_bytes(lost, "big", signed=True),
        highest=highest,
        jitter=jitter,
        last_sr=last_sr,
        delay=delay,
    )


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def _cname(ssrc: int) -> bytes:
    item = struct.pack("!IBB", ssrc, 1, 8) + f"{ssrc:08x}".encode() + b"\0"
    return _packet(SDES, 1, item + b"\0" * (-len(item) % 4))
