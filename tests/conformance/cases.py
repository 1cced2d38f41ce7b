"""What is played: each case is one behaviour of an RFC, shown by one or more SIPp sides."""

from __future__ import annotations

from .field import Case
from .scenario import CONTACT, HERE, SERVER, Callee, Caller, sdp


def phone(**options: bool) -> Caller:
    """A phone that calls, and is challenged."""
    return Caller(**options)


def carrier() -> Caller:
    """A carrier that calls: known by its address."""
    return Caller(auth=False)


def takes_and_waits(linger: int = 300) -> Callee:
    """The ordinary callee: rings, answers, waits for BYE."""
    side = Callee().invited().takes()
    side.hung_up().linger(linger)
    return side


def calls_and_waits(**options: str) -> Caller:
    """The ordinary caller that is hung up on."""
    side = phone().invite(**options).answered()  # type: ignore[arg-type]
    side.hung_up().linger()
    return side


def calls_and_hangs_up(pause: int = 200) -> Caller:
    side = phone().invite().answered()
    side.pause(pause).hang_up()
    return side


# ── RFC 3261: the call ──────────────────────────────────────────────────────────────────────
BASIC = [
    Case(
        name="caller hangs up", rfc="RFC 3261 §13, §15",
        caller=calls_and_hangs_up(), callee=takes_and_waits(),
        journal={"answered": True, "legs": 2},
    ),
    Case(
        name="callee hangs up", rfc="RFC 3261 §15",
        caller=calls_and_waits(),
        callee=Callee().invited().takes().pause(200).hang_up(),
        journal={"answered": True},
    ),
    Case(
        name="over TCP", rfc="RFC 3261 §18.3", transport="tcp",
        caller=calls_and_hangs_up(), callee=takes_and_waits(),
    ),
    Case(
        name="compact headers", rfc="RFC 3261 §7.3.3",
        caller=phone(compact=True).invite().answered().pause(100).hang_up(),
        callee=Callee(compact=True).invited().takes().hung_up().linger(),
    ),
    Case(
        name="rport and received", rfc="RFC 3581 §4", callee=takes_and_waits(),
        caller=phone().invite().expect(100, has=("rport=[0-9]+", "received="))
        .answered().hang_up(),
    ),
    Case(
        name="responses keep tag, Call-ID and CSeq", rfc="RFC 3261 §8.2.6",
        caller=phone().invite().answered(
            has=("To: [^>]*>;tag=[^;]+", "Contact: *<sip:", "CSeq: 2 INVITE", "Allow: "))
        .hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="busy", rfc="RFC 3261 §21.4.24",
        caller=phone().invite().refused(486), callee=Callee().invited().refuses(486),
        journal={"answered": False, "cause": "busy"},
    ),
    Case(
        name="declined everywhere", rfc="RFC 3261 §16.7",
        caller=phone().invite().refused(603), callee=Callee().invited().refuses(603),
    ),
    Case(
        name="early media, then the answer", rfc="RFC 3960 §3.2",
        caller=phone().invite().expect(100, optional=True).expect(180, optional=True)
        .expect(183, has="m=audio").answered().hang_up(),
        callee=Callee().invited().respond(183, body=sdp()).pause(100)
        .respond(200, body=sdp(), retrans=True).expect("ACK").hung_up().linger(),
    ),
    Case(
        name="the answer is repeated until the ACK", rfc="RFC 3261 §13.3.1.4",
        caller=phone().invite().rings().expect(200, rrs=True).pause(1200).ack().pause(100)
        .hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="an answer that comes again is acknowledged again", rfc="RFC 6026 §7.2",
        caller=calls_and_hangs_up(700),
        callee=Callee().invited().takes().respond(200, body=sdp()).expect("ACK")
        .hung_up().linger(),
        journal={"answered": True, "legs": 2},
    ),
    Case(
        name="no BYE before the ACK", rfc="RFC 3261 §15",
        caller=phone().invite().rings().expect(200, rrs=True).pause(900).ack()
        .expect("BYE", within=3000).answer(200, contact=False),
        callee=Callee().invited().takes().pause(100).hang_up(),
    ),
    Case(
        name="a CSeq out of order in the dialog", rfc="RFC 3261 §12.2.2",
        caller=phone().invite().answered().request("INFO", cseq=50).expect(200)
        .request("INFO", cseq=7).expect(500).request("BYE", cseq=51).expect(200),
        callee=takes_and_waits(),
    ),
    Case(
        name="BYE in a dialog that is none", rfc="RFC 3261 §15.1.2",
        caller=carrier().outside("BYE", tag="nobody").expect(481),
    ),
    Case(
        name="both hang up at once", rfc="RFC 3261 §15",
        caller=phone().invite().answered().pause(300).request("BYE", name="bye")
        .expect("BYE", optional=True).expect(200, txn="bye"),
        callee=Callee().invited().takes().expect("BYE").request("BYE", name="mine")
        .expect(481, txn="mine"),
        journal={"answered": True, "legs": 2},
    ),
    Case(
        name="BYE before the answer", rfc="RFC 3261 §15",
        caller=phone().invite().expect(100, optional=True).expect(180, rrs=True)
        .request("BYE", name="bye").expect(200, txn="bye").expect(487, txn="invite2")
        .ack_refused(),
        callee=Callee().invited().respond(180).expect("CANCEL").answer(200, contact=False)
        .refuses(487),
        journal={"answered": False},
    ),
]  # fmt: skip

