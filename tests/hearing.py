"""Whether a recording holds a known sound."""

from __future__ import annotations

import numpy as np


def match(recording: bytes, sound: bytes) -> float:
    """How well `sound` is found somewhere in `recording`, both 16-bit PCM of one rate: the
    highest normalised cross-correlation, 1.0 for an exact copy, about 0 for something else."""
    heard = np.frombuffer(recording, "<i2").astype(float)
    wanted = np.frombuffer(sound, "<i2").astype(float)
    loud = np.flatnonzero(np.abs(wanted) > 300)  # the silence around it proves nothing
    wanted = wanted[loud[0] : loud[-1] + 1]
    if heard.size < wanted.size:
        return 0.0
    size = 1 << (heard.size + wanted.size).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    products = np.fft.irfft(spectrum, size)[: heard.size - wanted.size + 1]
    energy = np.concatenate([[0.0], np.cumsum(heard**2)])
    local = energy[wanted.size :] - energy[: heard.size - wanted.size + 1]
    scale = np.sqrt(np.maximum(local, 1.0) * np.sum(wanted**2))
    return float(np.max(products / scale))
