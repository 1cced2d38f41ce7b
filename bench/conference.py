"""Parties of a room that all speak at once, each a tone of its own, and what each of them hears.

The tones have whole periods in a packet, so each party says the same 160 samples all the time,
and what a listener gets can be told apart: every tone but their own.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.exchange import Exchange
from bench.process import BenchError, Interference
from bench.report import quantile
from bench.server import CALLER_HOST, Wiring
from bench.sip import Dialog, Endpoint, audio_offer, bound_socket
from pbx.media.codecs import PCMU

ROOM = "800"
PERIOD = 0.02
GROUPS = 10
"""Times within 20 ms at which parties send: they do not all begin to speak at once."""
LOUD = 500.0
"""Peak of one tone: fifty together stay below full scale."""
LEAST = 10.0
"""How many times as loud another's tone must be as one's own echo, at least."""
SO_TIMESTAMPNS = 35
"""Linux: the kernel's time of each packet comes with it (asm-generic/socket.h)."""
KEYS = "a=rtpmap:101 telephone-event/8000\r\n"
_SECOND = 8000


class RoomExchange(Exchange):
    """The exchange with a room that the caller's number leads to."""

    leads_to = ROOM
    rooms = (ROOM,)


@dataclass(frozen=True, slots=True)
class Mixed:
    """One run: how late packets were (behind the earliest of their own leg, which is on time),
    how many came, and how much of one's own voice came back beside that of the others."""

    parties: int
    cpu_percent: float
    late_p99_ms: float
    late_max_ms: float
    wanted: int
    received: int
    own: float
    missing: int
    others: float

    @property
    def loss_percent(self) -> float:
        """Packets of the mix that did not come."""
        return 100 * (1 - self.received / self.wanted)


class Parties:
    """Callers of a room."""

    def __init__(self, server: Exchange, caller: Endpoint) -> None:
        self.server = server
        self._caller = caller
        self._dialogs: list[Dialog] = []
        self._sockets: list[socket.socket] = []
        self._sequences: list[int] = []

    def grow(self, parties: int) -> None:
        """Let so many be in the room."""
        wiring = self.server.wiring
        while len(self._dialogs) < parties:
            sock = bound_socket((CALLER_HOST, 0))
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.setblocking(False)
            offer = audio_offer(CALLER_HOST, sock.getsockname()[1], 0)
            offer = offer.replace("RTP/AVP 0\r\n", f"RTP/AVP 0 101\r\n{KEYS}")  # as all phones do
            dialog = self._caller.call(self.server.address, wiring.number, offer)
            sock.connect(dialog.audio)
            self._dialogs.append(dialog)
            self._sockets.append(sock)
            self._sequences.append(0)

    def hang_up(self) -> None:
        """Leave the room."""
        for dialog, sock in zip(self._dialogs, self._sockets, strict=True):
            with contextlib.suppress(BenchError):
                self._caller.hang_up(dialog)
            sock.close()

    def run(self, seconds: float) -> Mixed:
        """Speak for so long; what it cost and what was heard."""
        noise, spent, begun = Interference(), self.server.cpu(), time.monotonic()
        own = time.process_time()
        heard = self._talk(seconds)
        own = time.process_time() - own
        spent, elapsed = self.server.cpu() - spent, time.monotonic() - begun
        count = len(self._sockets)
        late = [one for leg in heard for one in _late(leg)]
        echo, missing = _told_apart(heard)
        return Mixed(
            parties=count,
            cpu_percent=100 * spent / elapsed,
            late_p99_ms=1000 * quantile(late, 0.99),
            late_max_ms=1000 * max(late, default=0.0),
            wanted=sum(_expected(leg) for leg in heard),
            received=sum(len(leg) for leg in heard),
            own=echo,
            missing=missing,
            others=round(noise.share(spent + own), 3),
        )

    def _talk(self, seconds: float) -> list[list[tuple[float, bytes]]]:
        """What each party got, with the kernel's time of each packet."""
        heard: list[list[tuple[float, bytes]]] = [[] for _ in self._sockets]
        sounds = [_tone(index) for index in range(len(self._sockets))]
        poll = select.epoll()
        places = {sock.fileno(): index for index, sock in enumerate(self._sockets)}
        for place in places:
            poll.register(place, select.EPOLLIN)
        begun = time.monotonic()
        for step in range(round(seconds / PERIOD) * GROUPS):
            until = begun + step * PERIOD / GROUPS
            while (left := until - time.monotonic()) > 0:
                for place, _ in poll.poll(left):
                    _read(self._sockets[places[place]], heard[places[place]])
            for index in range(step % GROUPS, len(self._sockets), GROUPS):
                number = self._sequences[index]
                self._sequences[index] += 1
                header = struct.pack(
                    ">BBHII", 0x80, 0, number & 0xFFFF, 160 * number & 0xFFFFFFFF, index + 1
                )
                with contextlib.suppress(BlockingIOError):
                    self._sockets[index].send(header + sounds[index])
        poll.close()
        return heard