# ── RFC 3261 §9: CANCEL ─────────────────────────────────────────────────────────────────────
CANCEL = [
    Case(
        name="the caller gives up", rfc="RFC 3261 §9",
        caller=phone().invite().expect(100, optional=True).expect(180).cancel()
        .expect(200, txn="invite2").expect(487, txn="invite2").ack_refused(),
        callee=Callee().invited().respond(180).expect("CANCEL", has="Reason: *SIP")
        .answer(200, contact=False).refuses(487),
        journal={"answered": False},
    ),
    Case(
        name="CANCEL crosses the answer: the callee is hung up", rfc="RFC 3261 §9.1, §15",
        caller=phone().invite().expect(100, optional=True).expect(180).cancel()
        .expect(200, txn="invite2").expect(487, txn="invite2").ack_refused(),
        callee=Callee().invited().respond(180).expect("CANCEL")
        .answer(481, contact=False).respond(200, body=sdp(), retrans=True)
        .expect("ACK").hung_up().linger(),
        journal={"answered": False, "legs": 2},
    ),
    Case(
        name="CANCEL after the answer changes nothing", rfc="RFC 3261 §9.2",
        caller=phone().invite().rings().expect(200, rrs=True).cancel()
        .expect(200, txn="invite2").ack().pause(200).hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="CANCEL of nothing", rfc="RFC 3261 §9.2",
        caller=carrier().outside("CANCEL").expect(481),
    ),
    Case(
        name="the phone that was too slow is told why", rfc="RFC 3326 §2",
        third_shares=True, caller=calls_and_hangs_up(),
        callee=Callee().invited().respond(180).pause(200)
        .respond(200, body=sdp(), retrans=True).expect("ACK").hung_up().linger(),
        third=Callee().invited().respond(180)
        .expect("CANCEL", has=("Reason: *SIP *; *cause=200",)).answer(200, contact=False)
        .refuses(487),
        journal={"answered": True, "legs": 3},
    ),
]  # fmt: skip

