"""100rel (RFC 3262), UPDATE (RFC 3311), session timers (RFC 4028), offers that come late
(RFC 3264 §5), forked early dialogs and 3xx, between two real sessions on the in-memory network."""

from __future__ import annotations

import asyncio

import pytest

from pbx.sip.message import Request, Response, parse_message
from pbx.sip.session_timer import MIN_SE, SESSION_EXPIRES
from pbx.vocabulary import CallState
from tests.pbx.messages import request
from tests.pbx.phone import ANSWER, Line, Phone, rings, two_phones
from tests.pbx.sip.test_session import _listener, acknowledge, messages, steps, talking
from tests.pbx.virtual_time import first, network, passing, settled, virtual


def early(line: Line) -> None:
    line.session.progress(183, b"v=0 early")


# ── reliable provisional responses ──────────────────────────────────────────────────────────
@virtual
async def test_early_media_is_acknowledged_by_prack() -> None:
    alice, bob = await two_phones()
    bob.takes = early
    here = await alice.call(bob)
    await settled()
    assert steps() == ["INVITE", "183 Session Progress", "PRACK", "200 OK"]
    progress, prack = messages("INVITE")[1], messages("PRACK")[0]
    assert progress.get("require") == "100rel"
    assert prack.get("rack") == f"{progress.get('rseq')} 1 INVITE"
    bob.lines[0].session.accept(ANSWER)
    await settled()
    assert here.told == ["progress 183", "answered"]
    here.session.end()
    await settled()
    assert [found.cseq.sequence for found in messages("BYE")[:1]] == [3]


@virtual
async def test_a_lost_early_response_is_repeated_until_prack_comes() -> None:
    alice, bob = await two_phones()
    bob.takes = early
    network().lose = first("SIP/2.0 183", times=3)
    here = await alice.call(bob)
    await passing(8)
    assert here.told == ["progress 183"]
    assert steps().count("PRACK") == 1
    repeats = steps().count("183 Session Progress")
    await passing(100)
    assert steps().count("183 Session Progress") == repeats  # no more once it was acknowledged
    assert bob.lines[0].told == []


@virtual
async def test_a_repeated_early_response_is_told_once() -> None:
    alice, bob = await two_phones()
    bob.takes = early
    network().lose = first("PRACK", times=2)
    here = await alice.call(bob)
    await passing(10)
    assert here.told == ["progress 183"]


@virtual
async def test_the_answer_waits_for_the_prack_of_early_media() -> None:
    alice, bob = await two_phones()
    network().lose = first("PRACK", times=1)

    def takes(line: Line) -> None:
        early(line)
        line.session.accept(ANSWER)

    bob.takes = takes
    here = await alice.call(bob)
    await passing(0.3)
    assert here.told == ["progress 183"]
    await passing(5)
    assert here.told == ["progress 183", "answered"]
    assert steps().index("200 OK") < len(steps()) - 2


@virtual
async def test_a_caller_that_never_acknowledges_is_refused() -> None:
    alice, bob = await two_phones()
    bob.takes = early
    network().lose = lambda datagram: datagram.line.startswith("PRACK")
    here = await alice.call(bob)
    await passing(31)
    assert bob.lines[0].told == []
    await passing(2)
    assert bob.lines[0].told == ["ended 504 the caller does not acknowledge by peer"]
    assert here.session.state is CallState.ENDED


@pytest.mark.parametrize("header", ["require", "supported"])
@virtual
async def test_ringing_is_reliable_only_where_the_caller_demands_it(header: str) -> None:
    alice, bob = await two_phones()
    bob.takes = rings
    invite = request(via="192.0.2.1:5060;rport", **{header: "100rel"})
    (await alice.flow_to(bob)).send(invite.encode())
    await settled()
    ringing = messages("INVITE")[-1]
    assert ("rseq" in ringing) == (header == "require")


