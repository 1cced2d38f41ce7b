"""The 49 torture messages of RFC 4475: read as it says, and answered by a running exchange over
UDP and TCP as it says, which goes on serving after each."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from pbx.sip.body import content_types, sdp_of
from pbx.sip.inspection import refusal
from pbx.sip.message import (
    ParseError,
    Request,
    Response,
    bare_uri,
    parse_address,
    parse_message,
)
from pbx.sip.uri import dialled_user
from tests.peers.exchange import Config, Exchange

from .attacker import EXTENSIONS, REGISTRAR, Socket, credentials, request, status

FOLDER = Path(__file__).parent / "torture"
METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "INFO", "MESSAGE")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One message: what RFC 4475 says of it, and the answers that are right. 0 is silence."""

    section: str
    name: str
    says: str
    read: int = 0
    "0: it is read; else the status of the refusal, or -1 when it is thrown away."
    udp: tuple[int, ...]
    tcp: tuple[int, ...] | None = None
    "As `udp` unless given; several are all expected, in this order."
    closes: bool = False
    "TCP: nobody knows where the message ends, so the connection is closed."

    @property
    def data(self) -> bytes:
        return (FOLDER / f"{self.section}-{self.name}.dat").read_bytes()


# A stranger's INVITE or REGISTER that is right is challenged (401): we want to know who asks.
CASES = [
    # 3.1.1 valid messages
    Case(section="3.1.1.1", name="wsinv", says="well-formed; of no dialog: 481", udp=(481,)),
    Case(section="3.1.1.2", name="intmeth", says="501 with Allow", udp=(501,)),
    Case(section="3.1.1.3", name="esc01", says="well-formed; escapes are equal", udp=(401,)),
    Case(section="3.1.1.4", name="escnull", says="a user name may hold %00", udp=(401,)),
    Case(section="3.1.1.5", name="esc02", says="% escapes nothing here: 501", udp=(501,)),
    Case(section="3.1.1.6", name="lwsdisp", says="well-formed", udp=(200,)),
    Case(section="3.1.1.7", name="longreq", says="well-formed, and long", udp=(401,)),
    Case(
        section="3.1.1.8", name="dblreq", udp=(401,), tcp=(401, 401),
        says="over UDP the rest of the datagram is ignored; over TCP it is another request",
    ),
    Case(section="3.1.1.9", name="semiuri", says="user is user;par=u@example.net", udp=(200,)),
    Case(section="3.1.1.10", name="transports", says="unknown transports in Via", udp=(200,)),
    Case(section="3.1.1.11", name="mpart01", says="binary multipart; 401", udp=(401,)),
    Case(section="3.1.1.12", name="unreason", says="any words in UTF-8", udp=(0,)),
    Case(section="3.1.1.13", name="noreason", says="no reason phrase", udp=(0,)),
    # 3.1.2 invalid messages
    Case(section="3.1.2.1", name="badinv01", says="400", read=400, udp=(400,)),
    Case(
        section="3.1.2.2", name="clerr", read=400, udp=(400,), tcp=(0,),
        says="400; a stream waits for the rest",
    ),
    Case(
        section="3.1.2.3", name="ncl", read=400, udp=(400,), closes=True,
        says="400, and a stream is closed",
    ),
    Case(section="3.1.2.4", name="scalar02", says="400", read=400, udp=(400,)),
    Case(section="3.1.2.5", name="scalarlg", says="thrown away", read=-1, udp=(0,)),
    Case(section="3.1.2.6", name="quotbal", says="400", read=400, udp=(400,)),
    Case(section="3.1.2.7", name="ltgtruri", says="400", read=400, udp=(400,)),
    Case(section="3.1.2.8", name="lwsruri", says="400", read=400, udp=(400,)),
    Case(section="3.1.2.9", name="lwsstart", says="400", read=400, udp=(400,)),
    Case(section="3.1.2.10", name="trws", says="400", read=400, udp=(400,)),
    Case(section="3.1.2.11", name="escruri", says="400", udp=(400,)),
    Case(section="3.1.2.12", name="baddate", says="may ignore the Date", udp=(401,)),
    Case(section="3.1.2.13", name="regbadct", says="400, once it is known who asks", udp=(401,)),
    Case(section="3.1.2.14", name="badaspec", says="400", read=400, udp=(400,)),
    Case(section="3.1.2.15", name="baddn", says="400", read=400, udp=(400,)),
    Case(section="3.1.2.16", name="badvers", says="505", read=505, udp=(505,)),
    Case(section="3.1.2.17", name="mismatch01", says="400", read=400, udp=(400,)),
    Case(section="3.1.2.18", name="mismatch02", says="400 or 501", read=400, udp=(400,)),
    Case(section="3.1.2.19", name="bigcode", says="thrown away", read=-1, udp=(0,)),
    # 3.2 transaction layer
    Case(section="3.2.1", name="badbranch", says="400", read=400, udp=(400,)),
    # 3.3 application layer
    Case(section="3.3.1", name="insuf", says="400", read=400, udp=(400,)),
    Case(section="3.3.2", name="unkscm", says="416", udp=(416,)),
    Case(section="3.3.3", name="novelsc", says="416", udp=(416,)),
    Case(section="3.3.4", name="unksm2", says="readable; a registrar: 400", udp=(400,)),
    Case(section="3.3.5", name="bext01", says="420 with Unsupported", udp=(420,)),
    Case(section="3.3.6", name="invut", says="415 with Accept", udp=(415,)),
    Case(section="3.3.7", name="regaut01", says="401: nothing is proven by it", udp=(401,)),
    Case(section="3.3.8", name="multi01", says="400", read=400, udp=(400,)),
    Case(
        section="3.3.9", name="mcl01", read=400, udp=(400,), closes=True,
        says="400, and a stream is closed",
    ),
    Case(section="3.3.10", name="bcast", says="thrown away: two Vias", udp=(0,)),
    Case(section="3.3.11", name="zeromf", says="an endpoint answers all the same", udp=(200,)),
    Case(section="3.3.12", name="cparam01", says="a parameter of the header", udp=(401,)),
    Case(section="3.3.13", name="cparam02", says="a parameter of the URI", udp=(401,)),
    Case(section="3.3.14", name="regescrt", says="a header in a Contact URI", udp=(401,)),
    Case(section="3.3.15", name="sdp01", says="406 or 400: no SDP may be sent", udp=(406,)),
    # 3.4 backward compatibility
    Case(
        section="3.4.1", name="inv2543", udp=(401,), tcp=(400,), closes=True,
        says="an RFC 2543 INVITE is understood; a stream needs its length (RFC 3261 §18.3)",
    ),
]  # fmt: skip
CASE = {case.name: case for case in CASES}
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def read(name: str) -> Request | Response:
    return parse_message(CASE[name].data)


