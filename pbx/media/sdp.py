"""Session descriptions (RFC 8866) and the offer/answer parts that an exchange needs (RFC 3264)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from pbx.media.zrtp import ATTRIBUTE as ZRTP

MAX_SDP = 32_768
MAX_MEDIA = 8
MAX_LINES = 512

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")
_MIRRORED: dict[Direction, Direction] = {"sendonly": "recvonly", "recvonly": "sendonly"}
_NUMBERS = frozenset(map(str, range(128)))
_STATIC_CODECS = {
    "0": "PCMU/8000",
    "3": "GSM/8000",
    "4": "G723/8000",
    "8": "PCMA/8000",
    "9": "G722/8000",
    "13": "CN/8000",
    "18": "G729/8000",
    "31": "H261/90000",
    "34": "H263/90000",
}


class SdpError(ValueError):
    """The body is not an SDP this exchange can work with."""


class NotAcceptable(SdpError):
    """The sides cannot agree (SIP 488). The text says about what."""


@dataclass(frozen=True, kw_only=True)
class Media:
    """One m= section. `port` 0 means refused. Attributes keep their order."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    host: str = ""
    bandwidth: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str | None], ...] = ()
    direction: Direction = "sendrecv"

    def values(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [value or "" for key, value in self.attributes if key == name]

    def codec(self, payload: str) -> str:
        """`NAME/rate[/channels]` of a payload type; empty when the SDP does not say."""
        return self._rtpmap.get(payload) or _STATIC_CODECS.get(payload, "")

    @cached_property
    def _rtpmap(self) -> dict[str, str]:
        entries = (value.partition(" ") for value in reversed(self.values("rtpmap")))
        return {number: codec.strip() for number, _, codec in entries}

    @cached_property
    def named(self) -> tuple[tuple[str, str], ...]:
        """Payload numbers and codec names in upper case, in order."""
        names = ((p, self.codec(p).upper().removesuffix("/1")) for p in self.formats)
        return tuple((p, name) for p, name in names if name and p in _NUMBERS)

    def payload(self, codec: str) -> int | None:
        """The payload type of a codec such as `PCMU/8000`, names compared without case."""
        wanted = codec.upper()
        return next((int(payload) for payload, name in self.named if name == wanted), None)

    @property
    def is_rtp(self) -> bool:
        return self.protocol in ("RTP/AVP", "RTP/SAVP", "RTP/AVPF", "RTP/SAVPF")

    @property
    def is_secure(self) -> bool:
        """The profile itself demands SRTP (RFC 3711 §12)."""
        return self.protocol in ("RTP/SAVP", "RTP/SAVPF")

    @property
    def is_dtls(self) -> bool:
        """Its keys are agreed on beside it, as with browsers (RFC 5764 §8, RFC 8829)."""
        return self.protocol in ("UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF")

    def without(self, *names: str) -> Media:
        """The same without some attributes."""
        kept = tuple(item for item in self.attributes if item[0] not in names)
        return replace(self, attributes=kept)

    def having(self, *attributes: tuple[str, str | None]) -> Media:
        """The same with attributes appended."""
        return replace(self, attributes=(*self.attributes, *attributes))

    def refused(self) -> Media:
        """The same as an answer that does not want it (RFC 3264 §6)."""
        return replace(self, port=0, attributes=(), bandwidth=())


@dataclass(frozen=True, kw_only=True)
class SessionDescription:
    """A whole SDP body."""

    media: tuple[Media, ...]
    host: str = "0.0.0.0"  # noqa: S104  # what SDP says, not where we bind
    session_id: int = 0
    version: int = 0
    origin_host: str = ""
    attributes: tuple[tuple[str, str | None], ...] = field(default=())

    @property
    def audio(self) -> Media | None:
        """The first audio that is not refused."""
        return next((m for m in self.media if m.kind == "audio" and m.port), None)

    def host_of(self, media: Media) -> str:
        return media.host or self.host

    @property
    def announces_zrtp(self) -> bool:
        """Whether its writer means to agree on keys with the other phone (RFC 6189 §8)."""
        audio = self.audio
        return audio is not None and bool(audio.values(ZRTP))

    @property
    def on_hold(self) -> bool:
        """Nobody wants sound from us: held by attribute, or by 0.0.0.0 as of old."""
        audio = self.audio
        if audio is None:
            return False
        return audio.direction in ("sendonly", "inactive") or self.host_of(audio) == "0.0.0.0"  # noqa: S104

    def both_ways(self) -> SessionDescription:
        """The same with everything flowing in both directions."""
        return replace(self, media=tuple(replace(one, direction="sendrecv") for one in self.media))

    @property
    def two_way(self) -> bool:
        """Sound is to be expected from the one who wrote this."""
        return self.audio is not None and self.audio.direction == "sendrecv" and not self.on_hold

    @classmethod
    def parse(cls, body: bytes) -> SessionDescription:
        """Raises `SdpError`; tolerant of bare line feeds and missing lines that nothing needs."""
        if len(body) > MAX_SDP:
            raise SdpError("SDP too large")
        lines = body.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
        if len(lines) > MAX_LINES or not lines[0].startswith("v=0"):
            raise SdpError("not an SDP")
        host, origin, session_id, version = "0.0.0.0", "", 0, 0  # noqa: S104
        session_attributes: list[tuple[str, str | None]] = []
        sections: list[list[tuple[str, str]]] = []
        for line in lines:
            kind, equals, value = line[:1], line[1:2], line[2:].strip()
            if equals != "=":
                continue
            if kind == "m":
                sections.append([])
            if sections:
                sections[-1].append((kind, value))
            elif kind == "c":
                host = _host(value)
            elif kind == "a":
                session_attributes.append(_attribute(value))
            elif kind == "o":
                fields = value.split()
                if len(fields) == 6:
                    session_id, version, origin = _int(fields[1]), _int(fields[2]), fields[5]
        if not sections or len(sections) > MAX_MEDIA:
            raise SdpError("no media, or too many")
        direction = _direction(session_attributes, "sendrecv")
        return cls(
            media=tuple(_parse_media(section, direction) for section in sections),
            host=host,
            session_id=session_id,
            version=version,
            origin_host=origin,
            attributes=tuple(session_attributes),
        )

    def encode(self) -> bytes:
        """The body, for the wire."""
        family = "IP6" if ":" in self.host else "IP4"
        lines = [
            "v=0",
            f"o=- {self.session_id} {self.version} IN {family} {self.origin_host or self.host}",
            "s=-",
            f"c=IN {family} {self.host}",
            "t=0 0",
        ]
        lines += [_attribute_line(item) for item in self.attributes]
        for media in self.media:
            lines.append(f"m={media.kind} {media.port} {media.protocol} {' '.join(media.formats)}")
            if media.host:
                lines.append(f"c=IN {'IP6' if ':' in media.host else 'IP4'} {media.host}")
            lines += [f"b={value}" for value in media.bandwidth]
            lines += [_attribute_line(item) for item in media.attributes]
            if media.port:
                lines.append(f"a={media.direction}")
        return ("\r\n".join(lines) + "\r\n").encode("utf-8")


def mirrored(direction: Direction) -> Direction:
    """What an answerer says to an offered direction when it agrees (RFC 3264 §6.1)."""
    return _MIRRORED.get(direction, direction)


def _parse_media(section: Iterable[tuple[str, str]], direction: Direction) -> Media:
    lines = list(section)
    fields = lines[0][1].split()
    if len(fields) < 4:
        raise SdpError("bad m= line")
    port = _int(fields[1].partition("/")[0])
    if not 0 <= port <= 65_535:
        raise SdpError("bad port")
    attributes = [_attribute(value) for kind, value in lines if kind == "a"]
    return Media(
        kind=fields[0].lower(),
        port=port,
        protocol=fields[2].upper(),
        formats=tuple(fields[3:67]),
        host=next((_host(value) for kind, value in lines if kind == "c"), ""),
        bandwidth=tuple(value for kind, value in lines if kind == "b"),
        attributes=tuple(item for item in attributes if item[0] not in DIRECTIONS),
        direction=_direction(attributes, direction),
    )


def _direction(attributes: Iterable[tuple[str, str | None]], default: Direction) -> Direction:
    for name, _ in attributes:
        if name in DIRECTIONS:
            return name
    return default


def _attribute(value: str) -> tuple[str, str | None]:
    name, colon, rest = value.partition(":")
    return (name.strip(), rest.strip() if colon else None)


def _attribute_line(item: tuple[str, str | None]) -> str:
    return f"a={item[0]}" if item[1] is None else f"a={item[0]}:{item[1]}"


def _host(value: str) -> str:
    """The address of a c= line. Names are refused: looking one up would make the call wait for
    a stranger's name server; so are addresses that are not one machine's."""
    fields = value.split()
    try:
        address = ipaddress.ip_address(fields[2].partition("/")[0])
    except IndexError as error:
        raise SdpError("bad c= line") from error
    except ValueError as error:
        raise NotAcceptable("media at a host name is not supported") from error
    if address.is_multicast or str(address) == "255.255.255.255":
        raise NotAcceptable("media to many machines at once is not supported")
    return str(address)


def _int(value: str) -> int:
    if not (value.isascii() and value.isdigit()) or len(value) > 20:
        raise SdpError("bad number")
    return int(value)
