"""Messages that many tests begin with."""

from __future__ import annotations

from pbx.sip.message import Request, Response
from pbx.sip.transaction import new_branch

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)


def request(
    method: str = "INVITE",
    *,
    cseq: int = 1,
    branch: str = "",
    call_id: str = "a84b4c76e66710",
    to_tag: str = "",
    from_tag: str = "1928301774",
    via: str = "192.0.2.9:5060;rport",
    uri: str = "sip:102@example.com",
    body: bytes = b"",
    **headers: str,
) -> Request:
    """A sound request; `headers` by name with underscores."""
    made = Request(method, uri, body)
    made.set("via", f"SIP/2.0/UDP {via};branch={branch or new_branch()}")
    made.set("max-forwards", "70")
    made.set("from", f"<sip:101@example.com>;tag={from_tag}")
    made.set("to", "<sip:102@example.com>" + (f";tag={to_tag}" if to_tag else ""))
    made.set("call-id", call_id)
    made.set("cseq", f"{cseq} {method}")
    made.set("contact", "<sip:101@192.0.2.9:5060>")
    for name, value in headers.items():
        made.set(name.replace("_", "-"), value)
    return made


def answer(to: Request, status: int, tag: str = "peer", **headers: str) -> Response:
    """A peer's response to a request of ours."""
    made = to.response(status, to_tag=tag if status > 100 else "")
    for name, value in headers.items():
        made.set(name.replace("_", "-"), value)
    return made
