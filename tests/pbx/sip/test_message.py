"""Messages from bytes and to bytes: what is accepted, kept as it came, refused and bounded."""

from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.sip.message import (
    MAX_BODY,
    MAX_COMMAS,
    MAX_HEAD,
    MAX_HEADERS,
    Message,
    ParseError,
    Request,
    Response,
    address_value,
    bare_uri,
    parse_address,
    parse_message,
    split_commas,
)
from tests.pbx.virtual_time import raw

INVITE = (
    "INVITE sip:bob@biloxi.example.com SIP/2.0",
    "Via: SIP/2.0/UDP pc33.atlanta.example.com;branch=z9hG4bK776asdhds",
    "Max-Forwards: 70",
    "To: Bob <sip:bob@biloxi.example.com>",
    "From: Alice <sip:alice@atlanta.example.com>;tag=1928301774",
    "Call-ID: a84b4c76e66710@pc33.atlanta.example.com",
    "CSeq: 314159 INVITE",
    "Contact: <sip:alice@pc33.atlanta.example.com>",
)
"The INVITE of RFC 3261 §4."


def without(*names: str) -> list[str]:
    return [line for line in INVITE if line.partition(":")[0] not in names]


def parse(*lines: str, body: bytes = b"") -> Request | Response:
    return parse_message(raw(*lines, body=body))


# ── what is read ────────────────────────────────────────────────────────────────────────────
def test_the_invite_of_rfc_3261() -> None:
    found = parse(*INVITE, "Content-Type: application/sdp", "Content-Length: 3", body=b"v=0")
    assert isinstance(found, Request)
    assert (found.method, found.uri) == ("INVITE", "sip:bob@biloxi.example.com")
    assert (found.target.user, found.target.host) == ("bob", "biloxi.example.com")
    assert found.via.host == "pc33.atlanta.example.com"
    assert found.via.parameters["branch"] == "z9hG4bK776asdhds"
    assert (found.from_.name, found.from_tag) == ("Alice", "1928301774")
    assert (found.to.name, found.to_tag) == ("Bob", "")
    assert (found.cseq.sequence, found.cseq.method) == (314159, "INVITE")
    assert found.call_id == "a84b4c76e66710@pc33.atlanta.example.com"
    assert found.contact is not None
    assert found.contact.uri.user == "alice"
    assert found.body == b"v=0"


def test_a_response() -> None:
    found = parse("SIP/2.0 180 Ringing now, friend", *INVITE[1:])
    assert isinstance(found, Response)
    assert (found.status, found.reason) == (180, "Ringing now, friend")


@pytest.mark.parametrize("line", ["SIP/2.0 200 ", "SIP/2.0 200", "sip/2.0 200 OK"])
def test_a_status_line_may_lack_its_reason(line: str) -> None:
    found = parse(line, *INVITE[1:])
    assert isinstance(found, Response)
    assert found.status == 200


def test_compact_names_mean_the_long_ones() -> None:
    found = parse(
        "OPTIONS sip:b@example.com SIP/2.0",
        "v: SIP/2.0/UDP a.example.com;branch=z9hG4bK1",
        "f: <sip:a@example.com>;tag=1",
        "t: <sip:b@example.com>",
        "i: 1@a",
        "CSeq: 1 OPTIONS",
        "m: <sip:a@a.example.com>",
        "k: timer",
        "s: hello",
        "e: gzip",
        "c: text/plain",
        "x: 90",
        "L: 2",
        body=b"hi",
    )
    assert found.via.host == "a.example.com"
    assert found.call_id == "1@a"
    for name, value in {
        "contact": "<sip:a@a.example.com>",
        "supported": "timer",
        "subject": "hello",
        "content-encoding": "gzip",
        "content-type": "text/plain",
        "session-expires": "90",
    }.items():
        assert found.get(name) == value
    assert found.body == b"hi"


def test_names_know_no_case() -> None:
    found = parse(*(line.replace("Max-Forwards", "mAX-fORWARDS") for line in INVITE))
    assert found.get("Max-Forwards") == found.get("MAX-FORWARDS") == "70"
    assert "max-forwards" in found
    assert "Route" not in found


