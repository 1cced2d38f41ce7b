"""Streams of RTP for tests: sound in any codec, the ways it goes wrong, and what is heard."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pbx.media.codecs import PCMU, Codec
from pbx.media.playout import Playout
from pbx.media.rtp import RtpPacket

PEAK = 8000.0
FRAME_BYTES = 320
"Of 20 ms at 8 kHz."
SILENCE = bytes(FRAME_BYTES)


def sine(seconds: float, hertz: float, rate: int = 8000, peak: float = PEAK) -> bytes:
    at = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * np.pi * hertz * at)).astype("<i2").tobytes()


def samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def pitch(pcm: bytes, rate: int = 8000) -> float:
    """The strongest frequency, to a fraction of a hertz."""
    sound = samples(pcm)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size), 8 * sound.size))
    return float(np.argmax(spectrum)) * rate / 8 / sound.size


def decibels(pcm: bytes) -> float:
    """Root mean square in dB below full scale."""
    sound = samples(pcm)
    return float(10 * np.log10(max(1e-9, np.mean(sound**2)) / 32_768**2))


@dataclass(frozen=True, kw_only=True)
class Line:
    """A way that packets go: what is lost, and how late the rest is, at most, in seconds."""

    loss: float = 0.0
    jitter: float = 0.0
    faster: float = 0.0
    "By how many parts of a million the sender's clock is faster than ours."
    seed: int = 1


def packets(
    pcm: bytes,
    codec: Codec = PCMU,
    *,
    rate: int = 8000,
    ms: int = 20,
    sequence: int = 65_000,
    timestamp: int = 2**32 - 5000,
) -> Iterator[RtpPacket]:
    """Sound as a stream whose numbers wrap on the way."""
    encode = codec.encoder(rate, ms)
    size = 2 * rate * ms // 1000
    for number, at in enumerate(range(0, len(pcm) - size + 1, size)):
        yield RtpPacket(
            payload_type=codec.payload_type,
            sequence=(sequence + number) & 0xFFFF,
            timestamp=(timestamp + number * codec.clock * ms // 1000) & 0xFFFFFFFF,
            ssrc=7,
            payload=encode(pcm[at : at + size]),
        )


def arrivals(
    stream: list[RtpPacket],
    line: Line,
    ms: int = 20,
    spared: Callable[[int], bool] = lambda _: False,
) -> list[tuple[float, RtpPacket]]:
    """When each packet of a stream comes, in order; `spared` ones are not lost."""
    chance = random.Random(line.seed)
    period = ms / 1000 * (1 - line.faster / 1e6)
    found = [
        (number * period + chance.random() * line.jitter, number, packet)
        for number, packet in enumerate(stream)
        if chance.random() >= line.loss or spared(number)
    ]
    return [(at, packet) for at, _, packet in sorted(found)]


def heard(
    playout: Playout, coming: list[tuple[float, RtpPacket]], ticks: int, phase: float = 0.007
) -> list[bytes | None]:
    """What a playout gives in so many ticks while packets come."""
    frames: list[bytes | None] = []
    at = 0
    for tick in range(ticks):
        while at < len(coming) and coming[at][0] <= tick * 0.02 + phase:
            playout.receive(coming[at][1])
            at += 1
        frames.append(playout.frame())
    return frames


def whole(frames: list[bytes | None]) -> bytes:
    return b"".join(frame for frame in frames if frame)
