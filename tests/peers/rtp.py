"""An independent RTP endpoint: plays a tone, records what arrives, speaks RFC 4733 digits.

It is the ear and the mouth of SIPp, which does the SIP only.
"""

from __future__ import annotations

import asyncio
import re
import struct
from dataclasses import dataclass
from random import randrange
from typing import cast

import numpy as np

from . import ports
from .tone import ALAW, ULAW, Pcm, tone, ulaw

EVENT = 101  # our payload type for telephone-event
DIGITS = "0123456789*#ABCD"
_FRAME = 160  # samples in 20 ms


@dataclass(frozen=True)
class Packet:
    """One received RTP packet."""

    payload_type: int
    sequence: int
    timestamp: int
    payload: bytes
    at: float


@dataclass(frozen=True)
class Sdp:
    """Where and how an SDP body wants its audio."""

    host: str
    port: int
    direction: str

    @classmethod
    def parse(cls, body: str) -> Sdp | None:
        media = re.search(r"^m=audio (\d+) ", body, re.M)
        host = re.search(r"^c=IN IP4 (\S+)", body[media.start() :] if media else "", re.M)
        host = host or re.search(r"^c=IN IP4 (\S+)", body, re.M)
        if media is None or host is None:
            return None
        way = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)", body, re.M)
        return cls(host[1], int(media[1]), way[1] if way else "sendrecv")


class RtpTone(asyncio.DatagramProtocol):
    """One G.711 audio leg on a UDP port; sends while both SDPs allow it."""

    def __init__(self, hz: float, port: int) -> None:
        self.hz = hz
        self.port = port
        self.packets: list[Packet] = []
        self.sent = 0
        self._local: Sdp | None = None
        self._remote: Sdp | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._next = 0.0
        self._sequence, self._stamp = randrange(1 << 15), randrange(1 << 31)
        self._source = randrange(1 << 32)
        self._marker = True
        self._events: list[tuple[int, int, bool]] = []  # event, duration, end: a packet each
        self._event_stamp = 0
        # one second is a whole number of periods for any integer frequency
        self._sound = ulaw(tone(round(hz), 1.0)) if hz else b"\xff" * 8000
        self._at = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @classmethod
    async def open(cls, hz: float, port: int | None = None) -> RtpTone:
        """Bind on loopback; nothing is sent until both sides' SDP is known."""
        loop = asyncio.get_running_loop()
        number = port or ports.free_port()
        _, endpoint = await loop.create_datagram_endpoint(
            lambda: cls(hz, number), (ports.HOST, number)
        )
        return endpoint

    # -- the SDP of both sides, as it appears on the wire ---------------------------------

    def local_sdp(self, body: str) -> None:
        self._local = Sdp.parse(body) or self._local
        self._start()

    def remote_sdp(self, body: str) -> None:
        self._remote = Sdp.parse(body) or self._remote
        self._start()

    def stop(self) -> None:
        """No more sending (the call has ended); recording goes on until `close`."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        self._local = self._remote = None

    def close(self) -> None:
        self.stop()
        if self._transport is not None:
            self._transport.close()

    # -- sending ---------------------------------------------------------------------------

    def _start(self) -> None:
        if self._clock is None and self._local and self._remote:
            loop = asyncio.get_running_loop()
            self._next = loop.time()
            self._clock = loop.call_soon(self._tick)  # type: ignore[assignment]

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while self._next <= loop.time():
            self._next += 0.02
            self._send_frame()
        self._clock = loop.call_at(self._next, self._tick)

    def _send_frame(self) -> None:
        local, remote = self._local, self._remote
        self._stamp = (self._stamp + _FRAME) & 0xFFFFFFFF
        if local is None or remote is None or self._transport is None or not remote.port:
            return
        if "send" not in local.direction or remote.direction in ("sendonly", "inactive"):
            self._marker = True
            return
        stamp, kind = self._stamp, 0
        payload = self._sound[self._at : self._at + _FRAME]
        self._at = (self._at + _FRAME) % len(self._sound)
        if self._events:
            event, duration, end = self._events.pop(0)
            if duration == _FRAME:
                self._event_stamp, self._marker = stamp, True
            stamp, kind = self._event_stamp, EVENT
            payload = struct.pack("!BBH", event, 10 | (0x80 if end else 0), duration)
        header = struct.pack(
            "!BBHII", 0x80, kind | (0x80 if self._marker else 0), self._sequence, stamp,
            self._source,
        )  # fmt: skip
        self._marker = False
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._transport.sendto(header + payload, (remote.host, remote.port))
        self.sent += 1

    def send_digits(self, digits: str) -> None:
        """Queue RFC 4733 events: 100 ms each, the end three times, then 60 ms of tone between."""
        for digit in digits.upper():
            event = DIGITS.index(digit)
            self._events += [(event, _FRAME * n, False) for n in range(1, 6)]
            self._events += [(event, _FRAME * 6, True)] * 3

    # -- receiving -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) < 12 or data[0] >> 6 != 2 or 64 <= data[1] & 0x7F < 96:  # RTCP
            return
        start = 12 + 4 * (data[0] & 0x0F)
        if data[0] & 0x10 and len(data) >= start + 4:
            start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
        end = len(data) - (data[-1] if data[0] & 0x20 else 0)
        sequence, stamp = struct.unpack_from("!HI", data, 2)
        now = asyncio.get_running_loop().time()
        self.packets.append(Packet(data[1] & 0x7F, sequence, stamp, data[start:end], now))
        for entry in [one for one in self._waiting if len(self.packets) >= one[0]]:
            self._waiting.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)

    async def wait_packets(self, count: int, within: float = 10) -> None:
        """Return when `count` more packets than now have arrived (50 are a second)."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        start = len(self.packets)
        self._waiting.append((start + count, future))
        try:
            async with asyncio.timeout(within):
                await future
        except TimeoutError:
            got = len(self.packets) - start
            raise AssertionError(
                f"RTP port {self.port}: {got} of {count} packets in {within:g} s"
            ) from None

    def pcm(self, since: int = 0) -> Pcm:
        """What was heard from packet `since` on: 8 kHz samples as they arrived, losses as 0."""
        sound = {
            p.timestamp: p for p in self.packets[since:] if p.payload_type in (0, 8) and p.payload
        }
        if not sound:
            return np.zeros(0, np.int16)
        parts: list[Pcm] = []
        expected: int | None = None
        for packet in sorted(sound.values(), key=lambda p: p.at):
            table = ALAW if packet.payload_type == 8 else ULAW
            gap = 0 if expected is None else (packet.timestamp - expected) & 0xFFFFFFFF
            if 0 < gap <= 8000:
                parts.append(np.zeros(gap, np.int16))
            parts.append(table[np.frombuffer(packet.payload, np.uint8)])
            expected = (packet.timestamp + len(packet.payload)) & 0xFFFFFFFF
        return np.concatenate(parts)

    def digits(self, payload_type: int = EVENT) -> str:
        """Digits heard by RFC 4733, each counted once by its timestamp."""
        seen: dict[int, str] = {}
        for packet in self.packets:
            if packet.payload_type == payload_type and len(packet.payload) >= 4:
                event = packet.payload[0]
                seen.setdefault(packet.timestamp, DIGITS[event] if event < 16 else "?")
        return "".join(seen.values())
