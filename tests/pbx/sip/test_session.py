"""Calls between two real stacks over a network in memory, told as what each side hears and as
the first lines on the wire."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.sip.body import SDP
from pbx.sip.digest import Credentials, DigestClient, DigestServer
from pbx.sip.message import Request, Response, parse_message
from pbx.sip.outgoing import ELSEWHERE
from pbx.sip.transport import Transport
from pbx.vocabulary import CallState
from tests.pbx.messages import request
from tests.pbx.phone import ANSWER, OFFER, Line, Phone, after, rings, two_phones
from tests.pbx.virtual_time import (
    first,
    network,
    passing,
    pattern,
    run,
    settled,
    virtual,
)


def steps() -> list[str]:
    """The ladder so far, each line cut to what it is."""
    return [line.split(" sip:")[0].removeprefix("SIP/2.0 ") for line in network().ladder()]


def messages(method: str) -> list[Request | Response]:
    """Everything with this method in its CSeq that arrived."""
    arrived = [parse_message(d.data) for d in network().datagrams if not d.lost]
    return [found for found in arrived if found.cseq.method == method]


async def talking(transport: Transport = "udp") -> tuple[Phone, Phone, Line, Line]:
    """A call that was answered and acknowledged."""
    alice, bob = await two_phones(transport)
    here = await alice.call(bob, transport=transport)
    await settled()
    return alice, bob, here, bob.lines[0]


# ── a call ──────────────────────────────────────────────────────────────────────────────────
@virtual
async def test_a_call_is_answered_and_hung_up_by_the_caller() -> None:
    alice, bob, here, there = await talking()
    assert here.told == ["progress 180", "answered"]
    assert here.bodies == [b"", ANSWER]
    assert here.session.state is there.session.state is CallState.ANSWERED
    here.session.end()
    await settled()
    assert here.told[2:] == ["ended 200 hung up"]
    assert there.told == ["ended 200 hung up by the other side by peer"]
    assert steps() == ["INVITE", "180 Ringing", "200 OK", "ACK", "BYE", "200 OK"]
    await passing(100)
    assert (alice.stack.dialogs, bob.stack.dialogs) == (0, 0)
    assert (len(alice.stack.transactions), len(bob.stack.transactions)) == (0, 0)


@virtual
async def test_a_call_is_hung_up_by_the_callee() -> None:
    _, _, here, there = await talking()
    there.session.end()
    await settled()
    assert here.told[-1] == "ended 200 hung up by the other side by peer"
    assert there.told == ["ended 200 hung up"]
    assert steps()[-2:] == ["BYE", "200 OK"]


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@virtual
async def test_a_call_over_a_connection(transport: Transport) -> None:
    _, _, here, there = await talking(transport)
    assert here.told == ["progress 180", "answered"]
    there.session.end(reason="enough")
    await settled()
    assert here.told[-1].startswith("ended 200")
    assert f";transport={transport}" in there.session.dialog.contact


@virtual
async def test_what_the_messages_of_a_call_carry() -> None:
    _, bob, here, _ = await talking()
    here.session.end(reason="enough")
    await settled()
    invite, ringing, ok = messages("INVITE")
    (ack,) = messages("ACK")
    bye = messages("BYE")[0]
    assert invite.get("contact") == "<sip:alice@192.0.2.1:5060>"
    assert invite.get("content-type") == SDP
    assert invite.body == OFFER
    assert invite.to_tag == ""
    assert ringing.to_tag == ok.to_tag == ack.to_tag == bye.to_tag != ""
    assert ok.get("contact") == "<sip:bob@192.0.2.2:5060>"
    assert {found.call_id for found in (invite, ringing, ok, ack, bye)} == {invite.call_id}
    assert (ack.get("cseq"), bye.get("cseq")) == ("1 ACK", "2 BYE")
    assert isinstance(ack, Request)
    assert ack.uri == "sip:bob@192.0.2.2:5060"  # the Contact of the answer
    assert ack.via.parameters["branch"] != invite.via.parameters["branch"]
    assert bye.get("reason") == 'SIP;cause=200;text="enough"'
    assert bob.requests[0].get("max-forwards") == "70"


@virtual
async def test_early_media_comes_with_its_body() -> None:
    alice, bob = await two_phones()
    bob.takes = lambda line: line.session.progress(183, b"v=0 early")
    here = await alice.call(bob)
    await settled()
    assert (here.told, here.bodies) == (["progress 183"], [b"v=0 early"])
    bob.lines[0].session.accept(ANSWER)
    await settled()
    assert here.told == ["progress 183", "answered"]


@pytest.mark.parametrize("status", [404, 480, 486, 603])
@virtual
async def test_a_refused_call_ends_with_its_status(status: int) -> None:
    alice, bob = await two_phones()
    bob.takes = lambda line: line.session.end(status)
    here = await alice.call(bob)
    await settled()
    assert here.told == [f"ended {status} {messages('INVITE')[-1].reason} by peer"]  # type: ignore[union-attr]
    assert steps()[-1] == "ACK"
    await passing(100)
    assert (alice.stack.dialogs, bob.stack.dialogs) == (0, 0)


@virtual
async def test_nobody_there() -> None:
    alice = await Phone("192.0.2.1", "alice").listen()
    here = await alice.call(Phone("192.0.2.77", "nobody"))
    await passing(31.9)
    assert here.told == []
    await passing(0.2)
    assert here.told == ["ended 408 Request Timeout by peer"]
    assert alice.stack.dialogs == 0


@virtual
async def test_ending_twice_tells_once() -> None:
    _, _, here, there = await talking()
    here.session.end()
    here.session.end()
    there.session.end()  # both hang up at once
    await passing(40)
    assert [told for told in here.told if "ended" in told] == ["ended 200 hung up"]
    assert there.told == ["ended 200 hung up"]


# ── CANCEL, §9 ──────────────────────────────────────────────────────────────────────────────
@virtual
async def test_a_ringing_call_is_cancelled() -> None:
    alice, bob = await two_phones()
    bob.takes = rings
    here = await alice.call(bob)
    await settled()
    here.session.end()
    assert here.told == ["progress 180", "ended 487 cancelled"]
    await settled()
    assert bob.lines[0].told == ["ended 487 cancelled by the caller by peer"]
    assert steps() == [
        "INVITE", "180 Ringing", "CANCEL", "200 OK", "487 Request Terminated", "ACK",
    ]  # fmt: skip
    invite, cancel = messages("INVITE")[0], messages("CANCEL")[0]
    assert cancel.get("via") == invite.get("via")
    assert cancel.get("cseq") == "1 CANCEL"
    await passing(100)
    assert (alice.stack.dialogs, bob.stack.dialogs) == (0, 0)
    assert len(alice.stack.transactions) == 0


@virtual
async def test_the_losers_of_a_race_hear_that_somebody_else_answered() -> None:
    alice, bob = await two_phones()
    bob.takes = rings
    here = await alice.call(bob)
    await settled()
    here.session.end(reason=ELSEWHERE)
    await settled()
    assert messages("CANCEL")[0].get("reason") == f'SIP;cause=200;text="{ELSEWHERE}"'


@virtual
async def test_a_cancel_waits_for_a_provisional_answer() -> None:
    alice, bob = await two_phones()
    bob.takes = after(3.0, rings)
    here = await alice.call(bob)
    await passing(1)
    here.session.end()
    assert here.told == ["ended 487 cancelled"]
    await passing(1.9)
    assert "CANCEL" not in steps()  # §9.1: not before a response came
    await passing(1)
    assert steps()[-4:] == ["CANCEL", "200 OK", "487 Request Terminated", "ACK"]
    assert bob.lines[0].told == ["ended 487 cancelled by the caller by peer"]


@virtual
async def test_a_cancel_that_crosses_the_answer_is_followed_by_bye() -> None:
    alice, bob = await two_phones()
    network().latency = 0.1
    bob.takes = rings
    here = await alice.call(bob)
    await passing(1)
    here.session.end()
    bob.lines[0].session.accept(ANSWER)
    await passing(1)
    assert here.told == ["progress 180", "ended 487 cancelled"]
    assert bob.lines[0].told == ["ended 200 hung up by the other side by peer"]
    assert sorted(steps()[2:]) == sorted(["CANCEL", "200 OK", "200 OK", "ACK", "BYE", "200 OK"])
    await passing(100)
    assert (alice.stack.dialogs, bob.stack.dialogs) == (0, 0)


@virtual
async def test_a_call_answered_before_our_cancel_could_be_sent_is_hung_up() -> None:
    alice, bob = await two_phones()
    bob.takes = after(2.0, lambda line: line.session.accept(ANSWER))
    here = await alice.call(bob)
    await passing(1)
    here.session.end()
    await passing(2)
    assert here.told == ["ended 487 cancelled"]
    assert steps()[-4:] == ["200 OK", "ACK", "BYE", "200 OK"]
    assert bob.lines[0].told == ["ended 200 hung up by the other side by peer"]


@virtual
async def test_a_cancelled_phone_that_never_answers_is_given_up() -> None:
    alice, bob = await two_phones()
    bob.takes = rings
    here = await alice.call(bob)
    await settled()
    network().lose = lambda _: True
    here.session.end()
    await passing(100)
    assert here.told == ["progress 180", "ended 487 cancelled"]
    assert len(alice.stack.transactions) == 0
    assert alice.stack.dialogs == 0


@virtual
async def test_a_cancel_of_nothing_is_481() -> None:
    alice, bob = await two_phones()
    cancel = request("CANCEL", via="192.0.2.1:5060;rport", branch="z9hG4bKnothing")
    (await alice.flow_to(bob)).send(cancel.encode())
    await settled()
    assert steps() == ["CANCEL", "481 Call/Transaction Does Not Exist"]


@virtual
async def test_a_cancel_after_the_answer_changes_nothing() -> None:
    alice, bob = await two_phones()
    flow = await alice.flow_to(bob)
    invite = request(via="192.0.2.1:5060;rport", branch="z9hG4bKlate")
    flow.send(invite.encode())
    await settled()
    flow.send(request("CANCEL", via="192.0.2.1:5060;rport", branch="z9hG4bKlate").encode())
    await settled()
    assert steps()[-1] == "200 OK"
    assert bob.lines[0].session.state is CallState.ANSWERED


# ── the answer and its ACK, §13.3.1.4 ───────────────────────────────────────────────────────
@virtual
async def test_an_answer_that_is_never_acknowledged_ends_with_bye() -> None:
    alice, bob = await two_phones()
    network().lose = lambda datagram: datagram.line.startswith("ACK")
    await alice.call(bob)
    await passing(31)
    assert bob.lines[0].told == []
    await passing(2)
    assert bob.lines[0].told == ["ended 408 the answer was never acknowledged by peer"]
    assert "BYE" in steps()
    assert alice.lines[0].told[-1] == "ended 200 hung up by the other side by peer"


@virtual
async def test_a_lost_ack_is_sent_again_when_the_answer_is_repeated() -> None:
    alice, bob = await two_phones()
    network().lose = first("ACK", times=2)
    here = await alice.call(bob)
    await passing(60)
    assert here.told == ["progress 180", "answered"]  # once
    assert steps().count("200 OK") == 3
    assert steps().count("ACK") == 1
    assert bob.lines[0].session.state is CallState.ANSWERED


@virtual
async def test_a_second_phone_behind_a_forking_proxy_is_acknowledged_and_hung_up() -> None:
    alice = await Phone("192.0.2.1", "alice").listen()
    bob = Phone("192.0.2.2", "bob")
    heard: list[Request] = []
    wire, _ = await _listener(bob.local, heard)
    here = await alice.call(bob)
    await settled()
    invite = heard.pop()
    for tag, contact in [("one", "sip:desk@192.0.2.2"), ("two", "sip:mobile@192.0.2.2")]:
        ok = invite.response(200, to_tag=tag)
        ok.set("contact", f"<{contact}>")
        ok.set("record-route", f"<sip:192.0.2.2;lr;for={tag}>")
        ok.body = b"v=0 " + tag.encode()
        wire.sendto(ok.encode(), alice.local)
    await settled()
    assert here.told == ["answered"]
    assert here.bodies == [b"v=0 one"]
    assert [(found.method, found.to_tag, found.uri) for found in heard] == [
        ("ACK", "one", "sip:desk@192.0.2.2"),
        ("ACK", "two", "sip:mobile@192.0.2.2"),
        ("BYE", "two", "sip:mobile@192.0.2.2"),
    ]
    assert heard[2].get("route") == "<sip:192.0.2.2;lr;for=two>"
    assert heard[1].cseq.sequence == 1
    assert heard[2].cseq.sequence == 2
    assert here.session.state is CallState.ANSWERED


async def _listener(local: tuple[str, int], heard: list[Request]):  # type: ignore[no-untyped-def]
    """A socket that keeps the requests it gets and answers nothing."""

    class Wire(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            found = parse_message(data)
            if isinstance(found, Request):
                heard.append(found)

    loop = asyncio.get_running_loop()
    return await loop.create_datagram_endpoint(Wire, local_addr=local)


# ── re-INVITE, §14 ──────────────────────────────────────────────────────────────────────────
@virtual
async def test_a_reinvite_is_answered_and_acknowledged() -> None:
    _, _, here, there = await talking()
    response = await here.session.reoffer(b"hold")
    assert (response.status, response.body) == (200, b"agreed to hold")
    await settled()
    assert there.told == ["reoffer hold"]
    assert steps()[-4:] == ["INVITE", "100 Trying", "200 OK", "ACK"]
    back = await there.session.reoffer(b"resume")
    assert (back.status, back.body) == (200, b"agreed to resume")
    await passing(60)
    assert steps()[-4:] == ["INVITE", "100 Trying", "200 OK", "ACK"]  # nothing is repeated
    assert here.session.state is there.session.state is CallState.ANSWERED


@virtual
async def test_a_refused_reinvite_leaves_the_call_as_it_was() -> None:
    _, _, here, there = await talking()

    async def refuse(body: bytes) -> bytes | int:
        return 488

    there.reoffer = refuse
    assert (await here.session.reoffer(b"video")).status == 488
    await settled()
    assert here.session.state is there.session.state is CallState.ANSWERED
    here.session.end()
    await settled()
    assert there.told[-1] == "ended 200 hung up by the other side by peer"


@virtual
async def test_a_reinvite_whose_user_fails_is_500(caplog: pytest.LogCaptureFixture) -> None:
    _, _, here, there = await talking()

    async def fail(body: bytes) -> bytes | int:
        raise RuntimeError("no")

    there.reoffer = fail
    assert (await here.session.reoffer(b"hold")).status == 500
    assert "a new offer failed" in caplog.text
    there.reoffer = there._agree
    assert (await here.session.reoffer(b"hold")).status == 200


@virtual
async def test_two_reinvites_that_cross_are_both_refused_491() -> None:
    _, _, here, there = await talking()
    network().latency = 0.05
    ours, theirs = await asyncio.gather(
        here.session.reoffer(b"hold"), there.session.reoffer(b"video")
    )
    assert (ours.status, theirs.status) == (491, 491)
    assert here.told[2:] == there.told == []  # nobody was asked
    assert (await here.session.reoffer(b"again")).status == 200


@virtual
async def test_a_second_reinvite_of_ours_waits_its_turn() -> None:
    _, _, here, _ = await talking()
    network().latency = 0.05
    one, two = await asyncio.gather(here.session.reoffer(b"1"), here.session.reoffer(b"2"))
    assert (one.status, two.status) == (200, 491)


@virtual
async def test_a_reinvite_before_the_answer_or_after_the_end_is_refused_here() -> None:
    alice, bob = await two_phones()
    bob.takes = rings
    here = await alice.call(bob)
    await settled()
    assert (await here.session.reoffer(b"hold")).status == 491
    assert steps() == ["INVITE", "180 Ringing"]


@pytest.mark.parametrize("status", [408, 481])
@virtual
async def test_a_reinvite_that_finds_nobody_ends_the_call(status: int) -> None:
    _, bob, here, _ = await talking()
    if status == 408:
        network().lose = lambda _: True
    else:
        bob.stack._dialogs.clear()
    assert (await here.session.reoffer(b"hold")).status == status
    assert here.told[-1].startswith(f"ended {status}")  # §12.2.1.2


@virtual
async def test_a_reinvite_moves_the_target() -> None:
    alice, bob, here, there = await talking()
    moved = request(
        "INVITE", via="192.0.2.1:5060;rport", cseq=2, call_id=here.session.call_id,
        from_tag=here.session.local_tag, to_tag=here.session.dialog.remote_tag, body=b"v=0",
        contact="<sip:alice@192.0.2.50:5099>",
    )  # fmt: skip
    (await alice.flow_to(bob)).send(moved.encode())
    await settled()
    await acknowledge(alice, bob, moved)
    there.session.end()
    await settled()
    assert there.told == ["reoffer v=0", "ended 200 hung up"]
    assert network().ladder()[-2].startswith("BYE sip:alice@192.0.2.50:5099")


# ── in the dialog, §12.2.2 ──────────────────────────────────────────────────────────────────
def inside(here: Line, method: str, *, cseq: int = 2, body: bytes = b"", **more: str) -> bytes:
    """A request inside a dialog, from alice's side."""
    session = here.session
    return request(
        method, via="192.0.2.1:5060;rport", cseq=cseq, call_id=session.call_id,
        from_tag=more.pop("from_tag", session.local_tag), to_tag=session.dialog.remote_tag,
        body=body, **more,
    ).encode()  # fmt: skip