def test_folded_lines_are_one() -> None:
    found = parse(
        *INVITE, "Subject: I know you're there,", "  pick up the phone", "\tand answer", "Y:", " z"
    )
    assert found.get("subject") == "I know you're there, pick up the phone and answer"
    assert found.get("y") == "z"


def test_spaces_around_the_colon() -> None:
    assert parse(*INVITE, "Subject \t :  lunch \t").get("subject") == "lunch"


def test_empty_and_odd_values_are_kept() -> None:
    found = parse(*INVITE, "Subject:", "Odd: a:b::c", "Odder: ;;,,;;,;")
    assert found.get("subject", "missing") == ""
    assert found.get("odd") == "a:b::c"
    assert found.elements("odder") == [";;", ";;", ";"]


def test_repeated_headers_and_commas_are_the_same_list() -> None:
    found = parse(
        *INVITE,
        'Route: "Doe, John" <sip:a@example.com;x=1,2>, <sip:b@example.com>',
        "Route: <sip:c@example.com>",
    )
    assert len(found.get_all("route")) == 2
    assert found.elements("route") == [
        '"Doe, John" <sip:a@example.com;x=1,2>',
        "<sip:b@example.com>",
        "<sip:c@example.com>",
    ]


def test_the_top_via_of_several_on_one_line() -> None:
    found = parse(
        INVITE[0],
        "Via: SIP/2.0/TCP a.example.com;branch=z9hG4bK1, SIP/2.0/UDP b.example.com",
        *INVITE[2:],
    )
    assert (found.via.transport, found.via.host) == ("TCP", "a.example.com")
    assert len(found.elements("via")) == 2


def test_the_torture_of_white_space() -> None:
    """RFC 4475 §3.1.1.1, with what matters to an exchange."""
    found = parse(
        "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0",
        "TO :",
        " sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n",
        'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>',
        "  ;",
        "  tag = 98asjd8",
        "MaX-fOrWaRdS: 0068",
        "Call-ID: wsinv.ndaksdj@192.0.2.1",
        "Content-Length   : 3",
        "cseq: 0009",
        "  INVITE",
        "Via  : SIP  /   2.0",
        " /UDP",
        "    192.0.2.2;branch=390skdjuw",
        "s :",
        "NewFangledHeader:   newfangled value",
        " continued newfangled value",
        "UnknownHeaderWithUnusualValue: ;;,,;;,;",
        "Content-Type: application/sdp",
        "v:  SIP  / 2.0  / TCP     spindle.example.com   ;",
        "  branch  =   z9hG4bK9ikj8  ,",
        " SIP  /    2.0   / UDP  192.168.255.111   ; branch=",
        " z9hG4bK30239",
        'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam',
        "      =",
        "  newvalue ;",
        "  secondparam ; q = 0.33",
        body=b"v=0",
    )
    assert found.to_tag == "1918181833n"
    assert found.from_tag == "98asjd8"
    assert (found.cseq.sequence, found.cseq.method) == (9, "INVITE")
    assert (found.via.host, found.via.parameters["branch"]) == ("192.0.2.2", "390skdjuw")
    assert len(found.elements("via")) == 3
    assert found.contact is not None
    assert found.contact.parameters["q"] == "0.33"
    assert found.get("newfangledheader") == "newfangled value continued newfangled value"


def test_unusual_method_tokens_are_read() -> None:
    """RFC 4475 §3.1.1.2."""
    method = "!interesting-Method0123456789_*+`.%indeed'~"
    found = parse(f"{method} sip:a@example.com SIP/2.0", *without("CSeq")[1:], f"CSeq: 1 {method}")
    assert isinstance(found, Request)
    assert found.method == method


def test_bytes_that_are_no_utf_8_survive() -> None:
    head = raw(*INVITE, "Subject: @").replace(b"@\r\n\r\n", b"\xff\xfe caf\xe9\r\n\r\n")
    found = parse_message(head)
    assert b"\xff\xfe caf\xe9" in found.encode()