# ── hold, re-INVITE, UPDATE, glare ──────────────────────────────────────────────────────────
REOFFER = [
    Case(
        name="the caller holds and resumes", rfc="RFC 3264 §8.4",
        caller=phone().invite().answered()
        .request("INVITE", body=sdp("sendonly", 2)).expect(100, optional=True)
        .expect(200, has="a=recvonly").ack().pause(100)
        .request("INVITE", body=sdp("sendrecv", 3)).expect(100, optional=True)
        .expect(200, lacks="a=(recvonly|sendonly|inactive)").ack().hang_up(),
        callee=Callee().invited().takes()
        .expect("INVITE", has="a=sendonly").answer(200, body=sdp("recvonly", 2)).expect("ACK")
        .expect("INVITE", lacks="a=(recvonly|sendonly|inactive)").answer(200, body=sdp(version=3))
        .expect("ACK").hung_up().linger(),
    ),
    Case(
        name="the callee holds and resumes", rfc="RFC 3264 §8.4",
        caller=phone().invite().answered()
        .expect("INVITE", has="a=sendonly").answer(200, body=sdp("recvonly", 2)).expect("ACK")
        .expect("INVITE", lacks="a=(recvonly|sendonly|inactive)").answer(200, body=sdp(version=3))
        .expect("ACK").hung_up().linger(),
        callee=Callee().invited().takes().pause(100)
        .request("INVITE", body=sdp("sendonly", 2)).expect(100, optional=True)
        .expect(200, has="a=recvonly").ack().pause(100)
        .request("INVITE", body=sdp("sendrecv", 3)).expect(100, optional=True)
        .expect(200, lacks="a=(recvonly|sendonly|inactive)").ack().hang_up(),
    ),
    Case(
        name="hold in the old way, with address 0", rfc="RFC 3264 §8.4",
        caller=phone().invite().answered()
        .request("INVITE", body=sdp("sendrecv", 2).replace("[media_ip]\ns=", "[media_ip]\ns=")
                 .replace("c=IN IP[media_ip_type] [media_ip]", "c=IN IP4 0.0.0.0"))
        .expect(100, optional=True).expect(200).ack().hang_up(),
        callee=Callee().invited().takes().expect("INVITE").answer(200, body=sdp(version=2))
        .expect("ACK").hung_up().linger(),
    ),
    Case(
        name="a refused re-INVITE leaves the call as it was", rfc="RFC 3261 §14.1",
        caller=phone().invite().answered().request("INVITE", body=sdp("sendonly", 2))
        .expect(100, optional=True).expect(488).ack_refusal().pause(100).hang_up(),
        callee=Callee().invited().takes().expect("INVITE").answer(488, contact=False)
        .expect("ACK").hung_up().linger(),
    ),
    Case(
        name="glare: both re-INVITE at once", rfc="RFC 3261 §14.1, §14.2",
        caller=phone().invite().answered().request("INVITE", body=sdp(version=2))
        .expect(100, optional=True).expect(491).ack_refusal().pause(100).hang_up(),
        callee=Callee().invited().takes().expect("INVITE")
        .answer(491, contact=False).expect("ACK")
        .hung_up().linger(),
    ),
    Case(
        name="glare: a re-INVITE against ours", rfc="RFC 3261 §14.2",
        caller=phone().invite().answered().request("INVITE", body=sdp("sendonly", 2), name="hold")
        .expect(100, optional=True).expect(200, txn="hold").ack().pause(100).hang_up(),
        callee=Callee().invited().takes()
        .expect("INVITE")
        .request("INVITE", body=sdp(version=2), name="mine").expect(100, optional=True)
        .expect(491, txn="mine").ack_refusal()
        .answer_again(200, body=sdp("recvonly", 2))
        .expect("ACK").hung_up().linger(),
    ),
    Case(
        name="a second re-INVITE before the first is answered", rfc="RFC 3261 §14.2",
        caller=phone().invite().answered()
        .request("INVITE", body=sdp(version=2), name="one").expect(100)
        .request("INVITE", body=sdp(version=3), name="two").expect(100, txn="two", optional=True)
        .expect(500, txn="two", has="Retry-After: *[0-9]").ack_refusal()
        .expect(200, txn="one").raw(
            '<send ack_txn="one"><![CDATA[\nACK [next_url] SIP/2.0\n'
            f"Via: SIP/2.0/[transport] {HERE};branch=z9hG4bK-[pid]-[call_number]-xx;rport\n"
            f"From: <sip:[from_user]@{SERVER}>;tag=[pid]c[call_number]\n"
            f"To: <sip:[service]@{SERVER}>[peer_tag_param]\nCall-ID: [call_id]\nCSeq: 3 ACK\n"
            "Max-Forwards: 70\nContent-Length: 0\n\n]]></send>").pause(100).hang_up(),
        callee=Callee().invited().takes().expect("INVITE").pause(400)
        .answer(200, body=sdp(version=2)).expect("ACK").hung_up().linger(),
    ),
    Case(
        name="re-INVITE without an offer", rfc="RFC 3261 §14.1",
        caller=phone().invite().answered().request("INVITE").expect(100, optional=True)
        .expect(200, has="m=audio [1-9]").ack(body=sdp(version=2)).pause(100).hang_up(),
        callee=Callee().invited().takes()
        .expect("INVITE", optional=True, ).hung_up().linger(),
    ),
    Case(
        name="glare: the caller's re-INVITE against ours", rfc="RFC 3261 §14.2",
        caller=phone().invite().answered().expect("INVITE", has="a=sendonly")
        .request("INVITE", body=sdp(version=2), name="mine").expect(100, optional=True)
        .expect(491, txn="mine").ack_refusal()
        .answer_again(200, body=sdp("recvonly", 2)).expect("ACK").hung_up().linger(),
        callee=Callee().invited().takes().pause(100)
        .request("INVITE", body=sdp("sendonly", 2), name="hold").expect(100, optional=True)
        .expect(200, txn="hold", has="a=recvonly").ack().pause(100).hang_up(),
    ),
    Case(
        name="the callee's re-INVITE without an offer", rfc="RFC 3261 §14.1",
        caller=phone().invite().answered()
        .raw('<recv request="INVITE" optional="true" next="again"/>')
        .hung_up().raw('<nop next="end"/><label id="again"/>')
        .answer(200, body=sdp(version=2)).expect("ACK").hung_up().raw('<label id="end"/>'),
        callee=Callee().invited().takes().pause(100).request("INVITE").expect(100, optional=True)
        .expect(200, has="m=audio [1-9]").ack(body=sdp(version=2)).pause(200).hang_up(),
    ),
    Case(
        name="a re-INVITE moves the media", rfc="RFC 3264 §8.3.1",
        caller=phone().invite().answered()
        .request("INVITE", body=sdp(version=2).replace("[rtp_port]", "40002"))
        .expect(100, optional=True).expect(200).ack().pause(100).hang_up(),
        callee=Callee().invited().takes()
        .raw('<recv request="INVITE" optional="true" next="again"/>')
        .hung_up().raw('<nop next="end"/><label id="again"/>')
        .answer(200, body=sdp(version=2)).expect("ACK").hung_up().raw('<label id="end"/>'),
    ),
    Case(
        name="a carrier challenges inside the call", rfc="RFC 3261 §22.2", to_trunk=True,
        caller=calls_and_hangs_up(),
        callee=Callee().invited().takes().expect("BYE", lacks="uthorization")
        .answer(407, 'Proxy-Authenticate: Digest realm="there",nonce="bye407",qop="auth",'
                "algorithm=SHA-256", contact=False)
        .expect("BYE", has="Proxy-Authorization: *Digest .*bye407").answer(200, contact=False)
        .linger(),
    ),
    Case(
        name="UPDATE with an offer from the caller", rfc="RFC 3311 §5.1",
        caller=phone().invite().answered(has="Allow: [^,]*.*UPDATE")
        .request("UPDATE", body=sdp("sendonly", 2)).expect(200, has="a=recvonly").pause(100)
        .hang_up(),
        callee=Callee().invited(has="Allow: .*UPDATE")
        .takes("Allow: INVITE, ACK, CANCEL, BYE, UPDATE")
        .raw('<recv request="UPDATE" optional="true" next="upd"/>')
        .expect("INVITE", has="a=sendonly").answer(200, body=sdp("recvonly", 2)).expect("ACK")
        .raw('<nop next="rest"/><label id="upd"/>').answer(200, body=sdp("recvonly", 2))
        .raw('<label id="rest"/>').hung_up().linger(),
    ),
    Case(
        name="UPDATE with an offer from the callee", rfc="RFC 3311 §5.1",
        caller=phone().invite("Allow: INVITE, ACK, CANCEL, BYE, UPDATE").answered()
        .raw('<recv request="UPDATE" optional="true" next="upd"/>')
        .expect("INVITE", has="a=sendonly").answer(200, body=sdp("recvonly", 2)).expect("ACK")
        .raw('<nop next="rest"/><label id="upd"/>').answer(200, body=sdp("recvonly", 2))
        .raw('<label id="rest"/>').hung_up().linger(),
        callee=Callee().invited().takes("Allow: INVITE, ACK, CANCEL, BYE, UPDATE").pause(100)
        .request("UPDATE", body=sdp("sendonly", 2)).expect(200, has="a=recvonly").hang_up(),
    ),
    Case(
        name="UPDATE without a body", rfc="RFC 3311 §5.2",
        caller=phone().invite().answered().request("UPDATE").expect(200, lacks="m=audio")
        .hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="UPDATE against our re-INVITE", rfc="RFC 3311 §5.2",
        caller=phone().invite().answered().request("INVITE", body=sdp("sendonly", 2))
        .expect(100, optional=True).expect(200).ack().pause(100).hang_up(),
        callee=Callee().invited().takes()
        .expect("INVITE")
        .request("UPDATE", body=sdp(version=2), name="mine").expect(491, txn="mine")
        .answer_again(200, body=sdp("recvonly", 2))
        .expect("ACK").hung_up().linger(),
    ),
]  # fmt: skip

