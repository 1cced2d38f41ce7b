"""Sound in files: Opus in Ogg (RFC 7845), which every chat program plays, by PyAV."""

from __future__ import annotations

import io

import av
import numpy as np
from av.audio.frame import AudioFrame

from pbx.media.codecs import RATE

BIT_RATE = 16_000
"Telephone speech needs no more."
MAX_SECONDS = 600
"Read from one file."


class OggError(ValueError):
    """A file that holds no sound we can read."""


def encoded(pcm: bytes) -> bytes:
    """PCM of `RATE` as a file. Milliseconds a second of sound: for a thread."""
    target = io.BytesIO()
    with av.open(target, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = BIT_RATE
        stream.options = {"application": "voip"}
        frame = AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2").reshape(1, -1), "s16", "mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return target.getvalue()


def decoded(file: bytes, rate: int = RATE) -> bytes:
    """The sound of a file as mono PCM, no more than `MAX_SECONDS`. Raises `OggError`."""
    pcm = bytearray()
    try:
        with av.open(io.BytesIO(file), "r", format="ogg") as container:
            resampler = av.AudioResampler("s16", "mono", rate)
            for frame in container.decode(audio=0):
                for part in resampler.resample(frame):
                    pcm += part.to_ndarray().astype("<i2").tobytes()
                if len(pcm) > 2 * rate * MAX_SECONDS:
                    break
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise OggError("that is no sound I can read (Opus in Ogg)") from error
    return bytes(pcm)
