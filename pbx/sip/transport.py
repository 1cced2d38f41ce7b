"""SIP over UDP, TCP and TLS (RFC 3261 §18, RFC 5626 keep-alives).

A `Flow` is a way to reach one peer: a UDP remote address, or one TCP/TLS connection. Everything
above sends to a flow and remembers the flow a request came from, so an answer, or a request to
a registered phone, goes back through the same connection and the same hole in a NAT.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import re
import socket
import ssl
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Literal, cast

from pbx.sip.filter import keep_out_garbage
from pbx.sip.message import MAX_BODY, MAX_HEAD
from pbx.sip.refusal import refusal, reply_port

log = logging.getLogger(__name__)

Transport = Literal["udp", "tcp", "tls"]
Address = tuple[str, int]
DataHandler = Callable[[bytes, "Flow"], None]

MAX_CONNECTIONS = 2048
MAX_CONNECTIONS_PER_HOST = 256
MAX_STRANGERS_PER_HOST = 64
"Connections of one host on which nobody known has spoken yet; the oldest makes room."
MAX_HANDSHAKES = 64
"TLS handshakes going on, of everybody; the oldest of a stranger makes room."
MAX_HANDSHAKES_PER_HOST = 16
MAX_ACCEPTS = 4
"TLS connections accepted before the loop turns to others: each is a signature to compute."
MAX_UNSENT = 1_048_576
"Bytes a slow TCP/TLS reader may leave unsent before it is cut off."
FIRST_MESSAGE_TIMEOUT = 20.0
"Seconds a new connection has to complete a first message."
STRANGER_TIMEOUT = 60.0
"Seconds a connection may be silent that nobody known has used yet."
HANDSHAKE_TIMEOUT = 4.0
IDLE_TIMEOUT = 21_600.0
"Seconds without a byte after which any connection is closed: longer than calls and bindings."
REAP_EVERY = 10.0
GIVE_BACK_AFTER = 50
"Connections ended after which the C library gives freed memory back; TLS leaves it in pieces."
PROBE_AFTER, PROBE_EVERY, PROBES = 60, 15, 4
"Seconds of silence before TCP asks whether the peer is alive, between questions, and how many."
UNACKNOWLEDGED = 30_000
"Milliseconds sent data may stay unacknowledged before the peer counts as gone (RFC 5482)."
RECEIVE_BUFFER = 4 * 1024 * 1024
"Bytes the kernel keeps of a burst on the UDP port, as far as net.core.rmem_max allows."
MAX_AT_ONCE = 8
"Messages or pings of one connection handled before the others get their turn."
CONNECT_TIMEOUT = 5.0

_CONTENT_LENGTH = re.compile(
    rb"\r\n(?:content-length|l)[ \t]*:(?:[ \t]|\r\n[ \t])*(\d{1,9})[ \t]*(?=\r\n)", re.I
)
_UNREADABLE = b"400 Bad Request - missing or bad Content-Length"


def bracketed(host: str) -> str:
    """A host as it stands in a URI or a Via (RFC 3261 §25.1: IPv6 in brackets)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


class Look(Enum):
    """What to do with a message that has not been read yet."""

    PASS = auto()
    METER = auto()
    "Read it, and say how long that took."
    BUSY = auto()
    "Answer 503 without reading it."
    DROP = auto()


class Flow:
    """A way to one peer. `closed` flows drop what is sent; on `trusted` ones somebody known has
    spoken."""

    transport: Transport
    reliable: bool
    local: Address
    remote: Address
    closed = False
    trusted = False

    def send(self, data: bytes) -> None:
        raise TypeError("use a UdpFlow or StreamFlow")

    def close(self) -> None:
        """Give the flow up; a UDP flow holds nothing."""

    def trust(self) -> None:
        """Somebody known speaks here: a connection may stay open as long as they like."""

    def __str__(self) -> str:
        return f"{self.transport}:{self.remote[0]}:{self.remote[1]}"


