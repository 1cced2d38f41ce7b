"""Addresses that people give us to ask: looked up before, and only on the Internet, unless the
configuration allows more."""

from __future__ import annotations

import ipaddress
import socket
from enum import Enum
from urllib.parse import urlsplit

_CARRIES = [
    ipaddress.ip_network(network)
    for network in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
]
"NAT64, 6to4, Teredo and the like: they may lead anywhere."
PORTS = {"https": 443, "http": 80}
MAX_ADDRESSES = 4


class Why(Enum):
    """Why an address is not asked."""

    NO_ADDRESS = "no address"
    NOT_HTTPS = "not https"
    UNKNOWN = "unknown"
    PRIVATE = "private"


class Forbidden(Exception):
    """An address is not asked."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


def addresses_of(url: str, *, private: bool) -> list[str]:
    """Where the host of a URL is: to be asked by these numbers, for a name may lead elsewhere a
    moment later. Waits for the name server. Raises `Forbidden`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden(Why.NO_ADDRESS) from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise Forbidden(Why.NO_ADDRESS)
    if parts.scheme != "https" and not private:
        raise Forbidden(Why.NOT_HTTPS)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Forbidden(Why.UNKNOWN) from None
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))[:MAX_ADDRESSES]
    if not private and not all(map(_is_global, addresses)):
        raise Forbidden(Why.PRIVATE)
    return addresses


def by_number(url: str, address: str) -> str:
    """The same URL with the number of its host."""
    parts = urlsplit(url)
    there = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=f"{there}:{parts.port or PORTS[parts.scheme]}").geturl()


def _is_global(address: str) -> bool:
    """Also what carries another address within is told by that."""
    number = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address):
        number = number.ipv4_mapped or number
        if isinstance(number, ipaddress.IPv6Address) and (
            number.is_site_local or any(number in network for network in _CARRIES)
        ):
            return False
    return number.is_global and not number.is_multicast
