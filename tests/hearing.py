"""Whether a recording holds a known sound."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np

from pbx.media.codecs import RATE
from pbx.media.tones import level, share_of

PIECE = 8_000
"Bytes of sound looked for as one: phones stretch longer ones where packets come unevenly."


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


def beeped(heard: bytearray) -> bool:
    """Whether the answerphone's tone was heard in the last second, however late it is looked at."""
    second, fifth = bytes(heard[-2 * RATE :]), 2 * RATE // 5
    starts = range(0, len(second) - fifth + 1, fifth // 4)
    return any(share_of(second[at : at + fifth], 1000.0) > 0.9 for at in starts)


def pieces(sound: bytes) -> list[bytes]:
    """What of a sound can be looked for piece by piece."""
    cut = [sound[at : at + PIECE] for at in range(0, len(sound), PIECE)]
    return [piece for piece in cut if level(piece) > -30]


def holds(recording: bytes, wanted: list[bytes]) -> bool:
    """Whether half the pieces of a sound are in a recording."""
    padded = recording + bytes(PIECE)
    return sum(match(padded, piece) for piece in wanted) > 0.5 * len(wanted)


def lately(sound: bytes, least: float = 0.7) -> Callable[[bytearray], bool]:
    """Whether a phone has heard a sound by now; looked at with every third look of the phone's."""
    looks = count()

    def heard(recording: bytearray) -> bool:
        return next(looks) % 3 == 0 and match(bytes(recording), sound) > least

    return heard


def at_length(sound: bytes) -> Callable[[bytearray], bool]:
    """The same for what takes seconds, which phones stretch where packets come unevenly."""
    looks, wanted = count(), pieces(sound)

    def heard(recording: bytearray) -> bool:
        return next(looks) % 3 == 0 and holds(bytes(recording), wanted)

    return heard
