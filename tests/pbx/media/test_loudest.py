"""Who speaks: the loudest for a while, and never with every cough."""

from __future__ import annotations

import numpy as np
import pytest

from pbx.media.loudest import EVERY, FOR, LEAST, Loudest, level
from pbx.media.tones import tone

LOUD, SOFT = tone(0.02, 400.0), bytes(320)
LOOKS_A_SECOND = 10


def softer(frame: bytes, by: float) -> bytes:
    return (np.frombuffer(frame, "<i2") * by).astype("<i2").tobytes()


def hear(loudest: Loudest[str], seconds: float, **frames: bytes | None) -> int:
    """Let some speak; how often the speaker changed."""
    looks = round(seconds * LOOKS_A_SECOND)
    return sum(loudest.hear(list(frames), list(frames.values())) for _ in range(looks))


def test_the_first_to_speak_is_found_at_once() -> None:
    loudest = Loudest[str]()
    assert hear(loudest, 1.0, a=SOFT, b=None) == 0
    assert loudest.speaker is None
    assert hear(loudest, (FOR + 1) * EVERY * 0.02, a=SOFT, b=LOUD) == 1
    assert loudest.speaker == "b"


def test_a_cough_is_no_speech() -> None:
    loudest = Loudest[str]()
    hear(loudest, LEAST + 1, a=softer(LOUD, 0.2), b=SOFT)
    assert hear(loudest, 0.2, a=softer(LOUD, 0.2), b=LOUD) == 0
    assert hear(loudest, 5.0, a=softer(LOUD, 0.2), b=SOFT) == 0
    assert loudest.speaker == "a"


def test_nearly_as_loud_changes_nothing() -> None:
    loudest = Loudest[str]()
    hear(loudest, LEAST + 1, a=softer(LOUD, 0.8), b=SOFT)
    assert hear(loudest, 10.0, a=softer(LOUD, 0.8), b=LOUD) == 0
    assert hear(loudest, 10.0, a=softer(LOUD, 0.5), b=LOUD) == 1


def test_two_who_take_turns_change_it_every_few_seconds_at_most() -> None:
    loudest = Loudest[str]()
    changes = 0
    for turn in range(60):
        speaks = turn % 2 == 0
        changes += hear(loudest, 1.0, a=LOUD if speaks else SOFT, b=SOFT if speaks else LOUD)
    assert 1 < changes <= 60 / LEAST + 1


def test_who_left_is_forgotten() -> None:
    loudest = Loudest[str]()
    hear(loudest, 2.0, a=LOUD, b=SOFT)
    loudest.forget("a")
    assert loudest.speaker is None
    assert hear(loudest, LEAST + 1, b=LOUD) == 1


def test_levels() -> None:
    assert level(b"") == level(SOFT) == 0.0
    assert level(LOUD) == pytest.approx(8000 / 2**0.5, rel=0.02)
