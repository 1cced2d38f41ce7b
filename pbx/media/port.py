"""A UDP port pair of a leg for one stream: RTP on the even port, RTCP above it.

This is the hot path. A packet that arrives is checked against the address we latched on to,
unprotected, counted and handed to `sink`, which is another port's `send` when two legs are
bridged. Nothing of it is parsed; what its header tells of loss and jitter is looked at now and
then (`Reception`).
"""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pbx.media.poller import MediaPoller
from pbx.media.quality import Quality, Reception, RoundTrips
from pbx.media.rtcp import SR, ReportBlock, Reports, parse_reports
from pbx.media.rtp import MAX_PACKET
from pbx.media.srtp import ReplayError, SrtpError, SrtpSession
from pbx.media.zrtp import message_of

Address = tuple[str, int]
Sink = Callable[[bytes], None]

EXACTLY = "no host"
"In the place of the host of a peer's signalling: nothing is taken but from where it listens."
_ROOM = 2048
"Octets taken of a datagram: more than `MAX_PACKET`, so that a longer one shows."
_MAX_QUEUED = 4096
"Datagrams that can be in a socket's queue."
_UNSPECIFIED = bytes(16)
"The socket address of no family: who connects to it is connected no more (connect(2))."
_libc = ctypes.CDLL(None)


def _both(first: Sink, second: Sink) -> Sink:
    def both(data: bytes) -> None:
        first(data)
        second(data)

    return both


def discard(_: bytes) -> None:
    """The sink of a port that is not connected to anything."""


class Wire(Protocol):
    """A UDP socket, as far as sending goes."""

    def sendto(self, data: bytes, to: Address, /) -> object: ...
    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamStats:
    """What went through one port so far, as seen from the leg's side. `rejected` were not the
    peer's, forged or no RTP; `replayed` came twice (SRTP); `unsent` the machine did not take."""

    received: int
    sent: int
    rejected: int
    replayed: int
    unsent: int
    lost: int
    jitter_ms: float
    lost_by_peer: int


class RtpPorts:
    """The range RTP ports are taken from, each pair in turn so that none is reused at once."""

    def __init__(self, host: str, first: int, last: int) -> None:
        self.host = host
        self._first = first + first % 2
        self._count = max(1, (last - self._first) // 2 + 1)
        self._next = 0

    def bind(self, towards: str = "") -> tuple[socket.socket, socket.socket]:
        """Two bound sockets on neighbouring ports, of the address family of `towards`;
        OSError when the range is exhausted."""
        host = _of_family(self.host, six=":" in (towards or self.host))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for _ in range(self._count):
            port = self._first + 2 * self._next
            self._next = (self._next + 1) % self._count
            pair = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(2)]
            try:
                for offset, sock in enumerate(pair):
                    sock.setblocking(False)
                    sock.bind((host, port + offset))
            except OSError:
                for sock in pair:
                    sock.close()
                continue
            return pair[0], pair[1]
        raise OSError("every RTP port of [media] rtp_ports is in use")


def _of_family(host: str, *, six: bool) -> str:
    """The host to bind to, or its counterpart in the other address family."""
    if (":" in host) == six:
        return host
    if ipaddress.ip_address(host).is_loopback:
        return "::1" if six else "127.0.0.1"
    return "::" if six else "0.0.0.0"  # noqa: S104  # as the other family's wildcard


