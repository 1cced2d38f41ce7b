"""The codecs, their state, and what they do with anything at all."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.media.codecs import CODECS, G722, OPUS, PCMA, PCMU, Codec, codec_named
from pbx.media.opus import MAX_PAYLOAD
from pbx.media.tones import dominant, level, ringback, share_of, tone
from tests.pbx.media.streams import SILENCE, decibels, packets, pitch, samples, sine

EACH = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
RATES = pytest.mark.parametrize("rate", [8000, 16_000])
MOST_PCM = 2 * 16 * 190
"Bytes: 190 ms at 16 kHz, which a G.711 packet of 1 500 octets is."


def through(codec: Codec, pcm: bytes, *, into: int = 8000, out: int = 8000, ms: int = 20) -> bytes:
    decoder = codec.decoder(out)
    return b"".join(
        decoder.decode(packet.payload) for packet in packets(pcm, codec, rate=into, ms=ms)
    )


@EACH
@RATES
def test_a_tone_keeps_its_length_pitch_and_level(codec: Codec, rate: int) -> None:
    for ms in codec.packet_ms:
        given_ = sine(1.2, 1000.0, rate)
        got = through(codec, given_, into=rate, out=rate, ms=ms)
        assert len(got) == 2 * rate * ms // 1000 * (1200 // ms)
        body = got[2 * rate // 5 :]
        assert abs(pitch(body, rate) - 1000) < 1
        assert abs(decibels(body) - decibels(given_)) < 0.7, ms


@pytest.mark.parametrize(("one", "two"), [(G722, OPUS), (OPUS, G722), (OPUS, OPUS)])
def test_wideband_codecs_keep_what_is_above_4_khz(one: Codec, two: Codec) -> None:
    first = through(one, sine(1.0, 6000.0, 16_000), into=16_000, out=16_000)
    second = through(two, first, into=16_000, out=16_000)
    body = second[12_000:]
    assert abs(pitch(body, 16_000) - 6000) < 3
    assert decibels(body) > decibels(sine(1.0, 6000.0, 16_000)) - 6


@pytest.mark.parametrize("codec", [G722, OPUS])
def test_what_is_above_4_khz_does_not_fold_back_into_narrowband(codec: Codec) -> None:
    """6 kHz would come out as 2 kHz."""
    got = through(codec, sine(1.0, 6000.0, 16_000), into=16_000, out=8000)
    assert decibels(got[4000:]) < decibels(sine(1.0, 6000.0, 16_000)) - 40


def test_sizes_on_the_wire() -> None:
    for codec in (PCMU, PCMA, G722):
        assert len(codec.encoder(8000, 20)(SILENCE)) == 160  # G.722 too: 64 kbit/s
    sizes = [len(packet.payload) for packet in packets(sine(2.0, 300.0), OPUS)]
    assert 20 < sum(sizes) / len(sizes) < 90


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_silence_stays_silence(codec: Codec) -> None:
    assert level(through(codec, SILENCE)) < -70


def test_each_stream_has_its_own_state() -> None:
    """Two G.722 streams decoded in turn do not disturb each other."""
    one, two = (sine(0.4, hertz, 16_000) for hertz in (500.0, 3000.0))
    first, second = G722.decoder(16_000), G722.decoder(16_000)
    mixed = b""
    for a, b in zip(packets(one, G722, rate=16_000), packets(two, G722, rate=16_000), strict=True):
        mixed += first.decode(a.payload)
        second.decode(b.payload)
    assert mixed == through(G722, one, into=16_000, out=16_000)


def test_opus_makes_up_for_a_loss_by_itself() -> None:
    decoder = OPUS.decoder(8000)
    assert decoder.conceal() == b""  # of a stream that never was
    stream = list(packets(sine(1.0, 400.0), OPUS))
    sound = b""
    for number, packet in enumerate(stream):
        sound += decoder.conceal() if number % 20 == 13 else decoder.decode(packet.payload)
    assert len(sound) == len(sine(1.0, 400.0))
    made_up = sound[33 * 320 : 34 * 320]
    assert decibels(made_up) > decibels(sine(1.0, 400.0)) - 3
    assert PCMU.decoder(8000).conceal() == b""


@given(data=st.binary(max_size=1500))
@settings(max_examples=150, deadline=None)
def test_any_payload_gives_bounded_sound_and_no_error(data: bytes) -> None:
    for codec in CODECS:
        for rate in (8000, 16_000):
            decoder = codec.decoder(rate)
            got = decoder.decode(data)
            assert len(got) <= MOST_PCM
            assert len(got) % 2 == 0
            assert len(decoder.conceal()) <= MOST_PCM


@given(payloads=st.lists(st.binary(max_size=80), max_size=8))
@settings(max_examples=100, deadline=None)
def test_opus_goes_on_after_garbage(payloads: list[bytes]) -> None:
    decoder = OPUS.decoder(8000)
    for payload in payloads:
        decoder.decode(payload)
        decoder.conceal()
    good = [decoder.decode(packet.payload) for packet in packets(sine(0.2, 500.0), OPUS)]
    assert [len(one) for one in good] == [320] * 10
    assert decibels(good[-1]) > -25


@EACH
def test_no_packet_holds_the_loop(codec: Codec) -> None:
    """Each under 2 ms of CPU but for a few that something else disturbs; 5 ms is the limit."""
    encode, decoder = codec.encoder(16_000, 20), codec.decoder(16_000)
    noise = np.random.default_rng(1).normal(0, 5000, 320 * 200).astype("<i2").tobytes()
    spent = []
    for at in range(0, len(noise), 640):
        begun = time.thread_time()
        decoder.decode(encode(noise[at : at + 640]))
        spent.append(time.thread_time() - begun)
    assert sorted(spent)[int(0.97 * len(spent))] < 0.002


def test_opus_takes_no_empty_and_no_oversized_payload() -> None:
    decoder = OPUS.decoder(8000)
    assert decoder.decode(b"") == b""
    assert decoder.decode(bytes(MAX_PAYLOAD + 1)) == b""


@given(st.binary(max_size=400))
def test_g711_loses_nothing_twice(data: bytes) -> None:
    for codec in (PCMU, PCMA):
        decode, encode = codec.decoder(8000).decode, codec.encoder(8000, 20)
        assert decode(encode(decode(data))) == decode(data)


def test_the_known_ends_of_the_scales() -> None:
    assert PCMU.encoder(8000, 20)(SILENCE[:2]) == b"\xff"
    assert PCMA.encoder(8000, 20)(SILENCE[:2]) == b"\xd5"
    assert PCMU.decoder(8000).decode(b"\x00") == (-32124).to_bytes(2, "little", signed=True)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("PCMU/8000", PCMU), ("pcma/8000", PCMA), ("PCMA/8000/1", PCMA), ("opus/48000/2", OPUS),
     ("OPUS/48000/2", OPUS), ("G722/8000", G722), ("G722/16000", None), ("PCMU/16000", None),
     ("", None)],
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
    assert np.max(np.abs(samples(mixed))) < 32_767
