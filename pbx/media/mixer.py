"""Mixing: for each listener the sum of all others, 20 ms at a time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from pbx.media.codecs import RATE
from pbx.media.keys import FRAMES
from pbx.media.resample import Resampler

QUIET = 300.0
"Mean amplitude below which nobody speaks."
HOLD = 25
"Frames (half a second) somebody must be louder than the loudest to take their place."


class Mixer:
    """Sums frames of 16-bit PCM at `rate`. `loudest` is who speaks, by the key given for them;
    it does not jump at every cough."""

    def __init__(self, rate: int) -> None:
        self.loudest: Hashable | None = None
        self._rate = rate
        self._size = rate // FRAMES
        self._silence = bytes(2 * self._size)
        self._rival: Hashable | None = None
        self._louder = 0

    def mix(
        self, parties: Sequence[Hashable], frames: Sequence[bytes | None], extra: bytes | None
    ) -> Sequence[bytes]:
        """What each party hears: all but their own frame, and `extra`. A party that says nothing
        has None for a frame."""
        if not parties:
            return ()
        heard = np.frombuffer(
            b"".join(self._silence if frame is None else frame for frame in frames), "<i2"
        ).reshape(len(parties), self._size)
        total = heard.sum(axis=0, dtype=np.int32)
        if extra is not None:
            total += np.frombuffer(extra, "<i2")
        self._track(parties, np.abs(heard).mean(axis=1))
        mixed = (total - heard).clip(-32_768, 32_767).astype("<i2")
        return [row.tobytes() for row in mixed]

    def cut(self, pcm: bytes) -> Sequence[bytes]:
        """Sound of the telephone's rate as frames of ours."""
        sound = Resampler(RATE, self._rate)(pcm) if self._rate != RATE else pcm
        size = 2 * self._size
        return [sound[at : at + size].ljust(size, b"\0") for at in range(0, len(sound), size)]

    def _track(self, parties: Sequence[Hashable], levels: np.ndarray) -> None:
        """Who is loudest for long enough becomes the speaker."""
        at = int(np.argmax(levels))
        rival = parties[at] if levels[at] > QUIET else self.loudest
        if rival == self.loudest:
            self._rival, self._louder = None, 0
            return
        self._louder = self._louder + 1 if rival == self._rival else 1
        self._rival = rival
        if self._louder >= HOLD or self.loudest not in parties:
            self.loudest, self._rival, self._louder = rival, None, 0
