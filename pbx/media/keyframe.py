"""Requests for a whole picture: what a phone asks for that cannot decode the video it gets."""

from __future__ import annotations

import struct

PSFB = 206
"Payload-specific feedback (RFC 4585 §6.1)."
_PLI, _FIR = 1, 4
_OLD_FIR = 192  # RFC 2032 §5.2.1
MEDIA_CONTROL = "application/media_control+xml"
FAST_UPDATE = (
    b'<?xml version="1.0" encoding="utf-8"?>\r\n'
    b"<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder>"
    b"</vc_primitive></media_control>\r\n"
)
"The request as the body of an INFO (RFC 5168 §7)."
MAX_BODY = 4_096


def pli(sender: int, source: int) -> bytes:
    """Picture Loss Indication (RFC 4585 §6.3.1) of the stream `source`."""
    return struct.pack("!BBHII", 0x80 | _PLI, PSFB, 2, sender, source)


def fir(sender: int, source: int, count: int) -> bytes:
    """Full Intra Request (RFC 5104 §4.3.1), the `count`-th of this sender."""
    return struct.pack("!BBHIIIB3x", 0x80 | _FIR, PSFB, 4, sender, 0, source, count & 0xFF)


def asks_for_keyframe(data: bytes) -> bool:
    """Whether a compound RTCP packet has such a request in it."""
    position = 0
    while position + 4 <= len(data):
        count, kind = data[position] & 0x1F, data[position + 1]
        if kind == _OLD_FIR or (kind == PSFB and count in (_PLI, _FIR)):
            return True
        position += 4 + 4 * int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def tells_fast_update(content_type: str, body: bytes) -> bool:
    """Whether an INFO is such a request (RFC 5168)."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == MEDIA_CONTROL and b"picture_fast_update" in body[:MAX_BODY]