@virtual
async def test_a_prack_of_nothing_is_481() -> None:
    alice, bob = await two_phones()
    bob.takes = early
    invite = request(via="192.0.2.1:5060;rport", supported="100rel")
    flow = await alice.flow_to(bob)
    flow.send(invite.encode())
    await settled()
    progress = messages("INVITE")[-1]
    for cseq, rack in [(2, "1 9 INVITE"), (3, ""), (4, f"{progress.get('rseq')} 1 INVITE")]:
        prack = request(
            "PRACK", via="192.0.2.1:5060;rport", cseq=cseq, to_tag=progress.to_tag, rack=rack
        )
        flow.send(prack.encode())
        await settled()
    assert [found.status for found in messages("PRACK") if isinstance(found, Response)] == [
        481, 481, 200,
    ]  # fmt: skip


@virtual
async def test_responses_that_follow_wait_their_turn() -> None:
    alice, bob = await two_phones()

    def takes(line: Line) -> None:
        line.session.progress(183, b"v=0 one")
        line.session.progress(183, b"v=0 two")

    bob.takes = takes
    here = await alice.call(bob)
    await settled()
    assert here.bodies == [b"v=0 one", b"v=0 two"]
    assert steps() == ["INVITE", *["183 Session Progress", "PRACK", "200 OK"] * 2]
    numbers = [int(m.get("rseq")) for m in messages("INVITE") if "rseq" in m]
    assert numbers[1] == numbers[0] + 1


# ── UPDATE ──────────────────────────────────────────────────────────────────────────────────
@virtual
async def test_media_change_before_the_answer_by_update() -> None:
    alice, bob = await two_phones()
    bob.takes = early
    here = await alice.call(bob)
    await settled()
    response = await here.session.reoffer(b"v=0 other")
    assert (response.status, response.body) == (200, b"agreed to v=0 other")
    there = bob.lines[0]
    assert there.told == ["reoffer v=0 other"]
    response = await there.session.reoffer(b"v=0 back")
    assert (response.status, response.body) == (200, b"agreed to v=0 back")
    assert here.told[-1] == "reoffer v=0 back"
    assert steps().count("UPDATE") == 2


@virtual
async def test_an_update_before_there_is_early_media_is_for_later() -> None:
    alice, bob = await two_phones()
    bob.takes = rings
    here = await alice.call(bob)
    await settled()
    assert (await here.session.reoffer(b"v=0 other")).status == 491
    update = request(
        "UPDATE", via="192.0.2.1:5060;rport", cseq=7, call_id=here.session.call_id,
        from_tag=here.session.local_tag, to_tag=bob.lines[0].session.local_tag, body=b"v=0 x",
    )  # fmt: skip
    (await alice.flow_to(bob)).send(update.encode())
    await settled()
    refused = messages("UPDATE")[-1]
    assert isinstance(refused, Response)
    assert refused.status == 500
    assert 0 <= int(refused.get("retry-after")) <= 10
    assert bob.lines[0].told == []


@virtual
async def test_an_offer_that_meets_ours_is_491_and_one_that_meets_theirs_500() -> None:
    alice, bob, here, there = await talking()
    held: asyncio.Future[bytes | int] = asyncio.get_running_loop().create_future()

    async def wait(_: bytes) -> bytes | int:
        return await held

    there.reoffer = wait
    ours = asyncio.ensure_future(here.session.reoffer(b"v=0 ours"))
    await settled()
    assert (await there.session.reoffer(b"v=0 theirs")).status == 491  # known at once, here
    for method, sequence in [("UPDATE", 8), ("INVITE", 9)]:
        crossing = request(
            method, via="192.0.2.2:5060;rport", cseq=sequence, call_id=here.session.call_id,
            from_tag=there.session.local_tag, to_tag=here.session.local_tag, body=b"v=0 x",
        )  # fmt: skip
        (await bob.flow_to(alice)).send(crossing.encode())
        second = request(
            method, via="192.0.2.1:5060;rport", cseq=sequence + 90, call_id=here.session.call_id,
            from_tag=here.session.local_tag, to_tag=there.session.local_tag, body=b"v=0 x",
        )  # fmt: skip
        (await alice.flow_to(bob)).send(second.encode())
        await settled()
        answers = [m.status for m in messages(method)[-4:] if isinstance(m, Response)]
        assert sorted(answers)[-2:] == [491, 500]
    held.set_result(b"v=0 fine")
    assert (await ours).status == 200


