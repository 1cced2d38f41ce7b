"""Faults that were found once, each with what it did to the user, so that none comes back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from pbx.calls.numbers import from_trunk, to_e164
from pbx.media.jitter import Hole, JitterBuffer
from pbx.media.port import RtcpPort, RtpPort, RtpPorts
from pbx.media.sdp import SdpError, SessionDescription
from pbx.media.session import MediaSession, Profile
from pbx.media.srtp import SrtpPolicy, new_crypto
from pbx.sip.digest import Credentials, DigestServer
from pbx.sip.message import address_value, parse_address, parse_message
from pbx.trace import Recorder, mask
from tests.pbx.messages import request
from tests.pbx.phone import Phone, two_phones
from tests.pbx.sip.test_registrar import DESK, MOBILE, Office
from tests.pbx.sip.test_session import messages, talking
from tests.pbx.test_virtual_time import wires
from tests.pbx.virtual_time import MemoryFlow, network, passing, settled, virtual

HERE, PEER = ("192.0.2.1", 5060), ("192.0.2.9", 5060)


async def closed_by(phone: Phone, data: bytes) -> bool:
    """Whether this datagram, and a call it may start, closes the phone's real socket."""
    at = await phone.stack.transports.listen_udp(("127.0.0.1", 0))
    wire, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=at
    )
    wire.sendto(data)
    for _ in range(100):
        await asyncio.sleep(0)
    for line in phone.lines:
        line.session.accept(b"x")
        line.session.end()
    closed = phone.stack.transports._udp[False]._socket.is_closing()
    wire.close()
    await phone.stack.close()
    return closed


async def two_legs(profile: Profile = Profile.PLAIN) -> tuple[MediaSession, MediaSession]:
    """Two ends of one call, on real ports; the first made the offer."""
    ports = RtpPorts("127.0.0.1", 24_000, 24_400)
    one, two = (MediaSession(ports, "127.0.0.1", SrtpPolicy.OFFER) for _ in range(2))
    await two.take_offer(await one.offer(profile=profile))
    one.take_answer(two.answer())
    return one, two


class NoWire:
    """Where a socket would be."""

    def sendto(self, data: bytes, to: object) -> None:
        pass

    def close(self) -> None:
        pass


def latched(place: tuple[str, int] | None = None) -> tuple[RtpPort, RtcpPort]:
    """A port without sockets whose RTCP goes to this place."""
    owner = RtpPort()
    rtcp = owner._rtcp = RtcpPort(owner, NoWire())
    rtcp._latched = place
    return owner, rtcp


# ── SIP ─────────────────────────────────────────────────────────────────────────────────
async def test_a_via_port_too_large_leaves_the_socket_open() -> None:
    """One datagram with port 99999 in Via closed the UDP socket: no phone worked any more."""
    made = request("OPTIONS", via="127.0.0.1:99999")
    assert not await closed_by(Phone("127.0.0.1", "x"), made.encode())


async def test_a_contact_port_too_large_leaves_the_socket_open() -> None:
    """A call whose Contact had port 99999 closed the UDP socket: no phone worked any more."""
    phone = Phone("127.0.0.1", "x")
    phone.direct = True
    made = request("INVITE", via="127.0.0.1:5060;rport", contact="<sip:a@127.0.0.1:99999>")
    assert not await closed_by(phone, made.encode())


@virtual
async def test_a_branch_comes_back_byte_for_byte() -> None:
    """Phones with signs in the Via branch got it back altered and dropped our answers."""
    await Phone(HERE[0], "x").listen()
    wire = await wires(PEER)
    wire.send(request("OPTIONS", branch="z9hG4bK+d5f0a*1!").encode(), HERE)
    await settled()
    assert "branch=z9hG4bK+d5f0a*1!" in wire.got[0].get("via")


@virtual
async def test_one_register_adds_two_contacts() -> None:
    """Of two contacts in one REGISTER only one was kept: the other phone did not ring."""
    answer = Office().register(f"<{DESK}>;expires=60, <{MOBILE}>", expires=120)
    assert len(answer.get_all("contact")) == 2


def test_a_tag_after_a_space_is_found() -> None:
    """A blank before the tag in To gave the answer two tags: the caller dropped it."""
    made = request("BYE")
    made.set("to", "<sip:b@h>; tag=abc")
    assert made.response(200, to_tag="mine").get("to").count("tag") == 1


def test_a_tag_in_a_display_name_is_no_tag() -> None:
    """A name that looked like a tag left our answer without one: the call never stood."""
    made = request("INVITE")
    made.set("to", '"x;tag=y" <sip:b@h>')
    assert made.response(200, to_tag="mine").to_tag == "mine"


@virtual
async def test_the_ack_of_an_answer_carries_the_credentials() -> None:
    """ACK went without credentials (§13.2.2.4): strict carriers dropped the answered call."""
    alice, bob = await two_phones()
    bob.challenge, bob.secret = DigestServer("e"), "zebra"
    await alice.call(bob, credentials=Credentials(username="alice", secret="zebra"))
    await settled()
    assert "authorization" in messages("ACK")[-1]


@virtual
async def test_the_answer_to_a_reinvite_moves_the_target() -> None:
    """After a phone moved in a re-INVITE, BYE went to its old place: it stayed in the call."""
    _, _, here, there = await talking()
    there.session.dialog.contact = "sip:bob@192.0.2.2:5099"
    await here.session.reoffer(b"x")
    here.session.end()
    await settled()
    assert [line for line in network().ladder() if line.startswith("BYE sip:bob@192.0.2.2:5099")]


