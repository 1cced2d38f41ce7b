"""SDES lines and what libsrtp makes of their keys."""

from __future__ import annotations

import base64
import contextlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.rtp import RtpPacket
from pbx.media.sdp import Media
from pbx.media.srtp import (
    MAX_SOURCES,
    CryptoLine,
    ReplayError,
    SrtpError,
    choose_crypto,
    new_crypto,
    offered_crypto,
    session,
)

KEY = base64.b64encode(bytes(range(30))).decode()
KEYS = {size: base64.b64encode(bytes(range(size))).decode() for size in (28, 30, 44, 46)}
SUITES = {
    "AES_CM_128_HMAC_SHA1_80": (30, 10),
    "AES_CM_128_HMAC_SHA1_32": (30, 4),
    "AES_256_CM_HMAC_SHA1_80": (46, 10),
    "AES_256_CM_HMAC_SHA1_32": (46, 4),
    "AEAD_AES_128_GCM": (28, 16),
    "AEAD_AES_256_GCM": (44, 16),
}
"Octets of key and salt, and of the tag (RFC 4568, 6188, 7714)."
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
        f"1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}",  # too short a key
        f"1 AEAD_AES_128_GCM inline:{KEY}",  # too long
        f"1 AEAD_AES_256_GCM inline:{KEYS[28]}",
        f"1 AES_192_CM_HMAC_SHA1_80 inline:{KEY}",
        f"1 AEAD_AES_128_GCM_8 inline:{KEYS[28]}",
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


@pytest.mark.parametrize(("suite", "size", "tag"), [(k, *v) for k, v in SUITES.items()])
def test_packets_are_protected_and_read_with_the_same_key_only(
    suite: str, size: int, tag: int
) -> None:
    line, other = new_crypto(suite=suite), new_crypto(suite=suite)
    assert len(line.key) == size
    assert choose_crypto(offered(line.attribute()[1])) == line
    wire = session(line, inbound=False).protect(PACKET)
    assert len(wire) == len(PACKET) + tag
    assert PACKET[12:] not in wire
    with pytest.raises(SrtpError):
        session(other, inbound=True).unprotect(wire)
    receiver = session(line, inbound=True)
    assert receiver.unprotect(wire) == PACKET
    with pytest.raises(ReplayError):
        receiver.unprotect(wire)
    report = bytes([0x80, 201, 0, 1, 0, 0, 0, 1])
    sealed = session(line, inbound=False).protect_rtcp(report)
    assert receiver.unprotect_rtcp(sealed) == report


def derived(line: CryptoLine, label: int, size: int, width: int) -> bytes:
    """RFC 3711 §4.3.1 as the RFC has it: AES in counter mode over the salted label."""
    key, salt = line.key[:width], line.key[width:].ljust(14, b"\0")
    start = (int.from_bytes(salt, "big") ^ label << 48) << 16
    cipher = Cipher(algorithms.AES(key), modes.CTR(start.to_bytes(16, "big"))).encryptor()
    return cipher.update(bytes(size))


@pytest.mark.parametrize("suite", SUITES)
def test_another_program_reads_what_we_encrypt(suite: str) -> None:
    """By the RFCs' own words on a library that knows nothing of SRTP."""
    line = new_crypto(suite=suite)
    wire = session(line, inbound=False).protect(PACKET)
    width = len(line.key) - (12 if "GCM" in suite else 14)
    key = derived(line, 0, width, width)
    if "GCM" in suite:
        salt = int.from_bytes(derived(line, 2, 12, width), "big")
        nonce = salt ^ (1 << 48 | 7)  # SSRC, ROC and sequence (RFC 7714 §8.1)
        plain = AESGCM(key).decrypt(nonce.to_bytes(12, "big"), wire[12:], wire[:12])
    else:
        salt = int.from_bytes(derived(line, 2, 14, width), "big")
        counter = (salt << 16) ^ (1 << 64) ^ (7 << 16)  # RFC 3711 §4.1.1
        cipher = Cipher(algorithms.AES(key), modes.CTR(counter.to_bytes(16, "big"))).decryptor()
        size = SUITES[suite][1]
        plain = cipher.update(wire[12:-size])
        auth = hmac.new(derived(line, 1, 20, width), wire[:-size] + bytes(4), "sha1").digest()
        assert wire[-size:] == auth[:size]
    assert plain == PACKET[12:]