# ── RFC 3262: reliable provisional responses ────────────────────────────────────────────────
_RACK = "RAck: [$rseq] 2 INVITE"
RELIABLE = [
    Case(
        name="the caller requires 100rel", rfc="RFC 3262 §3",
        caller=phone().invite("Require: 100rel").expect(100, optional=True)
        .expect(180, rrs=True, has="Require: *100rel", keep={"rseq": "RSeq: *([0-9]+)"})
        .request("PRACK", _RACK, name="prack").expect(200, txn="prack")
        .expect(200, txn="invite2", rrs=True).ack().pause(100)
        .hang_up(),
        callee=Callee().invited().respond(180).pause(500)
        .respond(200, body=sdp(), retrans=True).expect("ACK").hung_up().linger(),
    ),
    Case(
        name="a reliable 180 is repeated until PRACK", rfc="RFC 3262 §3",
        caller=phone().invite("Require: 100rel").expect(100, optional=True)
        .expect(180, rrs=True, keep={"rseq": "RSeq: *([0-9]+)"}).pause(1800)
        .request("PRACK", _RACK, name="prack").expect(200, txn="prack")
        .expect(200, txn="invite2", rrs=True).ack().hang_up(),
        callee=Callee().invited().respond(180).pause(2500)
        .respond(200, body=sdp(), retrans=True).expect("ACK").hung_up().linger(),
        repeats={"SIP/2.0 180": 3},
    ),
    Case(
        name="a PRACK for nothing", rfc="RFC 3262 §3",
        caller=phone().invite("Require: 100rel").expect(100, optional=True)
        .expect(180, rrs=True, keep={"rseq": "RSeq: *([0-9]+)"})
        .request("PRACK", "RAck: 77 2 INVITE", name="wrong").expect(481, txn="wrong")
        .request("PRACK", _RACK, name="prack").expect(200, txn="prack")
        .expect(200, txn="invite2", rrs=True).ack().hang_up(),
        callee=Callee().invited().respond(180).pause(400)
        .respond(200, body=sdp(), retrans=True).expect("ACK").hung_up().linger(),
    ),
    Case(
        name="the callee rings reliably", rfc="RFC 3262 §4",
        caller=calls_and_hangs_up(),
        callee=Callee().invited(has="Supported: .*100rel")
        .respond(180, "Require: 100rel", "RSeq: 4711")
        .expect("PRACK", has="RAck: *4711 [0-9]+ INVITE").answer(200, contact=False)
        .respond(200, body=sdp(), retrans=True).expect("ACK").hung_up().linger(),
    ),
    Case(
        name="a reliable response that comes again or out of order is not acknowledged",
        rfc="RFC 3262 §4", caller=calls_and_hangs_up(),
        callee=Callee().invited()
        .respond(180, "Require: 100rel", "RSeq: 100")
        .expect("PRACK", has="RAck: *100 ").answer(200, contact=False)
        .respond(180, "Require: 100rel", "RSeq: 102").pause(200)
        .respond(180, "Require: 100rel", "RSeq: 101")
        .expect("PRACK", has="RAck: *101 ").answer(200, contact=False)
        .respond(200, body=sdp(), retrans=True).expect("ACK").hung_up().linger(),
    ),
    Case(
        name="UPDATE before the answer", rfc="RFC 3311 §5.1",
        caller=phone().invite("Supported: 100rel").expect(100, optional=True)
        .expect(183, rrs=True, has=("m=audio", "Require: *100rel"),
                keep={"rseq": "RSeq: *([0-9]+)"})
        .request("PRACK", _RACK, name="prack").expect(200, txn="prack")
        .request("UPDATE", body=sdp("sendonly", 2), name="hold")
        .expect(200, txn="hold", has="a=recvonly")
        .expect(200, txn="invite2", rrs=True).ack().pause(100).hang_up(),
        callee=Callee().invited()
        .respond(183, "Require: 100rel", "RSeq: 1", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, "
                 "PRACK", body=sdp())
        .expect("PRACK").answer(200, contact=False)
        .raw('<recv request="UPDATE" timeout="1500" ontimeout="none"/>')
        .answer(200, body=sdp("recvonly", 2)).raw('<label id="none"/>').pause(300)
        .respond(200, retrans=True).raw(
            '<recv request="INVITE" optional="true" next="again"/>').expect("ACK")
        .raw('<recv request="INVITE" optional="true" next="again"/>')
        .hung_up().raw('<nop next="end"/><label id="again"/>')
        .answer(200, body=sdp("recvonly", 2)).expect("ACK").hung_up().raw('<label id="end"/>'),
    ),
    Case(
        name="early media, reliably", rfc="RFC 3262 §5", caller=phone().invite()
        .expect(100, optional=True).expect(180, optional=True).expect(183, has="m=audio")
        .answered().hang_up(),
        callee=Callee().invited()
        .respond(183, "Require: 100rel", "RSeq: 1", body=sdp())
        .expect("PRACK", has="RAck: *1 ").answer(200, contact=False)
        .respond(200, retrans=True).expect("ACK").hung_up().linger(),
    ),
]  # fmt: skip