@virtual
async def test_options_info_and_unknown_methods_inside_a_call() -> None:
    alice, bob, here, there = await talking()
    flow = await alice.flow_to(bob)
    flow.send(inside(here, "OPTIONS", cseq=2))
    flow.send(inside(here, "INFO", cseq=3, body=b"Signal=5"))
    flow.send(inside(here, "PUBLISH", cseq=4))
    await settled()
    assert steps()[-3:] == ["200 OK", "200 OK", "405 Method Not Allowed"]
    assert there.told == ["info Signal=5"]


@virtual
async def test_a_request_out_of_order_is_500() -> None:
    alice, bob, here, there = await talking()
    flow = await alice.flow_to(bob)
    flow.send(inside(here, "INFO", cseq=9, body=b"a"))
    flow.send(inside(here, "BYE", cseq=8))
    await settled()
    assert steps()[-1] == "500 Internal Server Error"
    assert there.told == ["info a"]


@virtual
async def test_a_stranger_who_knows_only_half_the_dialog_gets_481() -> None:
    alice, bob, here, there = await talking()
    flow = await alice.flow_to(bob)
    flow.send(inside(here, "BYE", from_tag="guessed"))
    flow.send(
        request(
            "BYE", via="192.0.2.1:5060;rport", call_id=here.session.call_id, to_tag="x"
        ).encode()
    )
    await settled()
    assert [line for line in steps() if line.startswith("481")] == [
        "481 Call/Transaction Does Not Exist"
    ] * 2
    assert there.session.state is CallState.ANSWERED


