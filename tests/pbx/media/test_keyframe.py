"""Requests for a whole picture, as they are on the wire."""

from __future__ import annotations

import pytest

from pbx.media.keyframe import (
    FAST_UPDATE,
    MEDIA_CONTROL,
    asks_for_keyframe,
    fir,
    pli,
    tells_fast_update,
)
from pbx.media.rtcp import parse_reports, report


def test_the_octets_are_those_of_the_standards() -> None:
    assert pli(1, 2).hex() == "81ce00020000000100000002"
    assert fir(1, 2, 257).hex() == "84ce000400000001000000000000000201000000"


@pytest.mark.parametrize(
    ("data", "asks"),
    [
        (pli(1, 2), True),
        (fir(1, 2, 3), True),
        (bytes.fromhex("80c0000100000001"), True),
        (report(1, 0, 0, 0, 0, None) + pli(1, 2), True),
        (report(1, 0, 0, 0, 0, None), False),
        (bytes.fromhex("81cd0003000000010000000200010000"), False),  # a NACK
        (b"", False),
        (b"\x81\xce", False),
        (b"\xff" * 1500, False),
        (b"\0" * 1500, False),
    ],
)
def test_requests_are_found_in_compounds(data: bytes, asks: bool) -> None:
    assert asks_for_keyframe(data) is asks


def test_they_are_sound_rtcp() -> None:
    assert parse_reports(report(1, 0, 0, 0, 0, None) + pli(1, 2)) is not None
    assert parse_reports(fir(1, 2, 3)) is not None


def test_requests_in_signalling() -> None:
    assert tells_fast_update(MEDIA_CONTROL, FAST_UPDATE)
    assert tells_fast_update("Application/Media_Control+XML; charset=utf-8", FAST_UPDATE)
    assert not tells_fast_update("application/dtmf-relay", FAST_UPDATE)
    assert not tells_fast_update(MEDIA_CONTROL, b"<media_control/>")
    assert not tells_fast_update(MEDIA_CONTROL, b" " * 10_000 + FAST_UPDATE)
