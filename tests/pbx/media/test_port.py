"""RTP ports: pairs, latching on to who really sends, injection, counting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.port import RtpPort, RtpPorts
from pbx.media.rtcp import ReportBlock, report
from pbx.media.rtp import RtpPacket
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
        self.now = 0.0
        self.port = RtpPort(clock=lambda: self.now)
        self.port.attach(self.wire, self.wire)
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


def rtp(sequence: int, *, rtp_time: int = 0) -> bytes:
    return RtpPacket(
        payload_type=0, sequence=sequence & 0xFFFF, timestamp=rtp_time, ssrc=1, payload=b"x" * 20
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
    assert (made.port.received, made.port.stats.rejected) == (1, 1)


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
    assert (made.port.stats.rejected, made.port.stats.replayed) == (0, 1)


def test_nothing_is_sent_while_held_or_too_long_or_closed(made: Port) -> None:
    made.port.sending = False
    made.port.send(rtp(1))
    made.port.sending = True
    made.port.secure(None, session(new_crypto(), inbound=False))
    made.port.send(b"\x80" * 2000)
    assert made.port.stats.unsent == 1
    made.port.close()
    made.port.send(rtp(2))
    assert made.wire.sent == []


# ── counting ────────────────────────────────────────────────────────────────────────────────
def test_losses_are_counted_over_the_wrap(made: Port) -> None:
    for sequence in [65_530, 65_531, 65_534, 65_535, 0, 1, 4]:
        made.gets(rtp(sequence), PHONE)
    assert made.port.lost == 4
    block = made.port.report_block()
    assert block is not None
    assert (block.highest, block.lost) == (65_536 + 4, 4)


@given(st.integers(0, 65_535), st.sets(st.integers(1, 2_000), max_size=60))
def test_any_loss_is_counted(start: int, missing: set[int]) -> None:
    made = Port()
    for number in range(2_002):
        if number not in missing:
            made.gets(rtp(start + number), PHONE)
    assert made.port.lost == len(missing)


def test_jitter_is_measured(made: Port) -> None:
    """Every other packet 10 ms late: neighbours differ by 10 ms."""
    for number in range(2_000):
        made.now = number * 0.02 + (0.01 if number % 2 else 0.0)
        made.gets(rtp(number, rtp_time=160 * number), PHONE)
    assert made.port.stats.jitter_ms == pytest.approx(10, abs=0.1)
    block = made.port.report_block()
    assert block is not None
    assert block.jitter in (79, 80)


# ── RTCP ────────────────────────────────────────────────────────────────────────────────────
def test_the_peers_report_is_kept(made: Port) -> None:
    for number in range(100):
        made.port.send(rtp(number))
    told = report(1, 0, 0, 1, 0, ReportBlock(ssrc=1, lost=12, jitter=80))
    assert made.port.takes_rtcp(told)
    assert made.port.stats.lost_by_peer == 12
    quality = made.port.quality
    assert (quality.peer_loss, quality.peer_jitter) == (0.12, 0.01)
    made.port.takes_rtcp(report(1, 0, 0, 1, 0, ReportBlock(ssrc=2, lost=1, jitter=0)))
    assert made.port.stats.lost_by_peer == 13  # of another source of ours
    assert not made.port.takes_rtcp(b"\0" * 20)
    assert made.port.stats.rejected == 1


def test_the_round_trip_is_measured_in_the_middle_of_a_call(made: Port) -> None:
    """A report of the other leg's phone passes through; this leg's phone answers it."""
    made.now = 50.0
    sent = report(7, 1_800_000_000.25, 0, 1, 160, None)
    made.port.send_rtcp(sent)
    made.now = 53.04
    about = ReportBlock(
        ssrc=7, lost=0, jitter=0, last_sr=int.from_bytes(sent[10:14], "big"), delay=3 * 65_536
    )
    assert made.port.takes_rtcp(report(1, 0, 0, 0, 0, about))
    assert made.port.quality.round_trip == pytest.approx(0.04, abs=1e-3)


def test_our_report_tells_the_peer_how_old_its_own_is(made: Port) -> None:
    made.gets(rtp(1), PHONE)
    made.now = 10.0
    theirs = report(1, 1_800_000_000.5, 0, 1, 0, None)
    assert made.port.takes_rtcp(theirs)
    made.now = 12.5
    block = made.port.report_block()
    assert block is not None
    assert block.last_sr == int.from_bytes(theirs[10:14], "big")
    assert block.delay == int(2.5 * 65_536)


@pytest.mark.parametrize("source", [STRANGER, (PHONE[0], 4003)])
def test_rtcp_of_a_stranger_is_not_taken_and_not_answered(
    made: Port, source: tuple[str, int]
) -> None:
    """Nor of a neighbour on the phone's own host, or behind its NAT."""
    rtcp = made.port._rtcp
    assert rtcp is not None
    made.port.aim(PHONE, None, PHONE[0])
    for sound in (None, PHONE):
        if sound is not None:
            made.gets(rtp(1), sound)
        rtcp.datagram_received(report(1, 0, 0, 1, 0, None), source)
        assert made.wire.sent == []
        made.port.send_rtcp(report(1, 0, 0, 1, 0, None))
        assert [to for _, to in made.wire.sent] == [(PHONE[0], PHONE[1] + 1)]
        made.wire.sent.clear()
    assert made.port.stats.rejected == 2


