"""The sorting of what arrives: where answers go, what is refused, what is dropped."""

from __future__ import annotations

import contextlib
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sipmessage import URI

from pbx.sip.message import Request, Response, parse_message
from pbx.sip.stack import Stack
from pbx.sip.transport import Look, Transport
from tests.pbx.messages import request
from tests.pbx.phone import Phone
from tests.pbx.test_virtual_time import wires
from tests.pbx.virtual_time import network, passing, raw, run, settled, virtual

HERE = ("192.0.2.1", 5060)
PEER = ("192.0.2.9", 5060)


async def office() -> Phone:
    return await Phone(HERE[0], "office").listen()


# ── where answers go, §18.2 and RFC 3581 ────────────────────────────────────────────────────
@virtual
async def test_with_rport_the_answer_goes_where_the_request_came_from() -> None:
    await office()
    wire = await wires(("203.0.113.7", 4711))
    wire.send(request("OPTIONS", via="10.0.0.5:5060;rport").encode(), HERE)
    await settled()
    (answer,) = wire.got
    assert answer.via.parameters["received"] == "203.0.113.7"
    assert answer.via.parameters["rport"] == "4711"
    assert answer.via.host == "10.0.0.5"


@virtual
async def test_without_rport_it_goes_to_the_port_in_the_via() -> None:
    await office()
    source, named = await wires(("203.0.113.7", 4711)), await wires(("203.0.113.7", 5090))
    source.send(request("OPTIONS", via="10.0.0.5:5090").encode(), HERE)
    await settled()
    assert source.got == []
    assert named.got[0].via.parameters["received"] == "203.0.113.7"


@virtual
async def test_without_rport_and_port_it_goes_to_5060() -> None:
    await office()
    wire = await wires(PEER)
    wire.send(request("OPTIONS", via="192.0.2.9").encode(), HERE)
    await settled()
    assert "received" not in wire.got[0].via.parameters  # the Via was right


@virtual
async def test_other_vias_are_returned_untouched() -> None:
    await office()
    wire = await wires(PEER)
    made = request("OPTIONS")
    made.add("via", "SIP/2.0/UDP p2.example.com;x=%20y, SIP/2.0/TCP p3.example.com")
    wire.send(made.encode(), HERE)
    await settled()
    assert wire.got[0].elements("via")[1:] == [
        "SIP/2.0/UDP p2.example.com;x=%20y",
        "SIP/2.0/TCP p3.example.com",
    ]


# ── what is refused ─────────────────────────────────────────────────────────────────────────
@virtual
async def test_a_malformed_request_is_400_when_it_can_be_answered() -> None:
    phone, wire = await office(), await wires(PEER)
    bad = request("OPTIONS")
    bad.set("cseq", "1 INVITE")
    wire.send(bad.encode(), HERE)
    await settled()
    assert [found.start_line() for found in wire.got] == [
        "SIP/2.0 400 Bad Request - CSeq method differs"
    ]
    assert phone.stack.malformed == 1
    assert phone.requests == []


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense",
        b"\x80\x08" * 20,
        raw("ACK sip:a SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.9;rport"),
        raw("OPTIONS sip:a SIP/2.0", "Via: broken"),
        raw("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.9;rport"),
    ],
)
@virtual
async def test_what_cannot_be_answered_is_not(data: bytes) -> None:
    phone, wire = await office(), await wires(PEER)
    wire.send(data, HERE)
    await settled()
    assert wire.got == []
    assert phone.stack.malformed == 1


@virtual
async def test_who_is_not_admitted_hears_nothing() -> None:
    phone, wire = await office(), await wires(PEER)
    phone.stack.transports.look = lambda data, flow: Look.DROP
    bad = request("OPTIONS")
    bad.set("cseq", "1 INVITE")
    for data in (request("INVITE").encode(), request("OPTIONS").encode(), bad.encode()):
        wire.send(data, HERE)
    await settled()
    assert wire.got == []
    assert len(phone.stack.transactions) == 0


@virtual
async def test_a_request_for_a_dialog_that_is_gone_is_481() -> None:
    _, wire = await office(), await wires(PEER)
    wire.send(request("BYE", to_tag="gone").encode(), HERE)
    wire.send(request("ACK", to_tag="gone").encode(), HERE)  # an ACK is never answered
    await settled()
    assert [found.status for found in wire.got] == [481]  # type: ignore[union-attr]


@virtual
async def test_a_full_exchange_answers_503_and_when_to_try_again() -> None:
    phone, wire = await office(), await wires(PEER)
    phone.stack.transactions.limit = 2
    for _ in range(3):
        wire.send(request("OPTIONS").encode(), HERE)
    await settled()
    statuses = [found.status for found in wire.got]  # type: ignore[union-attr]
    assert statuses == [200, 200, 503]
    assert wire.got[-1].get("retry-after") == "10"


@virtual
async def test_a_repeated_request_is_handled_once_and_answered_again() -> None:
    phone, wire = await office(), await wires(PEER)
    data = request("OPTIONS").encode()
    for _ in range(3):
        wire.send(data, HERE)
    await settled()
    assert len(phone.requests) == 1
    assert len({found.encode() for found in wire.got}) == 1
    assert len(wire.got) == 3


@virtual
async def test_an_answer_nobody_waits_for_is_dropped() -> None:
    phone, wire = await office(), await wires(PEER)
    wire.send(request("OPTIONS").response(200, to_tag="x").encode(), HERE)
    await settled()
    assert wire.got == []
    assert phone.stack.malformed == 0


