"""Other sampling rates: what passes, what is stopped, and that no call knows of the cuts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.resample import Resampler
from tests.pbx.media.streams import decibels, pitch, sine

DOWN = [(48_000, 8000), (48_000, 16_000), (16_000, 8000)]


def changed(pcm: bytes, source: int, target: int) -> bytes:
    resample, size = Resampler(source, target), 2 * source // 50
    return b"".join(resample(pcm[at : at + size]) for at in range(0, len(pcm), size))


@pytest.mark.parametrize(("source", "target"), [*DOWN, (8000, 16_000)])
@pytest.mark.parametrize("part", [0.05, 0.2, 0.42])
def test_the_band_passes(source: int, target: int, part: float) -> None:
    hertz = part * min(source, target)
    given_ = sine(1.0, hertz, source)
    got = changed(given_, source, target)
    assert len(got) == 2 * target
    assert abs(pitch(got, target) - hertz) < 1
    assert abs(decibels(got[2000:]) - decibels(given_)) < 0.3


@pytest.mark.parametrize(("source", "target"), DOWN)
@pytest.mark.parametrize("part", [0.58, 0.7, 0.85, 0.95])
def test_what_would_fold_back_is_stopped_by_55_db(source: int, target: int, part: float) -> None:
    given_ = sine(1.0, part * target, source, peak=16_000)
    assert decibels(changed(given_, source, target)[2000:]) < decibels(given_) - 55


def test_no_images_going_up() -> None:
    """A tone at 1 kHz must not appear at 7 kHz as well."""
    got = changed(sine(1.0, 1000.0), 8000, 16_000)
    image = changed(changed(got, 16_000, 8000), 8000, 16_000)
    assert abs(decibels(got[4000:]) - decibels(image[4000:])) < 0.1


@given(st.lists(st.integers(0, 700), max_size=12), st.sampled_from([*DOWN, (8000, 16_000)]))
def test_cuts_do_not_show(cuts: list[int], rates: tuple[int, int]) -> None:
    pcm = sine(0.2, 700.0, rates[0])[: 2 * sum(cuts)]
    resample, pieces, at = Resampler(*rates), [], 0
    for cut in cuts:
        pieces.append(resample(pcm[at : at + 2 * cut]))
        at += 2 * cut
    assert b"".join(pieces) == Resampler(*rates)(pcm)


def test_only_whole_factors() -> None:
    with pytest.raises(ValueError, match="no multiples"):
        Resampler(44_100, 8000)
