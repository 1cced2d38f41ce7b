"""RTP and telephone events: packets in, values out, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.rtp import (
    DIGITS,
    RtpPacket,
    event_digit,
    event_payload,
    parse_rtp,
)

PACKET = RtpPacket(
    payload_type=8, sequence=65_535, timestamp=2**32 - 1, ssrc=0xDEADBEEF, payload=b"abc"
)
HEADER = bytes.fromhex("8008ffffffffffffdeadbeef")


def test_a_packet_on_the_wire() -> None:
    assert PACKET.encode() == HEADER + b"abc"
    assert parse_rtp(HEADER + b"abc") == PACKET


@given(
    st.integers(0, 127), st.integers(0, 65_535), st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1), st.binary(max_size=200), st.booleans(),
)  # fmt: skip
def test_round_trip(kind: int, seq: int, time: int, ssrc: int, payload: bytes, mark: bool) -> None:
    made = RtpPacket(
        payload_type=kind, sequence=seq, timestamp=time, ssrc=ssrc, payload=payload, marker=mark
    )
    assert parse_rtp(made.encode()) == made


def test_sources_extensions_and_padding_are_skipped() -> None:
    wire = b"\xb2" + HEADER[1:] + b"CSRCcsrc" + b"\0\1\0\2" + b"extwords" + b"abc" + b"\0\0\3"
    found = parse_rtp(wire)
    assert found is not None
    assert found.payload == b"abc"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEADER[:-1],
        b"\x00" + HEADER[1:],
        b"\x40" + HEADER[1:],
        b"\x81" + HEADER[1:] + b"abc",  # a source that is not there
        b"\x90" + HEADER[1:] + b"\0\1\0",
        b"\x90" + HEADER[1:] + b"\0\1\xff\xff",
        b"\xa0" + HEADER[1:] + b"abc\0",
        b"\xa0" + HEADER[1:] + b"abc\5",
    ],
)
def test_rtp_invalid(data: bytes) -> None:
    assert parse_rtp(data) is None


@given(st.binary(max_size=80), st.sampled_from([b"\x80", b"\xb5", b"\xaf", b""]))
def test_any_bytes(data: bytes, start: bytes) -> None:
    found = parse_rtp(start + data)
    assert found is None or len(found.payload) <= len(data)


# ── telephone events, RFC 4733 ──────────────────────────────────────────────────────────────
def test_an_event_on_the_wire() -> None:
    assert event_payload("#", end=True, duration=1440) == bytes([11, 0x8A, 0x05, 0xA0])
    assert event_payload("0", end=False, duration=160) == bytes([0, 0x0A, 0, 160])


@pytest.mark.parametrize("digit", DIGITS)
def test_every_digit_is_read_back(digit: str) -> None:
    assert event_digit(event_payload(digit, end=False, duration=160)) == (digit, False)
    assert event_digit(event_payload(digit, end=True, duration=160)) == (digit, True)


@pytest.mark.parametrize("payload", [b"", b"\1\0\0", b"\x10\0\0\0", b"\xff\0\0\0"])
def test_event_invalid(payload: bytes) -> None:
    assert event_digit(payload) is None
