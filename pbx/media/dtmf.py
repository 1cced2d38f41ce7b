"""Keys heard as tones (ITU-T Q.23), by the limits of ITU-T Q.24; and keys made into tones.

Every 10 ms the two groups of frequencies are looked at over 20 ms, each by its own bin of a
Fourier transform (what Goertzel's algorithm computes). How far the phase of a bin went in 10 ms
tells its frequency to a fraction of a hertz, which is what speech fails: it must hit two of
eight frequencies by 2 %, steadily, and put nearly all of its energy there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

LOW = (697.0, 770.0, 852.0, 941.0)
HIGH = (1209.0, 1336.0, 1477.0, 1633.0)
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
    spectrum: NDArray[np.complex64]

    @property
    def key(self) -> str:
        return KEYS[self.row][self.column - 4]


class DtmfDetector:
    """Finds keys in 16-bit PCM of one stream. `held` is the key that sounds now."""

    def __init__(self, rate: int) -> None:
        self.held = ""
        self._hop = round(rate * HOP)
        self._bins, self._turn, self._freqs = _bins(rate)
        self._sound: Samples = np.zeros(round(rate * WINDOW), np.float32)
        self._rest: Samples = np.zeros(0, np.float32)
        self._before = _Look(0, 0, (0.0, 0.0), 0.0, np.zeros(8, np.complex64))
        self._levels = (0.0, 0.0)
        self._misses = 0

    def feed(self, pcm: bytes) -> str:
        """Listen to some more; the keys that began in it."""
        samples = np.frombuffer(pcm, "<i2", len(pcm) // 2).astype(np.float32) / 32_768
        line: Samples = np.concatenate((self._rest, samples))
        keys = ""
        while line.size >= self._hop:
            self._sound = np.concatenate((self._sound[self._hop :], line[: self._hop]))
            line = line[self._hop :]
            keys += self._look()
        self._rest = line
        return keys

    def _look(self) -> str:
        spectrum = self._bins @ self._sound
        power = np.abs(spectrum) ** 2 * 2  # of the sine that would give this bin
        row, column = int(np.argmax(power[:4])), 4 + int(np.argmax(power[4:]))
        levels = _decibels(float(power[row])), _decibels(float(power[column]))
        total = float(self._sound @ self._sound) / self._sound.size
        before, self._before = self._before, _Look(row, column, levels, total, spectrum)
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
        for index in (now.row, now.column):
            turned = now.spectrum[index] * np.conj(before.spectrum[index]) * self._turn[index]
            off = float(np.angle(turned)) / (2 * np.pi * HOP)
            if abs(off) > OFF_FREQUENCY * self._freqs[index]:
                return False
            seen = float(np.sinc(off * WINDOW)) ** 2  # part of it that its bin shows
            for number, look in enumerate((before, now)):
                shares[number] += 2 * abs(look.spectrum[index]) ** 2 / seen / (look.total + 1e-12)
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
def _bins(rate: int) -> tuple[NDArray[np.complex64], NDArray[np.complex64], tuple[float, ...]]:
    """The transform of one window, and how far each bin turns back in one hop."""
    freqs = LOW + HIGH
    size = round(rate * WINDOW)
    hertz = np.array(freqs)
    bins = np.exp(-2j * np.pi * hertz[:, None] * np.arange(size) / rate) / size
    turn = np.exp(-2j * np.pi * hertz * HOP)
    return bins.astype(np.complex64), turn.astype(np.complex64), freqs


def _decibels(power: float) -> float:
    """Of a sine's mean square relative to that of full scale."""
    return 10 * float(np.log10(max(2 * power, 1e-12)))