def packet(sequence: int, ssrc: int = 1) -> bytes:
    return RtpPacket(
        payload_type=0, sequence=sequence & 0xFFFF, timestamp=0, ssrc=ssrc, payload=b"x" * 20
    ).encode()


@pytest.mark.parametrize("suite", SUITES)
def test_sequence_numbers_wrap_twice(suite: str) -> None:
    """The roll-over counter (RFC 3711 §3.3.1), with losses and disorder around the wraps."""
    line = new_crypto(suite=suite)
    sender, receiver = session(line, inbound=False), session(line, inbound=True)
    for number in range(65_000, 3 * 65_536 - 65_000):
        wire = sender.protect(packet(number))
        if number % 997 == 0 or (number & 0xFFFF) in (0, 65_535) or number % 65_536 > 65_400:
            assert receiver.unprotect(wire) == packet(number)


def test_a_new_source_under_the_same_key_is_heard_until_there_are_too_many() -> None:
    line = new_crypto()
    sender, receiver = session(line, inbound=False), session(line, inbound=True)
    for ssrc in range(1, MAX_SOURCES + 1):
        assert receiver.unprotect(sender.protect(packet(60_000, ssrc))) == packet(60_000, ssrc)
    with pytest.raises(SrtpError):
        sender.protect(packet(1, 9_999))
    with pytest.raises(SrtpError):
        receiver.unprotect(session(line, inbound=False).protect(packet(1, 9_999)))
    assert receiver.unprotect(sender.protect(packet(60_001, 3))) == packet(60_001, 3)


def test_forged_sources_take_no_place() -> None:
    line, forger = new_crypto(), session(new_crypto(), inbound=False)
    receiver = session(line, inbound=True)
    for ssrc in range(2 * MAX_SOURCES):
        if ssrc % MAX_SOURCES == 0:
            forger = session(new_crypto(), inbound=False)
        with pytest.raises(SrtpError):
            receiver.unprotect(forger.protect(packet(1, ssrc)))
    assert receiver.unprotect(session(line, inbound=False).protect(packet(1))) == packet(1)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 11, 1900, 1901, 2048, 5000])
def test_any_size_is_taken_or_refused(size: int) -> None:
    line = new_crypto()
    with contextlib.suppress(SrtpError):
        sealed = session(line, inbound=False).protect(packet(1).ljust(size, b"x")[:size])
        assert session(line, inbound=True).unprotect(sealed)[:8] == packet(1)[:8]
    for work in (session(line, inbound=True).unprotect, session(line, inbound=True).unprotect_rtcp):
        with pytest.raises(SrtpError):
            work(b"\x80" * size)


def test_what_is_offered() -> None:
    for secret_path, count in ((True, 4), (False, 2)):
        lines = offered_crypto(secret_path=secret_path)
        assert [line.tag for line in lines] == [str(n + 1) for n in range(count)]
        assert len({line.key for line in lines}) == count
        assert lines[-1].suite == "AES_CM_128_HMAC_SHA1_32"
        written = offered(*(line.attribute()[1] for line in lines))
        assert choose_crypto(written) == lines[0]


@given(st.integers(0, 180), st.integers(1, 255))
def test_a_changed_bit_is_noticed(position: int, mask: int) -> None:
    line = CryptoLine(tag="1", suite="AES_CM_128_HMAC_SHA1_80", key=bytes(30))
    wire = bytearray(session(line, inbound=False).protect(PACKET))
    wire[position % len(wire)] ^= mask
    with pytest.raises(SrtpError):
        session(line, inbound=True).unprotect(bytes(wire))


@given(st.text(max_size=100))
def test_any_line(value: str) -> None:
    lines = [f"1 {suite} inline:{value}" for suite in SUITES]
    found = choose_crypto(offered(value, *lines))
    assert found is None or len(found.key) == SUITES[found.suite][0]