class RtpPort:
    """One stream of one leg.

    Symmetric RTP: packets are sent to where packets come from, because what a phone behind
    NAT writes into its SDP is wrong. The first sound packet decides; until then the SDP does.
    A peer without SRTP that sends from the very address in its SDP can lose the stream to
    nobody: then the socket is connected, and the kernel does the checking.
    """

    __slots__ = (
        "_clock",
        "_connectable",
        "_connected",
        "_hosts",
        "_latched",
        "_local",
        "_lost_there",
        "_packet",
        "_peer_block",
        "_poller",
        "_reception",
        "_recv",
        "_rejected",
        "_remote",
        "_replayed",
        "_rtcp",
        "_sender_time",
        "_sender_time_at",
        "_sent",
        "_sink",
        "_socket",
        "_taken",
        "_tap",
        "_transmit",
        "_trips",
        "_unsent",
        "_wire",
        "inbound",
        "keys",
        "last",
        "outbound",
        "port",
        "received",
        "rtcp_sink",
        "sending",
        "unread",
        "zrtp_sink",
    )  # fmt: skip

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._sink: Sink = discard
        self._tap: Sink | None = None
        self._taken: Sink = discard
        "What takes each packet: the sink, and before it the tap."
        self.rtcp_sink: Sink = discard
        self.zrtp_sink: Sink | None = None
        "What takes the peer's ZRTP; None where it may not agree on keys with anybody."
        self.unread = False
        "Whether reports pass as they are: they are encrypted for somebody else."
        self.port = 0
        self.inbound: SrtpSession | None = None
        self.outbound: SrtpSession | None = None
        self.last = b""
        "The latest packet sent."
        self.keys: tuple[bytes, bytes] | None = None
        self.sending = True
        self.received = 0
        "Sound packets of the peer so far."
        self._sent = self._unsent = self._rejected = self._replayed = 0
        self._clock = clock
        self._wire: Wire | None = None
        self._socket: socket.socket | None = None
        self._poller: MediaPoller | None = None
        self._local: tuple[str, ...] = ()
        self._connectable = self._connected = False
        self._recv: Callable[[int], bytes] = bytes
        self._transmit: Callable[[bytes], object] | None = None
        self._rtcp: RtcpPort | None = None
        self._remote: Address | None = None
        self._latched: Address | None = None
        self._hosts: tuple[str, ...] = ()
        self._packet = b""
        self._reception = Reception()
        self._trips = RoundTrips()
        self._peer_block: ReportBlock | None = None
        self._lost_there = 0
        self._sender_time = 0
        self._sender_time_at = 0.0

    @classmethod
    async def open(cls, ports: RtpPorts, towards: str = "") -> RtpPort:
        """Bind the next free pair, of the address family of `towards`, the address of ours that
        the peer is told; raises OSError."""
        rtp, rtcp = ports.bind(towards)
        port = cls()
        bound, port.port = rtp.getsockname()[:2]
        port._local = (bound, towards)
        port._socket, port._recv = rtp, rtp.recv
        port._poller = MediaPoller.running()
        port.attach(rtp, rtcp)
        port._poller.watch(rtp.fileno(), port._read_from_anybody)
        assert port._rtcp is not None
        port._rtcp.listen(rtcp, port._poller)
        return port

    # ── where packets go ────────────────────────────────────────────────────────────────
    @property
    def sink(self) -> Sink:
        """What takes the peer's packets, unprotected."""
        return self._sink

    @sink.setter
    def sink(self, sink: Sink) -> None:
        self._sink = sink
        tap = self._tap
        self._taken = sink if tap is None else _both(tap, sink)

    def tap(self, tap: Sink | None) -> None:
        """Let something else have each packet as well, whatever becomes of it; None ends it."""
        self._tap = tap
        self.sink = self._sink

    @property
    def tapped(self) -> bool:
        """Whether something else has each packet as well."""
        return self._tap is not None

    # ── set-up ──────────────────────────────────────────────────────────────────────────
    def attach(self, rtp: Wire, rtcp: Wire | None = None) -> None:
        """Send through these from now on."""
        self._wire = rtp
        self._rtcp = RtcpPort(self, rtcp) if rtcp is not None else None
        self._settle()

    @property
    def peer(self) -> Address | None:
        """Where the peer says it listens."""
        return self._remote

    def aim(self, remote: Address, rtcp: Address | None = None, signalling_host: str = "") -> None:
        """Where the peer says it listens, and the host its signalling comes from: sound that
        is not encrypted is taken from these hosts only. A new place undoes the latch (a
        re-INVITE moved)."""
        hosts = () if signalling_host == EXACTLY else (remote[0],)
        self._hosts = (*hosts, signalling_host) if signalling_host else ()
        if remote == self._remote:
            return
        self._remote = remote
        self._latched = None
        self._settle()
        if self._rtcp is not None:
            self._rtcp.aim(rtcp or (remote[0], min(remote[1] + 1, 65_535)))

    def secure(self, inbound: SrtpSession | None, outbound: SrtpSession | None) -> None:
        """Use SRTP from now on, or with None stop using it."""
        self.inbound, self.outbound = inbound, outbound
        if inbound is None:
            self.keys = None
        self._settle()

    @property
    def source(self) -> int:
        """The SSRC of the peer's latest packet; 0 before there was one."""
        return int.from_bytes(self._packet[8:12], "big")

    @property
    def latest(self) -> bytes:
        """The peer's latest packet, unprotected; empty before there was one."""
        return self._packet

    @property
    def clock_rate(self) -> int:
        """Timestamp units a second, of the first payload type agreed."""
        return self._reception.clock_rate

    @clock_rate.setter
    def clock_rate(self, rate: int) -> None:
        self._reception.clock_rate = rate or 8000

    def close(self) -> None:
        """Give the pair back."""
        self._tap = self.zrtp_sink = None
        self.sink = self.rtcp_sink = discard
        self._transmit = None
        if self._socket is not None and self._poller is not None:
            self._poller.forget(self._socket.fileno())
        if self._wire is not None:
            self._wire.close()
            self._wire = self._socket = None
        if self._rtcp is not None:
            self._rtcp.close()
            self._rtcp = None

    # ── packets ─────────────────────────────────────────────────────────────────────────
    def send(self, data: bytes) -> None:
        """Send one plain RTP packet to the peer."""
        transmit = self._transmit
        if transmit is None or not self.sending:
            return
        try:
            transmit(data)
        except (OSError, SrtpError):  # a full queue, a peer that is gone, a packet sent before
            self._unsent += 1
        else:
            self._sent += 1
            self.last = data

    def send_zrtp(self, data: bytes) -> None:
        """Send a ZRTP packet to the peer, beside the stream: it belongs to no hold and no count."""
        if self._transmit is not None and self.outbound is None:
            try:
                self._transmit(data)
            except OSError:
                self._unsent += 1

    def _read_from_peer(self) -> None:
        """Take a packet of the connected socket."""
        recv, sink = self._recv, self._taken  # called as methods, slots are looked up slowly
        try:
            data = recv(_ROOM)
        except OSError:  # nothing there, or the news that the peer's port is closed
            return
        if not 12 <= len(data) <= MAX_PACKET or data[0] & 0xC0 != 0x80:
            self._take_zrtp(data)
            return
        self._packet = data
        self.received = received = self.received + 1
        if not received & 6:  # two neighbours of eight
            self._reception.measure(data, received, self._clock())
        sink(data)

    def _read_from_anybody(self) -> None:
        """Take a packet whose source we have to check."""
        assert self._socket is not None
        try:
            data, addr = self._socket.recvfrom(_ROOM)
        except OSError:
            return
        self.datagram_received(data, addr)
        if self._connectable:
            self._connect()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Take what arrived from `addr`."""
        if addr != self._latched and not self._may_latch(addr):
            self._rejected += 1
            return
        if not 12 <= len(data) <= MAX_PACKET or data[0] & 0xC0 != 0x80:
            self._take_zrtp(data)
            return
        if self.inbound is not None:
            try:
                data = self.inbound.unprotect(data)
            except ReplayError:
                self._replayed += 1
                return
            except SrtpError:
                self._rejected += 1
                return
        if addr != self._latched:
            self._latched = addr
            self._settle()
        self._packet = data
        self.received = received = self.received + 1
        if not received & 6:
            self._reception.measure(data, received, self._clock())
        sink = self._taken
        sink(data)

    def _take_zrtp(self, data: bytes) -> None:
        """Take what is no RTP from where the peer's may come from."""
        sink = self.zrtp_sink if self.inbound is None and len(data) <= MAX_PACKET else None
        if sink is not None and message_of(data):
            sink(data)
        else:
            self._rejected += 1

    def _may_latch(self, addr: Address) -> bool:
        """Whether a packet from a new address may take the stream over.

        With SRTP the authentication decides, afterwards. Without, the first source on one of
        the peer's hosts wins, and only the address in the SDP may win it back.
        """
        if self.inbound is not None or addr[:2] == self._remote:
            return True
        return self._latched is None and (addr[0] in self._hosts or not self._hosts)

    # ── the way to the peer ─────────────────────────────────────────────────────────────
    def _settle(self) -> None:
        """Work out how to send, whenever something changed that matters for it."""
        if self._connected:
            self._disconnect()
        latched, wire = self._latched, self._wire
        to = latched or self._remote
        self._transmit = _way(wire, to, self.outbound) if wire is not None and to else None
        self._connectable = (
            bool(self._local)
            and latched is not None
            and latched[:2] == self._remote
            and self.inbound is None
            and self.outbound is None
        )

    def _connect(self) -> None:
        """Leave source and route to the kernel. Not where it would take packets at another
        address of ours than the one the peer was told."""
        self._connectable = False
        wire, poller, peer = self._socket, self._poller, self._latched
        if wire is None or poller is None or peer is None:
            return
        try:
            wire.connect(peer)
        except OSError:
            return
        self._connected = True
        if wire.getsockname()[0] not in self._local:
            self._disconnect()
            self._local = ()
            return
        self._transmit = wire.send
        poller.watch(wire.fileno(), self._read_from_peer)
        for _ in range(_MAX_QUEUED):  # what came before is not checked yet
            try:
                data, addr = wire.recvfrom(_ROOM)
            except BlockingIOError:
                break
            except OSError:
                continue
            self.datagram_received(data, addr)

    def _disconnect(self) -> None:
        self._connected = False
        if self._socket is not None and self._poller is not None:
            fd = self._socket.fileno()
            _libc.connect(fd, _UNSPECIFIED, len(_UNSPECIFIED))
            self._poller.watch(fd, self._read_from_anybody)

    # ── RTCP ────────────────────────────────────────────────────────────────────────────
    def send_rtcp(self, data: bytes) -> None:
        """Send one plain RTCP packet to the peer."""
        if self._rtcp is None:
            return
        if len(data) >= 28 and data[1] == SR:
            self._trips.sent(int.from_bytes(data[10:14], "big"), self._clock())
        self._rtcp.send(data)

    def reject(self) -> None:
        """Count a datagram that is not the peer's."""
        self._rejected += 1

    @property
    def moved_to(self) -> str:
        """The host the sound comes from, if that is not where the SDP says; else empty."""
        latched = self._latched
        return "" if latched is None or latched[:2] == self._remote else latched[0]

    def takes_rtcp(self, data: bytes) -> bool:
        """Take an RTCP packet from where the peer's may come from; False for what is none."""
        if self.unread and self.inbound is None and len(data) >= 8 and data[0] & 0xC0 == 0x80:
            self.rtcp_sink(data)
            return True
        reports: Reports | None = None
        try:
            if self.inbound is not None:
                data = self.inbound.unprotect_rtcp(data)
            reports = parse_reports(data)
        except ReplayError:
            self._replayed += 1
            return False
        except SrtpError:
            pass
        if reports is None:
            self._rejected += 1
            return False
        now = self._clock()
        if reports.sender_time is not None:
            self._sender_time, self._sender_time_at = reports.sender_time, now
        for block in reports.blocks:
            self._trips.reported(block, now)
            if self._peer_block is not None and self._peer_block.ssrc != block.ssrc:
                self._lost_there += max(0, self._peer_block.lost)
            self._peer_block = block
        self.rtcp_sink(data)
        return True

    # ── what is known of the stream ─────────────────────────────────────────────────────
    @property
    def stats(self) -> StreamStats:
        """Counts as of now."""
        block = self._peer_block
        return StreamStats(
            received=self.received,
            sent=self._sent,
            rejected=self._rejected,
            replayed=self._replayed,
            unsent=self._unsent,
            lost=self.lost,
            jitter_ms=1000 * self._reception.jitter,
            lost_by_peer=self._lost_there + (max(0, block.lost) if block else 0),
        )

    @property
    def lost(self) -> int:
        """Packets of the peer that never arrived, as of now."""
        return self._measured().lost

    @property
    def quality(self) -> Quality:
        """How well the stream goes, both ways."""
        stats, block = self.stats, self._peer_block
        return Quality(
            loss=stats.lost / max(1, stats.lost + stats.received),
            jitter=self._reception.jitter,
            peer_loss=min(1.0, stats.lost_by_peer / max(1, stats.sent)) if block else None,
            peer_jitter=block.jitter / self.clock_rate if block else None,
            round_trip=self._trips.latest,
        )

    def report_block(self) -> ReportBlock | None:
        """Our report to the peer on its stream, for RTCP we make; None before it began."""
        delay = self._clock() - self._sender_time_at
        return self._measured().block(self._sender_time, delay)

    def _measured(self) -> Reception:
        """The reception with the latest packet taken into account."""
        if self._packet:
            self._reception.measure(self._packet, self.received, None)
        return self._reception


