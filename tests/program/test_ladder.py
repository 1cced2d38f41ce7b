"""The ladder: a telephone engineer reads a call from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from encryptotel.ladder import draw
from pbx.events import TraceLine

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
PHONE, CARRIER = "udp:127.0.0.1:5062", "udp:192.0.2.1:5060"


def line(ms: int, sent: bool, peer: str, summary: str) -> TraceLine:
    at = START + timedelta(milliseconds=ms)
    return TraceLine(at=at, sent=sent, peer=peer, summary=summary, text="")


def test_arrows_point_the_way_messages_went() -> None:
    drawn = draw(
        [
            line(0, False, PHONE, "INVITE sip:+12025550143@x SIP/2.0"),
            line(1, True, CARRIER, "INVITE sip:+12025550143@carrier SIP/2.0"),
            line(20, False, CARRIER, "SIP/2.0 180 Ringing (INVITE)"),
            line(900, True, PHONE, "SIP/2.0 200 OK (INVITE)"),
        ],
        {PHONE: "101"},
    ).splitlines()
    assert drawn[0].split() == ["101", "EncryptoTel", CARRIER]
    assert drawn[1].split() == [PHONE]
    rows = [row.split("│") for row in drawn[2:]]
    assert rows[0][0].strip() == "0.000"
    assert "INVITE" in rows[0][1]
    assert rows[0][1].endswith("▶")
    assert "INVITE" in rows[1][2]
    assert rows[1][2].endswith("▶")
    assert "180 Ringing" in rows[2][2]
    assert rows[2][2].startswith("◀")
    assert "200 OK (INVITE)" in rows[3][1]
    assert rows[3][1].startswith("◀")


def test_an_empty_trace_says_so() -> None:
    assert "no SIP messages" in draw([])


def test_long_summaries_do_not_break_the_columns() -> None:
    drawn = draw([line(0, False, PHONE, "SIP/2.0 400 " + "x" * 300)]).splitlines()
    assert max(len(row) for row in drawn) < 80
