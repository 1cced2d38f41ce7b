"""Valid messages, made from the grammar: what was meant is read, however it is written, and
reading and writing come to rest at once."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sipmessage import URI

from pbx.sip.message import Message, Request, Response, parse_address, parse_message
from pbx.sip.uri import parse_uri

ALNUM = string.ascii_letters + string.digits
tokens = st.text(ALNUM + "-.!%*_+`'~", min_size=1, max_size=12)
labels = st.text(string.ascii_lowercase, min_size=1, max_size=8)
hosts = st.one_of(
    st.lists(labels, min_size=1, max_size=3).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
ports = st.one_of(st.none(), st.integers(1, 65_535))
transports = st.sampled_from(["UDP", "TCP", "TLS", "SCTP"])
users = st.text(ALNUM + "-_.!~*'()&=+$,;?/", min_size=1, max_size=12)
names = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12)
parameters = st.dictionaries(
    st.text(string.ascii_lowercase, min_size=1, max_size=6).filter(
        lambda name: name not in ("self", "tag", "branch", "rport", "received")
    ),
    st.one_of(st.none(), st.text(ALNUM + "-._", min_size=1, max_size=8)),
    max_size=3,
)


def joined(given: dict[str, str | None]) -> str:
    return "".join(
        f";{name}" if text is None else f";{name}={text}" for name, text in given.items()
    )


@st.composite
def uris(draw: Any) -> str:
    host, port = draw(hosts), draw(ports)
    user = draw(st.one_of(st.just(""), users.map(lambda user: user + "@")))
    at = host if port is None else f"{host}:{port}"
    return f"{draw(st.sampled_from(['sip', 'sips']))}:{user}{at}{joined(draw(parameters))}"


@st.composite
def addresses(draw: Any) -> tuple[str, str, str, dict[str, str | None]]:
    """A value, and the name, URI and parameters it means."""
    name, uri, given = draw(names), draw(uris()), draw(parameters)
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '" ' if name else ""
    return f"{quoted}<{uri}>{joined(given)}", name, uri, given


@st.composite
def messages(draw: Any) -> tuple[list[tuple[str, str]], str, bytes]:
    """Header lines, the start line and a body."""
    method = draw(st.sampled_from(["INVITE", "BYE", "OPTIONS", "X-y.z"]))
    start = draw(
        st.one_of(
            uris().map(lambda uri: f"{method} {uri} SIP/2.0"),
            st.tuples(st.integers(100, 699), tokens).map(
                lambda pair: f"SIP/2.0 {pair[0]} {pair[1]}"
            ),
        )
    )
    via = [
        f"SIP/2.0/{draw(transports)} {draw(hosts)};branch=z9hG4bK{tag}"
        for tag in draw(st.lists(tokens, min_size=1, max_size=3))
    ]
    body = draw(st.binary(max_size=60))
    lines = [
        *(("Via", value) for value in via),
        ("From", f"{draw(addresses())[0]};tag={draw(tokens)}"),
        ("To", draw(addresses())[0]),
        ("Call-ID", draw(tokens)),
        ("CSeq", f"{draw(st.integers(0, 2**31 - 1))} {method}"),
        *(("Route", f"<{uri};lr>") for uri in draw(st.lists(uris(), max_size=2))),
        *(("X-" + draw(tokens), draw(names).strip()) for _ in range(draw(st.integers(0, 2)))),
        ("Content-Length", str(len(body))),
    ]
    return lines, start, body


def wire(lines: list[tuple[str, str]], start: str, body: bytes, colon: str = ": ") -> bytes:
    head = [start, *(name + colon + value for name, value in lines)]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def meaning(message: Message) -> object:
    assert isinstance(message, Request | Response)
    return (
        message.start_line(), message.via, message.from_, message.to, message.cseq, message.body,
        message.call_id, message.addresses("route"), message.elements("via"),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(messages())
def test_what_is_read_is_written_byte_for_byte_and_read_the_same(
    parts: tuple[list[tuple[str, str]], str, bytes],
) -> None:
    first = parse_message(wire(*parts))
    again = parse_message(first.encode())
    assert again.encode() == first.encode()
    assert meaning(again) == meaning(first)
    for name, value in parts[0]:
        assert value.strip() in again.get_all(name)


COMPACT = {"Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Content-Length": "l"}


@settings(max_examples=150, deadline=None)
@given(messages(), st.sampled_from([str.upper, str.lower, str.swapcase]), st.booleans())
def test_the_same_written_in_another_way_means_the_same(
    parts: tuple[list[tuple[str, str]], str, bytes], case: Any, compact: bool
) -> None:
    """Case of names, compact forms, white space and folds (RFC 3261 §7.3.1)."""
    lines, start, body = parts
    odd = [(COMPACT.get(name, name) if compact else case(name), value) for name, value in lines]
    plain = parse_message(wire(lines, start, body))
    assert meaning(parse_message(wire(odd, start, body, " \t:\r\n  "))) == meaning(plain)
    joined_vias = ", ".join(plain.elements("via"))
    rest = [(name, value) for name, value in lines if name != "Via"]
    together = parse_message(wire([("Via", joined_vias), *rest], start, body))
    assert meaning(together) == meaning(plain)


@given(addresses())
def test_an_address_means_what_was_meant(
    parts: tuple[str, str, str, dict[str, str | None]],
) -> None:
    value, name, uri, given = parts
    found = parse_address(value)
    assert (found.name, dict(found.parameters)) == (name, given)
    assert found.uri == parse_uri(uri)


@given(uris())
def test_a_uri_is_the_same_after_writing(uri: str) -> None:
    found = parse_uri(uri)
    assert parse_uri(str(found)) == found
    assert found == URI.parse(uri)  # the quick way reads what the grammar reads