class RtcpPort:
    """The odd port beside an `RtpPort`."""

    __slots__ = ("_latched", "_owner", "_poller", "_socket", "_wire", "remote")

    def __init__(self, owner: RtpPort, wire: Wire) -> None:
        self.remote: Address | None = None
        self._owner = owner
        self._wire = wire
        self._latched: Address | None = None
        self._socket: socket.socket | None = None
        self._poller: MediaPoller | None = None

    def listen(self, sock: socket.socket, poller: MediaPoller) -> None:
        """Read from this socket."""
        self._socket, self._poller = sock, poller
        poller.watch(sock.fileno(), self._read)

    def aim(self, remote: Address) -> None:
        """Where reports go until some come."""
        self.remote = remote
        self._latched = None

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data, addr = self._socket.recvfrom(_ROOM)
        except OSError:
            return
        self.datagram_received(data, addr)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Take what arrived from `addr`."""
        owner = self._owner
        known = addr == self._latched or addr[:2] == self.remote
        # No neighbour of the phone may be taken for it: another place is believed only while
        # the sound comes from another one too, as it does behind NAT.
        moved = self._latched is None and addr[0] == owner.moved_to
        if not (known or moved or owner.inbound is not None):
            owner.reject()
            return
        if owner.takes_rtcp(data):
            self._latched = addr

    def send(self, data: bytes) -> None:
        """Send one plain packet to the peer."""
        to = self._latched or self.remote
        if to is None or len(data) > MAX_PACKET:
            return
        try:
            if self._owner.outbound is not None:
                data = self._owner.outbound.protect_rtcp(data)
            self._wire.sendto(data, to)
        except (OSError, SrtpError):
            return

    def close(self) -> None:
        """Give the port back."""
        if self._socket is not None and self._poller is not None:
            self._poller.forget(self._socket.fileno())
            self._socket = None
        self._wire.close()


def _way(wire: Wire, to: Address, outbound: SrtpSession | None) -> Callable[[bytes], object]:
    """How a packet gets there."""
    sendto = wire.sendto
    if outbound is None:
        return lambda data: sendto(data, to)
    protect = outbound.protect
    return lambda data: sendto(protect(data), to)
