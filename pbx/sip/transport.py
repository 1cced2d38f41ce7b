"""SIP over UDP, TCP and TLS (RFC 3261 §18, RFC 5626 keep-alives).

A `Flow` is a way to reach one peer: a UDP remote address, or one TCP/TLS connection. Everything
above sends to a flow and remembers the flow a request came from, so an answer, or a request to
a registered phone, goes back through the same connection and the same hole in a NAT.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Callable
from typing import Literal, cast

from pbx.sip.message import MAX_BODY, MAX_HEAD

log = logging.getLogger(__name__)

Transport = Literal["udp", "tcp", "tls"]
Address = tuple[str, int]
DataHandler = Callable[[bytes, "Flow"], None]

MAX_CONNECTIONS = 2048
MAX_CONNECTIONS_PER_HOST = 256
MAX_UNSENT = 1_048_576
"Bytes a slow TCP/TLS reader may leave unsent before it is cut off."
FIRST_MESSAGE_TIMEOUT = 20.0
"Seconds a new connection has to complete a first message."
STRANGER_TIMEOUT = 60.0
"Seconds a connection may be silent that nobody known has used yet."
HANDSHAKE_TIMEOUT = 4.0
MAX_AT_ONCE = 16
"Messages or pings of one connection handled before the others get their turn."
CONNECT_TIMEOUT = 5.0

_CONTENT_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d{1,9})[ \t]*\r\n", re.I)


class Flow:
    """A way to one peer. `closed` flows drop what is sent."""

    transport: Transport
    reliable: bool
    local: Address
    remote: Address
    closed = False

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
        self._paused = False
        self._trusted = False
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
        if not self._owner.admit(self):
            self._wire.abort()
            return
        self._set_deadline(FIRST_MESSAGE_TIMEOUT)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.trust()
        self._buffer.clear()
        self._owner.forget(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._paused:
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
            if end < 0:
                if len(buffer) > MAX_HEAD:
                    self.close()
                return None
            length = _CONTENT_LENGTH.search(buffer, 0, end + 2)
            total = end + 4 + (int(length[1]) if length else 0)
            if end > MAX_HEAD or total > end + 4 + MAX_BODY:
                self.close()
                return None
            if len(buffer) < total:
                return None
            message = bytes(buffer[:total])
            del buffer[:total]
            self._extend()
            return message
        return None

    def send(self, data: bytes) -> None:
        if self.closed or self._wire is None:
            return
        self._wire.write(data)
        if self._wire.get_write_buffer_size() > MAX_UNSENT:
            self._wire.abort()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def trust(self) -> None:
        self._trusted = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _extend(self) -> None:
        """A stranger said something whole; they get a while longer."""
        if not self._trusted:
            self._set_deadline(STRANGER_TIMEOUT)

    def _set_deadline(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.close)


class Transports:
    """The sockets of one SIP endpoint: listeners, and the connections in use."""

    def __init__(self, on_data: DataHandler, on_closed: Callable[[Flow], None]) -> None:
        self._on_data = on_data
        self._on_closed = on_closed
        self._udp: UdpListener | None = None
        self._servers: list[asyncio.Server] = []
        self._streams: dict[tuple[Transport, Address], StreamFlow] = {}
        self._per_host: dict[str, int] = {}
        self._connecting: dict[tuple[Transport, Address], asyncio.Task[StreamFlow]] = {}
        self.listening: dict[Transport, Address] = {}
        self.admits: Callable[[str], bool] = lambda host: True
        "Asked for each new connection; a banned host is refused before TLS costs anything."
        self.knows: Callable[[str], bool] = lambda host: False
        "Whether a phone or trunk lives at a host; half of all connections are kept for them."

    async def listen_udp(self, address: Address) -> Address:
        """Open the UDP socket; raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        _, listener = await loop.create_datagram_endpoint(
            lambda: UdpListener(self._on_data), local_addr=address
        )
        self._udp = listener
        self.listening["udp"] = listener.local
        return listener.local

    async def listen_stream(
        self, transport: Transport, address: Address, tls: ssl.SSLContext | None = None
    ) -> Address:
        """Accept TCP, or TLS with a context; raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: StreamFlow(transport, self._on_data, self),
            *address,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT if tls else None,
            backlog=512,
        )
        self._servers.append(server)
        self.listening[transport] = server.sockets[0].getsockname()[:2]
        return self.listening[transport]

    async def flow_to(
        self,
        transport: Transport,
        remote: Address,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> Flow:
        """A flow to an address, reusing an open connection; raises OSError."""
        if transport == "udp":
            if self._udp is None:
                raise OSError("no UDP socket is open")
            return self._udp.flow(remote)
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
                    lambda: StreamFlow(transport, self._on_data, self),
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
        if self._udp is None:
            raise OSError("no UDP socket is open")
        return self._udp.flow(remote)

    def admit(self, flow: StreamFlow) -> bool:
        """Take a new connection in, unless there are too many or its host is banned."""
        host = flow.remote[0]
        count = self._per_host.get(host, 0)
        room = MAX_CONNECTIONS if self.knows(host) else MAX_CONNECTIONS // 2
        crowded = len(self._streams) >= room or count >= MAX_CONNECTIONS_PER_HOST
        self._per_host[host] = count + 1
        self._streams[flow.transport, flow.remote] = flow
        return not crowded and self.admits(host)

    def forget(self, flow: StreamFlow) -> None:
        """A connection is gone."""
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
        for server in self._servers:
            server.close()
        for flow in list(self._streams.values()):
            flow.close()
        if self._udp is not None:
            self._udp.close()