# ── kept byte for byte ──────────────────────────────────────────────────────────────────────
def test_what_was_read_is_written_the_same() -> None:
    wire = raw(
        *INVITE,
        'Contact: "A \\"x\\", B" <sip:a@b;x=%20;y>;q=0.5,<sip:c@d>',
        "X-Odd: \t".strip(),
        "Route: <sip:p1;lr>",
        "Route: <sip:p2;lr>",
        "Subject: Grüße",
        "Content-Length: 4",
        body=b"\0\xff\r\n",
    )
    found = parse_message(wire)
    again = parse_message(found.encode())
    assert again.encode() == found.encode()
    for name in found._headers:
        assert again.get_all(name) == found.get_all(name)
    assert found.encode().endswith(b"Content-Length: 4\r\n\r\n\0\xff\r\n")


def test_an_ordinary_message_is_byte_exact() -> None:
    wire = raw(*INVITE, "Content-Length: 3", body=b"v=0")
    assert parse_message(wire).encode() == wire


def test_the_length_is_always_right() -> None:
    found = parse(*INVITE, "Content-Length: 3", body=b"v=0")
    found.body = b"longer"
    assert b"Content-Length: 6\r\n\r\nlonger" in found.encode()
    found.set("content-length", "99")
    assert b"Content-Length: 6\r\n" in found.encode()


def test_a_change_shows_in_the_bytes() -> None:
    found = parse(*INVITE)
    before = found.encode()
    found.set("max-forwards", "69")
    found.add("route", "<sip:p>")
    found.remove("contact")
    after = found.encode()
    assert before != after
    assert b"Max-Forwards: 69\r\n" in after
    assert b"Route: <sip:p>\r\n" in after
    assert b"Contact" not in after


def test_a_replaced_header_is_parsed_anew() -> None:
    found = parse(*INVITE)
    assert found.cseq.sequence == 314159
    found.set("cseq", "5 INVITE")
    assert found.cseq.sequence == 5


def test_the_usual_spelling_of_names() -> None:
    wire = parse(*INVITE, "www-authenticate: x", "p-asserted-identity: y", "mime-version: 1.0")
    for name in (b"WWW-Authenticate", b"P-Asserted-Identity", b"MIME-Version", b"CSeq", b"Call-ID"):
        assert b"\r\n" + name + b": " in wire.encode()


def test_a_bare_message_has_no_start_line() -> None:
    with pytest.raises(TypeError):
        Message().encode()


# ── answers ─────────────────────────────────────────────────────────────────────────────────
def test_a_response_copies_what_8_2_6_says() -> None:
    found = parse(*INVITE, "Via: SIP/2.0/UDP second.example.com", "Record-Route: <sip:p>")
    assert isinstance(found, Request)
    response = found.response(404, to_tag="abc")
    assert response.reason == "Not Found"
    assert response.get_all("via") == found.get_all("via")
    assert response.get("to") == "Bob <sip:bob@biloxi.example.com>;tag=abc"
    for name in ("from", "call-id", "cseq"):
        assert response.get(name) == found.get(name)
    assert "record-route" not in response
    assert "max-forwards" not in response


def test_a_to_tag_is_not_given_twice() -> None:
    found = parse(*without("To"), "To: <sip:b@example.com>;Tag=there")
    assert isinstance(found, Request)
    assert found.response(200, to_tag="abc").get("to") == "<sip:b@example.com>;Tag=there"


# ── Content-Length ──────────────────────────────────────────────────────────────────────────
def test_what_follows_the_body_is_cut_off() -> None:
    assert parse(*INVITE, "Content-Length: 3", body=b"v=0 and more").body == b"v=0"


def test_without_a_length_the_datagram_ends_the_body() -> None:
    assert parse(*INVITE, body=b"v=0").body == b"v=0"


@pytest.mark.parametrize(
    "length", ["4", "99999", "-1", "3.0", "0x3", "three", "³", "3 3", "9" * 40]
)
def test_a_wrong_length_is_refused_and_can_be_answered(length: str) -> None:
    with pytest.raises(ParseError, match="Content-Length") as refused:
        parse(*INVITE, f"Content-Length: {length}", body=b"v=0")
    assert isinstance(refused.value.message, Request)
    assert refused.value.message.response(400).get("call-id")


