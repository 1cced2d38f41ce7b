"""SIP messages on the wire (RFC 3261 §7): framing, folding, bounds, and headers parsed lazily.

The grammar of single headers is `sipmessage`'s; a header is only parsed when somebody asks for
it. Nothing here does I/O, and malformed input only ever raises `ParseError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from sipmessage import URI, Address, CSeq, Parameters, Via

from pbx.vocabulary import reason_phrase

MAX_HEAD = 16_384
"Bytes of start line and headers that are accepted."
MAX_HEADERS = 128
MAX_BODY = 65_535
MAX_ADDRESS = 2048

_COMPACT = {
    "i": "call-id",
    "m": "contact",
    "e": "content-encoding",
    "l": "content-length",
    "c": "content-type",
    "f": "from",
    "s": "subject",
    "k": "supported",
    "t": "to",
    "v": "via",
    "o": "event",
    "u": "allow-events",
    "r": "refer-to",
    "b": "referred-by",
    "x": "session-expires",
}
_SPELLING = {
    "call-id": "Call-ID",
    "cseq": "CSeq",
    "mime-version": "MIME-Version",
    "www-authenticate": "WWW-Authenticate",
    "rseq": "RSeq",
    "rack": "RAck",
    "sip-etag": "SIP-ETag",
    "sip-if-match": "SIP-If-Match",
    "p-asserted-identity": "P-Asserted-Identity",
}
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_SCHEME = re.compile(r"(?:^|(?<=<))(?:sips?|tel):", re.IGNORECASE)
_TAG = re.compile(r";\s*tag\s*=", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,9}")
_FOLD = re.compile(r"\r\n[ \t]+")
_DISPLAY_NAME = re.compile(r'^\s*"(?:[^"\\]|\\.)*"')
_STATUS_LINE = re.compile(r"SIP/2\.0 (\d{3})(?: (.*))?$", re.IGNORECASE)

T = TypeVar("T")


class ParseError(ValueError):
    """The bytes are not an acceptable SIP message.

    `message` is what could be read, when that is enough to answer 400 (a Via to send it to).
    """

    def __init__(self, reason: str, message: Message | None = None) -> None:
        super().__init__(reason)
        self.message = message


class Message:
    """Headers and body of a request or response.

    Header names are case-insensitive; values are kept as they came, in order.
    """

    __slots__ = ("_body", "_headers", "_parsed", "_wire")

    def __init__(self, body: bytes = b"") -> None:
        self._headers: dict[str, list[str]] = {}
        self._parsed: dict[str, object] = {}
        self._body = body
        self._wire = b""

    @property
    def body(self) -> bytes:
        return self._body

    @body.setter
    def body(self, value: bytes) -> None:
        self._body, self._wire = value, b""

    # ── raw headers ─────────────────────────────────────────────────────────────────────
    def get(self, name: str, default: str = "") -> str:
        """First value of a header, or `default`."""
        values = self._headers.get(name.lower())
        return values[0] if values else default

    def get_all(self, name: str) -> list[str]:
        """Every value of a header, one list entry a header line."""
        return self._headers.get(name.lower(), [])

    def elements(self, name: str) -> list[str]:
        """Every element of a comma-separated header, over all its lines."""
        return [part for value in self.get_all(name) for part in split_commas(value)]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._headers

    def set(self, name: str, value: str | Iterable[str]) -> None:
        """Replace a header; an empty iterable removes it."""
        key, self._wire = name.lower(), b""
        values = [value] if isinstance(value, str) else list(value)
        self._parsed.pop(key, None)
        if values:
            self._headers[key] = values
        else:
            self._headers.pop(key, None)

    def add(self, name: str, value: str) -> None:
        """Append one header line."""
        self._wire = b""
        self._headers.setdefault(name.lower(), []).append(value)

    def remove(self, name: str) -> None:
        self.set(name, ())

    def copy_header(self, name: str, source: Message) -> None:
        """Take all lines of a header from another message."""
        self.set(name, source.get_all(name))

    # ── typed headers, parsed on first use ──────────────────────────────────────────────
    def _typed(self, name: str, parse: Callable[[str], T]) -> T:
        found = self._parsed.get(name)
        if found is None:
            values = self._headers.get(name)
            if not values:
                raise ParseError(f"missing {name}", self)
            found = self._parsed[name] = checked(parse, values[0], name, self)
        return found  # type: ignore[return-value]  # the cache holds what `parse` returned

    @property
    def call_id(self) -> str:
        return self.get("call-id")

    @property
    def cseq(self) -> CSeq:
        return self._typed("cseq", _parse_cseq)

    @property
    def from_(self) -> Address:
        return self._typed("from", parse_address)

    @property
    def to(self) -> Address:
        return self._typed("to", parse_address)

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return self._typed("via", _parse_via)

    @property
    def contact(self) -> Address | None:
        """The first Contact, if there is one that is an address."""
        values = self.elements("contact")
        if not values or values[0] == "*":
            return None
        return checked(parse_address, values[0], "contact", self)

    @property
    def from_tag(self) -> str:
        return self.from_.parameters.get("tag") or ""

    @property
    def to_tag(self) -> str:
        return self.to.parameters.get("tag") or ""

    # ── wire ────────────────────────────────────────────────────────────────────────────
    def start_line(self) -> str:
        raise TypeError("a message is a Request or a Response")

    def encode(self) -> bytes:
        """The message as bytes, with a correct Content-Length; made once and kept."""
        if self._wire:
            return self._wire
        lines = [self.start_line()]
        for key, values in self._headers.items():
            if key == "content-length":
                continue
            name = _SPELLING.get(key) or key.title()
            lines.extend(f"{name}: {value}" for value in values)
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        self._wire = "\r\n".join(lines).encode("utf-8", "surrogateescape") + self._body
        return self._wire


class Request(Message):
    """A SIP request. `uri` is the Request-URI exactly as written."""

    __slots__ = ("method", "uri")

    def __init__(self, method: str, uri: str, body: bytes = b"") -> None:
        super().__init__(body)
        self.method = method
        self.uri = uri

    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"

    @property
    def target(self) -> URI:
        """The parsed Request-URI; raises `ParseError`."""
        return checked(parse_uri, self.uri, "Request-URI", self)

    def response(self, status: int, reason: str = "", to_tag: str = "") -> Response:
        """A response to this request with the headers of RFC 3261 §8.2.6 copied."""
        response = Response(status, reason or reason_phrase(status))
        for name in ("via", "from", "to", "call-id", "cseq"):
            response.copy_header(name, self)
        if to_tag and not has_tag(self.get("to")):
            response.set("to", f"{self.get('to')};tag={to_tag}")
        return response


class Response(Message):
    """A SIP response."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, body: bytes = b"") -> None:
        super().__init__(body)
        self.status = status
        self.reason = reason

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"


