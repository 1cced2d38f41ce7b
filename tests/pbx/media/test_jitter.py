"""The jitter buffer: numbers in any order in, sound in order out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pbx.media.codecs import FRAME_BYTES
from pbx.media.jitter import MAX_PACKETS, JitterBuffer


def sound(number: int) -> bytes:
    return bytes([number % 255 + 1]) * FRAME_BYTES


def played(buffer: JitterBuffer, count: int) -> list[int | None]:
    """What comes out: the number of each frame, 0 for concealed ones, None for nothing."""
    frames = [buffer.pop() for _ in range(count)]
    return [frame and frame[0] for frame in frames]


def filled(*numbers: int) -> JitterBuffer:
    buffer = JitterBuffer()
    for number in numbers:
        buffer.push(number, sound(number))
    return buffer


def test_nothing_is_played_before_it_is_deep_enough() -> None:
    assert played(filled(1, 2), 2) == [None, None]
    assert played(filled(1, 2, 3), 4) == [2, 3, 4, None]


def test_disorder_is_put_right() -> None:
    assert played(filled(3, 1, 2, 5, 4), 5) == [2, 3, 4, 5, 6]


def test_over_the_wrap_of_the_numbers() -> None:
    buffer = JitterBuffer()
    for number in [65_535, 0, 65_534, 1]:
        buffer.push(number, sound(number))
    assert played(buffer, 5) == [sound(n)[0] for n in (65_534, 65_535, 0, 1)] + [None]
    assert buffer.late == 0


def test_a_lost_packet_is_silence_in_its_place() -> None:
    buffer = filled(1, 2, 4)
    assert played(buffer, 5) == [2, 3, 0, 5, None]
    assert buffer.concealed == 1


def test_a_late_packet_is_dropped_and_counted() -> None:
    buffer = filled(1, 2, 4, 5)
    played(buffer, 3)
    buffer.push(3, sound(3))
    assert buffer.late == 1
    assert played(buffer, 2) == [5, 6]


def test_a_repeated_packet_counts_once() -> None:
    assert played(filled(1, 1, 2, 2, 3, 3), 4) == [2, 3, 4, None]


def test_after_running_dry_it_waits_for_depth_again() -> None:
    buffer = filled(1, 2, 3)
    played(buffer, 4)
    buffer.push(4, sound(4))
    assert played(buffer, 1) == [None]
    buffer.push(5, sound(5))
    buffer.push(6, sound(6))
    assert played(buffer, 3) == [5, 6, 7]


def test_a_long_gap_is_not_waited_out() -> None:
    buffer = filled(1, 2, 3)
    played(buffer, 1)
    far = 3 + MAX_PACKETS + 10
    buffer.push(far, sound(far))
    assert played(buffer, 1) == [sound(far)[0]]


def test_other_packet_lengths_are_cut_into_frames() -> None:
    buffer = JitterBuffer()
    for number in range(3):
        buffer.push(number, sound(number) * 3)  # 60 ms a packet
    assert played(buffer, 10) == [1, 1, 1, 2, 2, 2, 3, 3, 3, None]
    short = JitterBuffer()
    for number in range(4):
        short.push(number, bytes(FRAME_BYTES // 2))
    assert played(short, 3) == [0, 0, None]


@given(st.lists(st.one_of(st.none(), st.integers(0, 65_535)), max_size=300))
def test_whatever_comes_it_stays_small_and_gives_whole_frames(events: list[int | None]) -> None:
    buffer = JitterBuffer()
    for event in events:
        if event is None:
            frame = buffer.pop()
            assert frame is None or len(frame) == FRAME_BYTES
        else:
            buffer.push(event, sound(event))
        assert len(buffer._packets) <= MAX_PACKETS
        assert len(buffer._pcm) < FRAME_BYTES


@given(st.integers(0, 65_535), st.permutations(range(5)))
def test_any_order_of_a_few_packets(start: int, order: list[int]) -> None:
    buffer = JitterBuffer(depth=5)
    for offset in order:
        buffer.push((start + offset) & 0xFFFF, sound(offset))
    assert played(buffer, 6) == [1, 2, 3, 4, 5, None]
