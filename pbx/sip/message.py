"""SIP messages on the wire (RFC 3261 §7): framing, folding, bounds, and headers parsed lazily.

The grammar of single headers is `sipmessage`'s; a header is only parsed when somebody asks for
it. Nothing here does I/O, and malformed input only ever raises `ParseError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple, TypeVar

from sipmessage import URI, Address, CSeq, Parameters, Via

from pbx.sip.uri import PORT, UnsupportedScheme, check_port, parse_any_uri, without_headers
from pbx.sip.uri import parse_uri as parse_uri  # noqa: PLC0414  # for those who need only that
from pbx.vocabulary import reason_phrase

MAX_HEAD = 16_384
"Bytes of start line and headers that are accepted."
MAX_HEADERS = 128
MAX_BODY = 65_535
MAX_ADDRESS = 2048
"Characters of one address, or one Via."
MAX_COMMAS = 1024
"Commas in all headers, so that no list in them takes long to split."

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
_SPELLINGS = [
    "Accept",
    "Alert-Info",
    "Allow",
    "Allow-Events",
    "Authentication-Info",
    "Authorization",
    "Call-ID",
    "Call-Info",
    "Contact",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "CSeq",
    "Date",
    "Diversion",
    "Event",
    "Expires",
    "From",
    "Max-Forwards",
    "MIME-Version",
    "Min-Expires",
    "Min-SE",
    "P-Access-Network-Info",
    "P-Asserted-Identity",
    "P-Called-Party-ID",
    "P-Preferred-Identity",
    "Path",
    "Privacy",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Require",
    "RAck",
    "Reason",
    "Record-Route",
    "Refer-To",
    "Referred-By",
    "Remote-Party-ID",
    "Replaces",
    "Require",
    "Retry-After",
    "Route",
    "RSeq",
    "Server",
    "Service-Route",
    "Session-Expires",
    "SIP-ETag",
    "SIP-If-Match",
    "Subject",
    "Subscription-State",
    "Supported",
    "Timestamp",
    "To",
    "Unsupported",
    "User-Agent",
    "Via",
    "Warning",
    "WWW-Authenticate",
]
_SPELLING = {name.lower(): name for name in _SPELLINGS}
# How names nearly always come, with the name they are kept under: saves checking each anew.
_USUAL_NAMES = {
    **{name: name.lower() for name in _SPELLINGS},
    **{name.lower(): name.lower() for name in _SPELLINGS},
    **{short: _COMPACT.get(short.lower(), "") for short in (*_COMPACT, *map(str.upper, _COMPACT))},
}
_SINGLE = {
    "call-id", "content-disposition", "content-length", "content-type", "cseq", "expires", "from",
    "max-forwards", "session-expires", "to",
}  # fmt: skip
"Headers there can only be one of (RFC 3261 §7.3.1)."
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_TAG = re.compile(r";\s*tag\s*=", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,9}")
_FOLD = re.compile(r"\r\n[ \t]+")
_DISPLAY_NAME = re.compile(r'^\s*"(?:[^"\\]|\\.)*"')
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9])(?: (.*))?", re.IGNORECASE)
_REQUEST_LINE = re.compile(
    r"([A-Za-z0-9\-.!%*_+`'~]+) ([A-Za-z][A-Za-z0-9+.\-]*:[^ \t<>]+) SIP/2\.0", re.IGNORECASE
)
_LIKE_A_REQUEST = re.compile(
    r"([A-Za-z0-9\-.!%*_+`'~]+)[ \t]+(\S.*)[ \t]SIP/([0-9.]{1,9})[ \t]*", re.IGNORECASE
)

_ELEMENT = re.compile(r'(?:[^",<]++|"(?:[^"\\]++|\\.)*+\\?"?|<[^>]*+>?)++', re.DOTALL)
_WORDS = re.compile(r"[A-Za-z0-9\-.!%*_+`'~ \t]*")
_PARAMETER = re.compile(
    r"\s*;\s*([A-Za-z0-9\-.!%*_+`'~]+)"
    r"(?:\s*=\s*([A-Za-z0-9\-.!%*_+`'~\[\]:]+|\"(?:[^\"\\]|\\.)*\"))?\s*"
)

T = TypeVar("T")


class ParseError(ValueError):
    """The bytes are not an acceptable SIP message.

    `message` is what could be read, when that is enough to answer `status` (a Via to send it
    to). `lost` says that nobody knows where the message ends: a stream cannot be read on.
    """

    def __init__(
        self,
        reason: str,
        message: Message | None = None,
        status: int = 400,
        *,
        lost: bool = False,
    ) -> None:
        super().__init__(reason)
        self.message = message
        self.status = status
        self.lost = lost


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
    def _typed(self, name: str) -> object:
        found = self._parsed.get(name)
        if found is None:
            values = self._headers.get(name)
            if not values:
                raise ParseError(f"missing {name}", self)
            found = checked(_MANDATORY[name].read, values[0], name, self)
        if type(found) is re.Match:
            found = _MANDATORY[name].build(found)
        self._parsed[name] = found
        return found

    @property
    def call_id(self) -> str:
        return self.get("call-id")

    @property
    def cseq(self) -> CSeq:
        return self._typed("cseq")  # type: ignore[return-value]  # what `_MANDATORY` makes of it

    @property
    def from_(self) -> Address:
        return self._typed("from")  # type: ignore[return-value]

    @property
    def to(self) -> Address:
        return self._typed("to")  # type: ignore[return-value]

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return self._typed("via")  # type: ignore[return-value]

    @property
    def contact(self) -> Address | None:
        """The first Contact, if there is one that is an address."""
        values = self.elements("contact")
        if not values or values[0] == "*":
            return None
        return checked(parse_address, values[0], "contact", self)

    @property
    def from_tag(self) -> str:
        return self._tag("from")

    @property
    def to_tag(self) -> str:
        return self._tag("to")

    def _tag(self, name: str) -> str:
        found = self._parsed.get(name)
        if type(found) is re.Match:
            return found[6] or ""
        address: Address = self._typed(name)  # type: ignore[assignment]
        return address.parameters.get("tag") or ""

    def addresses(self, name: str) -> list[Address]:
        """Every element of a header of addresses (Route, Record-Route, Path, Service-Route,
        P-Asserted-Identity); raises `ParseError`."""
        return [checked(parse_address, value, name, self) for value in self.elements(name)]

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
            for value in values:
                lines.append(f"{name}: {value}")
        lines.append(f"Content-Length: {len(self._body)}\r\n\r\n")
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
        """The parsed Request-URI; raises `ParseError`, with status 416 for an unknown scheme."""
        return checked(parse_uri, self.uri, "Request-URI", self)

    @property
    def max_forwards(self) -> int:
        """How often the request may still be sent on: 70 when it does not say (§16.3). Raises
        `ParseError`."""
        value = self.get("max-forwards", "70")
        if not _NUMBER.fullmatch(value) or int(value) > 255:
            raise ParseError("bad Max-Forwards", self)
        return int(value)

    def response(self, status: int, reason: str = "", to_tag: str = "") -> Response:
        """A response to this request with the headers of RFC 3261 §8.2.6 copied."""
        response = Response(status, reason or _usual_reason(status))
        mine, theirs = response._headers, self._headers
        for name in _COPIED:
            values = theirs.get(name)
            if values is not None:
                mine[name] = values[:]
        if to_tag and "to" in mine and not has_tag(mine["to"][0]):
            mine["to"] = [f"{mine['to'][0]};tag={to_tag}"]
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
    except UnsupportedScheme as error:
        raise ParseError(f"bad {name}", message, 416) from error
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise ParseError(f"bad {name}", message) from error


def parse_message(data: bytes) -> Request | Response:
    """One datagram, or one message cut from a stream.

    Raises `ParseError`. Only the shape is checked here, and the headers every message needs
    (RFC 3261 §8.1.1); all else is parsed when asked for.
    """
    if data[:1] in (b"\r", b"\n"):
        data = data.lstrip(b"\r\n")  # §7.5
    end = data.find(b"\r\n\r\n")
    if end < 0:
        raise ParseError("no end of headers")
    if end > MAX_HEAD:
        raise ParseError("headers too large")
    head = data[:end].decode("utf-8", "surrogateescape")
    if "\n " in head or "\n\t" in head:
        head = _FOLD.sub(" ", head)
    start, *lines = head.split("\r\n")
    message, error = _parse_start_line(start)
    if len(lines) >= MAX_HEADERS or head.count(",") > MAX_COMMAS:
        raise ParseError("too many headers", message)
    headers = message._headers
    for line in lines:
        name, colon, value = line.partition(":")
        key = _USUAL_NAMES.get(name) or _header_name(name, message)
        if not colon:
            raise ParseError("bad header line", message)
        if key in headers:
            headers[key].append(value.strip())
        else:
            headers[key] = [value.strip()]
    if head.count("\n") != len(lines) or head.count("\r") != len(lines):
        raise ParseError("bad header line", message)  # half a line end, in a value
    if error is not None:
        raise error
    body = data[end + 4 :]
    lengths = headers.get("content-length")
    if lengths is not None:
        length = lengths[0]
        if not _NUMBER.fullmatch(length) or len(lengths) > 1:
            raise ParseError("bad Content-Length", message, lost=True)
        if int(length) > len(body):
            raise ParseError("bad Content-Length", message)
        body = body[: int(length)]
    if len(body) > MAX_BODY:
        raise ParseError("body too large", message)
    message._body = body
    _check_mandatory(message)
    return message


def _header_name(name: str, message: Message) -> str:
    """The name a header is kept under, however it was written."""
    key = name.rstrip(" \t").lower()
    if not _TOKEN.fullmatch(key):
        raise ParseError("bad header line", message)
    return _COMPACT.get(key, key)


def _parse_start_line(line: str) -> tuple[Request | Response, ParseError | None]:
    """The message that starts so, still empty; and what is wrong with a request line that can
    be answered all the same once its headers are read."""
    if found := _REQUEST_LINE.fullmatch(line):
        return Request(found[1], found[2]), None
    if found := _STATUS_LINE.fullmatch(line):
        return Response(int(found[1]), found[2] or ""), None
    if found := _LIKE_A_REQUEST.fullmatch(line):
        request = Request(found[1], found[2])
        if found[3] != "2.0":
            return request, ParseError("SIP version", request, 505)
        return request, ParseError("bad request line", request)
    raise ParseError("bad start line")


def _check_mandatory(message: Request | Response) -> None:
    headers, parsed = message._headers, message._parsed
    for name, lines in headers.items():
        if len(lines) > 1 and name in _SINGLE:
            raise ParseError(f"more than one {name}", message)
    if not message.call_id:
        raise ParseError("missing Call-ID", message)
    for name, grammar in _MANDATORY.items():
        values = headers.get(name)
        if values is None:
            raise ParseError(f"missing {name}", message)
        parsed[name] = checked(grammar.read, values[0], name, message)
    if message.via.parameters.get("branch") == MAGIC_COOKIE:
        raise ParseError("Via branch without an identifier", message)
    if isinstance(message, Request):
        cseq = parsed["cseq"]
        method = cseq[2] if type(cseq) is re.Match else message.cseq.method
        if method != message.method:
            raise ParseError("CSeq method differs", message)


# The headers that every message needs are read in one step when they look as they nearly always
# do. Such a value is valid, so that From, To and CSeq stay a match until somebody asks for more
# than a tag. No two branches of these expressions may match the same text, and repeats give
# nothing back (`++`): a hostile value must cost no more than its length.
_PLAIN_VIA = re.compile(
    rf"SIP/2\.0/([A-Z]+) ([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(?::({PORT}))?"
    r"((?:;[A-Za-z0-9\-]++(?:=[A-Za-z0-9_.!%*+`'~:\[\]\-]++)?+)*+)"
)
_PLAIN_ADDRESS = re.compile(
    r'(?:"([^"\\]*)" ?)?<(sips?):(?:([A-Za-z0-9_.+\-]+)@)?([A-Za-z0-9.\-]+)'
    rf"(?::({PORT}))?>(?:;tag=([A-Za-z0-9_.!%*+`'~\-]+))?"
)
_PLAIN_CSEQ = re.compile(r"([0-9]{1,9}) ([A-Z]+)")
_VIA = re.compile(
    r"SIP\s*/\s*[0-9.]{1,9}\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s+"
    r"([A-Za-z0-9.\-_]+|\[[0-9A-Fa-f:.]+\])(?:\s*:\s*([0-9]{1,9}))?\s*(?=;|$)",
    re.IGNORECASE,
)


def _read_via(value: str) -> Via:
    """The first Via of a line, of whatever version: a response to it goes back all the same."""
    plain = _PLAIN_VIA.fullmatch(value) if len(value) <= MAX_ADDRESS else None
    if plain is None:
        value = next(iter(split_commas(value)), "")
        found = _VIA.match(value) if len(value) <= MAX_ADDRESS else None
        if found is None:
            raise ValueError("bad Via")
        transport, host, port = found.groups()
        check_port(port)
        parameters = _parse_parameters(value[found.end() :])
    else:
        transport, host, port, rest = plain.groups()
        given: dict[str, str | None] = {}
        for item in rest.split(";")[1:]:
            name, equals, text = item.partition("=")
            given[name] = text if equals else None
        parameters = Parameters(**given)
    return Via(transport, host, int(port) if port else None, parameters)


def _read_address(value: str) -> re.Match[str] | Address:
    return _PLAIN_ADDRESS.fullmatch(value) or _parse_unusual_address(value)


def _build_address(plain: re.Match[str]) -> Address:
    name, scheme, user, host, port, tag = plain.groups()
    uri = URI(scheme=scheme, host=host, user=user, port=int(port) if port else None)
    return Address(uri, name or "", Parameters(tag=tag) if tag else Parameters())


def _read_cseq(value: str) -> re.Match[str] | CSeq:
    plain = _PLAIN_CSEQ.fullmatch(value)
    if plain is not None:
        return plain
    cseq = CSeq.parse(value)
    if cseq.sequence >= 2**31:
        raise ValueError("CSeq out of range")
    return cseq


def _build_cseq(plain: re.Match[str]) -> CSeq:
    return CSeq(int(plain[1]), plain[2])


class _Grammar(NamedTuple):
    """How a header is read: to a value, or to a match that `build` makes one of."""

    read: Callable[[str], object]
    build: Callable[[re.Match[str]], object]


_MANDATORY = {
    "via": _Grammar(_read_via, str),
    "from": _Grammar(_read_address, _build_address),
    "to": _Grammar(_read_address, _build_address),
    "cseq": _Grammar(_read_cseq, _build_cseq),
}
MAGIC_COOKIE = "z9hG4bK"
"What a branch of RFC 3261 begins with (§8.1.1.7)."
_COPIED = ("via", "from", "to", "call-id", "cseq")
_usual_reason = lru_cache(maxsize=700)(reason_phrase)


def parse_address(value: str) -> Address:
    """A From, To, Contact or Route value; raises what `checked` turns into `ParseError`. A URI
    of a scheme that is none of SIP's has no user and no host."""
    found = _read_address(value)
    return _build_address(found) if isinstance(found, re.Match) else found


