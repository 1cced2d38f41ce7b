"""Where somebody's words begin and end in what is heard, and who can tell which words they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pbx.media.codecs import RATE

FRAME = 2 * RATE // 50
"Bytes of 20 ms."
FAINTEST = 120.0
"Root mean square below which nothing is a word: −49 dB."
ABOVE = 2.5
"How much louder than the quietest of late a frame must be: 8 dB."
BEGINS, OF = 5, 8
"Loud frames, of so many, that make a beginning: a click is shorter."
ENDS = 25
"Quiet frames that make an end: half a second, the longest pause within a phrase."
BEFORE = 20
"Frames kept from before the beginning: weak first sounds, and how the line sounds."
MAX_FRAMES = 200
"Of one utterance: four seconds. Menus ask for single words."
LATELY = 100
"Frames in which the quietest is looked for."


class Ear(Protocol):
    """Knows a few words when it hears them."""

    async def hear(self, sound: bytes, words: Sequence[str]) -> str:
        """Which of the words was said in PCM at `RATE`; empty when it was none of them."""

    async def unknown(self, words: Sequence[str]) -> Sequence[str]:
        """Those of the words that it cannot know."""


class Utterances:
    """Cuts one stream of frames at `RATE` into utterances. `over` is how loud, as a peak, a
    frame must be to count, while something is played that may come back as an echo."""

    def __init__(self) -> None:
        self.over = 0.0
        self._lately: deque[float] = deque(maxlen=LATELY)
        self._loud: deque[bool] = deque(maxlen=OF)
        self._before: deque[bytes] = deque(maxlen=BEFORE)
        self._said: list[bytes] = []
        self._quiet = 0

    @property
    def speaking(self) -> bool:
        """Whether somebody is in the middle of something."""
        return bool(self._said)

    def feed(self, frame: bytes) -> bytes:
        """Hear one more frame; an utterance once it is over, with the silence around it."""
        samples = np.frombuffer(frame, "<i2").astype(np.float32)
        loudness = float(np.sqrt(np.mean(samples**2))) if samples.size else 0.0
        peak = float(np.max(np.abs(samples))) if samples.size else 0.0
        self._lately.append(loudness)
        loud = loudness > max(FAINTEST, ABOVE * min(self._lately)) and peak >= self.over
        if not self._said:
            self._before.append(frame)
            self._loud.append(loud)
            if sum(self._loud) >= BEGINS:
                self._said = list(self._before)
                self._quiet = 0
            return b""
        self._said.append(frame)
        self._quiet = 0 if loud else self._quiet + 1
        if self._quiet < ENDS and len(self._said) < MAX_FRAMES:
            return b""
        said = b"".join(self._said)
        self._said = []
        self._before.clear()
        self._loud.clear()
        return said