# ── an offer that comes late ────────────────────────────────────────────────────────────────
@virtual
async def test_a_caller_without_an_offer_answers_ours_in_its_ack() -> None:
    alice, bob = await two_phones()
    bob.takes = lambda line: line.session.accept(b"v=0 our offer")
    invite = request(via="192.0.2.1:5060;rport")
    (await alice.flow_to(bob)).send(invite.encode())
    await settled()
    line = bob.lines[0]
    assert line.session.late_offer
    ack = Request("ACK", invite.uri, b"v=0 the answer")
    ack.set("via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKack")
    for name in ("from", "call-id"):
        ack.copy_header(name, invite)
    ack.copy_header("to", messages("INVITE")[-1])
    ack.set("cseq", "1 ACK")
    ack.set("content-type", "application/sdp")
    for _ in range(2):  # a repeat changes nothing
        (await alice.flow_to(bob)).send(ack.encode())
        await settled()
    assert line.told == ["late answer v=0 the answer"]


@virtual
async def test_an_ack_without_the_answer_says_so() -> None:
    alice, bob = await two_phones()
    bob.takes = lambda line: line.session.accept(b"v=0 our offer")
    invite = request(via="192.0.2.1:5060;rport")
    (await alice.flow_to(bob)).send(invite.encode())
    await settled()
    await acknowledge(alice, bob, invite)
    assert bob.lines[0].told == ["late answer "]


# ── session timers ──────────────────────────────────────────────────────────────────────────
@virtual
async def test_both_sides_find_out_that_the_other_is_gone() -> None:
    alice, bob, here, there = await talking()
    assert messages("INVITE")[-1].get("session-expires") == f"{SESSION_EXPIRES};refresher=uac"
    await passing(SESSION_EXPIRES * 3)
    assert here.session.state is there.session.state is CallState.ANSWERED
    assert steps().count("UPDATE") >= 5  # at half of the time each
    network().lose = lambda _: True
    await passing(SESSION_EXPIRES * 1.1)
    assert here.told[-1] == "ended 408 Request Timeout by peer"
    assert there.told[-1] == "ended 408 the other side is gone by peer"
    await passing(100)
    assert (alice.stack.dialogs, bob.stack.dialogs) == (0, 0)


@virtual
async def test_a_phone_that_knows_no_update_is_refreshed_by_reinvite() -> None:
    _, _, here, there = await talking()
    here.session.dialog.allows_update = False
    await passing(SESSION_EXPIRES * 0.6)
    assert "UPDATE" not in steps()
    assert there.told == ["reoffer v=0 the offer"]  # what was agreed, again
    assert here.session.state is CallState.ANSWERED


@virtual
async def test_an_interval_too_short_for_the_callee_is_asked_again() -> None:
    alice = await Phone("192.0.2.1", "alice").listen()
    bob = Phone("192.0.2.2", "bob")
    heard: list[Request] = []
    wire, _ = await _listener(bob.local, heard)
    here = await alice.call(bob)
    await settled()
    for floor in ("4000", "5000"):
        refused = heard[-1].response(422, to_tag="x")
        refused.set("min-se", floor)
        wire.sendto(refused.encode(), alice.local)
        await settled()
    invites = [found for found in heard if found.method == "INVITE"]
    assert [found.get("session-expires") for found in invites] == ["1800", "4000", "5000"]
    assert [found.get("min-se") for found in invites] == [str(MIN_SE), "4000", "5000"]
    refused = invites[-1].response(422, to_tag="x")
    refused.set("min-se", "6000")
    wire.sendto(refused.encode(), alice.local)
    await settled()
    assert here.told == ["ended 422 Session Interval Too Small by peer"]


@pytest.mark.parametrize(
    ("asked", "granted"),
    [("600;refresher=uac", "600;refresher=uac"), ("600;refresher=uas", "600;refresher=uas"),
     ("600", "600;refresher=uac"), ("99999999999", "86400;refresher=uac"), ("", ""), ("x", "")],
)  # fmt: skip
@virtual
async def test_what_a_caller_asks_for_is_granted(asked: str, granted: str) -> None:
    alice, bob = await two_phones()
    extra = {"session_expires": asked} if asked else {}
    invite = request(via="192.0.2.1:5060;rport", supported="timer", **extra)
    (await alice.flow_to(bob)).send(invite.encode())
    await settled()
    ok = messages("INVITE")[-1]
    assert ok.get("session-expires") == granted
    assert ("timer" in ok.get("require")) == bool(granted)