def _parse_unusual_address(value: str) -> Address:
    """`sipmessage` for the parameters only, with display name and URI taken off first: its
    pattern for names goes back and forth over a hostile one for a third of a second."""
    if len(value) > MAX_ADDRESS:
        raise ValueError("address too long")
    quoted = _DISPLAY_NAME.match(value)
    rest = value[quoted.end() :] if quoted else value
    before, opened, after = rest.partition("<")
    if opened:
        name = re.sub(r"\\(.)", r"\1", quoted[0].strip()[1:-1]) if quoted else before.strip()
        if before.strip() if quoted else name and not _WORDS.fullmatch(name):
            raise ValueError("bad display name")
        text, closed, parameters = after.partition(">")
        if not closed:
            raise ValueError("bad address")
        text = without_headers(text)
    else:
        name = ""
        text, semicolon, parameters = rest.strip().partition(";")
        text, parameters = text.rstrip(), semicolon + parameters
        if quoted or "?" in text[text.rfind("@") + 1 :]:  # §20: such a URI must be in <>
            raise ValueError("bad address")
    return Address(parse_any_uri(text), name, _parse_parameters(parameters))


def _parse_parameters(text: str) -> Parameters:
    """Header parameters: unlike those of a URI they know no % (RFC 4475 §3.1.1.5), and quoted
    ones may hold a semicolon."""
    found: dict[str, str | None] = {}
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _PARAMETER.match(text, position)
        if match is None:
            raise ValueError("bad parameters")
        found[match[1].lower() if match[1].lower() == "tag" else match[1]] = match[2]
        position = match.end()
    return Parameters(**found)