# ── RFC 4028: session timers ────────────────────────────────────────────────────────────────
TIMERS = [
    Case(
        name="the caller wants a session timer", rfc="RFC 4028 §9",
        caller=phone().invite("Supported: timer", "Session-Expires: 120;refresher=uac")
        .answered(has=("Session-Expires: *[0-9]+ *; *refresher=uac", "Require: .*timer"))
        .hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="a session timer too short", rfc="RFC 4028 §9",
        caller=phone().invite("Supported: timer", "Session-Expires: 30")
        .refused(422, has="Min-SE: *[0-9]+"),
    ),
    Case(
        name="the callee wants a session timer", rfc="RFC 4028 §7.2",
        caller=calls_and_hangs_up(),
        callee=Callee().invited(has="Supported: .*timer")
        .takes("Require: timer", "Session-Expires: 120;refresher=uas").hung_up().linger(),
    ),
    Case(
        name="the callee finds ours too short", rfc="RFC 4028 §7.3",
        caller=calls_and_hangs_up(),
        callee=Callee().invited().refuses(422, "Min-SE: 7200")
        .invited(has=("Min-SE: *7200", "Session-Expires: *7200")).takes().hung_up().linger(),
    ),
    Case(
        name="the session is refreshed by the callee", rfc="RFC 4028 §10",
        caller=calls_and_waits(),
        callee=Callee().invited().takes("Require: timer", "Session-Expires: 120;refresher=uas")
        .pause(100)
        .request("UPDATE", "Supported: timer", "Session-Expires: 120;refresher=uac")
        .expect(200, has="Session-Expires: *120").pause(100).hang_up(),
    ),
    Case(
        name="a caller without session timers", rfc="RFC 4028 §9",
        caller=phone().invite().rings().expect(200, rrs=True, lacks="Require: .*timer").ack()
        .hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="the session is refreshed by the caller", rfc="RFC 4028 §10",
        caller=phone().invite("Supported: timer", "Session-Expires: 120;refresher=uac")
        .answered()
        .request("UPDATE", "Supported: timer", "Session-Expires: 120;refresher=uac")
        .expect(200, has="Session-Expires: *120").hang_up(),
        callee=takes_and_waits(),
    ),
]  # fmt: skip


# ── late offer, bodies ──────────────────────────────────────────────────────────────────────
def mixed(handling: str) -> str:
    """A multipart/mixed body: a greeting and an offer."""
    return "\n".join((
        "--edge", "Content-Type: text/plain",
        f"Content-Disposition: render;handling={handling}", "", "Hello.",
        "--edge", "Content-Type: application/sdp", "", sdp(), "--edge--",
    ))  # fmt: skip


_MIXED = "multipart/mixed;boundary=edge"
OFFERS = [
    Case(
        name="INVITE without an offer", rfc="RFC 3261 §13.2.1",
        caller=phone().invite(body="").answered(has="m=audio [1-9]", ack_body=sdp())
        .pause(200).hang_up(),
        callee=Callee().invited().takes().hung_up().linger(),
        journal={"answered": True},
    ),
    Case(
        name="INVITE without an offer, from a carrier", rfc="RFC 3261 §13.2.1",
        from_trunk=True,
        caller=carrier().invite(body="").answered(has="m=audio [1-9]", ack_body=sdp())
        .pause(200).hang_up(),
        callee=Callee().invited().takes().hung_up().linger(),
        journal={"answered": True, "legs": 2},
    ),
    Case(
        name="no answer in the ACK ends the call", rfc="RFC 3261 §13.2.2.4",
        caller=phone().invite(body="").answered(has="m=audio [1-9]").hung_up().linger(),
        callee=Callee().invited().takes().hung_up().linger(),
    ),
    Case(
        name="multipart with an offer inside", rfc="RFC 5621 §3",
        caller=phone().invite(body=mixed("optional"), content_type=_MIXED)
        .answered(has="m=audio [1-9]").hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="multipart with a part that must be understood and is not", rfc="RFC 3261 §20.11",
        caller=carrier().invite(body=mixed("required"), content_type=_MIXED).refused(415),
    ),
    Case(
        name="multipart with an answer inside", rfc="RFC 5621 §3",
        caller=phone().invite().answered(has="m=audio [1-9]").hang_up(),
        callee=Callee().invited().respond(180)
        .respond(200, body=mixed("optional"), content_type=_MIXED, retrans=True)
        .expect("ACK").hung_up().linger(),
    ),
    Case(
        name="a body that is no session description", rfc="RFC 3261 §8.2.3",
        caller=carrier().invite(body="<a/>", content_type="application/xml")
        .refused(415, has="Accept: .*application/sdp"),
    ),
    Case(
        name="media nobody knows are refused, the rest is taken", rfc="RFC 3264 §6",
        caller=phone().invite(body=sdp() + "\nm=application 9 DTLS/SCTP 5000\n"
                              "m=video 0 RTP/AVP 31")
        .answered(has=("m=audio [1-9]", "m=application 0 ", "m=video 0 ")).hang_up(),
        callee=Callee().invited(has=("m=audio [1-9]", "m=application 0 ", "m=video 0 "))
        .takes(body=sdp() + "\nm=application 0 DTLS/SCTP 5000\nm=video 0 RTP/AVP 31")
        .hung_up().linger(),
    ),
    Case(
        name="only encrypted media, where none is wanted", rfc="RFC 3264 §6", to="600",
        caller=phone().invite(body=sdp().replace("RTP/AVP", "RTP/SAVP") + "\na=crypto:1 "
                              "AES_CM_128_HMAC_SHA1_80 "
                              "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz")
        .refused(488),
    ),
]  # fmt: skip

