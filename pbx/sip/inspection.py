"""What a server looks at before it does anything with a request (RFC 3261 §8.2)."""

from __future__ import annotations

from collections.abc import Collection

from pbx.sip.body import ACCEPTED, SDP, content_types, sdp_of
from pbx.sip.message import ParseError, Request, Response

KNOWN_METHODS = frozenset(
    [
        "INVITE",
        "ACK",
        "CANCEL",
        "BYE",
        "OPTIONS",
        "REGISTER",
        "INFO",
        "PRACK",
        "UPDATE",
        "REFER",
        "SUBSCRIBE",
        "NOTIFY",
        "MESSAGE",
        "PUBLISH",
    ]
)
"What is refused with 405 where it is not allowed; a method nobody defined with 501."
_READABLE = {SDP, "application/*", "*/*"}


def refusal(
    request: Request, methods: Collection[str], extensions: Collection[str]
) -> Response | None:
    """The response that refuses a request outside any dialog for what it is or asks, or None
    to go on with it.

    `methods` are those that are served, `extensions` the option tags that a Require may name.
    The checks cost no state and tell a stranger nothing.
    """
    if request.method not in methods:
        known = request.method in KNOWN_METHODS
        return _refused(request, 405 if known else 501, allow=", ".join(methods))
    try:
        _ = request.target
        forwards = request.max_forwards
        if request.method == "REGISTER" and request.to.uri.scheme not in ("sip", "sips"):
            return request.response(400, "Bad Request - To is no SIP address")  # §10.2
        unsupported = [tag for tag in request.elements("require") if tag.lower() not in extensions]
        if unsupported:
            return _refused(request, 420, unsupported=", ".join(unsupported))
        if request.method == "INVITE":
            if forwards == 0:  # it would be sent on (RFC 7332 §4)
                return request.response(483)
            sdp_of(request)
            if not _may_answer_sdp(request):
                return request.response(406)
        elif request.body:
            content_types(request)
    except ParseError as error:
        if error.status == 415:
            return _refused(request, 415, accept=ACCEPTED)
        reason = "" if error.status != 400 else f"Bad Request - {error}"
        return request.response(error.status, reason)
    return None


def _may_answer_sdp(request: Request) -> bool:
    if "accept" not in request:
        return True
    kinds = {value.partition(";")[0].strip().lower() for value in request.elements("accept")}
    return not kinds.isdisjoint(_READABLE)


def _refused(request: Request, status: int, **headers: str) -> Response:
    response = request.response(status)
    for name, value in headers.items():
        response.set(name, value)
    return response
