"""Who speaks among several: the loudest, but not with every cough."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np

from pbx.media.clock import PERIOD

EVERY = 5
"Ticks from one look to the next: 0.1 s."
FLOOR = 200.0
"Root-mean-square level below which nobody speaks: −44 dB below full scale."
LOUDER = 1.41
"How many times as loud as the speaker another must be: 3 dB."
FOR = 4
"Looks in a row that they must be, so that a cough is not a speech."
LEAST = 4.0
"Seconds that somebody is the speaker at least."
_SMOOTH = 0.5
"How much of a level is the latest look."


Who = TypeVar("Who", bound=Hashable)


class Loudest(Generic[Who]):
    """Finds the speaker among those it is shown; keeps them until somebody else is louder for
    a while."""

    def __init__(self) -> None:
        self.speaker: Who | None = None
        self._levels: dict[Who, float] = {}
        self._challenger: Who | None = None
        self._looks = 0
        self._since = math.inf

    def hear(self, who: Sequence[Who], frames: Sequence[bytes | None]) -> bool:
        """One frame of 16-bit PCM of each, None for silence; whether the speaker changed."""
        self._since += EVERY * PERIOD
        for one, frame in zip(who, frames, strict=True):
            before = self._levels.get(one, 0.0)
            self._levels[one] = before + _SMOOTH * ((level(frame) if frame else 0.0) - before)
        if not who:
            return False
        best = max(who, key=lambda one: self._levels[one])
        beaten = self._levels.get(self.speaker, 0.0) if self.speaker is not None else 0.0
        if best == self.speaker or self._levels[best] < max(FLOOR, LOUDER * beaten):
            self._challenger, self._looks = None, 0
            return False
        if best != self._challenger:
            self._challenger, self._looks = best, 0
        self._looks += 1
        if self._looks < FOR or self._since < LEAST:
            return False
        self.speaker, self._challenger, self._looks, self._since = best, None, 0, 0.0
        return True

    def forget(self, one: Who) -> None:
        """Somebody is not there any more."""
        self._levels.pop(one, None)
        if self.speaker == one:
            self.speaker = None
        if self._challenger == one:
            self._challenger, self._looks = None, 0


def level(frame: bytes) -> float:
    """Root mean square of 16-bit PCM."""
    samples = np.frombuffer(frame, "<i2").astype(np.float32)
    return math.sqrt(float(samples @ samples) / samples.size) if samples.size else 0.0
