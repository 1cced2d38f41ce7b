"""URIs as SIP uses them: `sip:`, `sips:` (RFC 3261 §19.1) and `tel:` (RFC 3966)."""

from __future__ import annotations

import re
from urllib.parse import unquote

from sipmessage import URI, Parameters

MAX_URI = 2048
"Characters of a URI that are looked at."

PORT = r"[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
PLAIN_USER = "+*-_.!~'()&=$,;?/"
"What may stand in the user part of a URI as it is, beside letters and digits (RFC 3261 §25.1)."
# What nearly every URI looks like, read some four times faster than the whole grammar is.
_PLAIN = re.compile(
    r"(sips?):(?:([A-Za-z0-9\-_.!~*'()+]++)@)?"
    r"((?:[A-Za-z0-9\-]++\.)*+[A-Za-z][A-Za-z0-9]*+|[0-9]{1,3}(?:\.[0-9]{1,3}){3})"
    rf"(?::({PORT}))?((?:;[A-Za-z0-9\-]++(?:=[A-Za-z0-9\-.]++)?+)*+)"
)
_TEL = re.compile(
    r"(\+[0-9\-.()]+|(?:[0-9A-Fa-f*#\-.()]|%2[3aA])+)"
    r"((?:;[A-Za-z0-9\-]+(?:=[A-Za-z0-9\-_.!~*'()\[\]/:&+$%]+)?)*)"
)
_PHONE = re.compile(r"\+?[0-9A-Fa-f*#\-.()]+")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>\"]+")
_SEPARATORS = str.maketrans("", "", "-.()")


class UnsupportedScheme(ValueError):
    """A URI of a scheme that calls cannot be made to (SIP 416)."""


def parse_uri(value: str) -> URI:
    """A `sip:`, `sips:` or `tel:` URI. Raises `UnsupportedScheme` for a well-formed one of any
    other scheme, and ValueError (or what `checked` takes for it) for the rest.

    `user` of a `tel:` URI is the number without visual separators, `host` is empty.
    """
    if len(value) > MAX_URI:
        raise ValueError("URI too long")
    plain = _PLAIN.fullmatch(value)
    if plain is not None:
        return _build(plain)
    scheme, colon, rest = value.partition(":")
    scheme = scheme.lower()
    if scheme == "tel":
        return _parse_tel(rest)
    if scheme not in ("sip", "sips"):
        if _ABSOLUTE.fullmatch(value):
            raise UnsupportedScheme("unsupported URI scheme")
        raise ValueError("bad URI")
    uri = URI.parse(scheme + colon + rest)
    check_port(uri.port)
    return uri


def parse_any_uri(value: str) -> URI:
    """The same, and any other absolute URI as its scheme alone: From, To and Contact may hold
    one (RFC 3261 §25.1, addr-spec)."""
    try:
        return parse_uri(value)
    except UnsupportedScheme:
        return URI(scheme=value.partition(":")[0].lower(), host="")


def dialled_user(uri: URI) -> str:
    """Whom a URI means, as somebody would dial it; empty when it names nobody.

    A telephone number comes without visual separators and without its parameters (`isub`,
    `ext`, `phone-context`), whether from `tel:+1-202-555-0143;ext=7` or from
    `sip:+1.202.555.0143;isub=1@gateway;user=phone`. A `phone-context` is never put in front of
    a local number: the two need not make a valid number (RFC 3966 §5.1.5).
    """
    user = uri.user or ""
    if uri.scheme == "tel":
        return user
    number, semicolon, parameters = user.partition(";")
    telephone = number.startswith("+") or uri.parameters.get("user") == "phone"
    telephone = telephone or (semicolon != "" and "phone-context=" in parameters.lower())
    if telephone and _PHONE.fullmatch(number):
        return number.translate(_SEPARATORS)
    return user


def without_headers(uri: str) -> str:
    """A URI without its `?` part, which must not be in a Request-URI (RFC 3261 §19.1.1)."""
    mark = uri.find("?", uri.rfind("@") + 1)
    return uri if mark < 0 else uri[:mark]


def check_port(port: str | int | None) -> None:
    """Raises ValueError for a number that is no port."""
    if port is not None and not 0 < int(port) < 65_536:
        raise ValueError("bad port")


def _build(plain: re.Match[str]) -> URI:
    scheme, user, host, port, rest = plain.groups()
    if not rest:
        return URI(scheme, host, user, None, int(port) if port else None)
    parameters: dict[str, str | None] = {}
    for item in rest[1:].split(";"):
        name, equals, text = item.partition("=")
        parameters[name] = text if equals else None
    return URI(scheme, host, user, None, int(port) if port else None, Parameters(**parameters))


def _parse_tel(rest: str) -> URI:
    found = _TEL.fullmatch(rest)
    if found is None:
        raise ValueError("bad tel URI")
    number = unquote(found[1]).translate(_SEPARATORS)
    if not number.lstrip("+"):
        raise ValueError("bad tel URI")
    return URI(scheme="tel", host="", user=number, parameters=Parameters.parse(found[2]))