# ── _invalid ────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "line",
    [
        "",
        "INVITE",
        "INVITE sip:a@b",
        "INVITE  sip:a@b SIP/2.0",
        "INVITE sip:a@b SIP/2.0 ",
        "INVITE sip:a@b SIP/3.0",
        "INVITE sip:a b SIP/2.0",
        "INV\tITE sip:a@b SIP/2.0",
        "INVITE: sip:a@b SIP/2.0",
        "SIP/2.0 099 Early",
        "SIP/2.0 700 Late",
        "SIP/2.0 2000 OK",
        "SIP/2.0 20 OK",
        "SIP/2.0 OK",
        "SIP/2.0 -20 OK",
        "HTTP/1.1 200 OK",
        "GET / HTTP/1.1",
        "\x16\x03\x01\x02",
    ],
)
def test_start_line_invalid(line: str) -> None:
    with pytest.raises(ParseError):
        parse(line, *INVITE[1:])


@pytest.mark.parametrize("name", ["Via", "To", "From", "Call-ID", "CSeq"])
def test_missing_header_invalid(name: str) -> None:
    with pytest.raises(ParseError, match=f"(?i)missing {name}"):
        parse(*without(name))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", ""),
        ("Via", "x"),
        ("Via", "SIP/2.0/UDP"),
        ("Via", "SIP/2.0/UDP a b"),
        ("Via", "SIP/2.0/UDP a;self=1;;"),
        ("Via", ","),
        ("Via", "SIP/2.0/UDP a:" + "9" * 5000),
        ("From", ""),
        ("From", "<sip:a@b"),
        ("From", "<>"),
        ("From", "<mailto:a b>;tag=1"),
        ("From", "<:a@b>;tag=1"),
        ("From", "Bell, A <sip:a@b>;tag=1"),
        ("From", "sip:a@b?subject=x;tag=1"),
        ("From", '"A" B <sip:a@b>'),
        ("From", '"unclosed <sip:a@b>;tag=1'),
        ("From", "<sip:a@b>;self=1"),
        ("To", "<sip:>"),
        ("To", "<sip:a@b>;;"),
        ("CSeq", "INVITE"),
        ("CSeq", "1"),
        ("CSeq", "-1 INVITE"),
        ("CSeq", "1.5 INVITE"),
        ("CSeq", "2147483648 INVITE"),
        ("CSeq", "9" * 5000 + " INVITE"),
        ("CSeq", "1 BYE"),
        ("Call-ID", ""),
    ],
)
def test_header_invalid(name: str, value: str) -> None:
    with pytest.raises(ParseError):
        parse(*without(name), f"{name}: {value}")


@pytest.mark.parametrize(
    "line",
    [
        "no colon here", "Subject", ": no name", "bad name: x", "bäd: x", '"q": x',
        "Subject: x\nInjected: y", "Subject: x\rInjected: y",
    ],
)  # fmt: skip
def test_header_line_invalid(line: str) -> None:
    with pytest.raises(ParseError, match="bad header line"):
        parse(*INVITE, line)


