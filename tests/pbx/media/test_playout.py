"""The receiving half of the port path, over lines that lose, delay, pause and drift."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.media.codecs import CODECS, G722, OPUS, PCMA, PCMU, Codec
from pbx.media.playout import NOISE_TYPE, Playout
from pbx.media.rtp import RtpPacket
from tests.pbx.media.streams import (
    PEAK,
    Line,
    arrivals,
    decibels,
    heard,
    packets,
    pitch,
    samples,
    sine,
    whole,
)

EACH = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
KNOWN = {codec.payload_type: codec for codec in CODECS}
SECOND = 16_000
"Bytes of PCM."


def tone_between_silences(seconds: float, hertz: float = 440.0) -> bytes:
    return bytes(SECOND // 2) + sine(seconds, hertz) + bytes(SECOND // 2)


def loud(pcm: bytes) -> tuple[int, int]:
    """The first and the last sample of the tone, by half its level."""
    at = np.flatnonzero(np.abs(samples(pcm)) > PEAK / 2)
    return int(at[0]), int(at[-1])


# ── through a bad line ──────────────────────────────────────────────────────────────────
@EACH
def test_loss_and_jitter_change_neither_length_nor_pitch_nor_level(codec: Codec) -> None:
    """5 % lost and up to 40 ms late, 12 seconds, several times: ±20 ms, ±1 %, under 3 dB."""
    sound = tone_between_silences(12.0)
    stream = list(packets(sound, codec))
    clean = whole(heard(Playout(KNOWN), arrivals(stream, Line()), 700))
    for seed in range(4):
        line = Line(loss=0.05, jitter=0.040, seed=seed)
        playout = Playout(KNOWN)
        coming = arrivals(stream, line, spared=lambda n: n < 40 or n > len(stream) - 40)
        assert len(coming) < 0.97 * len(stream)
        got = whole(heard(playout, coming, 700, phase=0.002 + 0.004 * seed))
        first, last = loud(got)
        assert abs((last - first) / 8000 - 12.0) < 0.020
        tone = got[2 * first + 800 : 2 * last - 800]
        assert abs(pitch(tone) - 440) < 4.4
        assert abs(decibels(tone) - decibels(clean[2 * first + 800 : 2 * last - 800])) < 3
        if codec is PCMU:
            windows = [tone[at : at + SECOND // 10] for at in range(0, len(tone), SECOND // 10)]
            assert min(map(decibels, windows[:-1])) > decibels(sine(1, 440.0)) - 3
        assert playout.concealed > 15


def test_what_was_lost_is_made_up_of_what_was_before() -> None:
    """Where a packet is lost, a steady tone goes on with hardly a trace."""
    stream = list(packets(sine(2.0, 250.0)))
    coming = [(at, packet) for at, packet in arrivals(stream, Line()) if packet is not stream[50]]
    playout = Playout(KNOWN)
    got = whole(heard(playout, coming, 90))
    assert playout.concealed == 1
    assert decibels(got[49 * 320 : 52 * 320]) > decibels(sine(1, 250.0)) - 1
    steps = np.abs(np.diff(samples(got[320:-320])))
    assert steps.max() < 1.3 * np.abs(np.diff(samples(sine(1, 250.0)))).max()


def test_a_stream_that_ends_fades_away() -> None:
    got = whole(heard(Playout(KNOWN), arrivals(list(packets(sine(1.0, 440.0))), Line()), 100))
    assert decibels(got[SECOND + 320 * 6 : SECOND + 320 * 20]) < -90


@pytest.mark.parametrize("ms", [10, 20, 30, 40, 60])
def test_packets_of_any_length(ms: int) -> None:
    sound = tone_between_silences(2.0)
    for codec in (PCMU, G722, OPUS):
        if ms not in codec.packet_ms:
            continue
        stream = list(packets(sound, codec, ms=ms))
        got = whole(heard(Playout(KNOWN), arrivals(stream, Line(jitter=0.01), ms), 200))
        first, last = loud(got)
        assert abs((last - first) / 8000 - 2.0) < 0.005
        assert abs(pitch(got[2 * first : 2 * last]) - 440) < 1


# ── clocks ──────────────────────────────────────────────────────────────────────────────
def drifting(hours: float, line: Line) -> tuple[list[float], Playout, bytes]:
    """The delays, second by second, of a stream whose sender's clock is wrong."""
    payloads = [packet.payload for packet in packets(sine(1.0, 440.0))]
    chance = random.Random(line.seed)
    period = 0.02 * (1 - line.faster / 1e6)
    playout, delays, last = Playout(KNOWN), [], b""
    on_the_way: list[tuple[float, int]] = []
    sent = 0
    ticks = round(hours * 3600 * 50)
    for tick in range(ticks):
        while sent * period <= tick * 0.02:
            on_the_way.append((sent * period + chance.random() * line.jitter, sent))
            sent += 1
        on_the_way.sort()
        while on_the_way and on_the_way[0][0] <= tick * 0.02:
            number = on_the_way.pop(0)[1]
            playout.receive(
                RtpPacket(
                    payload_type=0,
                    sequence=number & 0xFFFF,
                    timestamp=number * 160 & 0xFFFFFFFF,
                    ssrc=1,
                    payload=payloads[number % 50],
                )
            )
        frame = playout.frame()
        if tick % 50 == 0:
            delays.append(playout.delay)
        if tick > ticks - 500:
            last += frame or b""
    return delays[5:], playout, last