@virtual
async def test_a_bye_while_it_rings_ends_the_invite_too() -> None:
    alice, bob = await two_phones()
    bob.takes = rings
    here = await alice.call(bob)
    await settled()
    here.session.dialog.remote_tag = bob.lines[0].session.local_tag
    (await alice.flow_to(bob)).send(inside(here, "BYE"))
    await settled()
    assert "487 Request Terminated" in steps()
    assert bob.lines[0].told == ["ended 200 hung up by the other side by peer"]


@virtual
async def test_an_invite_without_contact_opens_no_dialog() -> None:
    alice, bob = await two_phones()
    invite = request(via="192.0.2.1:5060;rport")
    invite.remove("contact")
    (await alice.flow_to(bob)).send(invite.encode())
    await settled()
    assert steps() == ["INVITE", "400 Bad Request - missing contact"]
    assert bob.stack.dialogs == 0


# ── credentials ─────────────────────────────────────────────────────────────────────────────
ALICE = Credentials(username="alice", secret="zebra")


@pytest.mark.parametrize("proxy", [False, True])
@virtual
async def test_a_challenged_call_is_repeated_with_credentials(proxy: bool) -> None:
    alice, bob = await two_phones()
    bob.challenge, bob.secret, bob.proxy = DigestServer("example.com"), "zebra", proxy
    here = await alice.call(bob, credentials=ALICE)
    await settled()
    assert here.told == ["progress 180", "answered"]
    challenge = "407 Proxy Authentication Required" if proxy else "401 Unauthorized"
    assert steps() == ["INVITE", challenge, "ACK", "INVITE", "180 Ringing", "200 OK", "ACK"]
    one, two = bob.requests
    assert one.call_id == two.call_id
    assert one.from_tag == two.from_tag
    assert (one.get("cseq"), two.get("cseq")) == ("1 INVITE", "2 INVITE")
    assert one.via.parameters["branch"] != two.via.parameters["branch"]
    assert messages("ACK")[-1].cseq.sequence == 2
    here.session.end()
    await settled()
    assert messages("BYE")[0].cseq.sequence == 3


