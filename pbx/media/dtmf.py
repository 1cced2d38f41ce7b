"""Keys heard as tones (ITU-T Q.23), by the limits of ITU-T Q.24; and keys made into tones.

Every 10 ms the two groups of frequencies are looked at over 20 ms, each by its own bin of a
Fourier transform (what Goertzel's algorithm computes). How far the phase of a bin went in 10 ms
tells its frequency to a fraction of a hertz, which is what speech fails: it must hit two of
eight frequencies by 2 %, steadily, and put nearly all of its energy there.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

LOW = (697.0, 770.0, 852.0, 941.0)
HIGH = (1209.0, 1336.0, 1477.0, 1633.0)
_FREQUENCIES = LOW + HIGH
KEYS = ("123A", "456B", "789C", "*0#D")
"By row (low group) and column (high group)."

WINDOW, HOP = 0.020, 0.010
"Seconds looked at, and between looks."
FAINTEST = -36.0
"dB below a full-scale sine, of the fainter tone: −25 dBm0, 6 dB of twist and 1.5 % off."
TWIST, REVERSE_TWIST = 9.0, 7.5
"dB that the low group, or the high group, may be louder than the other."
OFF_FREQUENCY = 0.027
"What part a frequency may be off: 1.5 % must be taken, 3.5 % must not."
SHARE = 0.80
"Part of the energy heard that both tones must have together."
STEADY = 3.0
"dB a tone's level may change from one look to the next."
FADED = 12.0
"dB below its level as it was found at which a key counts as released."
MISSES = 2
"Looks in a row without a key that make its end: pauses of 40 ms must, of 10 ms must not."


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen once: the strongest bin of each group, their levels and everything."""

    row: int
    column: int
    levels: tuple[float, float]
    total: float
    spectrum: tuple[complex, complex]
    "The bins of the row and the column."

    @property
    def key(self) -> str:
        return KEYS[self.row][self.column - 4]


class DtmfDetector:
    """Finds keys in 16-bit PCM of one stream. `held` is the key that sounds now."""

    def __init__(self, rate: int) -> None:
        self.held = ""
        self._hop = round(rate * HOP)
        self._bins, self._turns = _bins(rate)
        self._rest = b""
        self._half: list[complex] = [0j] * 8
        "The transform of the latest hop, which the next window begins with."
        self._energy = 0.0
        self._before = _Look(0, 4, (0.0, 0.0), 0.0, (0j, 0j))
        self._levels = (0.0, 0.0)
        self._misses = 0

    def feed(self, pcm: bytes) -> str:
        """Listen to some more; the keys that began in it."""
        line = self._rest + pcm
        size = len(line) // (2 * self._hop) * (2 * self._hop)
        self._rest = line[size:]
        hops: Samples = np.frombuffer(line, "<i2", size // 2).astype(np.float32)
        hops = hops.reshape(-1, self._hop) / np.float32(32_768)
        energies = np.einsum("ij,ij->i", hops, hops).tolist()
        seen = zip((hops @ self._bins).tolist(), energies, strict=True)
        return "".join(self._look(half, energy) for half, energy in seen)

    def _look(self, half: list[complex], energy: float) -> str:
        """See the window that a hop completes. Eight numbers are less work for Python than for
        numpy, and each leg without telephone events is looked at a hundred times a second."""
        earlier, self._half = self._half, half
        spectrum = [a + b * turn for a, b, turn in zip(earlier, half, self._turns, strict=True)]
        total, self._energy = (self._energy + energy) / (2 * self._hop), energy
        power = [2 * (bin_.real * bin_.real + bin_.imag * bin_.imag) for bin_ in spectrum]
        row = power.index(max(power[:4]), 0, 4)
        column = power.index(max(power[4:]), 4)
        levels = _decibels(power[row]), _decibels(power[column])
        bins = spectrum[row], spectrum[column]
        before, self._before = self._before, _Look(row, column, levels, total, bins)
        if self.held:
            self._hold(self._before)
            return ""
        if not self._is_key(before, self._before):
            return ""
        self.held, self._levels, self._misses = self._before.key, levels, 0
        return self.held

    def _is_key(self, before: _Look, now: _Look) -> bool:
        """Whether the same key sounded in two looks, steadily, and nothing else."""
        low, high = now.levels
        if (
            before.key != now.key
            or min(low, high) < FAINTEST
            or not -REVERSE_TWIST <= low - high <= TWIST
            or any(abs(a - b) > STEADY for a, b in zip(now.levels, before.levels, strict=True))
        ):
            return False
        shares = [0.0, 0.0]
        for tone, index in enumerate((now.row, now.column)):
            turned = now.spectrum[tone] * before.spectrum[tone].conjugate() * self._turns[index]
            off = cmath.phase(turned) / (2 * math.pi * HOP)
            if abs(off) > OFF_FREQUENCY * _FREQUENCIES[index]:
                return False
            seen = float(np.sinc(off * WINDOW)) ** 2  # part of it that its bin shows
            for number, look in enumerate((before, now)):
                shares[number] += 2 * abs(look.spectrum[tone]) ** 2 / seen / (look.total + 1e-12)
        return min(shares) >= SHARE

    def _hold(self, look: _Look) -> None:
        """See whether the key held is still down; another key ends it too."""
        faded = any(a < b - FADED for a, b in zip(look.levels, self._levels, strict=True))
        self._misses = self._misses + 1 if faded or look.key != self.held else 0
        if self._misses >= MISSES:
            self.held = ""


def key_tone(key: str, seconds: float, rate: int, peak: float = 8000.0) -> bytes:
    """The two tones of a key as PCM; `peak` is that of the higher one, 2 dB above the lower."""
    row = next(index for index, keys in enumerate(KEYS) if key in keys)
    at = np.arange(round(seconds * rate)) / rate
    low, high = LOW[row], HIGH[KEYS[row].index(key)]
    sound = 0.8 * np.sin(2 * np.pi * low * at) + np.sin(2 * np.pi * high * at)
    return (peak * sound).round().astype("<i2").tobytes()


@cache
def _bins(rate: int) -> tuple[NDArray[np.complex64], list[complex]]:
    """The transform of one hop, a column a frequency, for a window of two; and how far each bin
    turns back in one hop, which is what the second half of a window must be turned by."""
    size = round(rate * HOP)
    turns = -2j * np.pi * np.outer(np.arange(size), _FREQUENCIES) / rate
    back = [cmath.exp(-2j * math.pi * hertz * size / rate) for hertz in _FREQUENCIES]
    return (np.exp(turns) / (2 * size)).astype(np.complex64), back


def _decibels(power: float) -> float:
    """Of a sine's mean square relative to that of full scale."""
    return 10 * math.log10(max(2 * power, 1e-12))