def checked(parse: Callable[[str], T], value: str, name: str, message: Message | None = None) -> T:
    """Run one of `sipmessage`'s parsers; whatever it raises becomes a `ParseError`.

    It raises ValueError by contract, but TypeError for a parameter called "self", and
    AttributeError or IndexError on some hostile values.
    """
    try:
        return parse(value)
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise ParseError(f"bad {name}", message) from error


def parse_message(data: bytes) -> Request | Response:
    """One datagram, or one message cut from a stream.

    Raises `ParseError`. Only the shape is checked here, and the headers every message needs
    (RFC 3261 §8.1.1); all else is parsed when asked for.
    """
    data = data.lstrip(b"\r\n")  # §7.5
    end = data.find(b"\r\n\r\n")
    if end < 0:
        raise ParseError("no end of headers")
    if end > MAX_HEAD:
        raise ParseError("headers too large")
    head = data[:end].decode("utf-8", "surrogateescape")
    if "\r\n " in head or "\r\n\t" in head:
        head = _FOLD.sub(" ", head)
    lines = head.split("\r\n")
    message = _parse_start_line(lines[0])
    if len(lines) > MAX_HEADERS:
        raise ParseError("too many headers")
    headers = message._headers
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        if not colon or not _TOKEN.fullmatch(key):
            raise ParseError("bad header line", message)
        headers.setdefault(_COMPACT.get(key, key), []).append(value.strip())
    body = data[end + 4 :]
    length = message.get("content-length")
    if length:
        if not _LENGTH.fullmatch(length) or int(length) > len(body):
            raise ParseError("bad Content-Length", message)
        body = body[: int(length)]
    if len(body) > MAX_BODY:
        raise ParseError("body too large", message)
    message._body = body
    _check_mandatory(message)
    return message


def _parse_start_line(line: str) -> Request | Response:
    if line[:8].upper() == "SIP/2.0 ":
        status = _STATUS_LINE.match(line)
        if not status or not 100 <= int(status[1]) <= 699:
            raise ParseError("bad status line")
        return Response(int(status[1]), status[2] or "")
    parts = line.split(" ")
    if len(parts) != 3 or parts[2].upper() != "SIP/2.0" or not _TOKEN.fullmatch(parts[0]):
        raise ParseError("bad request line")
    return Request(parts[0], parts[1])


def _check_mandatory(message: Request | Response) -> None:
    if not message.call_id:
        raise ParseError("missing Call-ID", message)
    _ = message.via, message.from_, message.to
    cseq = message.cseq
    if cseq.sequence >= 2**31:
        raise ParseError("CSeq out of range", message)
    if isinstance(message, Request) and cseq.method != message.method:
        raise ParseError("CSeq method differs", message)