def bounded(hours: float, faster: float, jitter: float) -> None:
    delays, playout, last = drifting(hours, Line(faster=faster, jitter=jitter))
    assert max(delays) <= 0.120
    assert max(delays[-100:]) - min(delays[:100]) < 0.1
    assert abs(pitch(last) - 440) < 1
    assert playout.concealed <= 200 * hours + 5


@pytest.mark.parametrize("faster", [200.0, -200.0])
@pytest.mark.parametrize("jitter", [0.0, 0.030])
def test_a_clock_that_is_wrong_is_made_up_for(faster: float, jitter: float) -> None:
    """200 parts of a million: 0.72 s an hour that must go nowhere."""
    bounded(0.25, faster, jitter)


@pytest.mark.parametrize("faster", [2000.0, -2000.0])
def test_even_one_that_is_very_wrong(faster: float) -> None:
    bounded(0.1, faster, 0.010)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("faster", [200.0, -200.0])
def test_a_clock_that_is_wrong_for_48_hours(faster: float) -> None:
    bounded(48, faster, 0.020)


# ── pauses, noise and other sources ─────────────────────────────────────────────────────
def noise_packet(like: RtpPacket, level: int) -> RtpPacket:
    return replace(like, payload_type=NOISE_TYPE, payload=bytes((level, 20, 30)))


@pytest.mark.parametrize("with_noise", [False, True])
def test_silence_that_is_not_sent_keeps_its_time(with_noise: bool) -> None:
    """A second of sound, two of nothing or comfort noise, a second of sound."""
    stream = list(packets(sine(1.0, 440.0) + bytes(2 * SECOND) + sine(1.0, 440.0)))
    stream = [replace(p, sequence=n) for n, p in enumerate(stream[:50] + stream[149:])]
    if with_noise:
        stream[50] = noise_packet(replace(stream[50], timestamp=stream[49].timestamp + 160), 50)
    else:
        del stream[50]
        stream = [replace(p, sequence=n) for n, p in enumerate(stream)]
    begun = stream[0].timestamp
    coming = [(((p.timestamp - begun) & 0xFFFFFFFF) / 8000, p) for p in stream]
    playout = Playout(KNOWN)
    got = samples(whole(heard(playout, coming, 200)))
    at = np.flatnonzero(np.abs(got) > PEAK / 2)
    gap = int(np.max(np.diff(at)))
    assert abs(gap / 8000 - 2.0) < (0.001 if with_noise else 0.040)  # sound fades, noise begins
    pause = got[12_000:20_000].astype("<i2").tobytes()
    if with_noise:
        assert playout.concealed == 0
        assert abs(decibels(pause) + 50) < 1
    else:
        assert decibels(pause) < -90


