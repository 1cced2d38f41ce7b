"""G.711 and the tones that prove it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.codecs import CODECS, FRAME_BYTES, PCMA, PCMU, SILENCE, Codec, codec_named
from pbx.media.tones import dominant, level, ringback, share_of, tone

BOTH = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)


@BOTH
def test_a_frame_is_160_bytes_on_the_wire(codec: Codec) -> None:
    assert len(codec.encode(SILENCE)) == 160
    assert len(codec.decode(bytes(160))) == FRAME_BYTES


@BOTH
def test_a_tone_survives(codec: Codec) -> None:
    heard = codec.decode(codec.encode(tone(0.5, 1000.0)))
    assert abs(dominant(heard) - 1000) < 4
    assert abs(level(heard) - level(tone(0.5, 1000.0))) < 0.5


@BOTH
def test_silence_stays_silence(codec: Codec) -> None:
    assert level(codec.decode(codec.encode(SILENCE))) < -70


@given(st.binary(max_size=400))
def test_any_payload_decodes_and_comes_back(data: bytes) -> None:
    for codec in CODECS:
        pcm = codec.decode(data)
        assert len(pcm) == 2 * len(data)
        assert codec.decode(codec.encode(pcm)) == pcm


def test_the_known_ends_of_the_scales() -> None:
    assert PCMU.encode(SILENCE[:2]) == b"\xff"
    assert PCMA.encode(SILENCE[:2]) == b"\xd5"
    assert PCMU.decode(b"\x00") == (-32124).to_bytes(2, "little", signed=True)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("PCMU/8000", PCMU), ("pcma/8000", PCMA), ("PCMA/8000/1", PCMA), ("opus/48000/2", None),
     ("PCMU/16000", None), ("", None)],
)  # fmt: skip
def test_codecs_by_name(name: str, codec: Codec | None) -> None:
    assert codec_named(name) is codec


def test_tones() -> None:
    mixed = tone(1.0, 440.0, 480.0)
    assert len(mixed) == 16_000
    assert dominant(tone(1.0, 440.0)) == 440.0
    assert dominant(SILENCE) == dominant(b"") == 0.0
    assert share_of(tone(1.0, 600.0), 600.0) == 1.0
    assert share_of(tone(1.0, 600.0), 700.0) == 0.0
    assert share_of(b"", 600.0) == 0.0
    assert len(ringback()) == 2 * 8000 * 6
    assert level(ringback()[32_000:]) == -120.0
    assert level(mixed[:-1]) < 0  # half a sample at the end does no harm