# ── forks, redirects, routes ────────────────────────────────────────────────────────────────
_ROUTE = f"Record-Route: <sip:{HERE};lr;via=proxy>"
ROUTES = [
    Case(
        name="a proxy forks: early dialogs of two phones", rfc="RFC 3261 §13.2.2.4",
        to_trunk=True, caller=calls_and_hangs_up(),
        callee=Callee().invited().respond(180, tag="one").respond(183, tag="two", body=sdp())
        .pause(100).respond(200, tag=Callee.tag, body=sdp(), retrans=True).expect("ACK")
        .hung_up().linger(),
        journal={"answered": True, "legs": 2},
    ),
    Case(
        name="a proxy forks: two answers", rfc="RFC 3261 §13.2.2.4",
        to_trunk=True, caller=calls_and_hangs_up(600),
        callee=Callee().invited().respond(180)
        .respond(200, body=sdp(), retrans=True).expect("ACK")
        .respond(200, tag="other", body=sdp(), retrans=True)
        .expect("ACK", has="To: .*tag=other").expect("BYE", has="To: .*tag=other")
        .answer(200, contact=False).hung_up().linger(),
        journal={"answered": True, "legs": 2},
    ),
    Case(
        name="a phone redirects to another extension", rfc="RFC 3261 §8.1.3.4",
        caller=calls_and_hangs_up(),
        callee=Callee().invited().refuses(302, "Contact: <sip:[other]@encryptotel.local>",
                                          contact=""),
        third=takes_and_waits(),
        journal={"answered": True},
    ),
    Case(
        name="a phone redirects to itself", rfc="RFC 3261 §8.1.3.4",
        caller=phone().invite().refused(480),
        callee=Callee().invited().refuses(302, f"Contact: <sip:[from_user]@{HERE}>", contact=""),
    ),
    Case(
        name="a carrier redirects to another number", rfc="RFC 3261 §8.1.3.4", to_trunk=True,
        caller=calls_and_hangs_up(),
        callee=Callee().invited(mark={"moved": "INVITE sip:.?33612345699@"})
        .raw('<nop test="moved" next="there"/>')
        .refuses(302, "Contact: <sip:+33612345699@192.0.2.99:1>", contact="")
        .raw('<nop next="end"/><label id="there"/>').takes().hung_up().raw('<label id="end"/>'),
        callee_calls=2,
    ),
    Case(
        name="a call that comes back to us", rfc="RFC 5393 §4.2", to_trunk=True,
        caller=phone().invite().refused(482),
        callee=Callee().invited(has="Max-Forwards: *69").raw(
            "<send><![CDATA[\nINVITE sip:[from_user]@encryptotel.local SIP/2.0\n"
            f"Via: SIP/2.0/UDP {HERE};branch=z9hG4bK-[pid]-[call_number]-loop;rport\n"
            "[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n"
            f"Max-Forwards: 68\n{CONTACT}\nContent-Type: application/sdp\n"
            f"Content-Length: [len]\n\n{sdp()}\n\n]]></send>")
        .raw('<recv response="482"/>').raw(
            "<send><![CDATA[\nACK sip:[from_user]@encryptotel.local SIP/2.0\n"
            f"Via: SIP/2.0/UDP {HERE};branch=z9hG4bK-[pid]-[call_number]-loop;rport\n"
            "[last_From:]\n[last_To:]\n[last_Call-ID:]\nCSeq:  1 ACK\n"
            "Max-Forwards: 68\nContent-Length: 0\n\n]]></send>")
        .refuses(482),
    ),
    Case(
        name="a proxy of the callee stays in the path", rfc="RFC 3261 §12.1.2",
        to_trunk=True, caller=calls_and_hangs_up(),
        callee=Callee().invited().respond(180, _ROUTE)
        .respond(200, _ROUTE, body=sdp(), retrans=True).expect("ACK", has="Route: .*via=proxy")
        .expect("BYE", has="Route: .*via=proxy").answer(200, contact=False).linger(),
    ),
    Case(
        name="a proxy of the caller stays in the path", rfc="RFC 3261 §12.1.1",
        from_trunk=True,
        caller=carrier().invite(_ROUTE).answered(has="Record-Route: .*via=proxy")
        .hung_up(has="Route: .*via=proxy").linger(),
        callee=Callee().invited(lacks="via=proxy").takes().pause(100).hang_up(),
    ),
    Case(
        name="a strict router of old", rfc="RFC 3261 §12.2.1.1",
        to_trunk=True, caller=calls_and_hangs_up(),
        callee=Callee().invited().respond(180)
        .respond(200, f"Record-Route: <sip:strict@{HERE}>", body=sdp(), retrans=True)
        .expect("ACK", has="ACK sip:strict@").expect("BYE", has="BYE sip:strict@")
        .answer(200, contact=False).linger(),
    ),
    Case(
        name="Max-Forwards is counted down", rfc="RFC 7332 §4",
        caller=phone().invite(max_forwards=20).answered().hang_up(),
        callee=Callee().invited(has="Max-Forwards: (1[0-9]|[0-9])[^0-9]").takes()
        .hung_up().linger(),
    ),
    Case(
        name="Max-Forwards 0", rfc="RFC 3261 §16.3",
        caller=carrier().invite(max_forwards=0).refused(483),
    ),
    Case(
        name="the same request by two ways", rfc="RFC 3261 §8.2.2.2",
        from_trunk=True,
        caller=carrier().invite().expect(100)
        .raw("<send start_txn=\"twin\"><![CDATA[\n"
             f"INVITE sip:[service]@{SERVER} SIP/2.0\n"
             f"Via: SIP/2.0/[transport] {HERE};branch=z9hG4bK-[pid]-[call_number]-twin;rport\n"
             f"From: <sip:[from_user]@{SERVER}>;tag=[pid]c[call_number]\n"
             f"To: <sip:[service]@{SERVER}>\nCall-ID: [call_id]\nCSeq: 1 INVITE\n"
             f"Max-Forwards: 70\n{CONTACT}\nContent-Type: application/sdp\n"
             f"Content-Length: [len]\n\n{sdp()}\n\n]]></send>")
        .expect(180, txn="invite1", optional=True)
        .expect(482, txn="twin")
        .raw('<send ack_txn="twin"><![CDATA[\n'
             f"ACK sip:[service]@{SERVER} SIP/2.0\n"
             f"Via: SIP/2.0/[transport] {HERE};branch=z9hG4bK-[pid]-[call_number]-twin;rport\n"
             f"From: <sip:[from_user]@{SERVER}>;tag=[pid]c[call_number]\n[last_To:]\n"
             "Call-ID: [call_id]\nCSeq: 1 ACK\nMax-Forwards: 70\nContent-Length: 0\n\n]]></send>")
        .rings().expect(200, rrs=True, txn="invite1").ack().pause(100).hang_up(),
        callee=Callee().invited().respond(180).pause(300).respond(200, body=sdp(), retrans=True)
        .expect("ACK").hung_up().linger(),
    ),
    Case(
        name="tel: URI to a carrier", rfc="RFC 3966", to_trunk=True,
        caller=phone().invite(uri="tel:[service]", to="<tel:[service]>").answered().hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="tel: URI from a carrier", rfc="RFC 3966", from_trunk=True,
        caller=carrier().invite(sender="<tel:+12025550143>", to="<tel:[service]>").answered()
        .hang_up(),
        callee=Callee().invited(has="From: .*12025550143").takes().hung_up().linger(),
    ),
    Case(
        name="what a carrier asserts stays with us", rfc="RFC 3325 §6", from_trunk=True,
        caller=carrier().invite("P-Asserted-Identity: <sip:+12025550199@carrier.example>",
                                "P-Preferred-Identity: <sip:+12025550199@carrier.example>")
        .answered().hang_up(),
        callee=Callee().invited(lacks="12025550199").takes().hung_up().linger(),
    ),
    Case(
        name="a URI scheme nobody knows", rfc="RFC 3261 §8.2.2.1",
        caller=carrier().invite(uri="nobodyknows:them").refused(416),
    ),
    Case(
        name="a call that requires something unknown", rfc="RFC 3261 §8.2.2.3", to="600",
        caller=carrier().invite("Require: nothing-we-know")
        .refused(420, has="Unsupported: *nothing-we-know"),
    ),
]  # fmt: skip

