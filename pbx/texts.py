"""Text messages between phones, trunks and the program: MESSAGE (RFC 3428), outside any dialog.

What arrives is read and given on; it is answered 202 once whoever takes it has it safe. What
is sent tries the ways to its target in order, like a call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pbx.calls.leg import Target
from pbx.sip.body import content_types
from pbx.sip.digest import DigestClient
from pbx.sip.message import ParseError, Request
from pbx.sip.stack import Stack
from pbx.sip.transaction import LOCAL
from pbx.text import printable

MAX_BYTES = 4_096
"Of one message's words; some pages of SMS."
PLAIN = "text/plain"


@dataclass(frozen=True, kw_only=True)
class Text:
    """Words from somebody to somebody, each an extension or +E.164. `source` is the address of
    the phone they came from, empty for one that a command or a trunk sent; `id` is the same
    when the same message comes twice."""

    id: str
    sender: str
    recipient: str
    words: str = field(repr=False)
    sender_name: str = ""
    source: str = ""


TakeText = Callable[[Text], Awaitable[None]]
"Keeps a message safe and sees to it. Raises `pbx.ports.CallRefused`."


@dataclass(frozen=True)
class Delivery:
    """What became of sending: the SIP status, 0 when nothing was reached; words for people."""

    status: int
    reason: str
    unseen: bool = False
    "Whether it is certain that nobody has it, so that sending again doubles nothing."

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


def words_of(request: Request) -> str:
    """The words of a MESSAGE. Raises `ParseError`: with status 413 when they are too many, 415
    when they are no plain text."""
    if content_types(request) not in ([PLAIN], []):
        raise ParseError("only text/plain is taken", request, 415)
    if len(request.body) > MAX_BYTES:
        raise ParseError("too long", request, 413)
    words = printable(request.body.decode("utf-8", "replace").strip(), MAX_BYTES)
    if not words:
        raise ParseError("no words", request)
    return words


def id_of(request: Request) -> str:
    """Names a MESSAGE: whoever repeats it after we were restarted sends the same."""
    about = f"{request.call_id} {request.cseq.sequence} {request.from_tag}"
    return hashlib.blake2b(about.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


async def send(stack: Stack, target: Target, words: str) -> Delivery:
    """Send words to a phone or through a trunk."""
    outcome = Delivery(0, "the way there is down", unseen=True)
    try:
        ways = await target.ways()
    except OSError as error:
        return Delivery(0, str(error) or outcome.reason, unseen=True)
    credentials = DigestClient(target.credentials) if target.credentials else None
    for way in ways:
        try:
            flow = await way.open()
        except OSError as error:
            outcome = Delivery(0, error.strerror or str(error), unseen=True)
            way.failed()
            continue
        request = stack.new_request(
            "MESSAGE",
            target.uri,
            from_uri=target.from_uri,
            to_uri=target.to_uri or target.uri,
            from_name=target.from_name,
        )
        request.set("route", target.routes)
        request.set("content-type", f"{PLAIN};charset=UTF-8")
        request.body = words.encode()
        response = await stack.request(request, flow, credentials)
        if response.to_tag == LOCAL:  # it may have arrived: whoever sends it again may double it
            return Delivery(408, "it does not answer")
        outcome = Delivery(response.status, response.reason, unseen=response.status == 503)
        if response.status != 503:
            break
        way.failed()
    return outcome