def asked(name: str) -> Request:
    found = read(name)
    assert isinstance(found, Request)
    return found


# ── the parser ──────────────────────────────────────────────────────────────────────────────
def test_every_message_is_here() -> None:
    files = {file.name for file in FOLDER.glob("*.dat")}
    assert files == {f"{case.section}-{case.name}.dat" for case in CASES}
    assert len(files) == 49


@each
def test_it_is_read_as_the_rfc_says(case: Case) -> None:
    if not case.read:
        found = parse_message(case.data)
        assert isinstance(found, Response) == found.start_line().startswith("SIP/2.0")
        return
    with pytest.raises(ParseError) as refused:
        parse_message(case.data)
    assert refused.value.lost == case.closes
    if case.read > 0:
        assert refused.value.status == case.read
        message = refused.value.message
        assert isinstance(message, Request)
        assert message.response(case.read).encode().startswith(b"SIP/2.0 %d " % case.read)


@pytest.mark.parametrize("case", [case for case in CASES if not case.read], ids=lambda c: c.name)
def test_what_was_read_is_written_and_read_the_same(case: Case) -> None:
    first = parse_message(case.data)
    second = parse_message(first.encode())
    assert second.encode() == first.encode()
    assert second.start_line() == first.start_line()
    assert {name: second.get_all(name) for name in second._headers} == {
        name: first.get_all(name) for name in first._headers
    } | {"content-length": [str(len(first.body))]}
    assert second.body == first.body


@pytest.mark.parametrize(
    "name", [case.name for case in CASES if not case.read and case.udp != (0,)]
)
def test_it_is_refused_for_what_it_is(name: str) -> None:
    refused = refusal(asked(name), METHODS, ())
    wanted = CASE[name].udp[0]
    assert (refused.status if refused else 0) == (0 if wanted in (200, 401, 481) else wanted)


def test_wsinv_in_detail() -> None:
    found = asked("wsinv")
    assert found.uri == "sip:vivekg@chair-dnrc.example.com;unknownparam"
    assert "unknownparam" in found.target.parameters
    assert (found.to_tag, found.from_tag) == ("1918181833n", "98asjd8")
    assert found.from_.name == 'J Rosenberg \\"'
    assert found.max_forwards == 68
    assert found.cseq.sequence == 9
    assert (found.via.transport, found.via.host) == ("UDP", "192.0.2.2")
    assert len(found.elements("via")) == 3
    assert found.get("subject", "absent") == ""
    assert found.get("unknownheaderwithunusualvalue") == ";;,,;;,;"
    (route,) = found.addresses("route")
    assert "lr" in route.uri.parameters
    contact = found.contact
    assert contact is not None
    assert contact.name == 'Quoted string ""'
    assert dict(contact.parameters) == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert sdp_of(found).startswith(b"v=0\r\no=mhandley")