_ME = f"sip:[from_user]@{HERE}"

# ── digest ──────────────────────────────────────────────────────────────────────────────────
_OLD = (
    'Authorization: Digest username="[from_user]",realm="encryptotel.local",'
    'nonce="c3RhbGU6MTc2MDAwMDAwMA",uri="sip:[remote_ip]",'
    'response="6629fae49393a05397450978507c4ef1",algorithm=MD5'
)
DIGEST = [
    Case(
        name="an old nonce gets a new challenge", rfc="RFC 7616 §3.3",
        caller=carrier().register(f"Contact: <{_ME}>", _OLD, auth=False).expect(401, auth=True)
        .register(f"Contact: <{_ME}>", "[authentication]", auth=False).expect(200),
    ),
    Case(
        name="a nonce used again, and counted", rfc="RFC 7616 §3.4",
        caller=carrier().register(f"Contact: <{_ME}>").expect(200)
        .register(f"Contact: <{_ME}>", "[authentication]", auth=False).expect(200),
    ),
    *(
        Case(
            name=f"a carrier challenges with {status}", rfc="RFC 7616 §3.3, RFC 3261 §22.3",
            to_trunk=True, caller=calls_and_hangs_up(),
            callee=Callee().invited(lacks="uthorization: Digest").refuses(
                status, f'{header}: Digest realm="there",nonce="{status}abc",qop="auth",'
                "algorithm=MD5", contact="")
            .invited(has=(f"{answer}: *Digest .*nonce=.{status}abc.*nc=00000001",
                          "CSeq: 2 INVITE")).takes()
            .hung_up().linger(),
        )
        for status, header, answer in (
            (401, "WWW-Authenticate", "Authorization"),
            (407, "Proxy-Authenticate", "Proxy-Authorization"),
        )
    ),
]  # fmt: skip

