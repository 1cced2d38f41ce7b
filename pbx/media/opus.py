"""Opus (RFC 6716) as telephony uses it: one channel, by libopus inside PyAV."""

from __future__ import annotations

from collections.abc import Callable

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

from pbx.media.resample import Resampler

DECODED_RATE = 48_000
"libopus through FFmpeg decodes to this only."
BIT_RATE = 24_000
"Wideband speech (RFC 6716 §2.1.1 advises 16 to 20 kbit/s and up)."
COMPLEXITY = 5
MAX_PAYLOAD = 1276
"Bytes; longer ones hold more than one frame of the highest rate, or are no Opus."
MAX_PCM = DECODED_RATE * 2 * 120 // 1000
"Bytes that one packet can hold at most: 120 ms."


class OpusDecoder:
    """One received stream, as PCM of `rate`."""

    def __init__(self, rate: int) -> None:
        self._resample = Resampler(DECODED_RATE, rate)
        self._context = _decoder()
        self._last_toc = -1

    def decode(self, payload: bytes) -> bytes:
        if not payload or len(payload) > MAX_PAYLOAD:
            return b""  # an empty packet would mean the end of the stream to FFmpeg
        pcm = self._decode(payload)
        if pcm:
            self._last_toc = payload[0]
        return self._resample(pcm)

    def conceal(self) -> bytes:
        """A frame without a byte of content makes libopus go on by itself (RFC 6716 §3.2.1:
        a packet of a table of contents only)."""
        if self._last_toc < 0:
            return b""
        return self._resample(self._decode(bytes((self._last_toc & 0xFC,))))

    def _decode(self, payload: bytes) -> bytes:
        try:
            frames = self._context.decode(av.Packet(payload))
        except EOFError:
            self._context = _decoder()
            return b""
        except (av.FFmpegError, ValueError):
            return b""
        return b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)[:MAX_PCM]


def opus_encoder(rate: int, packet_ms: int) -> Callable[[bytes], bytes]:
    """From PCM of one packet to its payload; the rate is one Opus knows (8 or 16 kHz)."""
    context = AudioCodecContext.create("libopus", "w")
    context.sample_rate = rate
    context.layout = "mono"
    context.format = "s16"
    context.bit_rate = BIT_RATE
    context.options = {
        "application": "voip",
        "frame_duration": str(packet_ms),
        "compression_level": str(COMPLEXITY),
    }
    context.open()

    def encode(pcm: bytes) -> bytes:
        frame = AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2").reshape(1, -1), "s16", "mono")
        frame.sample_rate = rate
        return b"".join(bytes(packet) for packet in context.encode(frame))

    return encode


def _decoder() -> AudioCodecContext:
    context = AudioCodecContext.create("libopus", "r")
    context.layout = "mono"
    return context
