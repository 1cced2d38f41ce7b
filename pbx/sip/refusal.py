"""Answers to requests that are not even parsed (RFC 3261 §8.2.7: stateless, §21.5.4: 503).

Under a flood a whole parse costs more than the answer is worth. What a response must repeat is
copied as bytes, in one pass of an expression, for some 10 µs a request.
"""

from __future__ import annotations

import re
import zlib

MAX_LOOK = 4096
"Bytes of a message that are looked at; what an honest phone sends has its headers in these."

_NEW = re.compile(rb"(?:INVITE|REGISTER|OPTIONS|SUBSCRIBE|MESSAGE|PUBLISH|NOTIFY|REFER) ")
_TO_TAG = re.compile(rb"\r\n(?:to|t)[ \t]*:[^\r\n]*>[^\r\n>]*;[ \t]*tag[ \t]*=", re.I)
_COPIED = re.compile(
    rb"\r\n(via|v|from|f|to|t|call-id|i|cseq)[ \t]*(:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.I
)
_VIA = re.compile(
    rb"\r\n(?:via|v)[ \t]*:[ \t]*SIP/2\.0/[A-Z]+[ \t]+"
    rb"([^\s;,:\[]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?([^\r\n,]*)",
    re.I,
)
_BRANCH = re.compile(rb";[ \t]*branch[ \t]*=[ \t]*([^;,\s]{1,255})", re.I)
_RPORT = re.compile(rb";[ \t]*rport(?=[ \t]*(?:;|$))", re.I)
_RECEIVED = re.compile(rb";[ \t]*received[ \t]*=[^;,\s]*", re.I)


def is_new(data: bytes) -> bool:
    """Whether a message asks for something outside every dialog: that can be refused without
    harming a call that goes on. Responses, ACK, BYE, CANCEL and re-INVITEs are not."""
    return _NEW.match(data) is not None and _TO_TAG.search(data, 0, MAX_LOOK) is None


def transaction_key(data: bytes) -> str:
    """The key that `pbx.sip.transaction.server_key` gives the request; empty when the Via is
    none that an RFC 3261 phone writes."""
    via = _VIA.search(data, 0, MAX_LOOK)
    branch = _BRANCH.search(via[3]) if via else None
    if via is None or branch is None:
        return ""
    port = int(via[2]) if via[2] else None
    method = data.partition(b" ")[0]
    return f"{_text(branch[1])} {_text(via[1])}:{port} {_text(method)}"


def refusal(data: bytes, remote: tuple[str, int], status: bytes, *headers: bytes) -> bytes:
    """A response to a request as it came, empty when it has no Via to answer to. `status` is
    code and reason; the To tag is the same for a repeat."""
    head = data[: max(0, data.find(b"\r\n\r\n", 0, MAX_LOOK)) or MAX_LOOK]
    via = _VIA.search(head)
    if via is None or head.startswith((b"ACK ", b"SIP/2.0")):
        return b""
    parameters = _RPORT.sub(b";rport=%d" % remote[1], _RECEIVED.sub(b"", via[3]), count=1)
    seen = b"%b;received=%b" % (parameters, remote[0].encode())
    head = head[: via.start(3)] + seen + head[via.end(3) :]
    lines = [b"SIP/2.0 " + status]
    for name, value in _COPIED.findall(head):
        untagged = name.lower() in (b"to", b"t") and b"tag" not in value.rpartition(b">")[2].lower()
        tag = b";tag=%08x" % zlib.crc32(via[0]) if untagged else b""
        lines.append(name + value + tag)
    return b"\r\n".join([*lines, *headers, b"Content-Length: 0\r\n\r\n"])


def reply_port(data: bytes, port: int) -> int:
    """Where over UDP the response goes (§18.2.2, RFC 3581): the source port, or for a peer
    without `rport` the one in its Via."""
    via = _VIA.search(data, 0, MAX_LOOK)
    if via is None or _RPORT.search(via[3]):
        return port
    wanted = int(via[2]) if via[2] else 5060
    return wanted if 0 < wanted < 65_536 else port


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