@virtual
async def test_a_wrong_password_ends_the_call_after_two_tries() -> None:
    alice, bob = await two_phones()
    bob.challenge, bob.secret = DigestServer("example.com"), "other"
    here = await alice.call(bob, credentials=ALICE)
    await settled()
    assert here.told == ["ended 401 Unauthorized by peer"]
    assert steps().count("INVITE") == 3


@virtual
async def test_without_credentials_a_challenge_is_a_refusal() -> None:
    alice, bob = await two_phones()
    bob.challenge = DigestServer("example.com")
    here = await alice.call(bob)
    await settled()
    assert here.told == ["ended 401 Unauthorized by peer"]


@virtual
async def test_a_challenged_request_outside_calls_is_repeated_too() -> None:
    alice, bob = await two_phones()
    bob.challenge, bob.secret = DigestServer("example.com"), "zebra"
    made = alice.stack.new_request(
        "REGISTER", "sip:192.0.2.2", from_uri="sip:a@192.0.2.2", to_uri="sip:a@192.0.2.2"
    )
    response = await alice.stack.request(made, await alice.flow_to(bob), DigestClient(ALICE))
    assert response.status == 200
    assert [found.get("cseq") for found in bob.requests] == ["1 REGISTER", "2 REGISTER"]


# ── routes, §12.1.2 and §16.12.1 ────────────────────────────────────────────────────────────
async def routed(*record_route: str) -> list[Request]:
    """The ACK and the BYE of a call whose answer came with these Record-Routes."""
    alice = await Phone("192.0.2.1", "alice").listen()
    bob = Phone("192.0.2.2", "bob")
    heard: list[Request] = []
    wire, _ = await _listener(bob.local, heard)
    here = await alice.call(bob)
    await settled()
    ok = heard.pop().response(200, to_tag="b")
    ok.set("contact", "<sip:bob@192.0.2.2>")
    ok.set("record-route", record_route)
    wire.sendto(ok.encode(), alice.local)
    await settled()
    here.session.end()
    await settled()
    return heard