def test_rtcp_of_a_phone_behind_nat_comes_from_where_its_sound_does(made: Port) -> None:
    rtcp = made.port._rtcp
    assert rtcp is not None
    theirs = report(1, 0, 0, 1, 0, None)
    rtcp.datagram_received(theirs, (MOVED[0], 31_001))
    made.gets(rtp(1), MOVED)
    rtcp.datagram_received(theirs, STRANGER)
    assert made.port.stats.rejected == 2
    rtcp.datagram_received(theirs, (MOVED[0], 31_001))
    rtcp.datagram_received(theirs, (MOVED[0], 31_002))  # another one there is late
    made.port.send_rtcp(theirs)
    assert made.wire.sent[-1][1] == (MOVED[0], 31_001)
    assert made.port.stats.rejected == 3


def test_with_srtp_rtcp_moves_with_who_has_the_key(made: Port) -> None:
    line, ours = new_crypto(), new_crypto()
    made.port.secure(session(line, inbound=True), session(ours, inbound=False))
    rtcp, phone = made.port._rtcp, session(line, inbound=False)
    assert rtcp is not None
    first = phone.protect_rtcp(report(1, 0, 0, 1, 0, None))
    rtcp.datagram_received(first, (PHONE[0], 4001))
    rtcp.datagram_received(first, STRANGER)
    assert made.port.stats.replayed == 1
    rtcp.datagram_received(phone.protect_rtcp(report(1, 0, 0, 1, 0, None)), (MOVED[0], 31_001))
    made.port.send_rtcp(report(9, 0, 0, 1, 0, None))
    assert made.wire.sent[-1][1] == (MOVED[0], 31_001)