@virtual
async def test_nobody_is_held_to_a_timer_they_do_not_know() -> None:
    alice, bob = await two_phones()
    invite = request(via="192.0.2.1:5060;rport", session_expires="600")
    (await alice.flow_to(bob)).send(invite.encode())
    await settled()
    assert "session-expires" not in messages("INVITE")[-1]


# ── several phones behind one INVITE, and 3xx ───────────────────────────────────────────────
@virtual
async def test_early_dialogs_of_two_phones_are_kept_apart() -> None:
    alice = await Phone("192.0.2.1", "alice").listen()
    bob = Phone("192.0.2.2", "bob")
    heard: list[Request] = []
    wire, _ = await _listener(bob.local, heard)
    here = await alice.call(bob)
    await settled()
    invite = heard.pop()

    def answer(status: int, tag: str, rseq: int = 0, body: bytes = b"") -> None:
        made = invite.response(status, to_tag=tag)
        made.set("contact", f"<sip:{tag}@192.0.2.2>")
        made.set("record-route", f"<sip:192.0.2.2;lr;for={tag}>")
        if rseq:
            made.set("require", "100rel")
            made.set("rseq", str(rseq))
        made.body = body
        wire.sendto(made.encode(), alice.local)

    answer(183, "desk", 7, b"v=0 desk")
    answer(183, "mobile", 70, b"v=0 mobile")
    answer(183, "desk", 7, b"v=0 desk")  # a repeat
    answer(180, "desk", 9)  # one was lost before this
    answer(180, "desk", 8)
    await settled()
    assert here.told == ["progress 183", "progress 183", "progress 180"]
    assert here.bodies == [b"v=0 desk", b"v=0 mobile", b""]
    assert [(m.method, m.to_tag, m.get("rack"), m.uri) for m in heard] == [
        ("PRACK", "desk", "7 1 INVITE", "sip:desk@192.0.2.2"),
        ("PRACK", "mobile", "70 1 INVITE", "sip:mobile@192.0.2.2"),
        ("PRACK", "desk", "8 1 INVITE", "sip:desk@192.0.2.2"),
    ]
    answer(200, "mobile")  # its SDP came early and reliably
    await settled()
    assert here.told[-1] == "answered"
    assert here.bodies[-1] == b"v=0 mobile"
    assert (heard[-1].method, heard[-1].to_tag) == ("ACK", "mobile")
    assert heard[-1].get("route") == "<sip:192.0.2.2;lr;for=mobile>"


@virtual
async def test_a_flood_of_forks_is_bounded() -> None:
    alice = await Phone("192.0.2.1", "alice").listen()
    bob = Phone("192.0.2.2", "bob")
    heard: list[Request] = []
    wire, _ = await _listener(bob.local, heard)
    here = await alice.call(bob)
    await settled()
    for number in range(200):
        made = heard[0].response(180, to_tag=f"t{number}")
        made.set("contact", "<sip:x@192.0.2.2>")
        wire.sendto(made.encode(), alice.local)
    await settled()
    assert len(here.told) == 10


@virtual
async def test_where_a_3xx_sends_us_is_told() -> None:
    alice, bob = await two_phones()
    bob.takes = rings
    here = await alice.call(bob)
    await settled()
    invite = parse_message(network().datagrams[0].data)
    assert isinstance(invite, Request)
    moved = invite.response(302, to_tag=bob.lines[0].session.local_tag)
    moved.set("contact", ["<sip:205@example.com>;q=0.9, Bob <tel:+442079460321>", "<sip:9@x>"])
    bob.stack.transports.udp_flow(alice.local).send(moved.encode())
    await settled()
    assert here.told[-1] == "ended 302 Moved Temporarily by peer"
    assert here.session.redirects == ["sip:205@example.com", "tel:+442079460321", "sip:9@x"]