def test_intmeth_in_detail() -> None:
    found = asked("intmeth")
    assert found.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert found.target.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert found.target.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert found.via.parameters["branch"] == "z9hG4bK-.!%66*_+`'~"
    assert found.to.name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert found.from_.name == "token1~` token2'+_ token3*%!.-"
    assert found.from_.parameters["fromParam''~+*_!.-%"] == '"работающий"'
    assert found.from_tag == "_token~1'+`*%!-."
    assert found.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert found.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_escapes_in_detail() -> None:
    found = asked("esc01")
    assert (found.target.scheme, found.target.user) == ("sip", "sips:user@example.com")
    assert (found.to.uri.user, found.from_.uri.user) == ("user", "I have spaces")
    assert found.contact is not None
    assert found.contact.uri.user == "caller"
    assert dict(found.contact.uri.parameters) == {"lr": None, "name": "value%41"}
    nulls = asked("escnull")
    assert nulls.to.uri.user == "null-\0-null"
    assert [item.uri.user for item in nulls.addresses("contact")] == ["\0", "\0\0"]
    plain = asked("esc02")
    assert (plain.method, plain.cseq.method) == ("RE%47IST%45R", "RE%47IST%45R")
    assert plain.to.name == "%Z%45"
    assert len(plain.elements("contact")) == 2
    assert "c%6fntact" in plain


def test_the_other_valid_ones_in_detail() -> None:
    assert asked("lwsdisp").from_.name == "caller"
    long = asked("longreq")
    assert len(long.elements("via")) == 34
    assert long.from_tag == "12" + "982" * 50 + "424"
    assert long.to.uri.port == 6000
    assert long.to.name == "I have a user name of " + "extreme" * 10 + " proportion"
    assert asked("dblreq").method == "REGISTER"
    assert asked("dblreq").body == b""
    assert asked("semiuri").target.user == "user;par=u@example.net"
    assert dialled_user(asked("semiuri").target) == "user;par=u@example.net"
    ways = [via.partition(" ")[0].rpartition("/")[2] for via in asked("transports").elements("via")]
    assert ways == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]
    parts = asked("mpart01")
    assert content_types(parts) == ["text/plain", "application/octet-stream"]
    assert parts.body.count(b"\0") == 2
    words, none = read("unreason"), read("noreason")
    assert isinstance(words, Response)
    assert isinstance(none, Response)
    assert words.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert (none.status, none.reason) == (100, "")


def test_contacts_in_detail() -> None:
    (header,), (uri,) = (asked(f"cparam0{n}").addresses("contact") for n in (1, 2))
    assert ("unknownparam" in header.parameters, "unknownparam" in header.uri.parameters) == (1, 0)
    assert ("unknownparam" in uri.parameters, "unknownparam" in uri.uri.parameters) == (0, 1)
    with pytest.raises(ParseError):
        _ = asked("regbadct").contact
    # The Route asked for is not honoured (RFC 3261 §19.1.5), and is in no Request-URI.
    kept = asked("regescrt").get("contact")
    assert bare_uri(kept) == "sip:user@example.com"
    assert parse_address(kept).uri.user == "user"


def test_unknown_schemes_in_detail() -> None:
    found = asked("unksm2")
    schemes = [found.to.uri.scheme, found.from_.uri.scheme, parse_address("<name:J>").uri.scheme]
    assert schemes == ["isbn", "http", "name"]
    assert (found.to.uri.user, found.to.uri.host) == (None, "")


def test_an_old_invite_in_detail() -> None:
    found = asked("inv2543")
    assert (found.from_tag, found.max_forwards, found.contact) == ("", 70, None)
    assert (found.target.user, dialled_user(found.to.uri)) == ("UserB", "+16505552222")
    assert dialled_user(found.from_.uri) == "+13035551111"
    assert sdp_of(found).startswith(b"v=0")


# ── a running exchange ──────────────────────────────────────────────────────────────────────
@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Exchange]:
    async with Exchange(Config(EXTENSIONS)) as running:
        yield running


_hosts = itertools.count(1)


def new_host() -> str:
    """A loopback address for each message: what one says is not held against another."""
    return f"127.0.75.{next(_hosts)}"


def ping(host: str, port: int, transport: str) -> bytes:
    return request("OPTIONS", "sip:x@test", (host, port), transport=transport)


