"""Callers made of synthetic voices: words as they come over a telephone line.

The voices and words that thresholds were chosen by (`TUNED_*`) are others than those that figures
are reported for (`HEARD_*`); only yes and no are in both, because every menu asks for them.
"""

from __future__ import annotations

import audioop
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pbx.media.codecs import RATE
from pbx.media.hearing import FRAME, Utterances
from pbx.media.speech import speak, to_telephone

FLITE = "flite:"
"Voices of flite (`apt-get install flite`), made of recorded people; the others are espeak-ng's."
NOISY = 20.0
"Decibels of the noise below the speech, where there is noise."
READ_BACK = ("yes", "no")

TUNED_VOICES = (
    "en-us", "en-us+m3", "en-us+f2", "en-gb-x-rp", "en-us+klatt2", "en+f4", "en-us+Andy",
    "flite:kal16", "flite:kal",
)  # fmt: skip
TUNED_MENUS: tuple[tuple[str, ...], ...] = (
    ("sales", "support", "billing", "reception", "hours", "operator"),
    ("marketing", "accounts", "help", "repeat", "address", "customer service"),
    READ_BACK,
)
TUNED_OTHERS = (
    "hello", "i am not sure", "what was that", "wait a minute please", "umbrella",
    "chocolate cake", "is anybody there", "seven", "the dog is barking", "turn left",
    "my number is wrong", "winter", "maybe", "guitar", "thank you very much", "oh",
    "the train is late", "purple", "can you hear me", "potato",
)  # fmt: skip
HEARD_VOICES = (
    "en", "en-us+m1", "en-us+f3", "en-gb-scotland", "en-us+linda", "en-us+Michael", "en-029",
    "flite:slt", "flite:rms", "flite:awb",
)  # fmt: skip
HEARD_MENUS: tuple[tuple[str, ...], ...] = (
    ("orders", "delivery", "returns", "technical", "manager", "invoices"),
    ("appointments", "location", "emergency", "pharmacy", "nurse", "opening hours"),
    ("german", "spanish", "french", "directory", "goodbye", "complaints"),
    READ_BACK,
)
HEARD_OTHERS = (
    "hi there", "what time is it", "i don't know", "um hold on", "the weather is nice today",
    "banana", "tomorrow morning", "who is this", "never mind that", "my name is peter",
    "twenty seven", "good afternoon", "mountain", "elephant", "sorry wrong number", "water",
    "let me think", "computer", "ah", "music", "just a second", "it is raining",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spoken:
    """Something said at a question for `words`; `said` is empty when it was none of them."""

    voice: str
    said: str
    words: Sequence[str]
    noisy: bool
    line: bytes
    "What comes over the line: silence, the words, silence."


def voices(wanted: Sequence[str]) -> list[str]:
    """Those of the voices that this machine has."""
    return [one for one in wanted if not one.startswith(FLITE) or shutil.which("flite")]


def heard(
    speakers: Sequence[str], menus: Sequence[Sequence[str]], others: Sequence[str]
) -> Iterator[Spoken]:
    """Every voice says every word of every menu, and what is none of them, with and without
    noise. What is said differs from run to run in nothing."""
    number = 0
    for voice in voices(speakers):
        said = [(word, words) for words in menus for word in words]
        said += [(other, menus[index % len(menus)]) for index, other in enumerate(others)]
        for text, words in said:
            for noisy in (False, True):
                number += 1
                yield Spoken(
                    voice, text if text in words else "", words, noisy,
                    on_the_line(text, voice, noisy=noisy, number=number),
                )  # fmt: skip


def on_the_line(text: str, voice: str, *, noisy: bool, number: int) -> bytes:
    """Speech in the telephone band, at some loudness, through G.711."""
    dice = np.random.default_rng(number)
    sound = _in_band(_voice(text, voice))
    lead = np.zeros(int(RATE * dice.uniform(0.5, 0.9)))
    sound = np.concatenate([lead, sound, np.zeros(RATE)]) * 10 ** (dice.uniform(-8, 0) / 20)
    sound += dice.standard_normal(sound.size) * 4
    if noisy:
        sound += _noise(sound, dice)
    pcm = np.clip(sound, -32_767, 32_767).astype("<i2").tobytes()
    return audioop.ulaw2lin(audioop.lin2ulaw(pcm, 2), 2)


def utterance(line: bytes) -> bytes:
    """What the exchange would take for something said; the longest such piece."""
    cut = Utterances()
    pieces = [cut.feed(line[at : at + FRAME]) for at in range(0, len(line) - FRAME + 1, FRAME)]
    return max(pieces, key=len)


@cache
def _voice(text: str, voice: str) -> bytes:
    if not voice.startswith(FLITE):
        return speak(text, voice)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "said.wav"
        name = voice.removeprefix(FLITE)
        subprocess.run(["flite", "-voice", name, "-t", text, "-o", str(file)], check=True)
        with wave.open(str(file)) as sound:
            return to_telephone(sound.readframes(sound.getnframes()), sound.getframerate())


def _in_band(pcm: bytes) -> NDArray[np.float64]:
    """300 to 3400 Hz, as the network carries it (ITU-T G.712)."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    size = samples.size + RATE
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    passes = np.clip((hertz - 200) / 100, 0, 1) * np.clip((3600 - hertz) / 200, 0, 1)
    return np.fft.irfft(np.fft.rfft(samples, size) * passes, size)[: samples.size]


def _noise(sound: NDArray[np.float64], dice: np.random.Generator) -> NDArray[np.float64]:
    """Pink noise, `NOISY` below what is said."""
    spectrum = np.fft.rfft(dice.standard_normal(sound.size))
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(sound.size, 1 / RATE), 100))
    noise = np.fft.irfft(spectrum, sound.size)
    loud = sound[np.abs(sound) > np.abs(sound).max() * 0.05]
    return noise * np.sqrt(np.mean(loud**2) / np.mean(noise**2)) * 10 ** (-NOISY / 20)
