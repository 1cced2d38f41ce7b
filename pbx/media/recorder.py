"""Recording: what two sides say, each on a channel of its own, as Opus in Ogg (RFC 7845).

Packets are tapped as they arrive, whatever else becomes of them; once a second a thread decodes
them, lays each where its timestamp says, and encodes what is complete. So a call that is only
relayed stays that, and the loop does nothing but put packets on a list.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import OutputContainer

from pbx.media.codecs import RATE, Codec, Decoder
from pbx.media.rtp import RtpPacket, parse_rtp

log = logging.getLogger(__name__)

EVERY = 1.0
"Seconds of sound written at once."
LATE = 0.3
"Seconds that packets may be late, or a timestamp off, before it counts."
BIT_RATE = 32_000
"Of both sides together: below that Opus mixes some of one side into the other."
MAX_WAITING = 5_000
"Packets of one side that wait to be written: a second of fifty people, or of a slow disk."
_WRAP = 1 << 32
_FLUSH: int = av.container.Flags.flush_packets.value  # type: ignore[assignment]

MAX_STREAMS = 64
"Of one side."

Codecs = Mapping[int, Codec]
"What may come, by payload type."


class Out(Protocol):
    """Where a recording goes; used from one thread at a time."""

    def write(self, data: bytes) -> int:
        """Take the next bytes."""

    def save(self) -> None:
        """Make sure that what was written survives us."""

    def close(self) -> None:
        """That was all."""


class _Side:
    """One side's sound on its way to the file, of one stream or several that are added; used by
    the writing thread but for `arrived`."""

    def __init__(self, rate: int) -> None:
        self.arrived: list[tuple[float, bytes, Codecs]] = []
        self._rate = rate
        self._decoders: dict[tuple[int, int], Decoder] = {}
        self._bases: dict[int, tuple[int, int]] = {}
        "Of each stream a timestamp, and the sample it belongs to."
        self._sound = np.zeros(0, np.int32)
        self._from = 0
        "The sample that `_sound` begins with."

    def take(self, arrived: list[tuple[float, bytes, Codecs]]) -> None:
        """Lay out packets, with the seconds since the beginning."""
        found = [
            (at, packet, codecs)
            for at, data, codecs in arrived
            if (packet := parse_rtp(data)) is not None
        ]
        first = found[0][1].sequence if found else 0
        found.sort(key=lambda one: (one[1].ssrc, (one[1].sequence - first + 0x8000) & 0xFFFF))
        row: list[bytes] = []
        "Payloads that are one: decoded and laid out together, at a fifth of the cost."
        first_at, head, due = 0.0, None, -1
        spoken: Codec | None = None
        for at, packet, codecs in found:
            codec = codecs.get(packet.payload_type)
            if codec is None or not packet.payload:
                continue
            goes_on = (
                head is not None
                and codec is spoken
                and codec.bytewise
                and (packet.ssrc, packet.payload_type) == (head.ssrc, head.payload_type)
                and packet.timestamp == due
            )
            if not goes_on:
                if head is not None and spoken is not None:
                    self._lay(first_at, head, b"".join(row), spoken)
                row, first_at, head, spoken = [], at, packet, codec
            row.append(packet.payload)
            due = (packet.timestamp + len(packet.payload)) % _WRAP
        if head is not None and spoken is not None:
            self._lay(first_at, head, b"".join(row), spoken)

    def _lay(self, at: float, packet: RtpPacket, payload: bytes, codec: Codec) -> None:
        """Put a payload where the timestamp of the packet that it begins with says."""
        key = packet.ssrc, packet.payload_type
        decoder = self._decoders.get(key)
        if decoder is None:
            if len(self._decoders) >= MAX_STREAMS:
                self._decoders.clear()
            decoder = self._decoders[key] = codec.decoder(self._rate)
        pcm = np.frombuffer(decoder.decode(payload), "<i2")
        came = round(at * self._rate)
        where = came
        base = self._bases.get(packet.ssrc)
        if base is not None:
            passed = (packet.timestamp - base[0] + _WRAP // 2) % _WRAP - _WRAP // 2
            where = base[1] + passed * self._rate // codec.clock
        if base is None or abs(where - came) > LATE * self._rate:
            where = came
            if len(self._bases) >= MAX_STREAMS:
                self._bases.clear()
            self._bases[packet.ssrc] = packet.timestamp, where
        self._put(where, pcm)

    def _put(self, where: int, pcm: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        begin = max(0, where - self._from)
        pcm = pcm[max(0, self._from - where) :]
        if begin + pcm.size > self._sound.size:
            grown = np.zeros(begin + pcm.size, np.int32)
            grown[: self._sound.size] = self._sound
            self._sound = grown
        self._sound[begin : begin + pcm.size] += pcm

    def cut(self, count: int) -> np.ndarray[Any, np.dtype[np.int16]]:
        """The next samples, silent where nothing was said."""
        piece, self._sound = self._sound[:count], self._sound[count:]
        self._from += count
        return np.pad(piece, (0, count - piece.size)).clip(-32_768, 32_767).astype("<i2")


class Recorder:
    """Records two sides to `out`, at a rate that Opus knows. `stop` ends it."""

    def __init__(self, out: Out, rate: int = RATE) -> None:
        self.seconds = 0.0
        "Of sound in the file."
        self.failed = ""
        "Why it stopped, when it did."
        self._rate = rate
        self._sides = (_Side(rate), _Side(rate))
        self._out = out
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._done = 0
        self._container: OutputContainer | None = None
        self._stream: Any = None
        self._stopping = asyncio.Event()
        self._task = asyncio.ensure_future(self._run())

    def hear(self, side: int, codecs: Codecs, data: bytes) -> None:
        """A packet of a side, 0 or 1, which holds one of `codecs`; on the loop."""
        arrived = self._sides[side].arrived
        if len(arrived) < MAX_WAITING:
            arrived.append((self._loop.time() - self._began, data, codecs))

    async def stop(self) -> None:
        """Write what there is and close; never raises."""
        self._stopping.set()
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        try:
            await asyncio.to_thread(self._open)
            while not self._stopping.is_set():
                try:
                    async with asyncio.timeout(EVERY):
                        await self._stopping.wait()
                except TimeoutError:
                    pass
                now = self._loop.time() - self._began
                last = self._stopping.is_set()
                batches = [side.arrived for side in self._sides]
                for side in self._sides:
                    side.arrived = []
                await asyncio.to_thread(self._write, batches, now if last else now - LATE)
        except (OSError, av.FFmpegError) as error:
            self.failed = getattr(error, "strerror", "") or str(error)
            log.error("a recording stopped: %s", self.failed)
        except Exception:
            self.failed = "something failed inside the exchange"
            log.exception("a recording stopped")
        finally:
            self._stopping.set()
            await asyncio.to_thread(self._close)

    # ── in the thread ───────────────────────────────────────────────────────────────────
    def _open(self) -> None:
        self._container = av.open(
            self._out, "w", format="ogg", options={"page_duration": str(round(EVERY * 500_000))}
        )
        self._container.flags = self._container.flags | _FLUSH
        self._stream = self._container.add_stream("libopus", rate=self._rate, layout="stereo")
        self._stream.bit_rate = BIT_RATE
        self._stream.options = {
            "application": "audio",
            "frame_duration": "60",
            "compression_level": "0",
        }

    def _write(self, batches: list[list[tuple[float, bytes, Codecs]]], until: float) -> None:
        for side, arrived in zip(self._sides, batches, strict=True):
            side.take(arrived)
        count = round(until * self._rate) - self._done
        if count <= 0:
            return
        sound = np.stack([side.cut(count) for side in self._sides], axis=1).reshape(1, -1)
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound), "s16", "stereo")
        frame.sample_rate, frame.pts = self._rate, self._done
        self._done += count
        self._mux(frame)
        self._out.save()
        self.seconds = self._done / self._rate

    def _mux(self, frame: AudioFrame | None) -> None:
        assert self._container is not None
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _close(self) -> None:
        try:
            if self._container is not None:
                if not self.failed:
                    self._mux(None)
                self._container.close()
        except (OSError, av.FFmpegError) as error:
            self.failed = self.failed or str(error)
        finally:
            self._out.close()