@virtual
async def test_loose_routing_keeps_the_target_and_turns_the_routes_around() -> None:
    ack, bye = await routed("<sip:p2.example.com;lr>, <sip:p1.example.com;LR=on>")
    for found in (ack, bye):
        assert found.uri == "sip:bob@192.0.2.2"
        assert found.get_all("route") == ["<sip:p1.example.com;LR=on>", "<sip:p2.example.com;lr>"]


@virtual
async def test_a_strict_router_is_served_as_of_old() -> None:
    ack, bye = await routed("<sip:p2.example.com;lr>", "<sip:old.example.com>")
    for found in (ack, bye):
        assert found.uri == "sip:old.example.com"
        assert found.get_all("route") == ["<sip:p2.example.com;lr>", "<sip:bob@192.0.2.2>"]


async def acknowledge(alice: Phone, bob: Phone, invite: Request) -> None:
    """The ACK of a hand-made INVITE's 200."""
    ack = Request("ACK", invite.uri)
    for name in ("via", "from", "call-id"):
        ack.copy_header(name, invite)
    ack.set("via", invite.get("via") + "ack")
    ack.copy_header("to", messages("INVITE")[-1])
    ack.set("cseq", f"{invite.cseq.sequence} ACK")
    (await alice.flow_to(bob)).send(ack.encode())
    await settled()


