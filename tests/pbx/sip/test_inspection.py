"""What a request is refused for before anything else (RFC 3261 §8.2)."""

from __future__ import annotations

import pytest

from pbx.sip.inspection import refusal
from pbx.sip.message import Request

METHODS = ("INVITE", "ACK", "BYE", "OPTIONS", "REGISTER")
SDP = b"v=0\r\n"


def request(
    method: str = "INVITE", uri: str = "sip:x@y", body: bytes = b"", **headers: str
) -> Request:
    made = Request(method, uri, body)
    for name, value in {
        "via": "SIP/2.0/UDP h;branch=z9hG4bK1",
        "from": "<sip:a@b>;tag=1",
        "to": "<sip:x@y>",
        "call-id": "c",
        "cseq": f"1 {method}",
        **headers,
    }.items():
        made.set(name.replace("_", "-"), value)
    return made


def status(made: Request) -> int:
    refused = refusal(made, METHODS, {"timer", "100rel"})
    return refused.status if refused else 0


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (request(), 0),
        (request(body=SDP, content_type="application/sdp"), 0),
        (request(uri="tel:+12015550123"), 0),
        (request(require="timer"), 0),
        (request(require="Timer, 100rel"), 0),
        (request(accept="application/sdp, text/x"), 0),
        (request(accept="*/*"), 0),
        (request(accept="application/*;q=0.1"), 0),
        (request("OPTIONS", accept="text/odd"), 0),
        (request("OPTIONS", max_forwards="0"), 0),
        (request("OPTIONS", body=b"x", content_type="text/odd"), 0),
        (request("SUBSCRIBE"), 405),
        (request("SING"), 501),
        (request(uri="http://example.com"), 416),
        (request(uri="sip:a@b?Route=x"), 400),
        (request(uri="sip:"), 400),
        (request(max_forwards="0"), 483),
        (request(max_forwards="256"), 400),
        (request(max_forwards="-1"), 400),
        (request(max_forwards="many"), 400),
        (request(require="timer, teleport"), 420),
        (request(body=b"<x/>", content_type="text/xml"), 415),
        (request(body=SDP, content_type="application/sdp", content_encoding="gzip"), 415),
        (request(body=b"x", content_type="multipart/mixed"), 400),
        (request(accept="text/odd"), 406),
        (request("REGISTER", to="isbn:1"), 400),
        (request("REGISTER"), 0),
    ],
)
def test_refusals(made: Request, wanted: int) -> None:
    assert status(made) == wanted


def test_a_refusal_says_what_would_do() -> None:
    for made, name, value in (
        (request("SING"), "allow", ", ".join(METHODS)),
        (request(require="a, timer, b"), "unsupported", "a, b"),
        (request(body=b"x", content_type="text/odd"), "accept", "application/sdp, "),
    ):
        refused = refusal(made, METHODS, {"timer"})
        assert refused is not None
        assert refused.get(name).startswith(value)
