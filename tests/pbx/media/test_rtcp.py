"""RTCP packets: what is read of them, and ours on the wire."""

from __future__ import annotations

import struct

import pytest

from pbx.media.rtcp import BYE, RR, SR, ReportBlock, Reports, parse_reports, report

BLOCK = ReportBlock(
    ssrc=7, lost=-5, jitter=160, fraction=3, highest=70_000, last_sr=9, delay=65_536
)
GOODBYE = bytes([0x82, BYE, 0, 2]) + b"\0\0\0\1\0\0\0\2"
XR = bytes([0x80, 207, 0, 2]) + b"\0\0\0\1" + b"\4\0\0\0"
PICTURE_LOSS = bytes([0x81, 206, 0, 2]) + b"\0\0\0\1\0\0\0\2"


def test_our_report_is_read_back() -> None:
    wire = report(0x01020304, 1_800_000_000.5, 99, 2**32 + 10, 1600, BLOCK)
    found = parse_reports(wire)
    assert found is not None
    assert found.blocks == [BLOCK]
    assert found.sender_time == ((1_800_000_000 + 2_208_988_800) & 0xFFFF) << 16 | 0x8000
    version, kind, words, ssrc, seconds, fraction, timestamp, packets, octets = struct.unpack(
        "!BBHIIIIII", wire[:28]
    )
    assert (version, kind, words) == (0x81, SR, 12)
    assert (ssrc, seconds - 2_208_988_800, fraction) == (0x01020304, 1_800_000_000, 2**31)
    assert (timestamp, packets, octets) == (99, 10, 1600)
    assert wire[52:56] == bytes([0x81, 202, 0, 4])  # the SDES
    assert b"\x01\x0801020304\0" in wire
    assert len(wire) % 4 == 0


def test_who_sent_nothing_makes_a_receiver_report() -> None:
    wire = report(5, 0.0, 0, 0, 0, BLOCK)
    assert wire[:8] == bytes([0x81, RR, 0, 7, 0, 0, 0, 5])
    assert parse_reports(wire) == Reports(blocks=[BLOCK])


def test_a_report_about_nobody() -> None:
    assert parse_reports(report(1, 0.0, 0, 0, 0, None)) == Reports()


@pytest.mark.parametrize(("lost", "told"), [(10**9, 2**23 - 1), (-(10**9), -(2**23))])
def test_loss_is_clamped_to_its_24_bits(lost: int, told: int) -> None:
    found = parse_reports(report(1, 0, 0, 0, 0, ReportBlock(ssrc=1, lost=lost, jitter=0)))
    assert found is not None
    assert found.blocks[0].lost == told


def test_a_compound_packet_is_read_to_its_end() -> None:
    wire = bytes([0x82, RR, 0, 13]) + b"\0\0\0\1" + BLOCK.encode() * 2
    found = parse_reports(wire + XR + PICTURE_LOSS + GOODBYE)
    assert found == Reports(blocks=[BLOCK, BLOCK], gone=[1, 2])


def test_feedback_alone_is_rtcp() -> None:
    """Reduced-size RTCP (RFC 5506)."""
    assert parse_reports(PICTURE_LOSS) == Reports()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\xc8",
        b"\x80\xc9\0",
        b"\x00\xc9\0\1\0\0\0\1",  # STUN begins so
        b"\x81\xc9\0\1\0\0\0\1",  # a block that is not there
        b"\x80\xc9\0\x09\0\0\0\1",  # longer than the datagram
        b"\x80\xc8\0\1\0\0\0\1",  # a sender report without its sender's part
        b"\x9f\xcb\0\1\0\0\0\1",  # 31 who leave, one named
        b"\x80\x08\0\1\0\0\0\1",  # RTP
        b"\x80\xc9\0\1\0\0\0\1\x80",
        b"\x80\xc9\0\1\0\0\0\1\0\0\0\0",
    ],
)
def test_rtcp_invalid(data: bytes) -> None:
    assert parse_reports(data) is None