@virtual
async def test_a_callee_keeps_the_routes_in_order_and_returns_them() -> None:
    alice, bob = await two_phones()
    invite = request(
        via="192.0.2.1:5060;rport", record_route="<sip:p1.example.com;lr>,<sip:p2.example.com;lr>"
    )
    (await alice.flow_to(bob)).send(invite.encode())
    await settled()
    ok = messages("INVITE")[-1]
    assert ok.get_all("record-route") == ["<sip:p1.example.com;lr>,<sip:p2.example.com;lr>"]
    await acknowledge(alice, bob, invite)
    bob.lines[0].session.end()
    await settled()
    bye = messages("BYE")[0]
    assert bye.get_all("route") == ["<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"]


@virtual
async def test_between_servers_requests_follow_the_contact() -> None:
    alice, bob = await two_phones()
    elsewhere: list[Request] = []
    await _listener(("192.0.2.60", 5070), elsewhere)
    bob.direct = True
    invite = request(via="192.0.2.1:5060;rport", contact="<sip:alice@192.0.2.60:5070>")
    (await alice.flow_to(bob)).send(invite.encode())
    await settled()
    await acknowledge(alice, bob, invite)
    bob.lines[0].session.end()
    await settled()
    assert [found.method for found in elsewhere] == ["BYE"]


