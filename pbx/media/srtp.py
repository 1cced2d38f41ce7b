"""SRTP keys exchanged in SDP (SDES, RFC 4568), and the policy about using them."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pylibsrtp import Error as SrtpError
from pylibsrtp import Policy, Session

from pbx.media.sdp import Media

__all__ = ["CryptoLine", "SrtpError", "SrtpPolicy", "choose_crypto", "new_crypto", "session"]

_KEY_LENGTH = 30
"Master key (16) and salt (14) of both suites, in bytes (RFC 4568 §6.2)."
_PROFILES: Mapping[str, int] = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
}


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
    return CryptoLine(tag=tag, suite=suite, key=secrets.token_bytes(_KEY_LENGTH))


def choose_crypto(media: Media) -> CryptoLine | None:
    """The first offered line we can do; session parameters and MKIs are declined (§7.1.1)."""
    for value in media.values("crypto"):
        fields = value.split()
        if len(fields) != 3 or fields[1].upper() not in _PROFILES:
            continue
        method, _, key_and_more = fields[2].partition(":")
        key, _, more = key_and_more.partition("|")
        if method.lower() != "inline" or ":" in more:  # a lifetime is fine, an MKI is not
            continue
        try:
            raw = base64.b64decode(key + "=" * (-len(key) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(raw) == _KEY_LENGTH:
            return CryptoLine(tag=fields[0], suite=fields[1].upper(), key=raw)
    return None


def session(line: CryptoLine, *, inbound: bool) -> Session:
    """A libsrtp session for one direction, any SSRC."""
    return Session(
        Policy(
            key=line.key,
            ssrc_type=Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND,
            srtp_profile=_PROFILES[line.suite],
        )
    )
