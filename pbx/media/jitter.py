"""The jitter buffer: packets in any order and at uneven times in, each at its time out.

The order and the time of a packet are told by its timestamp; sequence numbers tell only whether
a hole between two is loss or silence that was never sent. All amounts here are in ticks of the
stream's RTP clock. Nothing is decoded here, so that decoders see packets in order.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass

START_DELAY = 0.060
"Seconds the first packet waits, while nothing is known of the way it came."
LEAST_DELAY, MOST_DELAY = 0.040, 0.200
"Seconds a packet waits after a silence, by how unevenly packets arrived before it."
MAX_BUFFERED = 0.400
"Seconds of sound kept at most: after a stall of the network, old sound is skipped."
MAX_PACKETS = 128
PAUSE = 0.200
"Seconds without a packet after which the next one begins a new spurt."
JUMP = 1.0
"Seconds a timestamp may be away from what is expected; the pause before it apart."
LATE_IN_A_ROW, JUMPED_IN_A_ROW = 10, 3
"Packets behind their time, or far from it, after which the source counts from somewhere else."
TOO_EARLY, EARLY = 0.060, 0.045
"Seconds the worst packets arrive before their time: from when on it is too much, and the aim."
HARDLY, ENOUGH = 0.005, 0.025
"The same: from when on it is too little, and the aim."
WINDOW = 250
"Packets whose arrival is looked at: 5 s at 20 ms."


@dataclass(frozen=True, slots=True, order=True)
class Arrived:
    """One packet, its numbers extended beyond their wraps."""

    timestamp: int
    sequence: int
    payload_type: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Hole:
    """Time for which there is no packet though a later one is there."""

    ticks: int
    lost: bool
    "Whether packets are missing; if not, the source was silent."


class JitterBuffer:
    """One received stream, between its arrival and its decoding.

    `cursor` is the timestamp to be decoded next. `surplus` is how many ticks of sound ought to
    be left out (or, below 0, put in) where nobody hears it, so that the delay fits the way the
    packets come and the two clocks; whoever does it says so with `adjusted`.
    """

    def __init__(self, clock: int) -> None:
        self.clock = clock
        self.late = 0
        self.skipped = 0
        self.surplus = 0
        self.cursor = 0
        self._packets: list[Arrived] = []
        self._depth = round(START_DELAY * clock)
        self._timestamp = self._sequence = -1
        self._taken = -1
        self._silent: deque[int] = deque(maxlen=MAX_PACKETS)
        self._owed = 0
        self._odd_in_a_row = 0
        self._early: deque[int] = deque(maxlen=WINDOW)
        self._look_in = WINDOW

    def push(
        self, sequence: int, timestamp: int, payload_type: int, payload: bytes, decoded: int = 0
    ) -> None:
        """Put a packet in; `decoded` ticks are decoded already and wait to be played."""
        if self._sequence < 0:
            self._begin(sequence, timestamp)
        sequence = _extended(sequence, self._sequence, 16)
        timestamp = _extended(timestamp, self._timestamp, 32)
        jumped = abs(timestamp - self._timestamp) > JUMP * self.clock + self._owed
        if jumped or timestamp < self.cursor:
            self.late += 1
            self._odd_in_a_row += 1
            if self._odd_in_a_row < (JUMPED_IN_A_ROW if jumped else LATE_IN_A_ROW):
                if not jumped:
                    self._note(timestamp - self.cursor)
                return
            self._renew(sequence, timestamp)
        self._odd_in_a_row = 0
        if not self._packets and self._owed >= PAUSE * self.clock:
            self._spurt(timestamp)
        self._note(timestamp - self.cursor - self._owed + decoded)
        packet = Arrived(timestamp, sequence, payload_type, payload)
        if packet in self._packets[-8:]:
            return
        insort(self._packets, packet)
        self._sequence = max(self._sequence, sequence)
        self._timestamp = max(self._timestamp, timestamp)
        self._bound()

    def silent(self, sequence: int) -> None:
        """A packet with this number came that is no sound: its time is no loss."""
        if self._sequence >= 0:
            self._silent.append(_extended(sequence, self._sequence, 16))
            self._sequence = max(self._sequence, self._silent[-1])

    def next(self) -> Arrived | Hole | None:
        """What comes now: a packet (taken out, the cursor is at its beginning), a hole of which
        the caller fills what it likes and says so with `filled`, or nothing."""
        if not self._packets:
            return None
        first = self._packets[0]
        gap = first.timestamp - self.cursor
        if self._owed:
            paid = max(0, min(self._owed, gap))
            self.cursor += paid
            gap -= paid
            self._shift(self._owed - paid)  # it was late: so is all that follows
            self._owed = 0
        if gap <= 0 or gap > JUMP * self.clock:
            self.cursor = first.timestamp
            self._taken = first.sequence
            return self._packets.pop(0)
        between = first.sequence - self._taken - 1
        between -= sum(self._taken < number < first.sequence for number in self._silent)
        return Hole(ticks=gap, lost=self._taken >= 0 and between > 0)

    def filled(self, ticks: int) -> None:
        """So many ticks of a packet or a hole went out."""
        self.cursor += ticks

    def owe(self, ticks: int) -> None:
        """So many ticks went out though nothing was there: whether a packet was lost, is late
        or was never sent, the next one tells."""
        self._owed += ticks

    def adjusted(self, ticks: int) -> None:
        """So many ticks were left out of what is played (below 0: put in)."""
        before, self.surplus = self.surplus, self.surplus - ticks
        if before * self.surplus <= 0:
            self.surplus = 0
        self._shift(-ticks)

    @property
    def ready(self) -> bool:
        """Whether the packet to be decoded next is there."""
        return bool(self._packets) and self._packets[0].timestamp <= self.cursor

    @property
    def delay(self) -> float:
        """Seconds of sound waiting."""
        if not self._packets:
            return 0.0
        return max(0, self._packets[-1].timestamp - self.cursor - self._owed) / self.clock

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _begin(self, sequence: int, timestamp: int) -> None:
        self._sequence = sequence + 0x10000  # so that earlier ones do not fall below 0
        self._timestamp = timestamp + (1 << 32)
        self.cursor = self._timestamp - self._depth

    def _renew(self, sequence: int, timestamp: int) -> None:
        """The source counts from somewhere else now."""
        self.skipped += len(self._packets)
        self._packets.clear()
        self._silent.clear()
        self._sequence, self._timestamp = sequence, timestamp
        self._taken = -1
        self._owed = 0
        self.cursor = timestamp - self._depth
        self._watch_anew()

    def _spurt(self, timestamp: int) -> None:
        """The first packet after a pause: unless it comes about when it should, it waits as
        long as the way it came asks for."""
        wait = timestamp - self.cursor - self._owed
        if not self._depth // 2 <= wait <= self._depth + self.clock // 10:
            self.cursor = timestamp - self._depth
            self._owed = 0
            self._watch_anew()

    def _bound(self) -> None:
        if len(self._packets) <= MAX_PACKETS and (
            self._timestamp - self.cursor - self._owed <= MAX_BUFFERED * self.clock
        ):
            return
        wanted = self._timestamp - self._depth
        while self._packets and (
            self._packets[0].timestamp < wanted or len(self._packets) > MAX_PACKETS
        ):
            self._taken = self._packets.pop(0).sequence
            self.skipped += 1
        self.cursor = max(self.cursor, wanted)
        self._owed = 0
        self._watch_anew()

    def _note(self, early: int) -> None:
        """A packet came so many ticks before its time."""
        self._early.append(early)
        self._look_in -= 1
        if self._look_in > 0:
            return
        self._look_in = WINDOW // 5
        ordered = sorted(self._early)
        worst, best = ordered[len(ordered) // 80], ordered[-1 - len(ordered) // 80]
        least, most = LEAST_DELAY * self.clock, MOST_DELAY * self.clock
        self._depth = round(min(most, max(least, best - worst + ENOUGH * self.clock)))
        if worst > TOO_EARLY * self.clock:
            self.surplus = worst - round(EARLY * self.clock)
        elif worst < HARDLY * self.clock and best < most:
            self.surplus = worst - round(ENOUGH * self.clock)
        else:
            self.surplus = 0

    def _shift(self, ticks: int) -> None:
        """Everything is played so many ticks later now."""
        if ticks:
            self._early = deque((early + ticks for early in self._early), WINDOW)

    def _watch_anew(self) -> None:
        self._early.clear()
        self._look_in = WINDOW
        self.surplus = 0


def _extended(number: int, near: int, bits: int) -> int:
    """The number nearest to `near` whose last bits are these."""
    size = 1 << bits
    ahead = (number - near) % size
    return near + (ahead if ahead < size // 2 else ahead - size)
