"""Sound made longer and shorter: by how much, at what pitch, and where not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.media.waveform import Concealer, lengthened, shortened
from tests.pbx.media.streams import decibels, pitch, samples, sine


@pytest.mark.parametrize("hertz", [90.0, 200.0, 440.0, 1000.0])
@pytest.mark.parametrize("change", [shortened, lengthened])
def test_a_period_more_or_less_is_not_heard(change: object, hertz: float) -> None:
    assert callable(change)
    sound = sine(0.5, hertz)
    got = bytes(sound[:4000]) + change(sound[4000:4640], 8000, 120) + sound[4640:]
    changed = (len(got) - len(sound)) // 2
    assert 20 <= abs(changed) <= 120
    assert (changed < 0) == (change is shortened)
    assert abs(pitch(got) - hertz) < 1
    steps = np.abs(np.diff(samples(got)))
    assert steps.max() < 1.5 * np.abs(np.diff(samples(sound))).max() + 50


def test_where_there_is_no_period_nothing_is_changed_unless_it_must() -> None:
    noise = np.random.default_rng(2).normal(0, 4000, 320).astype("<i2").tobytes()
    for change in (shortened, lengthened):
        assert change(noise, 8000, 120) == noise
        assert len(change(noise, 8000, 120, anyway=True)) != len(noise)
        assert len(change(bytes(640), 8000, 120)) != 640  # silence may be cut anywhere
        assert change(noise, 8000, 3, anyway=True) == noise  # too little to be a period


def test_made_up_sound_goes_on_and_fades() -> None:
    concealer = Concealer(8000)
    assert concealer.missing(160) == bytes(320)  # of nothing
    sound = sine(0.5, 150.0)
    concealer.heard(sound)
    made = [concealer.missing(160) for _ in range(4)]
    levels = [decibels(piece) - decibels(sound) for piece in made]
    assert levels[0] > -1.5
    assert levels == sorted(levels, reverse=True)
    assert levels[3] < -60
    assert abs(pitch(b"".join(made[:2])) - 150) < 8


@given(st.binary(max_size=2000), st.integers(0, 400), st.sampled_from([8000, 16_000]))
@settings(deadline=None)
def test_any_sound(data: bytes, count: int, rate: int) -> None:
    pcm = data[: len(data) // 2 * 2]
    concealer = Concealer(rate)
    assert len(concealer.heard(pcm)) == len(pcm)
    assert len(concealer.missing(count)) == 2 * count
    assert len(concealer.heard(pcm)) == len(pcm)
    for change in (shortened, lengthened):
        assert abs(len(change(pcm, rate, count, anyway=True)) - len(pcm)) <= 2 * count