def test_the_largest_cseq() -> None:
    found = parse(*without("CSeq"), f"CSeq: {2**31 - 1} INVITE")
    assert found.cseq.sequence == 2**31 - 1


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"\0" * 50, b"\r\n" * 30, b"INVITE", b"\xff" * 9]
)
def test_no_message_invalid(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_message(data)


def test_request_uri_invalid_is_found_when_asked_for() -> None:
    found = parse("INVITE http://example.com SIP/2.0", *INVITE[1:])
    assert isinstance(found, Request)
    with pytest.raises(ParseError, match="bad Request-URI"):
        _ = found.target


@pytest.mark.parametrize("value", ["x y", "<sip:a@b", "<sip:a@b>;self=1", "<http:>"])
def test_contact_invalid(value: str) -> None:
    found = parse(*without("Contact"), f"Contact: {value}")
    with pytest.raises(ParseError, match="bad contact"):
        _ = found.contact


def test_no_contact_and_a_star() -> None:
    assert parse(*without("Contact")).contact is None
    assert parse(*without("Contact"), "Contact: *").contact is None


# ── bounds ──────────────────────────────────────────────────────────────────────────────────
def test_the_head_is_bounded() -> None:
    with pytest.raises(ParseError, match="too large"):
        parse(*INVITE, "X: " + "x" * MAX_HEAD)


def test_the_number_of_headers_is_bounded() -> None:
    room = MAX_HEADERS - len(INVITE)
    parse(*INVITE, *["X-A: y"] * room)
    with pytest.raises(ParseError, match="too many headers"):
        parse(*INVITE, *["X-A: y"] * (room + 1))


def test_the_number_of_commas_is_bounded() -> None:
    spare = MAX_COMMAS - sum(line.count(",") for line in INVITE)
    assert len(parse(*INVITE, "Route: " + "a," * spare).elements("route")) == spare
    with pytest.raises(ParseError, match="too many headers"):
        parse(*INVITE, "Route: " + "a," * (spare + 1))


def test_the_body_is_bounded() -> None:
    assert len(parse(*INVITE, body=b"x" * MAX_BODY).body) == MAX_BODY
    with pytest.raises(ParseError, match="body too large"):
        parse(*INVITE, body=b"x" * (MAX_BODY + 1))


@pytest.mark.parametrize(
    "value",
    [
        "<sip:a@b>" + ";a=b" * 3500,
        '"' * 15_000,
        "a " * 7_500,
        "<sip:a@" + "a." * 7_000 + "!>",
        "<sip:a@[" + "a:" * 7_000 + "]>",
        "<sip:" + "%41" * 5_000 + ">",
        " " * 15_000 + "<",
        "h" + ";a=b" * 500 + ";",
        "h" + ";a=[::1]" * 500 + ";!\0",
        "h;x=" + "1.2.3.4" * 500 + "\0",
    ],
)
def test_no_header_keeps_the_loop_busy(value: str) -> None:
    import time

    began = time.process_time()
    with contextlib.suppress(ParseError):
        parse(*without("From"), f"From: {value}")
    with contextlib.suppress(ParseError):
        parse(*without("Via"), f"Via: SIP/2.0/UDP {value}")
    with contextlib.suppress(ParseError):
        parse(*without("Via"), f"Via: SIP/2.0/UDP h{value}")
    assert time.process_time() - began < 0.05


# ── any bytes ───────────────────────────────────────────────────────────────────────────────
def check(data: bytes) -> None:
    """Bytes become a message or a ParseError, and whatever is then asked of the message is an
    answer or a ParseError."""
    try:
        found = parse_message(data)
    except ParseError as error:
        found = error.message  # type: ignore[assignment]
        if found is None:
            return
    assert isinstance(found, Request | Response)
    assert len(found.body) <= MAX_BODY
    assert sum(len(values) for values in found._headers.values()) <= MAX_HEADERS
    for name in ("via", "contact", "route", "from"):
        found.elements(name)
    for attribute in ("via", "from_", "to", "cseq", "contact", "from_tag", "to_tag", "target"):
        with contextlib.suppress(ParseError):
            getattr(found, attribute, None)
    found.encode()
    if isinstance(found, Request):
        found.response(400, to_tag="x").encode()


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    check(data)
    check(data + b"\r\n\r\n")


HEADER_NAMES = st.sampled_from(
    [
        "Via",
        "v",
        "From",
        "f",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Content-Length",
        "l",
        "Route",
        "X",
    ]
)
HOSTILE = st.one_of(
    st.text(max_size=60),
    st.text(alphabet='<>"\\;:,=@sip /.0123[]%a\t', max_size=60),
    st.sampled_from(
        [
            "<sip:a@b>;tag=1",
            "SIP/2.0/UDP h;branch=z9hG4bK1",
            "1 INVITE",
            "*",
            "5",
            "<sip:a@b>;a=b;a=c",
        ]
    ),
)


@given(
    st.one_of(st.sampled_from([INVITE[0], "SIP/2.0 200 OK", "BYE sip:a SIP/2.0"]), HOSTILE),
    st.lists(st.tuples(HEADER_NAMES, HOSTILE), max_size=10),
    st.booleans(),
    st.binary(max_size=20),
)
@settings(max_examples=400, deadline=None)
def test_any_headers(start: str, headers: list[tuple[str, str]], sound: bool, body: bytes) -> None:
    lines = [f"{name}: {value}" for name, value in headers]
    check(raw(start, *(INVITE[1:] if sound else ()), *lines, body=body))
    check(raw(start, *lines, *(INVITE[1:] if sound else ()), body=body))


@given(st.integers(0, 400), st.integers(0, 255), st.integers(0, 20))
def test_any_byte_changed_or_lost(position: int, value: int, cut: int) -> None:
    wire = bytearray(raw(*INVITE, "Content-Length: 3", body=b"v=0"))
    position %= len(wire)
    wire[position] = value
    check(bytes(wire))
    del wire[position : position + cut]
    check(bytes(wire))


TOKEN = st.text(string.ascii_letters + string.digits + "-.!%*_+`'~", min_size=1, max_size=20)


@given(TOKEN, TOKEN, st.lists(TOKEN, max_size=5), st.binary(max_size=100))
def test_any_sound_message_is_kept(call_id: str, tag: str, extra: list[str], body: bytes) -> None:
    lines = [*without("Call-ID", "From"), f"Call-ID: {call_id}", f"From: <sip:a@b>;tag={tag}"]
    lines += [f"X-Extra: {value}" for value in extra]
    wire = raw(*lines, f"Content-Length: {len(body)}", body=body)
    found = parse_message(wire)
    assert found.call_id == call_id
    assert found.from_tag == tag
    assert found.get_all("x-extra") == extra
    assert found.body == body
    assert parse_message(found.encode()).encode() == found.encode()


# ── parts ───────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("", []),
        (" , ,", []),
        ("a", ["a"]),
        ("a, b ,c", ["a", "b", "c"]),
        ('"a, b", c', ['"a, b"', "c"]),
        ('"a \\", b", c', ['"a \\", b"', "c"]),
        ('"a \\\\", b', ['"a \\\\"', "b"]),
        ("<a,b>, c", ["<a,b>", "c"]),
        ('"<" <a,b>, c', ['"<" <a,b>', "c"]),
        ('<a"b,c>, d', ['<a"b,c>', "d"]),
        ('"never closed, a', ['"never closed, a']),
    ],
)
def test_split_commas(value: str, parts: list[str]) -> None:
    assert split_commas(value) == parts


