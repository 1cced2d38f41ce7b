"""Tones as PCM: to make them, and to prove by frequency that somebody hears them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pbx.media.codecs import RATE

LEVEL = 8000.0
"Peak of the tones we make, of 32 767: −12 dBFS."


def tone(seconds: float, *frequencies: float) -> bytes:
    """A steady sound of one or more frequencies in Hz."""
    at = np.arange(int(seconds * RATE)) / RATE
    mixed = sum((np.sin(2 * np.pi * hz * at) for hz in frequencies), np.zeros_like(at))
    return (mixed * (LEVEL / max(1, len(frequencies)))).astype("<i2").tobytes()


def ringback() -> bytes:
    """One period of the tone a caller hears while it rings: 440 + 480 Hz, 2 s on, 4 s off
    (North America, ITU-T E.180)."""
    return tone(2.0, 440.0, 480.0) + bytes(2 * 4 * RATE)


def level(pcm: bytes) -> float:
    """Root-mean-square level in dB below full scale."""
    samples = _samples(pcm)
    if not samples.size:
        return -120.0
    rms = float(np.sqrt(np.mean(samples**2))) / 32_768
    return max(-120.0, 20 * float(np.log10(max(rms, 1e-6))))


def dominant(pcm: bytes) -> float:
    """The strongest frequency in Hz; 0 for silence."""
    samples = _samples(pcm)
    if samples.size < 256 or level(pcm) < -60:
        return 0.0
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    spectrum[0] = 0
    return float(np.argmax(spectrum)) * RATE / samples.size


def share_of(pcm: bytes, frequency: float, tolerance: float = 12.0) -> float:
    """In what part of the 100 ms windows of `pcm` a frequency is the strongest, 0 to 1."""
    window = 2 * RATE // 10
    pieces = [pcm[i : i + window] for i in range(0, len(pcm) - window + 1, window)]
    if not pieces:
        return 0.0
    return sum(abs(dominant(piece) - frequency) <= tolerance for piece in pieces) / len(pieces)


def _samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float64)
