"""Music for somebody who waits: made here, so that nobody's rights are in it."""

from __future__ import annotations

from functools import cache

import numpy as np

from pbx.media.codecs import RATE

_BEAT = 0.25
"Seconds from one note to the next."
_CHORDS = ((57, 64, 69, 72), (53, 60, 65, 69), (48, 55, 64, 67), (55, 62, 67, 71))
"A minor, F, C and G, as MIDI notes."
_FIGURE = (0, 1, 2, 3, 2, 3, 2, 1)
"Which note of a chord each beat plays."
_LEVEL = 5000.0
"Peak of one note, of 32 767: the whole stays some 20 dB below full scale."


@cache
def hold_music() -> bytes:
    """Eight seconds of broken chords that can be repeated without a seam, as PCM of `RATE`."""
    beats = [chord[step] for chord in _CHORDS for step in _FIGURE]
    sound = np.zeros(round(len(beats) * _BEAT * RATE))
    at = np.arange(3 * round(_BEAT * RATE)) / RATE
    fades = np.exp(-4.0 * at) * np.minimum(1.0, at / 0.01) * np.minimum(1.0, (at[-1] - at) / 0.02)
    for beat, note in enumerate(beats):
        hertz = 440.0 * 2 ** ((note - 69) / 12)
        wave = np.sin(2 * np.pi * hertz * at) + 0.3 * np.sin(4 * np.pi * hertz * at)
        begin = round(beat * _BEAT * RATE)
        where = np.arange(begin, begin + at.size) % sound.size  # what rings on is heard in front
        sound[where] += wave * fades
    return (sound * _LEVEL / 1.3).clip(-32_768, 32_767).astype("<i2").tobytes()
