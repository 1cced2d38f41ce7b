"""Keys heard as tones: the limits of ITU-T Q.24, and speech that is no key."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.media.codecs import CODECS, Codec
from pbx.media.dtmf import HIGH, KEYS, LOW, DtmfDetector, key_tone
from pbx.media.speech import speak
from tests.pbx.media.streams import packets

ALL = "123A456B789C*0#D1122"
DBM0 = 32_768 * 10 ** (-3.14 / 20)
"Peak of a tone of 0 dBm0 (ITU-T G.711)."


def keys(
    wanted: str = ALL,
    *,
    on: float = 0.040,
    off: float = 0.040,
    low: float = -10.0,
    high: float = -10.0,
    wrong: tuple[float, float] = (1.0, 1.0),
    noise: float | None = None,
    rate: int = 8000,
    start: int = 0,
) -> bytes:
    """Keys as a line brings them: seconds, levels of both tones in dBm0, factors by which their
    frequencies are wrong, the level of white noise."""
    pieces = [np.zeros(start + rate // 20)]
    for key in wanted:
        row = next(index for index, line in enumerate(KEYS) if key in line)
        at = np.arange(round(on * rate)) / rate
        one = 10 ** (low / 20) * np.sin(2 * np.pi * LOW[row] * wrong[0] * at + 1)
        two = 10 ** (high / 20) * np.sin(2 * np.pi * HIGH[KEYS[row].index(key)] * wrong[1] * at)
        pieces += [DBM0 * (one + two), np.zeros(round(off * rate))]
    sound = np.concatenate([*pieces, np.zeros(rate // 10)])
    if noise is not None:
        power = DBM0 / np.sqrt(2) * 10 ** (noise / 20)
        sound += np.random.default_rng(start).normal(0, power, sound.size)
    clipped: bytes = sound.clip(-32_768, 32_767).astype("<i2").tobytes()
    return clipped


def found(pcm: bytes, rate: int = 8000) -> str:
    detector, size = DtmfDetector(rate), 2 * rate // 50
    return "".join(detector.feed(pcm[at : at + size]) for at in range(0, len(pcm), size))


STARTS = range(0, 160, 23)
"Where in a frame, in samples, the first key begins."


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"low": -25.0, "high": -25.0},
        {"low": 0.0, "high": 0.0},
        {"low": -25.0, "high": -19.0},
        {"low": -19.0, "high": -25.0},
        {"low": -10.0, "high": -16.0},
        {"low": -14.0, "high": -10.0},
        {"low": -6.0, "high": -14.0},
        {"wrong": (1.015, 1.015)},
        {"wrong": (0.985, 0.985)},
        {"wrong": (1.015, 0.985)},
        {"wrong": (0.985, 1.015), "low": -25.0, "high": -25.0},
        {"noise": -25.0},
        {"on": 0.500, "off": 0.100},
        {"on": 0.050, "off": 0.045, "rate": 16_000},
    ],
    ids=str,
)
def test_what_must_be_taken(line: dict[str, float]) -> None:
    for start in STARTS:
        assert found(keys(start=start, **line), int(line.get("rate", 8000))) == ALL


@pytest.mark.parametrize(
    "line",
    [
        {"wrong": (1.035, 1.035)},
        {"wrong": (0.965, 0.965)},
        {"wrong": (1.0, 1.035)},
        {"wrong": (0.965, 1.0)},
        {"on": 0.020},
        {"low": -8.0, "high": -22.0},
        {"low": -22.0, "high": -8.0},
        {"low": -45.0, "high": -45.0},
    ],
    ids=str,
)
def test_what_must_not_be_taken(line: dict[str, float]) -> None:
    for start in STARTS:
        assert found(keys(start=start, **line)) == ""


def test_an_interruption_of_10_ms_is_the_same_key() -> None:
    for start in STARTS:
        once = np.frombuffer(keys("5", on=0.2, start=start), "<i2").copy()
        middle = start + 400 + 800
        once[middle : middle + 80] = 0
        assert found(once.tobytes()) == "5"


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_through_every_codec(codec: Codec) -> None:
    decoder = codec.decoder(8000)
    sound = keys(on=0.08, off=0.08, low=-12.0, high=-10.0)
    heard = b"".join(decoder.decode(packet.payload) for packet in packets(sound, codec))
    assert found(heard) == ALL


def test_keys_we_make_are_keys() -> None:
    for rate in (8000, 16_000):
        sound = b"".join(key_tone(key, 0.16, rate) + bytes(rate // 5) for key in ALL)
        assert found(sound, rate) == ALL


def test_held_while_it_sounds() -> None:
    detector, held = DtmfDetector(8000), ""
    sound = keys("7", on=1.0)
    for at in range(0, len(sound), 320):
        detector.feed(sound[at : at + 320])
        held += detector.held or "-"
    assert 48 <= held.count("7") <= 53
    assert held.endswith("-")


# ── what is no key ──────────────────────────────────────────────────────────────────────
VOICES = ("en-us", "de", "fr", "es", "it", "ru", "pl", "pt", "nl", "sv", "fi", "hu", "el", "tr")
SIZES = (0.75, 0.85, 1.0, 1.15, 1.3, 1.5)
"How much smaller the speaker is: pitch and formants go up together."
WORDS = (
    "One two three four five six seven eight nine zero, star, hash. Aah, eeh, ooh, mmm, hello? "
    "Please call plus one, two oh two, five five five, oh one four three, and call me back. "
    "The exchange of the beauteous queue who knew the bluest moon; la li lu le lo, yo yo, no. "
    "Moo, mu, new, noon, soon, you, few, view. See me be free, he seems keen to eat green peas. "
    "It was the best of times, it was the worst of times, it was the age of wisdom. "
)


def speech(count: int) -> float:
    """So many pieces of speech of many voices; how many seconds it was. No key in any."""
    seconds = 0.0
    for number, voice in enumerate(itertools.islice(itertools.cycle(VOICES), count)):
        sound = np.frombuffer(speak(WORDS, voice), "<i2")
        size = SIZES[number % len(SIZES)]
        at = np.arange(0, sound.size - 1, size)
        smaller = np.interp(at, np.arange(sound.size), sound)
        for louder in (1.0, 0.2):
            pcm = (smaller * louder).astype("<i2").tobytes()
            assert found(pcm) == "", (voice, size, louder)
        seconds += smaller.size / 8000
    return seconds


def test_speech_is_no_key() -> None:
    assert speech(14) > 240


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_hours_of_speech_are_no_key() -> None:
    assert speech(168) > 2900


def test_noise_and_single_tones_are_no_keys() -> None:
    chance = np.random.default_rng(3)
    for level in (300, 3000, 12_000):
        noise = chance.normal(0, level, 80_000).clip(-32_768, 32_767)
        assert found(noise.astype("<i2").tobytes()) == ""
    at = np.arange(8000) / 8000
    for hertz in (*LOW, *HIGH, 350.0, 440.0, 480.0, 620.0, 1000.0):
        assert found((8000 * np.sin(2 * np.pi * hertz * at)).astype("<i2").tobytes()) == ""
    for one, two in itertools.product((350.0, 440.0, 480.0), (440.0, 480.0, 620.0)):
        mixed = np.sin(2 * np.pi * one * at) + np.sin(2 * np.pi * two * at)
        assert found((8000 * mixed).astype("<i2").tobytes()) == ""


@given(st.lists(st.binary(max_size=900), max_size=20), st.sampled_from([8000, 16_000]))
@settings(max_examples=100, deadline=None)
def test_any_bytes_in_any_pieces(pieces: list[bytes], rate: int) -> None:
    detector = DtmfDetector(rate)
    for piece in pieces:
        assert len(detector.feed(piece)) <= len(piece) // 80 + 1
        assert detector.held in "0123456789*#ABCD"
