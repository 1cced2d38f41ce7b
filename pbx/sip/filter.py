"""A filter in the kernel for the UDP port: what cannot be SIP or STUN is never delivered.

A burst of garbage would otherwise fill the socket's buffer, and a phone's INVITE with it. The
first eight bytes of a SIP message are ASCII (a method or "SIP/2.0", RFC 3261 §7.1), or the line
ends of a keep-alive; STUN has its magic cookie at bytes 4 to 7 (RFC 5389 §6).
"""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
from typing import Protocol

log = logging.getLogger(__name__)

SO_ATTACH_FILTER = 26
_UDP_HEADER = 8
_COOKIE = 0x2112A442
_HIGH_BITS = 0x80808080
# Classic BPF (linux/filter.h): load a word, load the length, and, compare, return.
_LD_WORD, _LD_LENGTH, _AND, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x80, 0x54, 0x15, 0x35, 0x06
_PROGRAM = (
    (_LD_LENGTH, 0, 0, 0),
    (_IF_AT_LEAST, 0, 7, _UDP_HEADER + 8),  # shorter than any message: a keep-alive
    (_LD_WORD, 0, 0, _UDP_HEADER + 4),
    (_IF_EQUAL, 5, 0, _COOKIE),
    (_AND, 0, 0, _HIGH_BITS),
    (_IF_EQUAL, 0, 4, 0),
    (_LD_WORD, 0, 0, _UDP_HEADER),
    (_AND, 0, 0, _HIGH_BITS),
    (_IF_EQUAL, 0, 1, 0),
    (_RETURN, 0, 0, 0xFFFFFFFF),
    (_RETURN, 0, 0, 0),
)


class Socket(Protocol):
    """A socket, or what uvloop shows of one."""

    def setsockopt(self, level: int, option: int, value: bytes, /) -> None:
        """As of `socket.socket`."""


def keep_out_garbage(sock: Socket) -> None:
    """Attach the filter to a UDP socket; without it where there is none (not Linux)."""
    code = b"".join(struct.pack("=HBBI", *step) for step in _PROGRAM)
    kept = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(_PROGRAM), ctypes.addressof(kept))
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    except OSError as error:
        log.debug("no kernel filter on the SIP port: %s", error)
