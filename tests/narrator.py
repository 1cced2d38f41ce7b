"""Somebody who reads aloud: a person's voice, from the wheel of a recogniser."""

from __future__ import annotations

import importlib.util
import wave
from functools import cache
from pathlib import Path

import numpy as np

from pbx.media.codecs import RATE
from pbx.media.speech import to_telephone

TEXT = (
    "it was the best of times it was the worst of times it was the age of wisdom it was the age of "
    "foolishness it was the epoch of belief it was the epoch of incredulity it was the season of "
    "light it was the season of darkness it was the spring of hope it was the winter of despair"
)
"What the narrator reads in the first half minute (Charles Dickens, A Tale of Two Cities)."


def narrated(seconds: float) -> bytes:
    """The beginning of it, as it sounds over the telephone."""
    return _all()[: 2 * round(seconds * RATE)]


@cache
def _all() -> bytes:
    found = importlib.util.find_spec("moonshine_voice")
    assert found is not None
    assert found.origin is not None
    file = Path(found.origin).parent / "assets" / "two_cities.wav"
    with wave.open(str(file)) as sound:
        pcm = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
        return to_telephone(pcm.astype("<i2").tobytes(), sound.getframerate())
