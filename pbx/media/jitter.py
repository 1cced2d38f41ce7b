"""A small jitter buffer: puts packets back in order and rides out their uneven arrival."""

from __future__ import annotations

from pbx.media.codecs import FRAME_BYTES

MAX_PACKETS = 64
"Packets kept at most; a power of two, and 1.3 s at 20 ms."


class JitterBuffer:
    """Ordered PCM from disordered packets. Starts to play once `depth` packets are there, and
    again after it ran dry."""

    def __init__(self, depth: int = 3) -> None:
        self._depth = depth
        self._packets: dict[int, bytes] = {}
        self._next = -1
        self._pcm = bytearray()
        self._playing = False
        self._late_in_a_row = 0
        self.late = 0
        self.concealed = 0

    def push(self, sequence: int, pcm: bytes) -> None:
        """Put in one decoded packet by its 16-bit sequence number."""
        if self._next >= 0:
            ahead = (sequence - self._next) & 0xFFFF
            if ahead >= 0x8000:
                self.late += 1
                self._late_in_a_row += 1
                if self._late_in_a_row < MAX_PACKETS:
                    return
                self._packets.clear()  # not late: the source counts from somewhere else now
                self._next = sequence
            if ahead >= MAX_PACKETS:  # a new stream, or a gap too long to wait out
                self._packets.clear()
                self._next = sequence
        self._late_in_a_row = 0
        self._packets[sequence] = pcm
        if not self._playing and len(self._packets) >= self._depth:
            self._playing = True
            if self._next < 0 or self._next not in self._packets:
                self._next = self._oldest()

    def pop(self) -> bytes | None:
        """The next 20 ms, `FRAME_BYTES` long; None while there is nothing to play."""
        if not self._playing:
            return None
        while len(self._pcm) < FRAME_BYTES:
            if not self._packets:
                self._playing = False
                return None
            packet = self._packets.pop(self._next, None)
            self._next = (self._next + 1) & 0xFFFF
            if packet is None:
                self.concealed += 1
                packet = bytes(FRAME_BYTES)
            self._pcm += packet
        frame = bytes(self._pcm[:FRAME_BYTES])
        del self._pcm[:FRAME_BYTES]
        return frame

    def _oldest(self) -> int:
        anchor = next(iter(self._packets))
        return min(self._packets, key=lambda sequence: (sequence - anchor + 0x8000) & 0xFFFF)
