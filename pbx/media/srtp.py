"""SRTP keys exchanged in SDP (SDES, RFC 4568), the policy about using them, and the sessions
that use them."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pylibsrtp import Error as SrtpError
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib  # type: ignore[import-not-found]

from pbx.media.sdp import Media

__all__ = [
    "CryptoLine", "ReplayError", "SrtpError", "SrtpPolicy", "SrtpSession", "choose_crypto",
    "new_crypto", "offered_crypto", "session",
]  # fmt: skip

MAX_SOURCES = 64
"SSRCs one key may be used with, in each direction: libsrtp keeps each of them for ever."


@dataclass(frozen=True, slots=True)
class _Suite:
    """`key_length` is master key and salt together, in bytes."""

    profile: int
    key_length: int
    wide: bool = False
    "AES with 256 bits where the profile says 128 (RFC 6188)."


_SUITES: Mapping[str, _Suite] = {
    "AEAD_AES_256_GCM": _Suite(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),  # RFC 7714
    "AEAD_AES_128_GCM": _Suite(Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AES_256_CM_HMAC_SHA1_80": _Suite(Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 46, wide=True),
    "AES_256_CM_HMAC_SHA1_32": _Suite(Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 46, wide=True),
    "AES_CM_128_HMAC_SHA1_80": _Suite(Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),  # RFC 4568
    "AES_CM_128_HMAC_SHA1_32": _Suite(Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
}
SUITES = frozenset(_SUITES)
"What we take; all of them encrypt."
OFFERED_IN_SECRET = (
    "AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
)  # fmt: skip
OFFERED_ELSEWHERE = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
"""Who can read the SDP has the keys, so longer ones are of no use there; and an INVITE over UDP
should stay below the size that the network cuts in two."""


class SrtpPolicy(StrEnum):
    """How much a leg insists on encrypted media."""

    OFF = "off"
    OFFER = "offer"
    REQUIRE = "require"


@dataclass(frozen=True, kw_only=True)
class CryptoLine:
    """One a=crypto line. `key` is master key and salt together."""

    tag: str
    suite: str
    key: bytes

    def __repr__(self) -> str:
        return f"CryptoLine({self.tag} {self.suite} …)"

    def attribute(self) -> tuple[str, str]:
        """As an SDP attribute."""
        inline = base64.b64encode(self.key).decode()
        return ("crypto", f"{self.tag} {self.suite} inline:{inline}")


def new_crypto(tag: str = "1", suite: str = "AES_CM_128_HMAC_SHA1_80") -> CryptoLine:
    """A line with a fresh key."""
    return CryptoLine(tag=tag, suite=suite, key=secrets.token_bytes(_SUITES[suite].key_length))


def offered_crypto(*, secret_path: bool) -> tuple[CryptoLine, ...]:
    """The lines of an offer, the best first: every phone with SDES knows one of them.
    `secret_path` is whether the signalling is encrypted."""
    suites = OFFERED_IN_SECRET if secret_path else OFFERED_ELSEWHERE
    return tuple(new_crypto(str(tag), suite) for tag, suite in enumerate(suites, 1))


def choose_crypto(media: Media) -> CryptoLine | None:
    """The first offered line we can do; session parameters and MKIs are declined (§7.1.1)."""
    for value in media.values("crypto"):
        fields = value.split()
        suite = _SUITES.get(fields[1].upper()) if len(fields) == 3 else None
        if suite is None:
            continue
        method, _, key_and_more = fields[2].partition(":")
        key, _, more = key_and_more.partition("|")
        if method.lower() != "inline" or ":" in more:  # a lifetime is fine, an MKI is not
            continue
        try:
            raw = base64.b64decode(key + "=" * (-len(key) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(raw) == suite.key_length:
            return CryptoLine(tag=fields[0], suite=fields[1].upper(), key=raw)
    return None


# ── sessions ────────────────────────────────────────────────────────────────────────────────
class ReplayError(SrtpError):
    """The packet came before, or is too old to tell."""


def session(line: CryptoLine, *, inbound: bool) -> SrtpSession:
    """A session for one direction, of up to `MAX_SOURCES` sources."""
    suite = _SUITES[line.suite]
    policy = Policy(
        key=line.key,
        ssrc_type=Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=suite.profile,
    )
    if suite.wide:
        _widen(policy)
    return SrtpSession(policy)


_ROOM = 2048
_TRAILER = 16 + 128 + 4  # tag, MKI, SRTCP index: what libsrtp may write behind a packet
_REPLAYED = (9, 10)  # srtp_err_status_replay_fail, …_replay_old
_packet = ffi.new("char[]", _ROOM)
_bytes = ffi.buffer(_packet)
_length = ffi.new("int *")


class SrtpSession(Session):
    """pylibsrtp's session for packets of any size we take, all through one buffer (there is one
    thread): that halves what a packet costs above libsrtp itself."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self._cdata = self._buffer = None  # 1500 bytes of its own that nobody needs now
        self._context = self._srtp[0]
        self._sources: set[bytes] = set()
        self._source = b""

    def protect(self, packet: bytes) -> bytes:
        """The packet encrypted. Raises `SrtpError`."""
        return self._process(lib.srtp_protect, packet, packet[8:12])

    def unprotect(self, packet: bytes) -> bytes:
        """The packet verified and decrypted. Raises `SrtpError`, `ReplayError`."""
        return self._process(lib.srtp_unprotect, packet, packet[8:12])

    def protect_rtcp(self, packet: bytes) -> bytes:
        """The same for RTCP."""
        return self._process(lib.srtp_protect_rtcp, packet, packet[4:8])

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """The same for RTCP."""
        return self._process(lib.srtp_unprotect_rtcp, packet, packet[4:8])

    def _process(self, work: Callable[[Any, Any, Any], int], packet: bytes, source: bytes) -> bytes:
        size = len(packet)
        known = source == self._source or source in self._sources
        if not known and len(self._sources) >= MAX_SOURCES:
            raise SrtpError("too many sources under one key")
        if not 8 <= size <= _ROOM - _TRAILER:
            raise SrtpError("not the size of a packet")
        _bytes[0:size] = packet
        _length[0] = size
        status = work(self._context, _packet, _length)
        if status:
            if status in _REPLAYED:
                raise ReplayError("a replay")
            raise SrtpError(f"libsrtp says {status}")
        if source != self._source:
            self._source = source
            self._sources.add(source)
        return _bytes[0 : _length[0]]  # type: ignore[no-any-return]


def _widen(policy: Policy) -> None:
    """AES-CM with 256 bits: libsrtp has it, its profiles do not name it. Only the cipher differs
    in the (public) `srtp_crypto_policy_t`: the type and length of its key are the first words."""
    for part in (policy._policy.rtp, policy._policy.rtcp):
        words = ffi.cast("int *", ffi.addressof(part))
        if (words[0], words[1]) != (_AES_ICM_128, 30):
            raise SrtpError("this libsrtp arranges its policies otherwise")
        words[0], words[1] = _AES_ICM_256, 46


_AES_ICM_128, _AES_ICM_256 = 1, 5
