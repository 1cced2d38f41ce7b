"""Which of our addresses a peer is told: the local one on the networks we are in, the public one
beyond, configured or found out with STUN."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
from collections.abc import Callable, Sequence

from aioice.stun import Message

from pbx.sip import stun
from pbx.sip.locate import Locator, NotFound
from pbx.sip.transport import Address, Flow

log = logging.getLogger(__name__)

STUN_PORT = 3478
CHECK_EVERY = 60.0
"Seconds between looks: a router reconnects at night, and the mapping of our port stays open."
RETRY_EVERY = 15.0
RESEND = (0.5, 1.0, 2.0, 2.0)
"Seconds waited after each sending of a request (RFC 8489 §6.2.1, shortened)."
FIRST_ANSWER = 3.0
"Seconds registrations wait for the first answer at a start."
MAX_NETWORKS = 64

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class PublicAddress:
    """Our address as the outside sees it.

    `configured` wins; else `server` (a STUN server, "host" or "host:port") is asked through
    the SIP socket, now and then. `networks` are those in which peers get the local address;
    none given means every network that is not public (RFC 1918, RFC 4193 and the like).
    """

    def __init__(
        self,
        *,
        configured: str = "",
        server: str = "",
        networks: Sequence[str] = (),
        locator: Locator,
        send: Callable[[bytes, Address], None],
        on_change: Callable[[], None],
    ) -> None:
        self.host = configured
        self.udp_port = 0
        "The port our SIP socket is seen at; 0 when it is the one we listen on."
        self._server = "" if configured else server
        self._networks: list[Network] = [ipaddress.ip_network(n) for n in networks[:MAX_NETWORKS]]
        self._locator = locator
        self._send = send
        self._on_change = on_change
        self._waiting: dict[bytes, tuple[Address, asyncio.Future[Address]]] = {}
        self._known = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        if not self._server:
            self._known.set()

    def start(self) -> None:
        """Begin to ask, if there is a server to ask."""
        if self._server:
            self._task = asyncio.ensure_future(self._keep_asking())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def known(self) -> None:
        """Wait, but not for long, until the first answer is in."""
        try:
            async with asyncio.timeout(FIRST_ANSWER):
                await self._known.wait()
        except TimeoutError:
            self._known.set()  # nobody waits a second time

    def towards(self, flow: Flow, behind: str = "") -> str:
        """The public host if that is what the peer of a flow must be told, or who is `behind` it;
        else empty."""
        host = behind or flow.remote[0]
        if not self.host or (":" in self.host) != (":" in host) or self._is_near(host):
            return ""
        return self.host

    def port_towards(self, flow: Flow, port: int) -> int:
        """The port of ours that the peer of a flow must be told, given the local one."""
        seen = self.udp_port if flow.transport == "udp" else 0
        return seen if seen and self.towards(flow) else port

    def _is_near(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if self._networks:
            return any(address in network for network in self._networks)
        return not address.is_global

    # ── asking ──────────────────────────────────────────────────────────────────────────
    def take(self, data: bytes, source: Address) -> None:
        """A STUN message that may be an answer to us."""
        message = stun.parse(data)
        waiting = self._waiting.get(message.transaction_id) if message else None
        if message is None or waiting is None or source != waiting[0]:
            return  # nobody but the server that was asked may say where we are
        found = stun.mapped_address(message)
        if found is not None and not waiting[1].done():
            waiting[1].set_result(found)

    async def _keep_asking(self) -> None:
        failing = False
        while True:
            try:
                host, port = await self.ask()
            except OSError as error:
                if not failing:
                    log.warning("the public address cannot be found out: %s", error)
                failing, wait = True, RETRY_EVERY
            else:
                failing, wait = False, CHECK_EVERY
                if (host, port) != (self.host, self.udp_port):
                    log.info("the public address is %s, port %d", host, port)
                    told = self._known.is_set()
                    self.host, self.udp_port = host, port
                    if told:
                        self._on_change()
                self._known.set()
            await asyncio.sleep(wait * random.uniform(0.9, 1.0))

    async def ask(self) -> Address:
        """Ask each address of the server. Raises OSError when none answers."""
        host, port = split_host_port(self._server, STUN_PORT)
        for address in await self._locator.addresses(host):
            with contextlib.suppress(OSError):  # no socket of that address family
                found = await self._ask_at((address, port))
                if found is not None:
                    return found
        raise NotFound(f"the STUN server {self._server} does not answer")

    async def _ask_at(self, server: Address) -> Address | None:
        request: Message = stun.binding_request()
        answer: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        self._waiting[request.transaction_id] = server, answer
        try:
            for seconds in RESEND:
                self._send(bytes(request), server)
                done, _ = await asyncio.wait({answer}, timeout=seconds)
                if done:
                    return answer.result()
            return None
        finally:
            del self._waiting[request.transaction_id]


def numbered(host: str) -> str:
    """An address as it is usually written; the IPv4 of one that is mapped into IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def split_host_port(text: str, default: int) -> Address:
    """ "host", "host:port", an IPv6 address alone or "[address]:port". Raises ValueError."""
    if text.count(":") > 1 and not text.startswith("["):
        return text, default
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(default)
    host = host.strip("[]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text!r} is not a host, or a host and a port")
    return host, int(port)
