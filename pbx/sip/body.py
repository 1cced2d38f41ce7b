"""Message bodies: which types there are, and where in them the session description is
(RFC 5621, multipart of RFC 2046 §5.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pbx.sip.message import Message, ParseError, Request

SDP = "application/sdp"
ACCEPTED = f"{SDP}, multipart/mixed, multipart/alternative, multipart/related"
"What an Accept header says we can read."
MAX_PARTS = 16
"Parts of one body, those of nested bodies included."
MAX_PART_HEAD = 2048
MAX_DEPTH = 2
"A multipart body, and one more inside it."

_TYPE = re.compile(r"\s*([A-Za-z0-9\-.!%*_+`'~]{1,64})\s*/\s*([A-Za-z0-9\-.!%*_+`'~]{1,64})")
_PARAMETER = re.compile(
    r'\s*;\s*([A-Za-z0-9\-.!%*_+`\'~]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*))?'
)


@dataclass(frozen=True, slots=True)
class Part:
    """One leaf of a body. `required`: it must be understood, or the request refused."""

    type: str
    disposition: str
    required: bool
    content: bytes


def sdp_of(message: Message) -> bytes:
    """The session description of a message; empty when it brings none.

    Raises `ParseError`: with status 415 for a request's body, or a part of it, that must be
    understood and is not; with 400 for a multipart body that is broken or has too many parts.
    In a response what is not understood is passed over.
    """
    if not message.body:
        return b""
    try:
        if message.get("content-encoding", "identity").strip().lower() != "identity":
            raise ParseError("unsupported Content-Encoding", message, 415)
        parts = _parts(message)
        sdp = next((part.content for part in parts if _is_session(part)), b"")
        asked = isinstance(message, Request)
        if asked and any(part.required and part.type != SDP for part in parts):
            raise ParseError("unsupported Content-Type", message, 415)
    except ParseError:
        if isinstance(message, Request):
            raise
        return b""
    return sdp


def content_types(message: Message) -> list[str]:
    """The media types in a body, in lower case, those of a multipart body one by one; empty
    without a body. Raises `ParseError`."""
    return [part.type for part in _parts(message)] if message.body else []


def _is_session(part: Part) -> bool:
    return part.type == SDP and part.disposition == "session"


def _parts(message: Message) -> list[Part]:
    head = {
        "content-type": message.get("content-type"),
        "content-disposition": message.get("content-disposition"),
    }
    if not head["content-type"] and message.body.lstrip()[:3] == b"v=0":
        head["content-type"] = SDP  # it should be said (RFC 3261 §20.15), and is not always
    if head["content-type"].lower() == SDP and not head["content-disposition"]:
        return [Part(SDP, "session", True, message.body)]
    found: list[Part] = []
    _collect(message, head, message.body, found, depth=0)
    return found


def _collect(
    message: Message, head: dict[str, str], content: bytes, found: list[Part], depth: int
) -> None:
    match = _TYPE.match(head.get("content-type") or "text/plain")
    if match is None:
        raise ParseError("bad Content-Type", message)
    kind = f"{match[1]}/{match[2]}".lower()
    disposition, required = _disposition(head.get("content-disposition", ""), kind)
    if not kind.startswith("multipart/"):
        if len(found) >= MAX_PARTS:
            raise ParseError("too many body parts", message)
        found.append(Part(kind, disposition, required, content))
        return
    boundary = _parameters(head["content-type"][match.end() :]).get("boundary", "")
    if not 0 < len(boundary) <= 70 or depth >= MAX_DEPTH:
        raise ParseError("bad multipart body", message)
    inside: list[Part] = []
    for raw in _split(message, content, boundary):
        part_head, part_content = _part_head(message, raw)
        _collect(message, part_head, part_content, inside, depth + 1)
    if kind == "multipart/alternative":
        # The last that is understood is the best (RFC 2046 §5.1.4); the others say the same.
        understood = [part for part in inside if part.type == SDP]
        inside = understood[-1:] or [
            Part(part.type, part.disposition, required, part.content) for part in inside[-1:]
        ]
    elif not required:
        inside = [Part(part.type, part.disposition, False, part.content) for part in inside]
    found += inside
    if len(found) > MAX_PARTS:
        raise ParseError("too many body parts", message)


def _split(message: Message, content: bytes, boundary: str) -> list[bytes]:
    """The parts between the boundary lines; what is before and after them means nothing."""
    mark = b"--" + boundary.encode("utf-8", "surrogateescape")
    pieces = (b"\r\n" + content).split(b"\r\n" + mark, MAX_PARTS + 2)
    parts: list[bytes] = []
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            if not parts:
                break
            return parts
        line, newline, rest = piece.partition(b"\r\n")
        if line.strip(b" \t") or not newline:
            raise ParseError("bad multipart body", message)
        parts.append(rest)
    if len(parts) > MAX_PARTS:
        raise ParseError("too many body parts", message)
    raise ParseError("bad multipart body", message)


def _part_head(message: Message, raw: bytes) -> tuple[dict[str, str], bytes]:
    if raw.startswith(b"\r\n"):  # no header at all
        return {}, raw[2:]
    end = raw.find(b"\r\n\r\n", 0, MAX_PART_HEAD)
    if end < 0:
        raise ParseError("bad body part", message)
    text = raw[:end].decode("utf-8", "surrogateescape").replace("\r\n ", " ").replace("\r\n\t", " ")
    head: dict[str, str] = {}
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon:
            raise ParseError("bad body part", message)
        head[name.strip().lower()] = value.strip()
    return head, raw[end + 4 :]


def _disposition(value: str, kind: str) -> tuple[str, bool]:
    """What a part is for, and whether it must be understood: by default it must (RFC 3261
    §20.11), and a session description is for the session (RFC 5621 §4)."""
    name, _, rest = value.partition(";")
    parameters = _parameters(";" + rest) if rest else {}
    required = parameters.get("handling", "required").lower() != "optional"
    return name.strip().lower() or ("session" if kind == SDP else "render"), required


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while match := _PARAMETER.match(text, position):
        value = match[2] or ""
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found.setdefault(match[1].lower(), value)
        position = match.end()
    return found