def split_commas(value: str) -> list[str]:
    """Split at commas that are neither inside quotes nor inside angle brackets."""
    if "," not in value:
        stripped = value.strip()
        return [stripped] if stripped else []
    plain = '"' not in value and "<" not in value
    parts = value.split(",") if plain else _ELEMENT.findall(value)
    return [stripped for part in parts if (stripped := part.strip())]


def _unnamed(value: str) -> str:
    """An address without its quoted display name."""
    name = _DISPLAY_NAME.match(value)
    return value[name.end() :] if name else value


def whole_uri(value: str) -> str:
    """The URI inside a Contact, Route, From, To or Refer-To value, as written."""
    value = _unnamed(value)
    _, opened, rest = value.partition("<")
    return rest.partition(">")[0].strip() if opened else value.partition(";")[0].strip()


def bare_uri(value: str) -> str:
    """The same without its headers."""
    uri = whole_uri(value)
    return without_headers(uri) if "?" in uri else uri


def has_tag(value: str) -> bool:
    """Whether a From or To value carries a tag, even where the value cannot be parsed."""
    rest = _unnamed(value)
    return _TAG.search(rest.rpartition(">")[2] or rest) is not None


def address_value(uri: str, name: str = "", tag: str = "") -> str:
    """A From, To or Contact value; `name` is quoted and stripped of control characters."""
    parameters = Parameters(tag=tag) if tag else Parameters()
    clean = "".join(char for char in name if char.isprintable()).strip()
    quoted = clean.replace("\\", "\\\\").replace('"', '\\"')
    return (f'"{quoted}" ' if quoted else "") + f"<{uri}>{parameters}"