# ── real sockets ────────────────────────────────────────────────────────────────────────────
class Phone:
    """A socket of our own on a loopback address."""

    def __init__(self, host: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)

    @property
    def place(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()
        return host, port

    def sends(self, data: bytes, to: RtpPort) -> None:
        self.socket.sendto(data, ("127.0.0.1", to.port))

    def got(self) -> list[bytes]:
        found: list[bytes] = []
        while True:
            try:
                found.append(self.socket.recv(2048))
            except BlockingIOError:
                return found


class Real:
    """A port with real sockets, a phone where its SDP says, and what came through."""

    def __init__(self, port: RtpPort) -> None:
        self.port = port
        self.phone, self.stranger = Phone("127.0.0.2"), Phone("127.0.0.2")
        self.heard: list[bytes] = []
        port.sink = self.heard.append
        port.aim(self.phone.place, None, "127.0.0.2")

    async def hears(self, count: int) -> bool:
        """Whether so many packets came through; everything sent has arrived (it is loopback)."""
        for _ in range(200):
            if len(self.heard) >= count:
                break
            await asyncio.sleep(0)
        return len(self.heard) == count

    def close(self) -> None:
        self.port.close()
        self.phone.socket.close()
        self.stranger.socket.close()


@pytest.fixture
async def real() -> AsyncIterator[Real]:
    made = Real(await RtpPort.open(RtpPorts("127.0.0.1", 25_000, 25_998)))
    yield made
    made.close()


async def test_the_kernel_keeps_strangers_out_once_nobody_may_take_over(real: Real) -> None:
    real.phone.sends(rtp(1), real.port)
    assert await real.hears(1)
    assert real.port._connected
    real.stranger.sends(rtp(2), real.port)
    real.phone.sends(rtp(3), real.port)
    assert await real.hears(2)
    assert real.heard == [rtp(1), rtp(3)]
    real.port.send(rtp(9))
    assert (real.phone.got(), real.stranger.got()) == ([rtp(9)], [])


async def test_what_a_stranger_sent_before_is_checked(real: Real) -> None:
    """It was in the queue already when the socket was connected."""
    real.phone.sends(rtp(1), real.port)
    for number in range(20):
        real.stranger.sends(rtp(100 + number), real.port)
    real.phone.sends(rtp(2), real.port)
    assert await real.hears(2)
    assert real.heard == [rtp(1), rtp(2)]
    assert real.port.stats.rejected == 20


async def test_who_is_elsewhere_than_its_sdp_says_can_be_ousted(real: Real) -> None:
    """So that socket is not connected: the phone may still turn up."""
    real.stranger.sends(rtp(1), real.port)
    assert await real.hears(1)
    assert not real.port._connected
    real.phone.sends(rtp(2), real.port)
    assert await real.hears(2)
    assert real.port._connected


async def test_a_reinvite_frees_the_socket(real: Real) -> None:
    real.phone.sends(rtp(1), real.port)
    assert await real.hears(1)
    real.port.aim(real.stranger.place, None, "127.0.0.2")
    assert not real.port._connected
    real.stranger.sends(rtp(2), real.port)
    assert await real.hears(2)
    real.port.send(rtp(9))
    assert (real.phone.got(), real.stranger.got()) == ([], [rtp(9)])


async def test_who_has_the_key_may_move_so_the_socket_stays_free(real: Real) -> None:
    line = new_crypto()
    sender = session(line, inbound=False)
    real.port.secure(session(line, inbound=True), None)
    real.phone.sends(sender.protect(rtp(1)), real.port)
    assert await real.hears(1)
    real.stranger.sends(sender.protect(rtp(2)), real.port)  # it has the key: the phone, moved
    assert await real.hears(2)
    real.port.send(rtp(9))
    assert (real.phone.got(), real.stranger.got()) == ([], [rtp(9)])


async def test_a_phone_that_is_gone_for_a_moment_does_no_harm(real: Real) -> None:
    """Its closed port is reported by ICMP, to a connected socket as an error."""
    real.phone.sends(rtp(1), real.port)
    assert await real.hears(1)
    place = real.phone.place
    real.phone.socket.close()
    for number in range(5):
        real.port.send(rtp(number))
    await asyncio.sleep(0)
    assert real.port.stats.unsent > 0
    real.phone = Phone("127.0.0.2")
    real.phone.socket.close()
    real.phone.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    real.phone.socket.bind(place)
    real.phone.socket.setblocking(False)
    real.phone.sends(rtp(2), real.port)
    assert await real.hears(2)
    real.port.send(rtp(9))
    assert real.phone.got() == [rtp(9)]


async def test_a_wildcard_port_is_not_tied_to_an_address_the_peer_was_not_told() -> None:
    for told, tied in (("203.0.113.1", False), ("127.0.0.1", True)):
        made = Real(await RtpPort.open(RtpPorts("0.0.0.0", 25_000, 25_998), told))
        made.phone.sends(rtp(1), made.port)
        assert await made.hears(1)
        assert made.port._connected is tied
        made.phone.sends(rtp(2), made.port)
        assert await made.hears(2)
        made.port.send(rtp(9))
        assert made.phone.got() == [rtp(9)]
        made.close()


async def test_over_ipv6_too() -> None:
    port = await RtpPort.open(RtpPorts("::1", 25_000, 25_998))
    heard: list[bytes] = []
    port.sink = heard.append
    phone = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    phone.bind(("::1", 0))
    phone.settimeout(5)
    port.aim(phone.getsockname()[:2])
    for number in (1, 2):
        phone.sendto(rtp(number), ("::1", port.port))
        for _ in range(200):
            await asyncio.sleep(0)
    assert heard == [rtp(1), rtp(2)]
    assert port._connected
    port.send(rtp(9))
    assert phone.recv(100) == rtp(9)
    port.aim(("::1", 9))
    assert not port._connected
    port.close()
    phone.close()


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
