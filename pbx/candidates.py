"""The servers of one trunk: where they are, which of them worked lately, and the way to each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast, get_args

from sipmessage import URI

from pbx.sip.locate import Hop, Locator, NotFound
from pbx.sip.message import ParseError, checked, parse_uri
from pbx.sip.stack import Stack
from pbx.sip.transport import Address, Flow, Transport

AVOID_SECONDS = 120.0
"How long a server that failed is tried last."
KNOWN_SECONDS = 3600.0
"How long an address still counts as the trunk's that its domain no longer leads to."
MAX_KNOWN = 64


@dataclass(frozen=True)
class Where:
    """What a URI or a configuration says of a server, before any name server is asked."""

    host: str
    port: int = 0
    transport: Transport | None = None
    secure: bool = False

    @classmethod
    def of(cls, uri: str) -> Where:
        """The server a URI leads to. Raises `ParseError`."""
        parsed: URI = checked(parse_uri, uri, "URI")
        named = (parsed.parameters.get("transport") or "").lower()
        secure = parsed.scheme == "sips"
        if parsed.scheme not in ("sip", "sips") or (named and named not in get_args(Transport)):
            raise ParseError("bad URI")
        return cls(
            host=(parsed.parameters.get("maddr") or parsed.host).strip("[]"),
            port=parsed.port or 0,
            transport="tls" if secure else cast(Transport, named) if named else None,
            secure=secure,
        )


class Candidates:
    """Finds servers, best first. `tls` makes the context for those reached over TLS."""

    def __init__(self, stack: Stack, locator: Locator, tls: Callable[[], ssl.SSLContext]) -> None:
        self.current: Hop | None = None
        "The server we are registered at: calls go there too, while it works."
        self._stack = stack
        self._locator = locator
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._known: dict[Address, float] = {}
        self._avoided: dict[Hop, float] = {}

    async def find(self, where: Where) -> list[Hop]:
        """The servers to try, in order. Raises `NotFound`."""
        found = await self._locator.locate(
            where.host, where.port, where.transport, secure=where.secure
        )
        hops = [hop for hop in found if self._reaches(hop)]
        if not hops:
            family = "IPv6" if ":" in found[0].address[0] else "IPv4"
            raise NotFound(f"{where.host} can be reached over {family} only, where we are not")
        now = asyncio.get_running_loop().time()
        self._remember(found, now)
        bad = {hop for hop, until in self._avoided.items() if until > now}
        return sorted(hops, key=lambda hop: (hop in bad, hop != self.current))

    async def open(self, hop: Hop, host: str) -> Flow:
        """A flow to a server; over TLS it must prove to be `host` (RFC 5922 §4: the domain that
        was asked for, not what its name server made of it). Raises OSError."""
        if hop.transport == "tls" and self._tls is None:
            self._tls = await asyncio.to_thread(self._make_tls)  # it reads files
        return await self._stack.transports.flow_to(hop.transport, hop.address, self._tls, host)

    def failed(self, hop: Hop) -> None:
        """A server did not answer, or not with more than 503: the others are better for now."""
        now = asyncio.get_running_loop().time()
        self._avoided = {bad: until for bad, until in self._avoided.items() if until > now}
        if len(self._avoided) < MAX_KNOWN:
            self._avoided[hop] = now + AVOID_SECONDS
        if self.current == hop:
            self.current = None

    def worked(self, hop: Hop) -> None:
        """A server answered."""
        self._avoided.pop(hop, None)

    def is_at(self, host: str) -> bool:
        """Whether any server has this address."""
        return any(host == known for known, _ in self._known)

    def include(self, host: str, port: int) -> bool:
        """Whether a server has this address and port."""
        return (host, port) in self._known

    def _reaches(self, hop: Hop) -> bool:
        """Whether we have a socket of the address family it takes."""
        try:
            return hop.transport != "udp" or bool(self._stack.transports.udp_flow(hop.address))
        except OSError:
            return False

    def _remember(self, hops: list[Hop], now: float) -> None:
        kept = {known: seen for known, seen in self._known.items() if seen > now - KNOWN_SECONDS}
        kept.update((hop.address, now) for hop in hops)
        self._known = dict(sorted(kept.items(), key=lambda item: -item[1])[:MAX_KNOWN])