@given(st.text(alphabet='ab,"\\<> ', max_size=60))
def test_split_commas_loses_nothing(value: str) -> None:
    kept = "".join(split_commas(value))
    assert [c for c in kept if c in 'ab"\\<>'] == [c for c in value if c in 'ab"\\<>']


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ("<sip:a@b;x=1>;q=1", "sip:a@b;x=1"),
        ("sip:a@b;q=1", "sip:a@b"),
        ('"x <y>" <sip:a@b>', "sip:a@b"),
        ('"x \\" <y>" <sip:a@b>', "sip:a@b"),
        ("Bob <sip:a@b>", "sip:a@b"),
        ("< sip:a@b >", "sip:a@b"),
        ("", ""),
        ("<sip:a@b", "sip:a@b"),
    ],
)
def test_bare_uri(value: str, uri: str) -> None:
    assert bare_uri(value) == uri


@given(st.text(max_size=40))
def test_a_name_cannot_break_out_of_its_header(name: str) -> None:
    value = address_value("sip:101@example.com", name, "t1")
    assert "\r" not in value
    assert "\n" not in value
    found = parse(*without("From"), f"From: {value}")
    assert (found.from_.uri.user, found.from_tag) == ("101", "t1")
    assert bare_uri(value) == "sip:101@example.com"


@pytest.mark.parametrize(
    "value",
    [
        "<sip:a@b>",
        '"A B" <sip:a@b:5070>;tag=x1',
        "<sips:h>",
        "<sip:+12025550143@gw.example.com>;tag=a.b~c",
    ],
)
def test_the_quick_way_reads_what_the_grammar_reads(value: str) -> None:
    from sipmessage import Address

    assert str(parse_address(value)) == str(Address.parse(value))
