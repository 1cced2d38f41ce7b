"""Where the session description is in a body (RFC 5621)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.sip.body import MAX_PARTS, content_types, sdp_of
from pbx.sip.message import ParseError, Request, Response

OFFER = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
SDP = ("application/sdp", OFFER)


def request(kind: str, body: bytes, **headers: str) -> Request:
    made = Request("INVITE", "sip:x@y", body)
    if kind:
        made.set("content-type", kind)
    for name, value in headers.items():
        made.set(name.replace("_", "-"), value)
    return made


def multipart(
    *parts: tuple[str, bytes] | tuple[str, bytes, str], boundary: str = "b1", subtype: str = "mixed"
) -> tuple[str, bytes]:
    lines = []
    for kind, content, *more in parts:
        head = f"Content-Type: {kind}\r\n" + "".join(f"Content-Disposition: {m}\r\n" for m in more)
        lines.append(f"--{boundary}\r\n{head}\r\n".encode() + content + b"\r\n")
    body = b"".join(lines) + f"--{boundary}--\r\n".encode()
    return f'multipart/{subtype};boundary="{boundary}"', body


def test_a_body_that_is_an_sdp() -> None:
    assert sdp_of(request("application/sdp", OFFER)) == OFFER
    assert sdp_of(request("Application/SDP ; charset=utf-8", OFFER)) == OFFER
    assert sdp_of(request("", OFFER)) == OFFER  # some do not say it
    assert sdp_of(request("application/sdp", OFFER, content_disposition="session")) == OFFER
    assert sdp_of(Request("INVITE", "sip:x@y")) == b""


def test_an_sdp_that_is_not_for_the_session() -> None:
    early = request("application/sdp", OFFER, content_disposition="early-session;handling=optional")
    assert sdp_of(early) == b""


@pytest.mark.parametrize("subtype", ["mixed", "related", "alternative", "unheard-of"])
def test_an_sdp_among_others(subtype: str) -> None:
    isup = ("application/isup;version=x", b"\x01\x00--\r\n", "signal;handling=optional")
    for parts in ((SDP, isup), (isup, SDP)):
        found = request(*multipart(*parts, subtype=subtype))
        assert sdp_of(found) == OFFER


def test_the_types() -> None:
    inner = multipart(("text/plain", b"x"), ("text/html", b"y"), boundary="in")
    found = request(*multipart(SDP, inner))
    assert content_types(found) == ["application/sdp", "text/plain", "text/html"]
    assert content_types(request("application/SDP", OFFER)) == ["application/sdp"]
    assert content_types(Request("INVITE", "sip:x@y")) == []


def test_nested_once_and_not_twice() -> None:
    inner = multipart(SDP, boundary="in")
    assert sdp_of(request(*multipart(inner))) == OFFER
    with pytest.raises(ParseError):
        sdp_of(request(*multipart(multipart(inner, boundary="mid"))))


def test_of_alternatives_the_last_that_is_understood() -> None:
    other = OFFER.replace(b"- 1 1", b"- 2 2")
    found = request(
        *multipart(SDP, ("application/sdp", other), ("text/odd", b"?"), subtype="alternative")
    )
    assert sdp_of(found) == other


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/unknownformat", b"<audio/>"),
        ("text/plain", b"v=0"),
        multipart(SDP, ("application/odd", b"?", "render;handling=required")),
        multipart(SDP, ("application/odd", b"?")),  # required is the default, RFC 3261 §20.11
        multipart(("application/odd", b"?", "signal")),
    ],
)
def test_what_must_be_understood_and_is_not(kind: str, body: bytes) -> None:
    with pytest.raises(ParseError) as refused:
        sdp_of(request(kind, body))
    assert refused.value.status == 415
    answer = Response(200, "OK", body)
    answer.set("content-type", kind)
    assert sdp_of(answer) == (OFFER if OFFER in body else b"")  # the rest is passed over


def test_what_need_not_be_understood() -> None:
    optional = "render;handling=optional"
    assert sdp_of(request("text/odd", b"?", content_disposition=optional)) == b""
    kind, body = multipart(SDP, ("text/odd", b"?"))
    assert sdp_of(request(kind, body, content_disposition=optional)) == OFFER


def test_compressed_bodies_are_refused() -> None:
    with pytest.raises(ParseError) as refused:
        sdp_of(request("application/sdp", OFFER, content_encoding="gzip"))
    assert refused.value.status == 415
    assert sdp_of(request("application/sdp", OFFER, content_encoding="identity")) == OFFER


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/mixed", b"--b\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/mixed;boundary=", b"----\r\n"),
        ("multipart/mixed;boundary=" + "b" * 71, b"--" + b"b" * 71 + b"--"),
        ("multipart/mixed;boundary=b", b"no boundary here"),
        ("multipart/mixed;boundary=b", b"--b--\r\n"),
        ("multipart/mixed;boundary=b", b"--b\r\n\r\nnever ends"),
        ("multipart/mixed;boundary=b", b"--b\r\nno colon\r\n\r\nx\r\n--b--"),
        ("multipart/mixed;boundary=b", b"--b\r\nA: b\r\n--b--"),
        ("multipart/mixed;boundary=b", b"--b\r\nA: " + b"x" * 3000 + b"\r\n\r\n\r\n--b--"),
        ("sdp", OFFER),
        ("/", OFFER),
        multipart(*[SDP] * (MAX_PARTS + 1)),
        multipart(multipart(*[SDP] * 9, boundary="x"), multipart(*[SDP] * 9, boundary="y")),
    ],
)
def test_multipart_invalid(kind: str, body: bytes) -> None:
    with pytest.raises(ParseError) as refused:
        sdp_of(request(kind, body))
    assert refused.value.status == 400


def test_what_is_around_the_parts_means_nothing() -> None:
    kind, body = multipart(SDP)
    assert sdp_of(request(kind, b"preamble\r\n" + body + b"epilogue --b1")) == OFFER
    bare = b"--b1\r\n\r\nhello\r\n--b1--"
    assert content_types(request(kind, bare)) == ["text/plain"]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_parts_or_refused(first: bytes, second: bytes) -> None:
    kind, body = multipart(("text/plain", first), ("application/sdp", second))
    for content in (body, body + second, first + body, body[: len(first)], first):
        found = request(kind, content)
        try:
            sdp_of(found)
            content_types(found)
        except ParseError:
            continue


@given(st.binary(max_size=200).filter(lambda content: b"--b1" not in content))
def test_a_part_is_kept_byte_for_byte(content: bytes) -> None:
    optional = ("text/odd", content, "render;handling=optional")
    assert sdp_of(request(*multipart(optional, ("application/sdp", content), optional))) == content