@virtual
async def test_hanging_up_ends_a_pending_reinvite() -> None:
    """Hanging up during a re-INVITE left it without 487: the one who asked waited on."""
    _, _, here, there = await talking()

    async def slow(_: bytes) -> bytes:
        await asyncio.sleep(2)
        return b"ok"

    there.reoffer = slow
    task = asyncio.ensure_future(here.session.reoffer(b"x"))
    await passing(1)
    here.session.end()
    await passing(3)
    assert (await task).status == 487


def test_a_scheme_in_capitals_is_sip() -> None:
    """A phone that writes SIP: in capitals could not call anyone."""
    assert request("OPTIONS", uri="SIP:bob@example.com").target.user == "bob"


def test_empty_lines_before_a_datagram_are_skipped() -> None:
    """Requests after empty lines (§7.5) were thrown away: those phones got no answer."""
    assert parse_message(b"\r\n\r\n" + request("OPTIONS").encode()).method == "OPTIONS"


def test_quotes_in_a_display_name_survive() -> None:
    """A caller with quotes in the name was shown with backslashes."""
    assert parse_address(address_value("sip:a@h", 'A "B"')).name == 'A "B"'


# ── media ───────────────────────────────────────────────────────────────────────────────
def test_a_new_stream_with_lower_numbers_is_heard() -> None:
    """When the other side began again with lower sequence numbers, the call went silent."""
    buffer = JitterBuffer(8000)
    for number in range(40_000, 40_010):
        buffer.push(number, number * 160, 0, b"old")
        buffer.next()
    for number in range(20_000, 20_100):
        buffer.push(number, number * 160, 0, b"new")
    taken = buffer.next()
    while isinstance(taken, Hole):
        buffer.filled(taken.ticks)
        taken = buffer.next()
    assert taken is not None
    assert taken.payload == b"new"


async def test_new_keys_of_the_peer_keep_our_counter() -> None:
    """A peer's new key reset the counter of ours: sound was encrypted twice with one keystream."""
    one, two = await two_legs(Profile.SECURE)
    out = two.audio_port.outbound
    try:
        offer = one.local.encode()
        old = one._keys[0][0].attribute()[1].encode()
        await two.take_offer(offer.replace(old, new_crypto("1").attribute()[1].encode()))
        answer = two.answer()
        same_key = (
            two._keys[0][0].attribute()[1].encode() in answer
            and one.remote.media[0].values("crypto")[0].encode() in answer
        )
        assert not same_key or two.audio_port.outbound is out
    finally:
        one.close()
        two.close()


def test_rtcp_does_not_follow_junk() -> None:
    """Any stray datagram took over RTCP: the reports of the call went to a stranger."""
    _, rtcp = latched()
    rtcp.datagram_received(b"junk", ("203.0.113.66", 1))
    assert rtcp._latched is None


def test_rtcp_moves_with_the_sound() -> None:
    """After a re-INVITE to a new place, RTCP still went to the old one."""
    owner, rtcp = latched(("198.51.100.4", 31_001))
    owner.aim(("192.0.2.77", 4000))
    assert rtcp._latched is None


async def test_the_last_port_has_no_rtcp_beside_it() -> None:
    """Port 65535 in SDP sent RTCP to 65536, which closed the socket for the whole call."""
    one, two = await two_legs()
    try:
        port = two.audio_port
        port.aim(("127.0.0.1", 65535))
        port.send_rtcp(b"\x80\xc9\0\1\0\0\0\1")
        assert port._rtcp._wire.fileno() >= 0
    finally:
        one.close()
        two.close()


def test_a_host_name_in_sdp_is_refused_early() -> None:
    """A name where SDP wants an address was accepted: the call stood, without sound."""
    with pytest.raises(SdpError):
        SessionDescription.parse(b"v=0\r\nc=IN IP4 phone.example\r\nm=audio 4000 RTP/AVP 0\r\n")


# ── numbers ─────────────────────────────────────────────────────────────────────────────
def test_ten_digits_from_a_carrier_are_of_its_country() -> None:
    """A caller from Washington was shown with +20, as if from Egypt."""
    assert from_trunk("2025550143", "US") == "+12025550143"


def test_a_number_without_its_area_is_not_international() -> None:
    """Seven digits became +1 and seven digits: a number nobody has was called."""
    assert to_e164("5550143", "US") is None


# ── traces ──────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('Authorization: Digest username="a", response=0123456789abcdef', "0123456789abcdef"),
        ('Authentication-Info: rspauth="0123456789abcdef"', "0123456789abcdef"),
        ("Authorization: Basic YWxpY2U6emVicmE=", "YWxpY2U6emVicmE="),
        ("k=clear:zebra", "zebra"),
        ("a=key-mgmt:mikey AQAFgM0X", "AQAFgM0X"),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline: c2VjcmV0", "c2VjcmV0"),
        (f"Contact: <sip:{'u' * 65}:zebra@h>", "zebra"),
        (f"Contact: <sip:u:{'zebra' * 40}@h>", "zebra"),
    ],
)
def test_no_secret_is_traced(text: str, secret: str) -> None:
    """Traces that people send to others had passwords and keys in them."""
    assert secret not in mask(text)


def test_a_trace_keeps_the_order_of_one_instant() -> None:
    """Messages of the same instant changed places: the trace showed answers before questions."""
    kept = Recorder(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    made = request(call_id="x")
    kept.follow("x", "c")
    kept.on_message(True, made, MemoryFlow())
    kept.on_message(False, made.response(200), MemoryFlow())
    assert [line.sent for line in kept.peek("c")] == [True, False]
