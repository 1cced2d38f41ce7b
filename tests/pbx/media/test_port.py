"""RTP ports: pairs, latching on to who really sends, injection, counting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.port import RtpPort, RtpPorts
from pbx.media.rtp import ReportBlock, RtpPacket, sender_report
from pbx.media.srtp import new_crypto, session

PHONE, MOVED, STRANGER = ("192.0.2.9", 4000), ("198.51.100.4", 31_000), ("203.0.113.66", 6666)


class Wire:
    """In place of the socket."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, tuple[str, int]]] = []

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None:
        self.sent.append((data, addr))

    def close(self) -> None:
        pass


class Port:
    """A port aimed at PHONE, its wire, and what came through."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.port = RtpPort()
        self.port.connection_made(self.wire)  # type: ignore[arg-type]
        self.port.aim(PHONE)
        self.heard: list[bytes] = []
        self.port.sink = self.heard.append

    def gets(self, data: bytes, source: tuple[str, int]) -> bool:
        before = len(self.heard)
        self.port.datagram_received(data, source)
        return len(self.heard) > before

    @property
    def talks_to(self) -> tuple[str, int]:
        self.port.send(rtp(1))
        return self.wire.sent[-1][1]


def rtp(sequence: int) -> bytes:
    return RtpPacket(
        payload_type=0, sequence=sequence & 0xFFFF, timestamp=0, ssrc=1, payload=b"x" * 20
    ).encode()


@pytest.fixture
def made() -> Port:
    return Port()


def test_before_anything_came_the_sdp_decides(made: Port) -> None:
    assert made.talks_to == PHONE


def test_a_phone_behind_nat_is_answered_where_it_sends_from(made: Port) -> None:
    assert made.gets(rtp(1), MOVED)
    assert made.talks_to == MOVED


def test_a_stranger_cannot_inject_into_a_running_stream(made: Port) -> None:
    assert made.gets(rtp(1), MOVED)
    assert not made.gets(rtp(2), STRANGER)
    assert made.talks_to == MOVED
    assert (made.port.stats.received, made.port.stats.rejected) == (1, 1)


def test_a_stranger_who_was_first_loses_it_to_the_phone(made: Port) -> None:
    assert made.gets(rtp(1), STRANGER)
    assert made.gets(rtp(2), PHONE)
    assert made.talks_to == PHONE
    assert not made.gets(rtp(3), STRANGER)


def test_noise_does_not_latch(made: Port) -> None:
    for noise in (b"", b"\x80", b"\0" * 40, b"GET / HTTP/1.1\r\n"):
        assert not made.gets(noise, STRANGER)
    assert made.talks_to == PHONE
    assert made.gets(rtp(1), MOVED)
    assert not made.gets(b"\0" * 40, PHONE)  # not even from the right place
    assert made.talks_to == MOVED


def test_a_reinvite_undoes_the_latch_when_it_names_another_place(made: Port) -> None:
    made.gets(rtp(1), MOVED)
    made.port.aim(PHONE)  # the same again
    assert made.talks_to == MOVED
    made.port.aim(("192.0.2.77", 4000))
    assert made.talks_to == ("192.0.2.77", 4000)
    assert made.gets(rtp(2), STRANGER)


def test_with_srtp_only_the_key_lets_anybody_move_the_stream(made: Port) -> None:
    line = new_crypto()
    made.port.secure(session(line, inbound=True), None)
    sender, forger = session(line, inbound=False), session(new_crypto(), inbound=False)
    assert made.gets(sender.protect(rtp(1)), PHONE)
    assert not made.gets(forger.protect(rtp(2)), STRANGER)
    assert not made.gets(rtp(3), PHONE)
    assert made.talks_to == PHONE
    assert made.gets(sender.protect(rtp(4)), MOVED)  # the phone changed from WLAN to mobile
    assert made.talks_to == MOVED
    assert made.port.stats.rejected == 2


def test_a_recorded_packet_cannot_be_played_again(made: Port) -> None:
    line = new_crypto()
    made.port.secure(session(line, inbound=True), None)
    packet = session(line, inbound=False).protect(rtp(1))
    assert made.gets(packet, PHONE)
    assert not made.gets(packet, STRANGER)
    assert made.talks_to == PHONE


def test_nothing_is_sent_while_held_or_too_long_or_closed(made: Port) -> None:
    made.port.sending = False
    made.port.send(rtp(1))
    made.port.sending = True
    made.port.send(b"\x80" * 1490)
    made.port.close()
    made.port.send(rtp(2))
    assert made.wire.sent == []


# ── counting ────────────────────────────────────────────────────────────────────────────────
def test_losses_are_counted_over_the_wrap(made: Port) -> None:
    for sequence in [65_530, 65_531, 65_534, 65_535, 0, 1, 4]:
        made.gets(rtp(sequence), PHONE)
    assert made.port.lost == 4
    assert made.port.highest_sequence == 65_536 + 4


def test_disorder_is_no_loss(made: Port) -> None:
    for sequence in [10, 12, 11, 14, 13]:
        made.gets(rtp(sequence), PHONE)
    assert made.port.lost == 0


@given(st.integers(0, 65_535), st.sets(st.integers(1, 2_000), max_size=60))
def test_any_loss_is_counted(start: int, missing: set[int]) -> None:
    made = Port()
    for number in range(2_002):
        if number not in missing:
            made.gets(rtp(start + number), PHONE)
    assert made.port.lost == len(missing)


def test_the_peers_report_is_kept(made: Port) -> None:
    report = sender_report(1, 0, 0, 0, 0, ReportBlock(ssrc=1, lost=12, jitter=80))
    made.port._on_rtcp(report, "192.0.2.9")
    assert (made.port.stats.lost_by_peer, made.port.stats.jitter_ms) == (12, 10.0)
    made.port._on_rtcp(b"\0" * 20, "192.0.2.9")
    assert made.port.stats.rejected == 1


@given(st.binary(max_size=100))
def test_any_bytes(data: bytes) -> None:
    made = Port()
    made.gets(data, PHONE)
    made.port._on_rtcp(data, "192.0.2.9")
    made.port.secure(session(new_crypto(), inbound=True), None)
    assert not made.gets(data, PHONE)
    made.port._on_rtcp(data, "192.0.2.9")


# ── the range ───────────────────────────────────────────────────────────────────────────────
def test_pairs_are_even_and_odd_and_taken_in_turn() -> None:
    ports = RtpPorts("127.0.0.1", 23_001, 23_010)
    pairs = [ports.bind() for _ in range(4)]
    numbers = [[sock.getsockname()[1] for sock in pair] for pair in pairs]
    assert all(rtp % 2 == 0 and rtcp == rtp + 1 for rtp, rtcp in numbers)
    assert len({rtp for rtp, _ in numbers}) == 4
    assert all(23_002 <= rtp <= 23_010 for rtp, _ in numbers)
    for pair in pairs:
        for sock in pair:
            sock.close()
    again = ports.bind()[0]
    assert again.getsockname()[1] == 23_010  # not one that was just given back
    again.close()