class UdpFlow(Flow):
    """Datagrams to one remote address from one of our sockets."""

    __slots__ = ("_socket", "local", "remote")
    transport: Transport = "udp"
    reliable = False

    def __init__(self, socket: asyncio.DatagramTransport, local: Address, remote: Address) -> None:
        self._socket = socket
        self.local = local
        self.remote = remote

    def send(self, data: bytes) -> None:
        if self._socket.is_closing():
            return
        try:
            self._socket.sendto(data, self.remote)
        except (OSError, ValueError, OverflowError) as error:  # an address that is none
            log.debug("udp to %s: %s", self, error)


class UdpListener(asyncio.DatagramProtocol):
    """One UDP socket that hands each datagram up with the flow it came from."""

    def __init__(self, on_data: DataHandler) -> None:
        self._on_data = on_data
        self._socket: asyncio.DatagramTransport | None = None
        self.local: Address = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.DatagramTransport, transport)
        self.local = transport.get_extra_info("sockname")[:2]
        plain = transport.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            keep_out_garbage(plain)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) > 4:  # shorter ones are keep-alives
            self._on_data(data, self.flow(addr[:2]))

    def error_received(self, exc: Exception) -> None:
        log.debug("udp: %s", exc)  # ICMP unreachable: the transaction's timer decides

    def flow(self, remote: Address) -> UdpFlow:
        """The flow to a remote address from this socket."""
        assert self._socket is not None
        return UdpFlow(self._socket, self.local, remote)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class StreamFlow(Flow, asyncio.Protocol):
    """One TCP or TLS connection, cut into messages by Content-Length (RFC 3261 §18.3)."""

    reliable = True

    def __init__(self, transport: Transport, on_data: DataHandler, owner: Transports) -> None:
        self.transport = transport
        self.closed = True
        self._on_data = on_data
        self._owner = owner
        self._buffer = bytearray()
        self._needed = 0
        "Bytes the message begun in the buffer will have, once its headers are in."
        self._paused = False
        self.heard = 0.0
        self._wire: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.local = self.remote = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if not peer:  # gone before we looked
            self._wire.abort()
            return
        self.local = transport.get_extra_info("sockname")[:2]
        self.remote = peer[:2]
        self.closed = False
        self.heard = asyncio.get_running_loop().time()
        _watch_peer(transport)
        if not self._owner.admit(self):
            self._wire.abort()
            return
        self._set_deadline(FIRST_MESSAGE_TIMEOUT)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._buffer.clear()
        self._owner.forget(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self.heard = asyncio.get_running_loop().time()
        if not self._paused and len(self._buffer) >= self._needed:
            self._read()

    def _read(self) -> None:
        """Take messages from the buffer, a few at a time, so that one connection with much to
        say does not hold up the others."""
        self._paused = False
        pinged = False
        for _ in range(MAX_AT_ONCE):
            taken = self._take()
            if taken is None:
                break
            if taken:
                self._on_data(taken, self)
            else:
                pinged = True
        else:
            self._paused = True
            if self._wire is not None:
                self._wire.pause_reading()
            asyncio.get_running_loop().call_soon(self._resume)
        if pinged:
            self.send(b"\r\n")  # pong, RFC 5626 §4.4.1

    def _resume(self) -> None:
        if not self.closed and self._wire is not None:
            self._wire.resume_reading()
            self._read()

    def _take(self) -> bytes | None:
        """The next message; empty for a ping; None when there is nothing whole."""
        buffer = self._buffer
        while not self.closed:
            if buffer.startswith(b"\r\n\r\n"):
                del buffer[:4]
                return b""
            if buffer.startswith(b"\r\n"):
                if len(buffer) < 4:
                    return None  # may yet become a ping
                del buffer[:2]
                continue
            end = buffer.find(b"\r\n\r\n")
            if end < 0 or end > MAX_HEAD:
                if len(buffer) > MAX_HEAD:
                    self.close()
                return None
            lengths = {int(text) for text in _CONTENT_LENGTH.findall(buffer, 0, end + 2)}
            if len(lengths) != 1 or max(lengths) > MAX_BODY:
                self._lose_count(bytes(buffer[: end + 4]))
                return None
            total = end + 4 + lengths.pop()
            if len(buffer) < total:
                self._needed = total
                return None
            message = bytes(buffer[:total])
            del buffer[:total]
            self._needed = 0
            self._extend()
            return message
        return None

    def _lose_count(self, head: bytes) -> None:
        """Where this message ends, and so where the next begins, nobody can tell (§18.3)."""
        self.send(refusal(head, self.remote, _UNREADABLE))
        self.close()

    def send(self, data: bytes) -> None:
        if self.closed or self._wire is None or not data:
            return
        self._wire.write(data)
        if self._wire.get_write_buffer_size() > MAX_UNSENT:
            self._wire.abort()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def trust(self) -> None:
        if not self.trusted:
            self.trusted = True
            self._owner.trust(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def drop(self) -> None:
        """Close at once, whatever is still to be sent."""
        if self._wire is not None:
            self._wire.abort()

    def _extend(self) -> None:
        """A stranger said something whole; they get a while longer."""
        if not self.trusted:
            self._set_deadline(STRANGER_TIMEOUT)

    def _set_deadline(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.close)


class _TlsDoor:
    """A listening socket that counts who comes before TLS costs anything.

    Handshakes going on are bounded in all and by host. Whoever comes when there is no room is
    let in, and the oldest handshake goes: an honest one is over within a few round trips, one
    that only holds a place is the oldest soon.
    """

    def __init__(self, owner: Transports, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._owner = owner
        self._socket = sock
        self._context = context
        self._pending: OrderedDict[asyncio.Task[None], str] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for task in self._pending:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTS):
            try:
                connection, remote = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptor left: some will be given back
                log.warning("tls: %s", error)
                self._loop.remove_reader(self._socket)
                self._loop.call_later(0.5, self._resume)
                return
            self._greet(connection, remote[0])

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    def _greet(self, connection: socket.socket, host: str) -> None:
        if not self._owner.admits(host):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()  # with a reset, which leaves nothing behind in the kernel either
            return
        theirs = [task for task, one in self._pending.items() if one == host]
        if len(theirs) >= MAX_HANDSHAKES_PER_HOST:
            theirs[0].cancel()
        elif len(self._pending) >= MAX_HANDSHAKES:
            knows = self._owner.knows
            strangers = (task for task, one in self._pending.items() if not knows(one))
            next(strangers, next(iter(self._pending))).cancel()
        self._owner.ended += 1
        task = self._loop.create_task(self._shake_hands(connection, host))
        self._pending[task] = host
        task.add_done_callback(lambda done: self._pending.pop(done, None))

    async def _shake_hands(self, connection: socket.socket, host: str) -> None:
        connection.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(
                self._owner.new_stream("tls"),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            )
        except OSError as error:  # ssl's errors are such too
            log.debug("tls: %s", error)
            reason = getattr(error, "reason", None)
            if reason:  # not merely gone: something did not fit
                self._owner.on_handshake_failed(host, str(reason))
        except asyncio.CancelledError:
            connection.close()
            raise


class Transports:
    """The sockets of one SIP endpoint: listeners, and the connections in use.

    "::" listens on both address families, with a socket each, so that an IPv4 peer is known by
    its IPv4 address.
    """

    def __init__(self, on_data: DataHandler, on_closed: Callable[[Flow], None]) -> None:
        self._on_data = on_data
        self._on_closed = on_closed
        self._udp: dict[bool, UdpListener] = {}
        "By whether it is an IPv6 socket."
        self._servers: list[asyncio.Server | _TlsDoor] = []
        self._streams: dict[tuple[Transport, Address], StreamFlow] = {}
        self._per_host: dict[str, int] = {}
        self._strangers: dict[str, OrderedDict[StreamFlow, None]] = {}
        self._connecting: dict[tuple[Transport, Address], asyncio.Task[StreamFlow]] = {}
        self._reaper: asyncio.TimerHandle | None = None
        self.ended = 0
        "Connections and handshakes ended since memory was given back."
        self.listening: dict[Transport, Address] = {}
        self.admits: Callable[[str], bool] = lambda host: True
        "Asked for each new connection; a banned host is refused before TLS costs anything."
        self.knows: Callable[[str], bool] = lambda host: False
        "Whether a phone or trunk lives at a host; half of all connections are kept for them."
        self.look: Callable[[bytes, Flow], Look] = lambda data, flow: Look.PASS
        "Asked for each message before it is read."
        self.spent: Callable[[float], None] = lambda seconds: None
        "Told how long a message took that was looked at with `METER`."
        self.on_handshake_failed: Callable[[str, str], None] = lambda host, reason: None
        "Told of each TLS handshake that failed for a reason, which is OpenSSL's word for it."
        self.retry_after: Callable[[], int] = lambda: 5
        "Seconds to write into a 503."

    @property
    def connections(self) -> int:
        """How many TCP and TLS connections are open."""
        return len(self._streams)

    async def listen_udp(self, address: Address) -> Address:
        """Open the UDP socket; raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        for host, sock in _sockets(address, socket.SOCK_DGRAM):
            where: dict[str, Any] = {"sock": sock} if sock else {"local_addr": address}
            _, listener = await loop.create_datagram_endpoint(
                lambda: UdpListener(self._receive), **where
            )
            self._udp[":" in host] = listener
            self.listening.setdefault("udp", listener.local)
        return self.listening["udp"]

    async def listen_stream(
        self, transport: Transport, address: Address, tls: ssl.SSLContext | None = None
    ) -> Address:
        """Accept TCP, or TLS with a context; raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        for _, sock in _sockets(address, socket.SOCK_STREAM, always=tls is not None):
            if sock is not None:
                sock.listen(512)
            if tls is not None:
                assert sock is not None
                self._servers.append(_TlsDoor(self, sock, tls))
                local: Address = sock.getsockname()[:2]
            else:
                where: dict[str, Any] = (
                    {"sock": sock} if sock else {"host": address[0], "port": address[1]}
                )
                server = await loop.create_server(self.new_stream(transport), backlog=512, **where)
                self._servers.append(server)
                local = server.sockets[0].getsockname()[:2]
            self.listening.setdefault(transport, local)
        if self._reaper is None:
            self._reaper = loop.call_later(REAP_EVERY, self._reap)
        return self.listening[transport]

    def new_stream(self, transport: Transport) -> Callable[[], StreamFlow]:
        """What makes the flow of a new connection."""
        return lambda: StreamFlow(transport, self._receive, self)

    async def flow_to(
        self,
        transport: Transport,
        remote: Address,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> Flow:
        """A flow to an address, reusing an open connection; raises OSError."""
        if transport == "udp":
            return self.udp_flow(remote)
        key = (transport, remote)
        open_flow = self._streams.get(key)
        if open_flow is not None and not open_flow.closed:
            return open_flow
        task = self._connecting.get(key)
        if task is None:
            task = asyncio.ensure_future(self._connect(transport, remote, tls, server_name))
            self._connecting[key] = task
            task.add_done_callback(lambda _: self._connecting.pop(key, None))
        return await asyncio.shield(task)

    async def _connect(
        self,
        transport: Transport,
        remote: Address,
        tls: ssl.SSLContext | None,
        server_name: str | None,
    ) -> StreamFlow:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, flow = await loop.create_connection(
                    self.new_stream(transport),
                    *remote,
                    ssl=(tls or ssl.create_default_context()) if transport == "tls" else None,
                    server_hostname=(server_name or remote[0]) if transport == "tls" else None,
                )
        except TimeoutError as error:
            raise OSError(f"{transport} connection to {remote[0]}:{remote[1]} timed out") from error
        flow.trust()  # we opened it: the peer may stay silent until we ask something
        return flow

    def udp_flow(self, remote: Address) -> Flow:
        """The UDP flow to an address, for bindings restored from the store."""
        listener = self._udp.get(":" in remote[0])
        if listener is None:
            raise OSError(f"no UDP socket is open towards {remote[0]}")
        return listener.flow(remote)

    def admit(self, flow: StreamFlow) -> bool:
        """Take a new connection in, unless there are too many or its host is banned. A host
        whose connections all are silent loses the oldest of them instead."""
        host = flow.remote[0]
        count = self._per_host.get(host, 0)
        room = MAX_CONNECTIONS if self.knows(host) else MAX_CONNECTIONS // 2
        self._per_host[host] = count + 1
        self._streams[flow.transport, flow.remote] = flow
        strangers = self._strangers.setdefault(host, OrderedDict())
        if len(strangers) >= MAX_STRANGERS_PER_HOST:
            strangers.popitem(last=False)[0].drop()
        strangers[flow] = None
        crowded = len(self._streams) > room or count >= MAX_CONNECTIONS_PER_HOST
        # On TLS the door has asked already.
        return not crowded and (flow.transport == "tls" or self.admits(host))

    def trust(self, flow: StreamFlow) -> None:
        """Somebody known has spoken on a connection."""
        strangers = self._strangers.get(flow.remote[0])
        if strangers is not None:
            strangers.pop(flow, None)
            if not strangers:
                del self._strangers[flow.remote[0]]

    def forget(self, flow: StreamFlow) -> None:
        """A connection is gone."""
        self.ended += 1
        self.trust(flow)
        if self._streams.get((flow.transport, flow.remote)) is not flow:
            return
        del self._streams[flow.transport, flow.remote]
        left = self._per_host.get(flow.remote[0], 1) - 1
        if left > 0:
            self._per_host[flow.remote[0]] = left
        else:
            self._per_host.pop(flow.remote[0], None)
        self._on_closed(flow)

    async def close(self) -> None:
        """Close every socket."""
        if self._reaper is not None:
            self._reaper.cancel()
        for server in self._servers:
            server.close()
        for flow in list(self._streams.values()):
            flow.close()
        for listener in self._udp.values():
            listener.close()

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _receive(self, data: bytes, flow: Flow) -> None:
        """Every message of every transport: look, and read it or not."""
        look = self.look(data, flow)
        if look is Look.PASS:
            self._on_data(data, flow)
            return
        if look is Look.DROP:
            return
        started = time.thread_time()
        if look is Look.METER:
            self._on_data(data, flow)
        else:
            self._refuse(data, flow)
        self.spent(time.thread_time() - started)

    def _refuse(self, data: bytes, flow: Flow) -> None:
        host, port = flow.remote
        retry = b"Retry-After: %d" % self.retry_after()
        answer = refusal(data, flow.remote, b"503 Service Unavailable", retry)
        if answer and not flow.reliable:
            flow = self.udp_flow((host, reply_port(data, port)))
        if answer:
            flow.send(answer)

    def _reap(self) -> None:
        """Close connections nobody has said anything on for very long."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_TIMEOUT
        for flow in [flow for flow in self._streams.values() if flow.heard < oldest]:
            flow.close()
        if self.ended >= GIVE_BACK_AFTER:
            self.ended = 0
            _give_back_memory()
        self._reaper = loop.call_later(REAP_EVERY, self._reap)


def _sockets(
    address: Address, kind: socket.SocketKind, *, always: bool = False
) -> list[tuple[str, socket.socket | None]]:
    """Sockets to listen with, each with its host; None where the loop can open it by itself.
    Raises OSError."""
    host, port = address
    if ":" not in host and not always:
        return [(host, None)]
    if ":" not in host:
        return [(host, _bound(socket.AF_INET, kind, address))]
    for attempt in range(10):
        six = _bound(socket.AF_INET6, kind, address)
        if host != "::":
            return [(host, six)]
        any_host = "0.0.0.0"  # noqa: S104  # "::" means every address of both families
        try:
            four = _bound(socket.AF_INET, kind, (any_host, six.getsockname()[1]))
        except OSError:
            six.close()
            if port or attempt == 9:
                raise
        else:
            return [(host, six), (any_host, four)]
    raise AssertionError("unreachable")


def _bound(
    family: socket.AddressFamily, kind: socket.SocketKind, address: Address
) -> socket.socket:
    # A name is looked up here; the loop is not serving yet.
    found = socket.getaddrinfo(*address, family=family, type=kind)[0][4]
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(found)
    except OSError:
        sock.close()
        raise
    return sock


def _give_back_memory() -> None:
    with contextlib.suppress(AttributeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def _watch_peer(transport: asyncio.BaseTransport) -> None:
    """Let TCP find out when the peer has vanished without a word."""
    plain = transport.get_extra_info("socket")
    if plain is None:
        return
    with contextlib.suppress(OSError):  # gone already
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_AFTER)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_EVERY)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
