"""Finding the servers of a domain (RFC 3263): NAPTR, then SRV, then A and AAAA.

What a name server says is not trusted to be short, quick or sane: an answer longer than
`MAX_ANSWER` is none, every question has a deadline, and the cache has room for `MAX_NAMES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import struct
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.resolver

from pbx.sip.transport import Address, Transport

log = logging.getLogger(__name__)

MAX_ANSWER = 1280
"Bytes of one answer that are read: some sixty records, and 3 ms of parsing."
MAX_NAMES = 512
MAX_HOPS = 8
"Servers of one domain that are ever tried."
MAX_ADDRESSES = 4
"Addresses of one server that are ever tried."
TRY_SECONDS, LOOKUP_SECONDS, LOCATE_SECONDS = 1.5, 4.0, 9.0
"One packet to one name server; one question; all questions about one domain."
SHORTEST, LONGEST, UNKNOWN = 5.0, 3600.0, 60.0
"Bounds of how long an answer is believed whatever its TTL says, and how long that there is none."
STALE_SECONDS, STALE_WAIT, STALE_RETRY = 86_400.0, 1.0, 30.0
"""How long an answer that ran out is still used while no name server answers (RFC 8767), how long
a name server has to do better first, and how long it is not asked again when it cannot."""
MAX_HOSTS_FILE = 65_536
HOSTS_FILE = Path("/etc/hosts")

_SERVICES: dict[str, Transport] = {"SIPS+D2T": "tls", "SIP+D2U": "udp", "SIP+D2T": "tcp"}
_PREFIX: dict[Transport, str] = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}


class NotFound(OSError):
    """A host has no address, or no name server says which."""


@dataclass(frozen=True)
class Hop:
    """A place to send a request to."""

    transport: Transport
    address: Address


@dataclass(frozen=True)
class _Naptr:
    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True)
class _Srv:
    priority: int
    weight: int
    port: int
    target: str


@dataclass
class _Answer:
    """`until` is when to ask again, `stale_until` when it is of no use at all."""

    records: tuple[Any, ...]
    until: float
    stale_until: float = 0.0


_R = TypeVar("_R", _Naptr, _Srv, str)


class Locator:
    """Answers where a domain's SIP servers are. `nameserver` is an address, optionally with a
    port; empty takes those of /etc/resolv.conf, read again for every question."""

    def __init__(self, nameserver: str = "", hosts_file: Path = HOSTS_FILE) -> None:
        self.nameserver = nameserver
        self._hosts_file = hosts_file
        self._cache: OrderedDict[tuple[str, str], _Answer] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[_Answer]] = {}

    async def locate(
        self, host: str, port: int = 0, transport: Transport | None = None, *, secure: bool = False
    ) -> list[Hop]:
        """Where requests to a host go, the first to try first. Raises `NotFound`.

        A port or transport that is given is kept to (§4.1, §4.2); `secure` is a sips URI. SRV
        records of one priority are put in a new random order each time, by weight.
        """
        host = host.strip("[]").rstrip(".").lower()
        plain: Transport = transport or ("tls" if secure else "udp")
        default = 5061 if plain == "tls" else 5060
        if is_address(host):
            return [Hop(plain, (host, port or default))]
        try:
            async with asyncio.timeout(LOCATE_SECONDS):
                hops: list[Hop] = []
                named = await self._named(host)
                if not port and not named:
                    hops = await self._services(host, transport, secure=secure)
                if not hops:
                    addresses = named or await self._records(host)
                    hops = [Hop(plain, (address, port or default)) for address in addresses]
        except TimeoutError as error:
            raise NotFound(f"the name server takes too long over {host}") from error
        if not hops:
            raise NotFound(f"{host} is not known to the name server")
        return hops[:MAX_HOPS]

    async def addresses(self, host: str) -> list[str]:
        """The addresses of a host, from the hosts file or else its A and AAAA records."""
        if is_address(host):
            return [host]
        return await self._named(host) or await self._records(host)

    async def _named(self, host: str) -> list[str]:
        """The addresses of a host in the hosts file, read at most once a minute for each."""
        now, key = asyncio.get_running_loop().time(), (host, "hosts")
        known = self._cache.get(key)
        if known is None or known.until <= now:
            found = await asyncio.to_thread(_from_hosts_file, self._hosts_file, host)
            known = _Answer(tuple(found), now + UNKNOWN)
            self._keep(key, known)
        return list(known.records)

    async def _records(self, host: str) -> list[str]:
        found = await asyncio.gather(
            self._lookup(host, "A"), self._lookup(host, "AAAA"), return_exceptions=True
        )
        failures = [answer for answer in found if isinstance(answer, BaseException)]
        good = [answer for answer in found if not isinstance(answer, BaseException)]
        addresses = [str(record) for answer in good for record in answer[:MAX_ADDRESSES]]
        if failures and not addresses:
            raise failures[0]
        return addresses

    # ── services ────────────────────────────────────────────────────────────────────────
    async def _services(self, host: str, wanted: Transport | None, *, secure: bool) -> list[Hop]:
        """What the NAPTR records lead to; where there are none, the SRV records of the usual
        names (§4.1)."""
        allowed: tuple[Transport, ...] = ("udp", "tcp", "tls")
        if wanted is not None:
            allowed = (wanted,)
        elif secure:
            allowed = ("tls",)
        services: list[tuple[Transport, str]] = []
        if wanted is None:
            naptrs: tuple[_Naptr, ...] = ()
            with contextlib.suppress(NotFound):  # some name servers refuse the very question
                naptrs = await self._lookup(host, "NAPTR", _Naptr)
            for naptr in sorted(naptrs, key=lambda n: (n.order, n.preference)):
                transport = _SERVICES.get(naptr.service.upper())
                if naptr.flags.lower() == "s" and transport in allowed:
                    services.append((transport, naptr.replacement))
        if not services:
            services = [(transport, f"{_PREFIX[transport]}.{host}") for transport in allowed]
        found = await asyncio.gather(
            *(self._servers(transport, name) for transport, name in services[: len(_PREFIX)]),
            return_exceptions=True,
        )
        good = [hops for hops in found if not isinstance(hops, BaseException)]
        hops = list(dict.fromkeys(hop for hops in good for hop in hops))
        failures = [failure for failure in found if isinstance(failure, BaseException)]
        if failures and not hops:  # not knowing is no leave to guess another server
            raise failures[0]
        return hops

    async def _servers(self, transport: Transport, name: str) -> list[Hop]:
        records = await self._lookup(name, "SRV", _Srv)
        usable = [record for record in records if record.target and record.port]
        chosen = in_order(usable)[:MAX_HOPS]
        found = await asyncio.gather(
            *(self.addresses(record.target) for record in chosen), return_exceptions=True
        )
        hops: list[Hop] = []
        for record, addresses in zip(chosen, found, strict=True):
            if isinstance(addresses, BaseException):
                log.info("%s of %s: %s", record.target, name, addresses)
                continue
            hops += [Hop(transport, (address, record.port)) for address in addresses]
        return hops

    # ── questions ───────────────────────────────────────────────────────────────────────
    async def _lookup(self, name: str, kind: str, _kind: type[_R] = str) -> tuple[_R, ...]:  # type: ignore[assignment]
        """The records of a name, from the cache while they last; empty when it has none.
        Raises `NotFound` when nobody can say."""
        loop = asyncio.get_running_loop()
        key = (name.lower(), kind)
        known = self._cache.get(key)
        if known is not None and known.until > loop.time():
            return known.records
        task = self._asking.get(key)
        if task is None:
            task = asyncio.ensure_future(self._ask(*key))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        if known is not None and loop.time() < known.stale_until:
            # The servers have hardly moved, and a call waits.
            done, _ = await asyncio.wait({task}, timeout=STALE_WAIT)
            if not done or task.cancelled() or task.exception() is not None:
                known.until = loop.time() + STALE_RETRY
                return known.records
        # Shielded: others may be waiting for the same answer.
        return (await asyncio.shield(task)).records

    def _asked(self, key: tuple[str, str], done: asyncio.Task[_Answer]) -> None:
        del self._asking[key]
        if done.cancelled() or done.exception() is not None:
            return
        self._keep(key, done.result())

    def _keep(self, key: tuple[str, str], answer: _Answer) -> None:
        answer.stale_until = answer.until + STALE_SECONDS
        self._cache[key] = answer
        self._cache.move_to_end(key)
        if len(self._cache) > MAX_NAMES:
            self._cache.popitem(last=False)

    async def _ask(self, name: str, kind: str) -> _Answer:
        now = asyncio.get_running_loop().time
        try:
            # Absolute and without /etc/resolv.conf's search list: a carrier is not next door.
            qname = dns.name.from_text(name)
            if self.nameserver:
                resolver = _resolver(self.nameserver)
            else:
                resolver = await asyncio.to_thread(_resolver, "")  # it reads a file
            answer = await resolver.resolve(qname, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            return _Answer((), now() + UNKNOWN)
        except dns.resolver.NoResolverConfiguration as error:
            raise NotFound("the machine has no name server; set [network] nameserver") from error
        except (dns.exception.DNSException, UnicodeError, ValueError) as error:
            log.info("%s %s: %s", kind, name, error)
            raise NotFound(f"no name server answers for {name}") from error
        ttl = answer.chaining_result.minimum_ttl if answer.chaining_result else UNKNOWN
        if answer.rrset is None:
            return _Answer((), now() + min(max(ttl, SHORTEST), UNKNOWN))
        records = tuple(found for rdata in answer.rrset if (found := _record(kind, rdata)))
        return _Answer(records, now() + min(max(ttl, SHORTEST), LONGEST))


def in_order(records: Iterable[_Srv]) -> list[_Srv]:
    """SRV records as they are to be tried (RFC 2782): by priority, those of one priority at
    random with chances by weight."""
    by_priority: dict[int, list[_Srv]] = {}
    for record in records:
        by_priority.setdefault(record.priority, []).append(record)
    ordered: list[_Srv] = []
    for _, group in sorted(by_priority.items()):
        group.sort(key=lambda record: record.weight)  # weight 0 first, as the RFC wants it
        while group:
            drawn = random.randint(0, sum(record.weight for record in group))
            for record in group:
                drawn -= record.weight
                if drawn <= 0:
                    break
            ordered.append(record)
            group.remove(record)
    return ordered


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def parse_nameserver(text: str) -> Address:
    """ "192.0.2.1", "192.0.2.1:5353", "::1" or "[::1]:5353". Raises ValueError."""
    if is_address(text):
        return text, 53
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not is_address(host) or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text!r} is not an address, or an address and a port")
    return host, int(port)


# ── the wire ────────────────────────────────────────────────────────────────────────────────
def _resolver(nameserver: str) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=not nameserver)
    servers = (
        [parse_nameserver(nameserver)]
        if nameserver
        else [(str(server), resolver.port) for server in resolver.nameservers]
    )
    resolver.nameservers = [_Nameserver(*server) for server in servers[:3]]
    resolver.timeout, resolver.lifetime = TRY_SECONDS, LOOKUP_SECONDS
    resolver.use_edns(0, 0, 1232)
    return resolver


class _Nameserver(dns.nameserver.Do53Nameserver):
    """A name server of which only answers of a sane length are parsed: dnspython by itself
    reads 64 kB, which takes it a tenth of a second."""

    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,  # noqa: ASYNC109  # dnspython's signature
        source: str | None,
        source_port: int,
        max_size: bool,
        backend: Any,
        one_rr_per_rrset: bool = False,
        ignore_trailing: bool = False,
    ) -> dns.message.Message:
        try:
            async with asyncio.timeout(timeout):
                return await (self._by_tcp(request) if max_size else self._by_udp(request))
        except TimeoutError as error:
            raise dns.exception.Timeout(timeout=timeout) from error  # type: ignore[no-untyped-call]

    async def _by_udp(self, request: dns.message.QueryMessage) -> dns.message.Message:
        loop = asyncio.get_running_loop()
        # Connected: the kernel drops what comes from elsewhere, and the port is a new one.
        wire, waiting = await loop.create_datagram_endpoint(
            lambda: _Waiting(request), remote_addr=(self.address, self.port)
        )
        try:
            wire.sendto(request.to_wire())
            return await waiting.answer
        finally:
            wire.close()

    async def _by_tcp(self, request: dns.message.QueryMessage) -> dns.message.Message:
        reader, writer = await asyncio.open_connection(self.address, self.port, limit=MAX_ANSWER)
        try:
            query = request.to_wire()
            writer.write(struct.pack("!H", len(query)) + query)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            if length > MAX_ANSWER:
                raise EOFError(f"an answer of {length} bytes")  # this server is no good
            answer = dns.message.from_wire(await reader.readexactly(length))
            if not request.is_response(answer):
                raise EOFError("not an answer to the question")
            return answer
        finally:
            writer.close()


class _Waiting(asyncio.DatagramProtocol):
    """Waits for the answer to one question."""

    def __init__(self, request: dns.message.QueryMessage) -> None:
        self._request = request
        self.answer: asyncio.Future[dns.message.Message] = (
            asyncio.get_running_loop().create_future()
        )

    def datagram_received(self, data: bytes, addr: Any) -> None:
        # Compared before it is parsed: what is not an answer to us shall cost nothing.
        if self.answer.done() or not 12 <= len(data) <= MAX_ANSWER:
            return
        if data[:2] != struct.pack("!H", self._request.id):
            return
        try:
            message = dns.message.from_wire(data, raise_on_truncation=True)
        except dns.message.Truncated as error:
            if self._request.is_response(error.message()):  # type: ignore[no-untyped-call]
                self.answer.set_exception(error)
        except (dns.exception.DNSException, ValueError):
            return  # somebody's guess, or garbage: the answer may yet come
        else:
            if self._request.is_response(message):
                self.answer.set_result(message)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _record(kind: str, rdata: Any) -> _Naptr | _Srv | str | None:
    """What is used of a record; None for one that cannot be."""
    if kind == "NAPTR":
        if rdata.regexp:
            return None
        return _Naptr(
            order=rdata.order,
            preference=rdata.preference,
            flags=rdata.flags.decode("ascii", "replace"),
            service=rdata.service.decode("ascii", "replace"),
            replacement=rdata.replacement.to_text(omit_final_dot=True),
        )
    if kind == "SRV":
        return _Srv(
            priority=rdata.priority,
            weight=rdata.weight,
            port=rdata.port,
            # "." says that the service is decidedly not there (RFC 2782)
            target="" if rdata.target == dns.name.root else rdata.target.to_text(True),
        )
    return str(rdata.address)


def _from_hosts_file(path: Path, host: str) -> list[str]:
    """The addresses of a host in /etc/hosts."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_HOSTS_FILE).decode("utf-8", "replace")
    except OSError:
        return []
    found: list[str] = []
    for line in text.splitlines():
        address, *names = line.partition("#")[0].lower().split() or [""]
        if host in names and is_address(address):
            found.append(address)
    return list(dict.fromkeys(found))[:MAX_ADDRESSES]


def prefer(hops: Sequence[Hop], worse: Iterable[Hop]) -> list[Hop]:
    """The hops in their order, with those that are worse last."""
    bad = set(worse)
    return sorted(hops, key=lambda hop: hop in bad)