def _read(sock: socket.socket, heard: list[tuple[float, bytes]]) -> None:
    with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
        while True:
            data, extra, _, _ = sock.recvmsg(2048, 64)
            seconds, nanoseconds = struct.unpack("qq", extra[0][2][:16])
            heard.append((seconds + nanoseconds / 1e9, data))


def _hertz(index: int) -> int:
    return 250 + 50 * index


def _tone(index: int) -> bytes:
    at = np.arange(160) / _SECOND
    pcm = (LOUD * np.sin(2 * np.pi * _hertz(index) * at)).astype("<i2").tobytes()
    return PCMU.encoder(_SECOND, 20)(pcm)


def _stamp(packet: bytes) -> int:
    return int.from_bytes(packet[4:8], "big")


def _late(heard: Sequence[tuple[float, bytes]]) -> list[float]:
    """Seconds each packet came after its time, which the timestamps say."""
    if not heard:
        return []
    first = _stamp(heard[0][1])
    offsets = [
        at - ((_stamp(packet) - first) & 0xFFFFFFFF) / _SECOND - heard[0][0] for at, packet in heard
    ]
    earliest = min(offsets)
    return [offset - earliest for offset in offsets]


def _expected(heard: Sequence[tuple[float, bytes]]) -> int:
    """Packets from the first to the last that came."""
    if not heard:
        return 0
    stamps = [_stamp(packet) for _, packet in heard]
    return ((stamps[-1] - stamps[0]) & 0xFFFFFFFF) // 160 + 1


def _told_apart(heard: Sequence[Sequence[tuple[float, bytes]]]) -> tuple[float, int]:
    """The most that came back of anybody's own tone, as part of the weakest of the others' that
    they heard; and how many tones were not heard that should have been."""
    echo, missing = 0.0, 0
    for index, leg in enumerate(heard):
        decode = PCMU.decoder(_SECOND).decode
        pcm = b"".join(decode(packet[12:]) for _, packet in leg)[-2 * _SECOND :]
        if len(pcm) < 2 * _SECOND:
            missing += len(heard) - 1
            continue
        strength = np.abs(np.fft.rfft(np.frombuffer(pcm, "<i2") * np.hanning(_SECOND)))
        levels = [float(strength[_hertz(other)]) for other in range(len(heard))]
        mine = levels.pop(index)
        missing += sum(level < 0.3 * LOUD * _SECOND / 4 for level in levels)
        echo = max(echo, mine / max(1.0, min(levels)))
    return echo, missing


@contextlib.contextmanager
def meeting(folder: Path, core: int | None) -> Iterator[Parties]:
    """A room of an exchange that has a core to itself."""
    caller = bound_socket((CALLER_HOST, 0))
    here = Endpoint(caller)
    wiring = Wiring(caller.getsockname(), Wiring.fresh().callee, core=core)
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {1 - core})
    try:
        with RoomExchange(wiring, folder) as server:
            parties = Parties(server, here)
            here.start()
            try:
                yield parties
            finally:
                parties.hang_up()
    finally:
        here.close()
        os.sched_setaffinity(0, before)
