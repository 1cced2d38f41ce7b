"""How well a stream arrives: loss, jitter, round trip (RFC 3550), and what that does to a
listener (ITU-T G.107). No I/O; times are seconds of one monotonic clock."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from pbx.media.rtcp import ReportBlock

MAX_DROPOUT, MAX_MISORDER = 3000, 100
"How far a sequence number may jump and still be the same stream (RFC 3550 appendix A.1)."
MAX_JITTER = 5.0
"Seconds: more between two packets is a pause or a fault of the clock, not jitter."

_HEADER = struct.Struct("!HII")


class Reception:
    """What is known of a stream we receive: RFC 3550 appendix A.1, A.3 and A.8.

    It costs nothing on most packets: `measure` sees a pair of neighbours now and then, and the
    latest packet whenever somebody asks. All losses are counted; the jitter is that of the pairs.
    """

    __slots__ = (
        "_arrived", "_base", "_expected_then", "_highest", "_lost_before", "_pair", "_received",
        "_received_before", "_received_then", "_rtp_time", "clock_rate", "jitter", "ssrc",
    )  # fmt: skip

    def __init__(self, clock_rate: int = 8000) -> None:
        self.clock_rate = clock_rate
        self.ssrc = 0
        self.jitter = 0.0
        "Interarrival jitter in seconds."
        self._base = self._highest = -1
        self._received = self._received_before = self._lost_before = 0
        self._pair = -1
        self._arrived = 0.0
        self._rtp_time = 0
        self._expected_then = self._received_then = 0

    def measure(self, packet: bytes, received: int, now: float | None) -> None:
        """Take a packet of at least 12 bytes, the `received`-th of its port, that arrives `now`;
        None: some time before."""
        sequence, rtp_time, ssrc = _HEADER.unpack_from(packet, 2)
        if ssrc != self.ssrc or self._base < 0:
            self._begin(sequence, ssrc, received)
        ahead = (sequence - self._highest) & 0xFFFF
        if ahead < MAX_DROPOUT:
            self._highest += ahead
        elif ahead < 0x10000 - MAX_MISORDER:
            self._begin(sequence, ssrc, received)
        self._received = received
        if now is None:
            return
        if sequence == self._pair and rtp_time != self._rtp_time:
            self._compare(rtp_time, now)
        self._pair = (sequence + 1) & 0xFFFF
        self._rtp_time, self._arrived = rtp_time, now

    @property
    def expected(self) -> int:
        """Packets sent to us, as far as sequence numbers tell, since the source began."""
        return self._highest - self._base + 1 if self._base >= 0 else 0

    @property
    def lost(self) -> int:
        """Packets that never arrived."""
        return self._lost_before + max(0, self._missing)

    @property
    def highest(self) -> int:
        """The extended highest sequence number received (§6.4.1), -1 before the first."""
        return self._highest

    def block(self, last_sr: int = 0, delay: float = 0.0) -> ReportBlock | None:
        """Our report on the stream, its fraction since the last one; None before it began.
        `delay` in seconds since the peer's report with NTP time `last_sr`."""
        if self._base < 0:
            return None
        received = self._received - self._received_before
        expected = self.expected - self._expected_then
        lost = expected - (received - self._received_then)
        self._expected_then, self._received_then = self.expected, received
        return ReportBlock(
            ssrc=self.ssrc,
            lost=self._missing,
            fraction=min(255, 256 * lost // expected) if expected > 0 and lost > 0 else 0,
            highest=self._highest & 0xFFFFFFFF,
            jitter=min(int(self.jitter * self.clock_rate), 0xFFFFFFFF),
            last_sr=last_sr,
            delay=int(delay * 65_536) & 0xFFFFFFFF if last_sr else 0,
        )

    @property
    def _missing(self) -> int:
        """Lost of this source; negative when packets came twice."""
        return self.expected - (self._received - self._received_before)

    def _begin(self, sequence: int, ssrc: int, received: int) -> None:
        """The source began anew: what was lost so far stays lost."""
        self._lost_before = self.lost
        self._received_before = received - 1
        self._received = received
        self._base = self._highest = sequence
        self._expected_then = self._received_then = 0
        self._pair = -1
        self.ssrc = ssrc

    def _compare(self, rtp_time: int, now: float) -> None:
        """A.8 for two packets that follow each other."""
        ticks = (rtp_time - self._rtp_time + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        late = abs((now - self._arrived) - ticks / self.clock_rate)
        if late < MAX_JITTER:
            self.jitter += (late - self.jitter) / 16


class RoundTrips:
    """The time to a peer and back, from sender reports that went to it and its reports about
    them (§6.4.1), whoever made them: it works in the middle of a relayed call too."""

    MAX_SECONDS = 10.0

    __slots__ = ("_sent", "latest")

    def __init__(self) -> None:
        self.latest: float | None = None
        "Seconds; None until the peer reported."
        self._sent: deque[tuple[int, float]] = deque(maxlen=8)

    def sent(self, sender_time: int, now: float) -> None:
        """A sender report with this NTP time (middle 32 bits) went to the peer."""
        self._sent.append((sender_time, now))

    def reported(self, block: ReportBlock, now: float) -> None:
        """The peer reports; what makes no sense is ignored."""
        if not block.last_sr:
            return
        for sender_time, then in self._sent:
            if sender_time == block.last_sr:
                taken = now - then - block.delay / 65_536
                # to a peer that rounds its delay up on a fast network it may be a little negative
                if -0.01 < taken < self.MAX_SECONDS:
                    self.latest = max(0.0, taken)


# ── what it does to a listener ──────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class Impairment:
    """How much a codec itself takes away, and how well it bears loss (ITU-T G.113 appendix I).
    `delay` in seconds, of coding and packetising 20 ms."""

    ie: float
    bpl: float
    delay: float = 0.02


_IMPAIRMENTS: Mapping[str, Impairment] = {
    "g729": Impairment(11, 19.0, 0.025),
    "g723": Impairment(15, 16.1, 0.0675),
    "gsm": Impairment(20, 10.0),
    "gsm-efr": Impairment(5, 10.0),
}
_CONCEALED = Impairment(0, 25.1)
"""G.711 with loss concealment, and codecs that are at least as good to a telephone's ear, where
G.113 has no figures for the narrow band (G.722, Opus)."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One leg's stream in both directions. Loss as a share (0 to 1), of what came from the peer
    and, as it reports, of what went to it; None: unknown."""

    loss: float = 0.0
    jitter: float = 0.0
    peer_loss: float | None = None
    peer_jitter: float | None = None
    round_trip: float | None = None

    def mos(self, codec: str) -> float:
        """The mean opinion score to expect, 1 to 4.5, in the worse direction."""
        here = opinion(codec, self.loss, self.jitter, self.round_trip or 0.0)
        there = opinion(codec, self.peer_loss or 0.0, self.peer_jitter or 0.0, self.round_trip or 0)
        return min(here, there)


def opinion(codec: str, loss: float, jitter: float, round_trip: float) -> float:
    """ITU-T G.107 with default values, where only the delay, the codec and random loss differ:
    R = 93.2 - Id - Ie,eff, and the mean opinion score of that R. A jitter buffer is taken to
    hold twice the jitter. `codec` is a name as in SDP; times in seconds."""
    coding = _IMPAIRMENTS.get(codec.partition("/")[0].lower(), _CONCEALED)
    delay = 1000 * (round_trip / 2 + 2 * jitter + coding.delay)
    percent = 100 * min(max(loss, 0.0), 1.0)
    of_delay = 0.024 * delay + 0.11 * max(0.0, delay - 177.3)
    of_loss = coding.ie + (95 - coding.ie) * percent / (percent + coding.bpl)
    rating = min(max(93.2 - of_delay - of_loss, 0.0), 100.0)
    return max(1.0, 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6)