# ── REGISTER, OPTIONS and the rest ──────────────────────────────────────────────────────────
_INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'
REGISTRAR = [
    Case(
        name="several contacts, then all removed", rfc="RFC 3261 §10.2",
        caller=carrier().register(f"Contact: <{_ME}>;expires=100",
                                  f"Contact: <{_ME};line=2>;expires=200")
        .expect(200, has=("line=2>[^,]*expires=", "Contact: .*Contact: |Contact: .*,"))
        .register("Contact: *", "Expires: 0").expect(200, lacks="Contact: "),
    ),
    Case(
        name="the bindings can be asked for", rfc="RFC 3261 §10.2.3",
        caller=carrier().register(f"Contact: <{_ME}>", "Expires: 100").expect(200)
        .register().expect(200, has="Contact: <sip:.*expires=(100|9[0-9])"),
    ),
    Case(
        name="one contact is removed", rfc="RFC 3261 §10.2.2",
        caller=carrier().register(f"Contact: <{_ME}>", "Expires: 100").expect(200)
        .register(f"Contact: <{_ME}>;expires=0").expect(200, lacks="Contact: "),
    ),
    Case(
        name="too short", rfc="RFC 3261 §10.3 step 7",
        caller=carrier().register(f"Contact: <{_ME}>", "Expires: 1")
        .expect(423, has="Min-Expires: *[0-9]+"),
    ),
    Case(
        name="the star needs Expires 0", rfc="RFC 3261 §10.3 step 6",
        caller=carrier().register("Contact: *", "Expires: 60").expect(400),
    ),
    Case(
        name="Require of something unknown", rfc="RFC 3261 §8.2.2.3",
        caller=carrier().register(f"Contact: <{_ME}>", "Require: nothing-we-know", auth=False)
        .expect(420, has="Unsupported: *nothing-we-know"),
    ),
    Case(
        name="Path is kept and given back", rfc="RFC 3327 §5.3",
        caller=carrier().register(f"Contact: <{_ME}>", "Supported: path",
                                  f"Path: <sip:edge@{HERE};lr>", "Expires: 100")
        .expect(200, has="Path: <sip:edge@"),
    ),
    Case(
        name="Path without support", rfc="RFC 3327 §5.3",
        caller=carrier().register(f"Contact: <{_ME}>", f"Path: <sip:edge@{HERE};lr>",
                                  "Expires: 100").expect(420, has="Unsupported: *path"),
    ),
    Case(
        name="calls follow the Path", rfc="RFC 3327 §5.3",
        contact="Supported: path\r\nPath: <sip:edge@127.0.0.1:1;lr>",
        caller=calls_and_hangs_up(),
        callee=Callee().invited(has="Route: *<sip:edge@").takes().hung_up().linger(),
    ),
    Case(
        name="outbound: the flow is confirmed", rfc="RFC 5626 §6",
        caller=carrier().register(
            f"Contact: <{_ME};ob>;{_INSTANCE};reg-id=1", "Supported: path, outbound",
            "Expires: 100")
        .expect(200, has=("Require: .*outbound", "Contact: <sip:.*;ob>")),
    ),
    Case(
        name="outbound: the same instance and reg-id replace the binding", rfc="RFC 5626 §6",
        caller=carrier().register(
            f"Contact: <{_ME};ob>;{_INSTANCE};reg-id=1", "Supported: path, outbound",
            "Expires: 100").expect(200)
        .register(f"Contact: <sip:[from_user]@{HERE};ob;moved=1>;{_INSTANCE};reg-id=1",
                  "Supported: path, outbound", "Expires: 100")
        .expect(200, has="moved=1", lacks=";ob>"),
    ),
    Case(
        name="outbound: reg-id without an instance means nothing", rfc="RFC 5626 §6",
        caller=carrier().register(f"Contact: <{_ME}>;reg-id=1", "Supported: path, outbound",
                                  "Expires: 100").expect(200, lacks="Require: .*outbound"),
    ),
    Case(
        name="OPTIONS", rfc="RFC 3261 §11.2",
        caller=carrier().outside("OPTIONS", "Accept: application/sdp")
        .expect(200, has=("Allow: .*INVITE", "Accept: .*application/sdp", "Supported: ")),
    ),
    Case(
        name="OPTIONS in a call", rfc="RFC 3261 §11.2",
        caller=phone().invite().answered().request("OPTIONS").expect(200, has="Allow: ").hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="a method nobody knows", rfc="RFC 3261 §8.2.1",
        caller=carrier().outside("FROBNICATE").raw(
            '<recv response="501" response_txn="frobnicate1" optional="true" next="over"/>'
            '<recv response="405" response_txn="frobnicate1"/><label id="over"/>'),
    ),
    Case(
        name="INFO in a call", rfc="RFC 6086 §4.2.2",
        caller=phone().invite().answered().request("INFO").expect(200).hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="INFO of a package nobody asked for", rfc="RFC 6086 §4.2.2",
        caller=phone().invite().answered().request("INFO", "Info-Package: unheard-of")
        .expect(469, has="Recv-Info:").hang_up(),
        callee=takes_and_waits(),
    ),
]  # fmt: skip

# ── what takes a minute: played by `make soak` ──────────────────────────────────────────────
SLOW = [
    Case(
        name="an answer nobody acknowledges ends the call", rfc="RFC 3261 §13.3.1.4", within=60,
        caller=phone().invite().rings().expect(200, rrs=True)
        .raw('<recv request="BYE" timeout="50000"/>').answer(200, contact=False)
        .ack().linger(),
        callee=takes_and_waits(),
    ),
    Case(
        name="a reliable response nobody acknowledges ends the call", rfc="RFC 3262 §3",
        within=60,
        caller=phone().invite("Require: 100rel").expect(100, optional=True).expect(180)
        .expect(504).ack_refused(),
        callee=Callee().invited().respond(180).expect("CANCEL").answer(200, contact=False)
        .refuses(487),
    ),
    Case(
        name="a session the caller does not refresh ends", rfc="RFC 4028 §10", within=110,
        caller=phone().invite("Supported: timer", "Session-Expires: 90;refresher=uac").answered()
        .hung_up().linger(),
        callee=takes_and_waits(),
    ),
    Case(
        name="we refresh the session of the caller", rfc="RFC 4028 §10", within=110,
        caller=phone().invite("Supported: timer", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE",
                              "Session-Expires: 90;refresher=uas")
        .answered(has="Session-Expires: *90 *; *refresher=uas")
        .expect("UPDATE", has="Session-Expires: *90 *; *refresher=uac")
        .answer(200, "Require: timer", "Session-Expires: 90;refresher=uac")
        .pause(100).hang_up(),
        callee=takes_and_waits(),
    ),
    Case(
        name="a session the callee does not refresh ends", rfc="RFC 4028 §10", within=110,
        caller=calls_and_waits(),
        callee=Callee().invited()
        .takes("Require: timer", "Session-Expires: 90;refresher=uas").hung_up().linger(),
    ),
]  # fmt: skip

ALL = [*BASIC, *CANCEL, *REOFFER, *RELIABLE, *TIMERS, *OFFERS, *ROUTES, *DIGEST, *REGISTRAR]