def test_comfort_noise_is_never_loud() -> None:
    stream = list(packets(sine(1.0, 440.0)))
    coming = [(n * 0.02, noise_packet(p, 0) if n > 5 else p) for n, p in enumerate(stream)]
    got = whole(heard(Playout(KNOWN), coming, 60))
    assert decibels(got[20 * 320 :]) < -28


def test_noise_before_any_sound_is_heard_too() -> None:
    stream = [noise_packet(p, 40) for p in packets(sine(1.0, 440.0))]
    got = whole(heard(Playout(KNOWN), [(n * 0.02, p) for n, p in enumerate(stream)], 60))
    assert -42 < decibels(got) < -38


def test_another_source_is_another_stream() -> None:
    one = list(packets(sine(1.0, 440.0)))
    two = [replace(p, ssrc=99) for p in packets(sine(1.0, 900.0), sequence=3, timestamp=5)]
    coming = [(n * 0.02, p) for n, p in enumerate(one + two)]
    got = whole(heard(Playout(KNOWN), coming, 110))
    assert abs(pitch(got[2000:14_000]) - 440) < 1
    assert abs(pitch(got[20_000:30_000]) - 900) < 1


def test_another_codec_in_the_middle_of_a_stream() -> None:
    """PCMU → Opus: another RTP clock under the same SSRC (RFC 7160)."""
    one, two = list(packets(sine(1.0, 440.0))), list(packets(sine(1.0, 440.0), OPUS))
    two = [replace(p, sequence=(p.sequence + 50) & 0xFFFF) for p in two]
    three = list(packets(sine(1.0, 440.0), PCMA, sequence=65_100, timestamp=77))
    got = whole(
        heard(Playout(KNOWN), [(n * 0.02, p) for n, p in enumerate(one + two + three)], 160)
    )
    windows = [got[at : at + 1600] for at in range(0, len(got) - 1600, 1600)]
    right = [abs(pitch(window) - 440) < 10 and decibels(window) > -20 for window in windows]
    assert sum(right) > 0.85 * len(right)


def test_keys_in_a_stream_are_silence_not_loss() -> None:
    stream = list(packets(sine(2.0, 440.0)))
    playout = Playout(KNOWN)
    frames: list[bytes | None] = []
    for number, packet in enumerate(stream):
        (playout.pass_over if 40 <= number < 52 else playout.receive)(packet)
        frames.append(playout.frame())
    assert playout.concealed <= 1
    assert decibels(whole(frames[46:52])) < -60
    assert decibels(whole(frames[60:90])) > -16


def test_a_wide_stream_stays_wide() -> None:
    stream = list(packets(sine(1.0, 6000.0, 16_000), G722, rate=16_000))
    got = whole(heard(Playout(KNOWN, 16_000), arrivals(stream, Line(jitter=0.02)), 60))
    assert abs(pitch(got[8000:24_000], 16_000) - 6000) < 2


# ── anything at all ─────────────────────────────────────────────────────────────────────
def _anything() -> st.SearchStrategy[list[RtpPacket | int]]:
    packet = st.builds(
        RtpPacket,
        payload_type=st.sampled_from([0, 8, 9, 13, 111, 96, 127]),
        sequence=st.one_of(st.integers(0, 30), st.integers(0, 65_535)),
        timestamp=st.one_of(st.integers(0, 5000), st.integers(0, 2**32 - 1)),
        ssrc=st.sampled_from([1, 1, 1, 1, 2]),
        payload=st.binary(max_size=400),
        marker=st.booleans(),
    )
    return st.lists(st.one_of(packet, st.integers(1, 30)), max_size=80)


@given(_anything(), st.sampled_from([8000, 16_000]))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_every_tick_gives_a_frame(events: list[RtpPacket | int], rate: int) -> None:
    playout = Playout(KNOWN, rate)
    begun = False
    for event in events:
        if isinstance(event, RtpPacket):
            playout.receive(event)
            continue
        for frame in _ticks(playout, event):
            begun = begun or frame is not None
            assert frame is None or len(frame) == 2 * rate // 50
            assert len(playout._pcm) < 2 * rate


def _ticks(playout: Playout, count: int) -> Iterator[bytes | None]:
    for _ in range(count):
        yield playout.frame()