@virtual
async def test_to_phones_requests_go_where_they_come_from() -> None:
    alice, bob = await two_phones()
    invite = request(via="192.0.2.1:5060;rport", contact="<sip:alice@10.0.0.7:5070>")
    (await alice.flow_to(bob)).send(invite.encode())
    await settled()
    await acknowledge(alice, bob, invite)
    bob.lines[0].session.end()
    await settled()
    bye = network().datagrams[-2]
    assert bye.line.startswith("BYE sip:alice@10.0.0.7:5070")
    assert bye.to == alice.local


# ── loss ────────────────────────────────────────────────────────────────────────────────────
async def whole_call() -> tuple[Line, Line]:
    """A call with a re-INVITE, whatever the network does."""
    alice, bob = await two_phones()
    network().latency = 0.02
    bob.takes = lambda line: (rings(line), after(2.0, lambda it: it.session.accept(ANSWER))(line))  # type: ignore[func-returns-value]
    here = await alice.call(bob)
    await passing(40)
    assert here.session.state is CallState.ANSWERED, steps()
    response = await here.session.reoffer(b"hold")
    assert response.status == 200
    await passing(40)
    assert here.session.state is CallState.ANSWERED, steps()
    here.session.end()
    await passing(40)
    return here, bob.lines[0]


@pytest.mark.parametrize(
    "losses",
    ["x....", ".x...", "..x..", "...x.", "....x", "xx........", ".....xx...", "x..x......"],
)
@virtual
async def test_with_a_fifth_of_the_packets_lost_calls_complete(losses: str) -> None:
    network().lose = pattern(losses)
    here, there = await whole_call()
    assert any(datagram.lost for datagram in network().datagrams)
    assert here.told[-1] == "ended 200 hung up"
    assert there.told == ["reoffer hold", "ended 200 hung up by the other side by peer"]


@given(st.lists(st.booleans(), min_size=20, max_size=20))
@settings(max_examples=60, deadline=None)
def test_no_pattern_of_loss_leaves_a_call_or_a_timer_behind(marks: list[bool]) -> None:
    async def course() -> None:
        alice, bob = await two_phones()
        lost = iter(marks)
        network().lose = lambda _: next(lost, False)
        here = await alice.call(bob)
        await passing(50)
        here.session.end()
        await passing(200)
        assert here.session.state is CallState.ENDED
        assert all(line.session.state is CallState.ENDED for line in bob.lines)
        assert len(bob.lines) <= 1
        assert (alice.stack.dialogs, bob.stack.dialogs) == (0, 0)
        assert (len(alice.stack.transactions), len(bob.stack.transactions)) == (0, 0)

    run(course())


@virtual
async def test_duplicated_packets_are_heard_once() -> None:
    alice, bob = await two_phones()
    sent = network().cast

    def twice(data: bytes, source: tuple[str, int], to: tuple[str, int]) -> None:
        sent(data, source, to)
        sent(data, source, to)

    network().cast = twice  # type: ignore[method-assign]
    here = await alice.call(bob)
    await settled()
    here.session.end()
    await settled()
    # phones do repeat a 180, so each is passed on
    assert here.told == ["progress 180", "progress 180", "answered", "ended 200 hung up"]
    assert len(bob.lines) == 1
    assert bob.lines[0].told == ["ended 200 hung up by the other side by peer"]


@virtual
async def test_a_connection_that_breaks_while_it_rings_ends_the_call() -> None:
    alice, bob = await two_phones("tcp")
    bob.takes = rings
    here = await alice.call(bob, transport="tcp")
    await settled()
    here.session.flow.close()
    await settled()
    assert here.told == ["progress 180", "ended 503 Service Unavailable by peer"]