def statuses(answers: list[bytes]) -> tuple[int, ...]:
    return tuple(status(answer) for answer in answers) or (0,)


@each
@pytest.mark.asyncio(loop_scope="module")
async def test_it_is_answered_over_udp_as_the_rfc_says(case: Case, served: Exchange) -> None:
    # Without rport the answer goes to the port in Via, 5060 where there is none (§18.2.2).
    host = new_host()
    ports = {5060, 5050} if case.name == "quotbal" else {5060}
    sockets = {port: await Socket.open(host, port) for port in ports}
    sender = sockets[5060]
    sender.send(case.data, served.udp)
    alive = ping(host, 5060, "UDP;rport")
    sender.send(alive, served.udp)
    came = [await asyncio.wait_for(sender.came.get(), 5)]
    while b"SIP/2.0 200 OK" not in came[-1] or b"To: <sip:x@test>" not in came[-1]:
        came.append(await asyncio.wait_for(sender.came.get(), 5))
    answers = came[:-1] + [data for socket in sockets.values() for data in socket.everything()]
    for socket in sockets.values():
        socket.close()
    assert statuses(answers) == case.udp
    check_extras(case, answers)


@each
@pytest.mark.asyncio(loop_scope="module")
async def test_it_is_answered_over_tcp_as_the_rfc_says(case: Case, served: Exchange) -> None:
    host = new_host()
    reader, writer = await asyncio.open_connection(*served.tcp, local_addr=(host, 0))
    writer.write(case.data)
    wanted = case.udp if case.tcp is None else case.tcp
    answers = [await one(reader) for answer in wanted if answer]
    assert statuses(answers) == wanted
    check_extras(case, answers)
    if case.closes:
        assert await asyncio.wait_for(reader.read(), 5) == b""
    elif case.name not in ("clerr", "dblreq"):  # whose ends are not where they say
        writer.write(ping(host, 5060, "TCP"))
        assert status(await one(reader)) == 200
    writer.close()
    reader, writer = await asyncio.open_connection(*served.tcp, local_addr=(host, 0))
    writer.write(ping(host, 5060, "TCP"))
    assert status(await one(reader)) == 200
    writer.close()


@pytest.mark.parametrize(
    ("contact", "wanted", "kept"),
    [
        ("sip:user@example.com?Route=%3Csip:sip.example.com%3E", 400, ""),  # regbadct
        ("<sip:user@example.com?Route=%3Csip:sip.example.com%3E>", 200, "<sip:user@example.com>"),
        (
            "sip:+19725552222@gw1.example.net;unknownparam",
            200,
            "<sip:+19725552222@gw1.example.net>",
        ),
        (
            "<sip:+19725552222@gw1.example.net;unknownparam>",
            200,
            "<sip:+19725552222@gw1.example.net;unknownparam>",
        ),
        ("<sip:%00@host5.example.com>", 200, "<sip:%00@host5.example.com>"),
        ("<sip:%00%00@host5.example.com>", 200, "<sip:%00%00@host5.example.com>"),
        ("<name:John_Smith>", 400, ""),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_the_registrar_knows_the_contacts(
    contact: str, wanted: int, kept: str, served: Exchange
) -> None:
    """What the torture REGISTERs ask for, from somebody who may register."""
    phone = await Socket.open(new_host())
    headers = [f"Contact: {contact}"]

    def register(*more: str) -> bytes:
        return request(
            "REGISTER", REGISTRAR, phone.address, to="<sip:101@x>", headers=[*headers, *more]
        )

    challenge = await phone.ask(register(), served.udp)
    assert status(challenge) == 401
    assert challenge is not None
    proof = credentials(challenge, "101", "secret-101", "REGISTER", REGISTRAR)
    answer = await phone.ask(register(proof), served.udp)
    phone.close()
    assert status(answer) == wanted
    assert answer is not None
    assert f"Contact: {kept};expires=".encode() in answer or not kept


async def one(reader: asyncio.StreamReader) -> bytes:
    """One response without a body."""
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)


def check_extras(case: Case, answers: list[bytes]) -> None:
    """Headers that belong to an answer."""
    for answer in answers:
        code = status(answer)
        if code in (405, 501):
            assert b"\r\nAllow: INVITE" in answer
        elif code == 420:
            wanted = b"Unsupported: nothingSupportsThis, nothingSupportsThisEither\r\n"
            assert wanted in answer
            assert b"noProxiesSupportThis" not in answer  # no proxy is asked here
        elif code == 415:
            assert b"\r\nAccept: application/sdp" in answer
        elif code == 401:
            assert b"\r\nWWW-Authenticate: Digest " in answer
        if case.name != "insuf":
            assert b"\r\nTo: " in answer