# The three headers that every message needs are parsed here when they look as they nearly
# always do, some four times faster; every other spelling goes to `sipmessage`.
_PLAIN_VIA = re.compile(
    r"SIP/2\.0/([A-Z]+) ([A-Za-z0-9.\-]+)(?::(\d{1,5}))?((?:;[A-Za-z0-9\-]+(?:=[\w.!%*+`'~\-]+)?)*)"
)
_PLAIN_ADDRESS = re.compile(
    r'(?:"([^"\\]*)" ?)?<(sips?):(?:([A-Za-z0-9_.+\-]+)@)?([A-Za-z0-9.\-]+)(?::(\d{1,5}))?>'
    r"(?:;tag=([\w.!%*+`'~\-]+))?"
)
_PLAIN_CSEQ = re.compile(r"(\d{1,10}) ([A-Z]+)")


def _parse_via(value: str) -> Via:
    plain = _PLAIN_VIA.fullmatch(value)
    if plain is None:
        via = Via.parse(split_commas(value)[0])
        _check_port(via.port)
        return via
    transport, host, port, rest = plain.groups()
    _check_port(port)
    parameters: dict[str, str | None] = {}
    for item in rest.split(";")[1:]:
        name, equals, text = item.partition("=")
        parameters[name] = text if equals else None
    return Via(transport, host, int(port) if port else None, Parameters(**parameters))


def parse_address(value: str) -> Address:
    """A From, To or Contact value; raises what `checked` turns into `ParseError`."""
    plain = _PLAIN_ADDRESS.fullmatch(value)
    if plain is None:
        return _parse_unusual_address(value)
    name, scheme, user, host, port, tag = plain.groups()
    _check_port(port)
    uri = URI(scheme=scheme, host=host, user=user, port=int(port) if port else None)
    return Address(uri, name or "", Parameters(tag=tag) if tag else Parameters())


def _parse_unusual_address(value: str) -> Address:
    """`sipmessage` with the display name taken off first: its pattern for names goes back and
    forth over a hostile one for a third of a second."""
    name = _DISPLAY_NAME.match(value)
    rest = value[name.end() :] if name else value
    uri = rest.partition(">")[0]
    if len(rest) > MAX_ADDRESS or uri.count("<") > 1 or '"' in uri.partition("<")[0]:
        raise ValueError("bad address")
    found = Address.parse(_SCHEME.sub(lambda match: match[0].lower(), rest.strip(), count=1))
    _check_port(found.uri.port)
    if name is None:
        return found
    return replace(found, name=re.sub(r"\\(.)", r"\1", name[0].strip()[1:-1]))


def parse_uri(value: str) -> URI:
    """A URI whose port, if any, is one."""
    scheme, colon, rest = value.partition(":")
    uri = URI.parse(scheme.lower() + colon + rest)
    _check_port(uri.port)
    return uri


def _check_port(port: str | int | None) -> None:
    if port is not None and not 0 < int(port) < 65_536:
        raise ValueError("bad port")


def _parse_cseq(value: str) -> CSeq:
    plain = _PLAIN_CSEQ.fullmatch(value)
    return CSeq(int(plain[1]), plain[2]) if plain else CSeq.parse(value)


def split_commas(value: str) -> list[str]:
    """Split at commas that are neither inside quotes nor inside angle brackets."""
    if "," not in value:
        stripped = value.strip()
        return [stripped] if stripped else []
    parts: list[str] = []
    start = 0
    quoted = angled = escaped = False
    for index, char in enumerate(value):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"' and not angled:
            quoted = not quoted
        elif not quoted and char in "<>":
            angled = char == "<"
        elif char == "," and not quoted and not angled:
            parts.append(value[start:index].strip())
            start = index + 1
    parts.append(value[start:].strip())
    return [part for part in parts if part]


def bare_uri(value: str) -> str:
    """The URI inside a Contact, Route, From or To value, as written."""
    value = _DISPLAY_NAME.sub("", value, count=1)
    _, opened, rest = value.partition("<")
    return rest.partition(">")[0].strip() if opened else value.partition(";")[0].strip()


def has_tag(value: str) -> bool:
    """Whether a From or To value carries a tag, even where the value cannot be parsed."""
    rest = _DISPLAY_NAME.sub("", value, count=1)
    return _TAG.search(rest.rpartition(">")[2] or rest) is not None


def address_value(uri: str, name: str = "", tag: str = "") -> str:
    """A From, To or Contact value; `name` is quoted and stripped of control characters."""
    parameters = Parameters(tag=tag) if tag else Parameters()
    clean = "".join(char for char in name if char.isprintable()).strip()
    quoted = clean.replace("\\", "\\\\").replace('"', '\\"')
    return (f'"{quoted}" ' if quoted else "") + f"<{uri}>{parameters}"
