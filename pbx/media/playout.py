"""The receiving half of the port path: RTP packets in, a steady stream of PCM frames out."""

from __future__ import annotations

from collections.abc import Mapping

from pbx.media.codecs import FRAME_MS, RATE, Codec, Decoder
from pbx.media.jitter import Arrived, JitterBuffer
from pbx.media.noise import ComfortNoise
from pbx.media.rtp import RtpPacket
from pbx.media.waveform import Concealer, lengthened, shortened

NOISE_TYPE = 13
"The payload type of comfort noise (RFC 3551 §6)."
_WORKING_MS = 40
"Sound at hand when some of it is to be left out or put in."
_PATIENCE = 50
"Frames to look for a good place to do so; then any place will do."
_GIVE_UP = 6
"Pieces made up in a row; then whoever spoke does not any more."
MAX_PACKET = 2 * 48 * 120
"Bytes of PCM one packet can become at most."


class Playout:
    """One received stream as frames of 20 ms at `rate`.

    `codecs` are those that may come, by payload type. What is lost is made up, what was never
    sent is comfort noise, and a clock of the other side that runs faster or slower than ours is
    made up for by a period of sound more or less now and then.
    """

    def __init__(self, codecs: Mapping[int, Codec], rate: int = RATE) -> None:
        self.concealed = 0
        "Frames made up."
        self.rate = rate
        self._codecs = codecs
        self._decoders: dict[int, Decoder] = {}
        self._frame = 2 * rate * FRAME_MS // 1000
        self._ssrc = -1
        self._reset(RATE)

    def _reset(self, clock: int) -> None:
        self._jitter = JitterBuffer(clock)
        self._decoders.clear()
        self._concealer = Concealer(self.rate)
        self._noise = ComfortNoise()
        self._pcm = b""
        self._decoding: Decoder | None = None
        self._quiet = True
        self._started = False
        self._waited = self._made_in_a_row = 0

    @property
    def late(self) -> int:
        """Packets that came after their time."""
        return self._jitter.late

    @property
    def delay(self) -> float:
        """Seconds of sound between arrival and ear."""
        return self._jitter.delay + len(self._pcm) / 2 / self.rate

    def receive(self, packet: RtpPacket) -> None:
        """Take a packet of sound or comfort noise; others are passed over."""
        codec = self._codecs.get(packet.payload_type)
        clock = codec.clock if codec else RATE if packet.payload_type == NOISE_TYPE else 0
        if not clock:
            return
        if not packet.payload:  # only to keep a path open (RFC 6263 §4.1)
            self.pass_over(packet)
            return
        if packet.ssrc != self._ssrc or (codec and clock != self._jitter.clock):
            self._ssrc = packet.ssrc  # another source, or the same on another clock (RFC 7160)
            self._reset(clock)
        self._jitter.push(
            packet.sequence,
            packet.timestamp,
            packet.payload_type,
            packet.payload,
            self._ticks(len(self._pcm)),
        )

    def pass_over(self, packet: RtpPacket) -> None:
        """A packet of the same source that is no sound, such as a telephone event: what comes
        with it in place of sound is silence, not loss."""
        if packet.ssrc == self._ssrc:
            self._jitter.silent(packet.sequence)
            self._quiet = True

    def frame(self) -> bytes | None:
        """The next 20 ms; None until the first packet is due."""
        if self._ssrc < 0:
            return None
        if self._jitter.surplus:
            self._adjust()
        while len(self._pcm) < self._frame:
            self._pcm += self._more(self._frame - len(self._pcm))
        frame, self._pcm = self._pcm[: self._frame], self._pcm[self._frame :]
        return frame if self._started else None

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _more(self, wanted: int) -> bytes:
        """Some sound; `wanted` bytes at most unless it is a whole packet."""
        due = self._jitter.next()
        if isinstance(due, Arrived):
            return self._decoded(due)
        if due is None:
            pcm = self._made_up(wanted, MAX_PACKET)
            self._jitter.owe(self._ticks(len(pcm)))
            return pcm
        self._quiet = self._quiet or not due.lost
        pcm = self._made_up(wanted, max(2, self._bytes(due.ticks)))
        self._jitter.filled(self._ticks(len(pcm)))
        return pcm

    def _decoded(self, packet: Arrived) -> bytes:
        self._started = True
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            self._noise.describe(packet.payload)
            self._quiet = True
            return b""
        decoder = self._decoders.get(packet.payload_type)
        if decoder is None:
            decoder = self._decoders[packet.payload_type] = codec.decoder(self.rate)
        self._decoding = decoder
        pcm = decoder.decode(packet.payload)
        self._jitter.filled(self._ticks(len(pcm)))
        self._quiet = False
        self._made_in_a_row = 0
        return self._concealer.heard(pcm) if pcm else b""

    def _made_up(self, wanted: int, at_most: int) -> bytes:
        """Sound in place of what is not there: `wanted` bytes, or what the codec itself makes
        up for a packet, but never more than `at_most`."""
        wanted = min(wanted, at_most)
        self._made_in_a_row += 1
        if self._quiet or self._made_in_a_row > _GIVE_UP:
            return self._concealer.heard(self._noise.more(wanted // 2))
        self.concealed += 1
        own = self._decoding.conceal() if self._decoding else b""
        return self._concealer.heard(own[:at_most]) if own else self._concealer.missing(wanted // 2)

    def _adjust(self) -> None:
        """Leave out, or put in, some of the sound waiting, where it is least heard."""
        surplus = self._jitter.surplus
        size = 2 * self.rate * _WORKING_MS // 1000
        while len(self._pcm) < size and self._jitter.ready:
            self._pcm += self._more(size)
        change = shortened if surplus > 0 else lengthened
        self._waited += 1
        urgent = self._waited > _PATIENCE
        pcm = change(self._pcm, self.rate, self._bytes(abs(surplus)) // 2, anyway=urgent)
        if len(pcm) != len(self._pcm):
            self._jitter.adjusted(self._ticks(len(self._pcm) - len(pcm)))
            self._pcm = pcm
            self._waited = 0

    def _ticks(self, size: int) -> int:
        return size // 2 * self._jitter.clock // self.rate

    def _bytes(self, ticks: int) -> int:
        return 2 * (ticks * self.rate // self._jitter.clock)
