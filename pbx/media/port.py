"""A UDP port pair of a leg for one stream: RTP on the even port, RTCP above it.

This is the hot path. A packet that arrives is checked against the address we latched on to,
unprotected, counted and handed to `sink`, which is another port's `send` when two legs are
bridged. Nothing is parsed beyond the sequence number.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from pylibsrtp import Session

from pbx.media.rtp import MAX_PACKET, parse_reports
from pbx.media.srtp import SrtpError

MAX_DROPOUT, MAX_MISORDER = 3000, 100
"How far a sequence number may jump and still be the same stream (RFC 3550 appendix A.1)."

Address = tuple[str, int]
Sink = Callable[[bytes], None]


def discard(_: bytes) -> None:
    """The sink of a port that is not connected to anything."""


@dataclass(slots=True)
class StreamStats:
    """What went through one port, as seen from the leg's side. Jitter in milliseconds."""

    received: int = 0
    sent: int = 0
    rejected: int = 0
    lost_by_peer: int = 0
    jitter_ms: float = 0.0


class RtpPorts:
    """The range RTP ports are taken from, each pair in turn so that none is reused at once."""

    def __init__(self, host: str, first: int, last: int) -> None:
        self.host = host
        self._first = first + first % 2
        self._count = max(1, (last - self._first) // 2 + 1)
        self._next = 0

    def bind(self) -> tuple[socket.socket, socket.socket]:
        """Two bound sockets on neighbouring ports; OSError when the range is exhausted."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        for _ in range(self._count):
            port = self._first + 2 * self._next
            self._next = (self._next + 1) % self._count
            pair = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(2)]
            try:
                for offset, sock in enumerate(pair):
                    sock.setblocking(False)
                    sock.bind((self.host, port + offset))
            except OSError:
                for sock in pair:
                    sock.close()
                continue
            return pair[0], pair[1]
        raise OSError("every RTP port of [media] rtp_ports is in use")


class RtpPort(asyncio.DatagramProtocol):
    """One stream of one leg.

    Symmetric RTP: packets are sent to where packets come from, because what a phone behind
    NAT writes into its SDP is wrong. The first sound packet decides; until then the SDP does.
    """

    def __init__(self) -> None:
        self.sink: Sink = discard
        self.rtcp_sink: Sink = discard
        self.stats = StreamStats()
        self.clock_rate = 8000
        self.port = 0
        self.inbound: Session | None = None
        self.outbound: Session | None = None
        self.keys: tuple[bytes, bytes] | None = None
        self.sending = True
        self._wire: asyncio.DatagramTransport | None = None
        self._rtcp: _RtcpPort | None = None
        self._remote: Address | None = None
        self._latched: Address | None = None
        self._hosts: tuple[str, ...] = ()
        self._first_sequence = -1
        self._highest = 0
        self._cycles = 0
        self._received_before = 0
        self._lost_before = 0

    @classmethod
    async def open(cls, ports: RtpPorts) -> RtpPort:
        """Bind the next free pair; raises OSError."""
        loop = asyncio.get_running_loop()
        rtp, rtcp = ports.bind()
        number = rtp.getsockname()[1]
        _, port = await loop.create_datagram_endpoint(cls, sock=rtp)
        _, port._rtcp = await loop.create_datagram_endpoint(lambda: _RtcpPort(port), sock=rtcp)
        port.port = number
        return port

    # ── set-up ──────────────────────────────────────────────────────────────────────────
    def aim(self, remote: Address, rtcp: Address | None = None, signalling_host: str = "") -> None:
        """Where the peer says it listens, and the host its signalling comes from: sound that
        is not encrypted is taken from these hosts only. A new place undoes the latch (a
        re-INVITE moved)."""
        self._hosts = (remote[0], signalling_host) if signalling_host else ()
        if remote == self._remote:
            return
        self._remote = remote
        self._latched = None
        if self._rtcp is not None:
            self._rtcp.aim(rtcp or (remote[0], min(remote[1] + 1, 65_535)))

    def secure(self, inbound: Session | None, outbound: Session | None) -> None:
        """Use SRTP from now on, or with None stop using it."""
        self.inbound, self.outbound = inbound, outbound
        if inbound is None:
            self.keys = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.DatagramTransport, transport)

    # ── packets ─────────────────────────────────────────────────────────────────────────
    def datagram_received(self, data: bytes, addr: Address) -> None:
        if addr != self._latched and not self._may_latch(data, addr):
            return
        if self.inbound is not None:
            try:
                data = self.inbound.unprotect(data)
            except SrtpError:
                self.stats.rejected += 1
                return
        elif len(data) < 12 or data[0] >> 6 != 2:
            self.stats.rejected += 1
            return
        self._latched = addr
        stats = self.stats
        stats.received += 1
        sequence = data[2] << 8 | data[3]
        highest = self._highest
        if self._first_sequence < 0:
            self._count_from(sequence)
            highest = sequence
        ahead = (sequence - highest) & 0xFFFF
        if ahead < MAX_DROPOUT:
            if sequence < highest:
                self._cycles += 0x10000
            self._highest = sequence
        elif ahead < 0x10000 - MAX_MISORDER:
            self._count_from(sequence)
        self.sink(data)

    def send(self, data: bytes) -> None:
        """Send one plain RTP packet to the peer."""
        wire = self._wire
        to = self._latched or self._remote
        if wire is None or to is None or not self.sending or len(data) > MAX_PACKET - 16:
            return
        if self.outbound is not None:
            try:
                data = self.outbound.protect(data)
            except SrtpError:
                return
        wire.sendto(data, to)
        self.stats.sent += 1

    def send_rtcp(self, data: bytes) -> None:
        """Send one plain RTCP packet to the peer."""
        if self._rtcp is not None:
            self._rtcp.send(data)

    @property
    def lost(self) -> int:
        """Packets of the peer that never arrived, as of now."""
        if self._first_sequence < 0:
            return 0
        expected = self._cycles + self._highest - self._first_sequence + 1
        received = self.stats.received - self._received_before
        return self._lost_before + max(0, expected - received)

    @property
    def highest_sequence(self) -> int:
        """The extended highest sequence number received (RFC 3550 §6.4.1)."""
        return self._cycles + self._highest

    def close(self) -> None:
        """Give the pair back."""
        self.sink = self.rtcp_sink = discard
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        if self._rtcp is not None:
            self._rtcp.close()
            self._rtcp = None

    def _count_from(self, sequence: int) -> None:
        """The source began anew: what was lost so far stays lost."""
        self._lost_before = self.lost
        self._received_before = self.stats.received - 1
        self._first_sequence = self._highest = sequence
        self._cycles = 0

    def _may_latch(self, data: bytes, addr: Address) -> bool:
        """Whether a packet from a new address may take the stream over.

        With SRTP the authentication decides, afterwards. Without, the first source on one of
        the peer's hosts wins, and only the address in the SDP may win it back.
        """
        if self.inbound is not None:
            return True
        if self._latched is None and (addr[0] in self._hosts or not self._hosts):
            return True
        if addr[:2] == self._remote and len(data) >= 12 and data[0] >> 6 == 2:
            return True
        self.stats.rejected += 1
        return False

    def _on_rtcp(self, data: bytes, host: str) -> bool:
        """Take an RTCP packet; False for one that is not the peer's, or not RTCP."""
        blocks = None
        if self.inbound is not None:
            try:
                data = self.inbound.unprotect_rtcp(data)
                blocks = parse_reports(data)
            except SrtpError:
                blocks = None
        elif host in self._hosts or not self._hosts:
            blocks = parse_reports(data)
        if blocks is None:
            self.stats.rejected += 1
            return False
        for block in blocks:
            self.stats.lost_by_peer = max(0, block.lost)
            self.stats.jitter_ms = 1000 * block.jitter / self.clock_rate
        self.rtcp_sink(data)
        return True


class _RtcpPort(asyncio.DatagramProtocol):
    """The odd port beside an `RtpPort`."""

    def __init__(self, owner: RtpPort) -> None:
        self._owner = owner
        self._wire: asyncio.DatagramTransport | None = None
        self.remote: Address | None = None
        self._latched: Address | None = None

    def aim(self, remote: Address) -> None:
        self.remote = remote
        self._latched = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self._latched not in (None, addr) and addr[:2] != self.remote:
            return
        if self._owner._on_rtcp(data, addr[0]):
            self._latched = addr

    def send(self, data: bytes) -> None:
        to = self._latched or self.remote
        if self._wire is None or to is None or len(data) > MAX_PACKET - 32:
            return
        if self._owner.outbound is not None:
            try:
                data = self._owner.outbound.protect_rtcp(data)
            except SrtpError:
                return
        self._wire.sendto(data, to)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
