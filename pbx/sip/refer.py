"""REFER (RFC 3515): what a phone asks when it transfers a call, and how it hears what became of
it. With Replaces in the target (RFC 3891) it is a call of its own that shall be taken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from sipmessage import URI

from pbx.sip.message import ParseError, Request, checked, whole_uri
from pbx.sip.uri import parse_uri, without_headers
from pbx.vocabulary import reason_phrase

MAX_REPLACES = 512
FRAGMENT = "message/sipfrag;version=2.0"
_REPLACES = re.compile(r"(?:^|[?&])replaces=([^&]*)", re.IGNORECASE)


@dataclass(frozen=True)
class Replaces:
    """A dialog as whoever is referred would name it: `to_tag` is the tag of who answers."""

    call_id: str
    to_tag: str
    from_tag: str


@dataclass(frozen=True)
class Refer:
    """Who shall be called, and instead of that which call shall be taken."""

    target: URI
    replaces: Replaces | None
    silent: bool
    "Nobody wants to hear what becomes of it (RFC 4488)."


def read_refer(request: Request) -> Refer:
    """Raises `ParseError` for anything but one Refer-To that can be called."""
    targets = request.elements("refer-to")
    if len(targets) != 1:
        raise ParseError("one Refer-To is needed", request)
    uri = whole_uri(targets[0])
    bare = without_headers(uri)
    target = checked(parse_uri, bare, "refer-to", request)
    headers = uri[len(bare) :]
    found = _REPLACES.search(headers)
    silent = request.get("refer-sub").strip().lower() == "false"
    return Refer(target, _replaces(found[1], request) if found else None, silent)


def fragment(status: int, reason: str = "") -> bytes:
    """What a NOTIFY says of the call that was made (RFC 3420)."""
    return f"SIP/2.0 {status} {reason or reason_phrase(status)}\r\n".encode()


def _replaces(text: str, request: Request) -> Replaces:
    call_id, *rest = unquote(text[:MAX_REPLACES]).split(";")
    parameters = dict(item.partition("=")[::2] for item in rest)
    to_tag, from_tag = parameters.get("to-tag", ""), parameters.get("from-tag", "")
    if not (call_id and to_tag and from_tag):
        raise ParseError("bad Replaces", request)
    return Replaces(call_id, to_tag, from_tag)
