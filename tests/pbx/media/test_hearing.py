"""Where utterances begin and end."""

from __future__ import annotations

import numpy as np
import pytest

from pbx.media.codecs import RATE
from pbx.media.hearing import BEFORE, ENDS, FRAME, MAX_FRAMES, Utterances
from pbx.media.tones import share_of, tone

SILENCE = bytes(FRAME)


def fed(cut: Utterances, pcm: bytes) -> list[bytes]:
    """The utterances that end within some sound."""
    frames = [pcm[at : at + FRAME] for at in range(0, len(pcm), FRAME)]
    return [said for said in map(cut.feed, frames) if said]


def hiss(seconds: float, level: float) -> bytes:
    noise = np.random.default_rng(1).standard_normal(int(RATE * seconds)) * level
    return noise.astype("<i2").tobytes()


def test_an_utterance_has_the_silence_around_it() -> None:
    (said,) = fed(Utterances(), bytes(RATE) + tone(0.5, 400.0) + bytes(2 * RATE))
    assert 25 + ENDS <= len(said) // FRAME <= 25 + ENDS + BEFORE
    assert share_of(said[FRAME * BEFORE : FRAME * (BEFORE + 20)], 400.0) == 1.0


def test_silence_and_clicks_are_none() -> None:
    click = SILENCE * 20 + tone(0.04, 400.0) + SILENCE * 50
    assert fed(Utterances(), click * 3) == []


def test_steady_noise_is_none_and_words_in_it_are_heard() -> None:
    cut = Utterances()
    assert fed(cut, hiss(3.0, 500)) == []
    assert len(fed(cut, tone(0.5, 400.0) + hiss(1.0, 500))) == 1


def test_a_pause_within_a_phrase_is_no_end() -> None:
    phrase = tone(0.3, 400.0) + bytes(2 * RATE * 3 // 10) + tone(0.3, 400.0)
    assert len(fed(Utterances(), bytes(RATE) + phrase + bytes(2 * RATE))) == 1
    assert len(fed(Utterances(), bytes(RATE) + (phrase + bytes(2 * RATE)) * 2)) == 2


def test_who_never_stops_is_cut_off() -> None:
    said = fed(Utterances(), bytes(RATE) + (tone(0.3, 400.0) + bytes(RATE // 5)) * 40)
    assert len(said) >= 3
    assert {len(one) for one in said} == {MAX_FRAMES * FRAME}


def test_a_tone_without_an_end_becomes_noise() -> None:
    assert len(fed(Utterances(), bytes(RATE) + tone(20.0, 400.0))) == 1


def test_an_echo_of_the_prompt_is_none() -> None:
    cut = Utterances()
    cut.over = 4000.0
    quiet = (np.frombuffer(tone(0.5, 400.0), "<i2") // 4).astype("<i2").tobytes()
    assert fed(cut, bytes(RATE) + quiet + bytes(2 * RATE)) == []
    assert len(fed(cut, tone(0.5, 400.0) + bytes(2 * RATE))) == 1
    cut.over = 0.0
    assert len(fed(cut, quiet + bytes(2 * RATE))) == 1


@pytest.mark.parametrize("frame", [b"", b"\0\0", b"\xff" * FRAME])
def test_odd_frames_do_no_harm(frame: bytes) -> None:
    assert fed(Utterances(), frame * 3) == []
