"""Sound made longer, shorter or up where some of it is missing, so that nobody hears it.

All of it rests on one thing: voiced sound repeats itself, so a whole period can be put in,
taken out, or repeated (in the spirit of ITU-T G.711 Appendix I) without a step in the wave and
without another pitch.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Samples = NDArray[np.float32]

_SHORTEST, _LONGEST = 0.0025, 0.0150
"Periods looked for, in seconds: 400 to 66 Hz."
_TEMPLATE = 0.010
_OVERLAP = 0.004
"Cross-fades, in seconds."
_FULL = 0.010
"Seconds that a repetition stays as loud as what it repeats."
_FADED = 0.060
"Seconds until a repetition has faded away."
_QUIET = 60.0
"Samples whose root mean square is below this (−55 dBFS) may be cut anywhere."
_ALIKE = 0.6
"Correlation from which two pieces of sound count as the same period."


class Concealer:
    """Goes on with a stream whose packets are missing, at one sampling rate."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._keep = 2 * round(rate * (_LONGEST * 2 + _TEMPLATE))
        self._history = bytes(self._keep)
        self._period: Samples | None = None
        self._made = 0

    def heard(self, pcm: bytes) -> bytes:
        """Sound that came. Blended over from what was made up before it, if anything was."""
        if self._period is not None:
            samples = _samples(pcm)
            size = min(round(self._rate * _OVERLAP), samples.size)
            fade = np.linspace(0, 1, size, dtype=np.float32)
            samples[:size] = samples[:size] * fade + self._more(size) * (1 - fade)
            self._period = None
            pcm = _bytes(samples)
        self._history = (self._history + pcm)[-self._keep :]
        return pcm

    def missing(self, count: int) -> bytes:
        """Make up `count` samples; after 60 ms in a row they are silent."""
        if self._period is None:
            self._period = self._last_period(_samples(self._history))
            self._made = 0
        pcm = _bytes(self._more(count))
        self._history = (self._history + pcm)[-self._keep :]
        return pcm

    def _more(self, count: int) -> Samples:
        assert self._period is not None
        at = np.arange(self._made, self._made + count)
        self._made += count
        full, faded = self._rate * _FULL, self._rate * _FADED
        gain = np.clip((faded - at) / (faded - full), 0, 1).astype(np.float32)
        repeated: Samples = self._period[at % self._period.size] * gain
        return repeated

    def _last_period(self, history: Samples) -> Samples:
        """What the sound so far most probably repeats, its ends made to fit."""
        lag, likeness = _period(history[::-1], self._rate)
        if likeness < _ALIKE:
            lag = round(self._rate * _LONGEST)  # noise: a long piece buzzes least
        period = history[-lag:].copy()
        size = lag // 4
        fade = np.linspace(0, 1, size, dtype=np.float32)
        before = history[-lag - size : -lag]
        period[-size:] = period[-size:] * (1 - fade) + before * fade
        return period


def shortened(pcm: bytes, rate: int, at_most: int, *, anyway: bool = False) -> bytes:
    """`pcm` (30 ms or more) less one period of up to `at_most` samples, if it has one; with
    `anyway`, less something in any case."""
    samples = _samples(pcm)
    lag = _joint(samples, rate, at_most, anyway)
    if not lag:
        return pcm
    size = round(rate * _OVERLAP)
    fade = np.linspace(0, 1, size, dtype=np.float32)
    joined = samples[:size] * (1 - fade) + samples[lag : lag + size] * fade
    return _bytes(np.concatenate((joined, samples[lag + size :])))


def lengthened(pcm: bytes, rate: int, at_most: int, *, anyway: bool = False) -> bytes:
    """`pcm` (30 ms or more) with one period of up to `at_most` samples repeated, if it has
    one; with `anyway`, with something repeated in any case."""
    samples = _samples(pcm)
    lag = _joint(samples, rate, at_most, anyway)
    if not lag:
        return pcm
    size = round(rate * _OVERLAP)
    fade = np.linspace(0, 1, size, dtype=np.float32)
    joined = samples[lag : lag + size] * (1 - fade) + samples[:size] * fade
    return _bytes(np.concatenate((samples[:lag], joined, samples[size:])))


def _joint(samples: Samples, rate: int, at_most: int, anyway: bool) -> int:
    """How many samples can be cut out of, or put into, the beginning of some; 0 for none."""
    longest = min(at_most, round(rate * _LONGEST))
    if longest < rate * _SHORTEST or samples.size < rate * (_LONGEST + _TEMPLATE):
        return 0
    if float(np.sqrt(np.mean(samples**2))) < _QUIET:
        return longest
    lag, likeness = _period(samples, rate, longest)
    return lag if likeness >= _ALIKE or anyway else 0


def _period(samples: Samples, rate: int, longest: int = 0) -> tuple[int, float]:
    """After how many samples the beginning of some comes again, and how alike it is then
    (normalised cross-correlation, −1 to 1)."""
    shortest, longest = round(rate * _SHORTEST), longest or round(rate * _LONGEST)
    samples = np.ascontiguousarray(samples)
    size = round(rate * _TEMPLATE)
    template = samples[:size]
    later = as_strided(samples[shortest:], (longest - shortest + 1, size), (4, 4), writeable=False)
    energy = np.einsum("ij,ij->i", later, later) * float(template @ template)
    likeness = (later @ template) / np.sqrt(energy + 1.0)
    best = int(np.argmax(likeness))
    return best + shortest, float(likeness[best])


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2", len(pcm) // 2).astype(np.float32)


def _bytes(samples: Samples) -> bytes:
    return samples.clip(-32_768, 32_767).round().astype("<i2").tobytes()