@virtual
async def test_an_invite_with_credentials_on_the_old_branch_is_a_new_one() -> None:
    """PyVoIP repeats the branch after a 401."""
    from pbx.sip.digest import Credentials, DigestClient, DigestServer

    phone, wire = await office(), await wires(PEER)
    phone.challenge, phone.secret = DigestServer("example.com"), "zebra"
    invite = request("INVITE", branch="z9hG4bKsame")
    wire.send(invite.encode(), HERE)
    await settled()
    refused = wire.got[0]
    assert isinstance(refused, Response)
    assert DigestClient(Credentials(username="a", secret="zebra")).authorise(invite, refused)
    wire.send(invite.encode(), HERE)
    await settled()
    assert len(phone.lines) == 1


# ── what is sent ────────────────────────────────────────────────────────────────────────────
@virtual
async def test_a_request_of_ours() -> None:
    phone = await office()
    made = phone.stack.new_request(
        "OPTIONS", "sip:x@h", from_uri="sip:a@h", to_uri="sip:x@h", from_name="A, B"
    )
    phone.stack.stamp(made, await phone.stack.transports.flow_to("udp", PEER))
    again = parse_message(made.encode())
    assert isinstance(again, Request)
    assert again.get("via").startswith("SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK")
    assert again.from_.name == "A, B"
    assert again.from_tag
    assert (again.get("max-forwards"), again.get("cseq")) == ("70", "1 OPTIONS")


@pytest.mark.parametrize(
    ("transport", "contact"),
    [
        ("udp", "sip:7@pbx.example.com:5060"),
        ("tcp", "sip:7@pbx.example.com:5060;transport=tcp"),
    ],
)
@virtual
async def test_what_is_advertised_is_in_contact_and_via(transport: Transport, contact: str) -> None:
    stack = Stack(Phone("192.0.2.1", "x"), advertise="pbx.example.com")
    if transport == "udp":
        await stack.transports.listen_udp(HERE)
    else:
        await stack.transports.listen_stream(transport, HERE)
        await (await Phone(PEER[0], "y").listen(transport)).stack.transports.listen_udp(PEER)
    flow = await stack.transports.flow_to(transport, PEER)
    assert stack.contact("7", flow) == contact
    assert stack.contact("", flow) == contact.replace("7@", "")
    made = request("OPTIONS")
    stack.stamp(made, flow)
    assert made.via.host == "pbx.example.com"


@pytest.mark.parametrize(
    ("uri", "transport", "port"),
    [
        ("sip:a@192.0.2.9", "udp", 5060),
        ("sip:a@192.0.2.9:5070", "udp", 5070),
        ("sip:a@192.0.2.9;transport=TCP", "tcp", 5060),
        ("sip:a@192.0.2.9;transport=tls", "tls", 5061),
        ("sips:a@192.0.2.9", "tls", 5061),
        ("sip:a@192.0.2.9;transport=sctp", "udp", 5060),
    ],
)
@virtual
async def test_a_flow_to_a_uri(uri: str, transport: Transport, port: int) -> None:
    phone = await office()
    if transport != "udp":
        await phone.stack.transports.listen_stream(transport, ("192.0.2.9", port))
    flow = await phone.stack.flow_to(URI.parse(uri))
    assert (flow.transport, flow.remote) == (transport, ("192.0.2.9", port))


@virtual
async def test_every_message_is_shown_to_the_ladder_once() -> None:
    phone, wire = await office(), await wires(PEER)
    seen: list[str] = []
    for hook in ("on_message", "on_stray"):
        setattr(
            phone.stack,
            hook,
            lambda sent, message, flow: seen.append(
                ("> " if sent else "< ") + message.start_line()
            ),
        )
    wire.send(request("OPTIONS").encode(), HERE)
    await settled()
    assert seen == ["< OPTIONS sip:102@example.com SIP/2.0", "> SIP/2.0 200 OK"]


@virtual
async def test_closing_stops_everything() -> None:
    phone = await office()
    made = phone.stack.new_request("OPTIONS", "sip:x", from_uri="sip:a@h", to_uri="sip:x@h")
    phone.stack.send(made, await phone.stack.transports.flow_to("udp", PEER), lambda _: None)
    await phone.stack.close()
    before = len(network().datagrams)
    await passing(100)
    assert len(network().datagrams) == before


# ── any bytes ───────────────────────────────────────────────────────────────────────────────
class Failures(logging.Handler):
    """The stack's last line catches everything; here what it catches is a failure."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(str(record.exc_info))


VALUES = st.one_of(st.text(max_size=40), st.text(alphabet='<>"\\;:,=@sip /.012[]%a', max_size=40))


@given(
    st.sampled_from(["INVITE", "ACK", "CANCEL", "BYE", "REGISTER", "OPTIONS", "INFO"]),
    st.dictionaries(
        st.sampled_from(
            ["via", "from", "to", "contact", "record-route", "cseq", "route", "authorization",
             "expires", "content-type", "user-agent"]
        ),
        VALUES,
        max_size=3,
    ),
    st.text(max_size=20),
    st.binary(max_size=50),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_nothing_a_stranger_sends_raises(
    method: str, headers: dict[str, str], uri: str, body: bytes
) -> None:
    async def course() -> None:
        phone, wire = await office(), await wires(PEER)
        made = request(method, body=body)
        made.uri = uri.replace(" ", "") or made.uri
        for name, value in headers.items():
            made.set(name, value.replace("\r\n", " "))
        with contextlib.suppress(UnicodeEncodeError):
            wire.send(made.encode(), HERE)
        await settled()
        for found in wire.got:
            found.encode()
        for line in phone.lines:
            line.session.end()
        await passing(200)
        assert phone.stack.dialogs == 0
        assert len(phone.stack.transactions) == 0

    failures, log = Failures(), logging.getLogger("pbx.sip.stack")
    log.addHandler(failures)
    try:
        run(course())
    finally:
        log.removeHandler(failures)
    assert failures.found == []
