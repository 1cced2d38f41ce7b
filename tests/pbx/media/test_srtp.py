"""SDES lines and what libsrtp makes of their keys."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.rtp import RtpPacket
from pbx.media.sdp import Media
from pbx.media.srtp import CryptoLine, SrtpError, choose_crypto, new_crypto, session

KEY = base64.b64encode(bytes(range(30))).decode()
PACKET = RtpPacket(payload_type=0, sequence=7, timestamp=0, ssrc=1, payload=b"\xff" * 160).encode()


def offered(*lines: str) -> Media:
    return Media(
        kind="audio",
        port=4000,
        protocol="RTP/SAVP",
        formats=("0",),
        attributes=tuple(("crypto", line) for line in lines),
    )


@pytest.mark.parametrize(
    "line",
    [
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 aes_cm_128_hmac_sha1_32 INLINE:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1048576",
    ],
)
def test_lines_we_can_do(line: str) -> None:
    found = choose_crypto(offered(line))
    assert found is not None
    assert (found.tag, found.key) == ("1", bytes(range(30)))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "1",
        "1 AES_CM_128_HMAC_SHA1_80",
        f"1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4",  # an MKI
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP",
        f"1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}",
        "1 AES_CM_128_HMAC_SHA1_80 inline:",
        "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}AAAA",
        "1 AES_CM_128_HMAC_SHA1_80 inline:" + "!" * 40,
        "1 AES_CM_128_HMAC_SHA1_80 inline:é" + KEY[1:],
    ],
)
def test_crypto_invalid(line: str) -> None:
    assert choose_crypto(offered(line)) is None


def test_the_first_usable_line_is_taken() -> None:
    found = choose_crypto(
        offered("1 F8_128_HMAC_SHA1_80 inline:x", f"7 AES_CM_128_HMAC_SHA1_32 inline:{KEY}")
    )
    assert found is not None
    assert (found.tag, found.suite) == ("7", "AES_CM_128_HMAC_SHA1_32")


def test_our_own_line_is_read_back() -> None:
    line = new_crypto("3")
    name, value = line.attribute()
    assert name == "crypto"
    assert choose_crypto(offered(value)) == line
    assert new_crypto().key != new_crypto().key


def test_keys_do_not_show_in_a_log() -> None:
    line = new_crypto()
    assert base64.b64encode(line.key).decode() not in repr(line)
    assert repr(line.key) not in repr(line)


@pytest.mark.parametrize(
    ("suite", "tag"), [("AES_CM_128_HMAC_SHA1_80", 10), ("AES_CM_128_HMAC_SHA1_32", 4)]
)
def test_packets_are_protected_and_read_with_the_same_key_only(suite: str, tag: int) -> None:
    line, other = new_crypto(suite=suite), new_crypto(suite=suite)
    wire = session(line, inbound=False).protect(PACKET)
    assert len(wire) == len(PACKET) + tag
    assert PACKET[12:] not in wire
    with pytest.raises(SrtpError):
        session(other, inbound=True).unprotect(wire)
    receiver = session(line, inbound=True)
    assert receiver.unprotect(wire) == PACKET
    with pytest.raises(SrtpError):  # a replay
        receiver.unprotect(wire)


@given(st.integers(0, 180), st.integers(1, 255))
def test_a_changed_bit_is_noticed(position: int, mask: int) -> None:
    line = CryptoLine(tag="1", suite="AES_CM_128_HMAC_SHA1_80", key=bytes(30))
    wire = bytearray(session(line, inbound=False).protect(PACKET))
    wire[position % len(wire)] ^= mask
    with pytest.raises(SrtpError):
        session(line, inbound=True).unprotect(bytes(wire))


@given(st.text(max_size=100))
def test_any_line(value: str) -> None:
    found = choose_crypto(offered(value, f"1 AES_CM_128_HMAC_SHA1_80 inline:{value}"))
    assert found is None or len(found.key) == 30
