"""Loss, jitter, round trip and the opinion of them, against the RFC's own words."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.quality import Quality, Reception, RoundTrips, opinion
from pbx.media.rtcp import ReportBlock
from pbx.media.rtp import RtpPacket


def packet(sequence: int, *, ssrc: int = 1, rtp_time: int | None = None) -> bytes:
    stamp = (sequence * 160 if rtp_time is None else rtp_time) & 0xFFFFFFFF
    return RtpPacket(
        payload_type=0, sequence=sequence & 0xFFFF, timestamp=stamp, ssrc=ssrc, payload=b""
    ).encode()


class Stream:
    """Packets into a reception, each seen."""

    def __init__(self) -> None:
        self.reception = Reception()
        self.received = 0

    def feed(self, *numbers: int, ssrc: int = 1) -> Stream:
        for number in numbers:
            self.received += 1
            self.reception.measure(packet(number, ssrc=ssrc), self.received, number * 0.02)
        return self


# ── loss ────────────────────────────────────────────────────────────────────────────────────
def test_losses_are_counted_over_the_wrap() -> None:
    made = Stream().feed(65_530, 65_531, 65_534, 65_535, 65_536, 65_537, 65_540)
    assert made.reception.lost == 4
    assert made.reception.highest == 65_540


def test_disorder_and_repetition_are_no_loss() -> None:
    assert Stream().feed(10, 12, 11, 14, 13, 13, 13).reception.lost == 0


@given(st.integers(0, 65_535), st.sets(st.integers(1, 2_000), max_size=60))
def test_any_loss_is_counted(start: int, missing: set[int]) -> None:
    made = Stream().feed(*(start + n for n in range(2_002) if n not in missing))
    assert made.reception.lost == len(missing)


def test_a_new_source_is_no_loss_and_keeps_what_was_lost() -> None:
    made = Stream().feed(10, 12).feed(50_000, 50_001, ssrc=2)
    assert made.reception.lost == 1
    assert made.reception.ssrc == 2
    made.feed(20_000, 20_001, ssrc=2)  # the same, begun anew
    assert made.reception.lost == 1


def test_the_report_of_an_interval() -> None:
    """RFC 3550 A.3: the fraction is since the last report, the rest since the beginning."""
    made = Stream().feed(*range(100, 200))
    first = made.reception.block()
    assert first is not None
    assert (first.lost, first.fraction, first.highest) == (0, 0, 199)
    made.feed(*range(200, 300, 2))
    second = made.reception.block(last_sr=0xABCD, delay=1.5)
    assert second is not None
    assert (second.lost, second.fraction) == (49, 256 * 49 // 99)
    assert (second.last_sr, second.delay) == (0xABCD, 98_304)
    third = made.reception.block()
    assert third is not None
    assert (third.lost, third.fraction) == (49, 0)


def test_no_report_before_the_first_packet() -> None:
    assert Reception().block() is None


# ── jitter ──────────────────────────────────────────────────────────────────────────────────
def rfc_jitter(arrivals: list[float]) -> float:
    """RFC 3550 A.8 as it is printed, in seconds, for packets of 20 ms."""
    jitter, transit = 0.0, arrivals[0]
    for number, arrived in enumerate(arrivals[1:], 1):
        now = arrived - number * 0.02
        jitter += (abs(now - transit) - jitter) / 16
        transit = now
    return jitter


def test_jitter_of_every_packet_is_the_rfcs() -> None:
    chance = random.Random(7)
    arrivals = [n * 0.02 + chance.uniform(0, 0.012) for n in range(500)]
    made = Reception()
    for number, arrived in enumerate(arrivals):
        made.measure(packet(number), number + 1, arrived)
    assert made.jitter == pytest.approx(rfc_jitter(arrivals), rel=1e-6)


def test_a_stream_without_jitter_has_none_over_the_wrap_of_its_clock() -> None:
    made = Reception()
    for n in range(50):
        made.measure(packet(n, rtp_time=2**32 - 1600 + n * 160), n + 1, 5.0 + n * 0.02)
    assert made.jitter < 1e-9


def test_a_long_silence_is_no_jitter() -> None:
    made = Reception()
    made.measure(packet(1, rtp_time=160), 1, 0.0)
    made.measure(packet(2, rtp_time=320), 2, 60.0)
    assert made.jitter == 0.0


# ── round trip ──────────────────────────────────────────────────────────────────────────────
def about(sender_time: int, delay: float) -> ReportBlock:
    return ReportBlock(ssrc=1, lost=0, jitter=0, last_sr=sender_time, delay=int(delay * 65_536))


def test_the_round_trip_is_the_rfcs_example() -> None:
    """RFC 3550 §6.4.1, figure 2."""
    trips = RoundTrips()
    trips.sent(0xB7052000, 46_853.125)
    trips.reported(about(0xB7052000, 5.25), 46_864.5)
    assert trips.latest == pytest.approx(6.125, abs=1e-4)


def test_reports_that_make_no_sense_are_ignored() -> None:
    trips = RoundTrips()
    trips.sent(77, 100.0)
    for block in (about(0, 0), about(78, 0), about(77, 60.0)):
        trips.reported(block, 100.5)
    assert trips.latest is None
    trips.reported(about(77, 0.4), 100.5)
    assert trips.latest == pytest.approx(0.1, abs=1e-4)


def test_only_the_last_few_reports_are_remembered() -> None:
    trips = RoundTrips()
    for number in range(1, 10_000):
        trips.sent(number, float(number))
    assert len(trips._sent) == 8


# ── opinion ─────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("codec", "loss", "jitter", "trip", "score"),
    [
        ("PCMU/8000", 0, 0, 0, 4.40),
        ("PCMU/8000", 0, 0, 0.3, 4.32),
        ("PCMU/8000", 0, 0, 0.8, 2.91),
        ("PCMU/8000", 0.05, 0, 0, 3.90),
        ("G729/8000", 0, 0, 0, 4.09),
        ("G729/8000", 0.05, 0, 0, 3.31),
        ("PCMU/8000", 1, 0, 2, 1.0),
    ],
)
def test_the_score_of_g107(
    codec: str, loss: float, jitter: float, trip: float, score: float
) -> None:
    assert opinion(codec, loss, jitter, trip) == pytest.approx(score, abs=0.02)


@given(
    st.sampled_from(["PCMU/8000", "G729/8000", "opus/48000/2", "", "x"]),
    st.floats(0, 1), st.floats(0, 5), st.floats(0, 10),
)  # fmt: skip
def test_worse_is_never_better(codec: str, loss: float, jitter: float, trip: float) -> None:
    score = opinion(codec, loss, jitter, trip)
    assert 1.0 <= score <= 4.5
    assert opinion(codec, min(1, loss + 0.01), jitter, trip) <= score + 1e-9
    assert opinion(codec, loss, jitter + 0.01, trip) <= score + 1e-9
    assert opinion(codec, loss, jitter, trip + 0.02) <= score + 1e-9


def test_the_worse_direction_counts() -> None:
    here = Quality(loss=0.05).mos("PCMU/8000")
    assert Quality(peer_loss=0.05).mos("PCMU/8000") == here
    assert Quality(loss=0.01, peer_loss=0.05).mos("PCMU/8000") == here
