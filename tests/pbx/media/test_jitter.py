"""The jitter buffer: packets in any order in, each at its time out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pbx.media.jitter import (
    JUMPED_IN_A_ROW,
    LATE_IN_A_ROW,
    MAX_BUFFERED,
    MAX_PACKETS,
    Arrived,
    Hole,
    JitterBuffer,
)

FRAME = 160
DELAY = 3
"Frames that the first packet waits."


class Played:
    """A buffer, played a frame of 20 ms at a time as its user does."""

    def __init__(self, *numbers: int, base: int = 0) -> None:
        self.buffer = JitterBuffer(8000)
        self.base = base
        self.put(*numbers)

    def put(self, *numbers: int) -> None:
        """Packets of 20 ms by their number."""
        for number in numbers:
            self.raw(number, number * FRAME)

    def raw(self, sequence: int, timestamp: int) -> None:
        sequence, timestamp = (self.base + sequence) & 0xFFFF, timestamp + self.base * FRAME
        self.buffer.push(sequence, timestamp & 0xFFFFFFFF, 0, sequence.to_bytes(2, "big"))

    def frame(self) -> int | str:
        """The number of the packet played, or what there is in its place."""
        found = self.buffer.next()
        if isinstance(found, Arrived):
            self.buffer.filled(FRAME)
            return (int.from_bytes(found.payload, "big") - self.base) & 0xFFFF
        if isinstance(found, Hole):
            self.buffer.filled(min(FRAME, found.ticks))
            return "lost" if found.lost else "pause"
        self.buffer.owe(FRAME)
        return "dry"

    def frames(self, count: int) -> list[int | str]:
        return [self.frame() for _ in range(count)]


def started(*numbers: int) -> Played:
    """A buffer whose first wait is over."""
    made = Played(*numbers)
    assert made.frames(DELAY) == ["pause"] * DELAY
    return made


def test_the_first_packet_waits_a_little() -> None:
    assert started(1, 2).frames(3) == [1, 2, "dry"]


def test_disorder_is_put_right() -> None:
    made = Played(3, 1, 2, 5, 4)
    assert made.frames(8) == ["pause", 1, 2, 3, 4, 5, "dry", "dry"]


def test_over_the_wraps_of_both_numbers() -> None:
    made = Played(0, 1, 2, 3, 4, base=65_534)
    made.base = 65_534
    assert made.frames(8)[3:] == [0, 1, 2, 3, 4]
    high = Played(base=0)
    for number in range(4):
        high.raw(number, 2**32 - 320 + number * FRAME)
    assert high.frames(7)[3:] == [0, 1, 2, 3]


def test_a_lost_packet_leaves_its_time() -> None:
    assert started(1, 2, 4).frames(5) == [1, 2, "lost", 4, "dry"]


def test_a_pause_is_no_loss() -> None:
    """Discontinuous transmission: the timestamp jumps, the sequence goes on."""
    made = started(1)
    made.raw(2, 4 * FRAME)
    assert made.frames(4) == [1, "pause", "pause", 2]


def test_events_between_two_packets_are_no_loss() -> None:
    made = started(1)
    for number in (2, 3, 4):
        made.buffer.silent(number)
    made.raw(5, 3 * FRAME)
    assert made.frames(3) == [1, "pause", 5]
    made.raw(8, 5 * FRAME)
    assert made.frames(2) == ["lost", 8]


def test_a_late_packet_is_dropped_and_counted() -> None:
    made = started(1, 2, 4, 5)
    assert made.frames(4) == [1, 2, "lost", 4]
    made.put(3)
    assert made.buffer.late == 1
    assert made.frames(2) == [5, "dry"]


def test_a_repeated_packet_counts_once() -> None:
    assert started(1, 1, 2, 2, 3, 3).frames(4) == [1, 2, 3, "dry"]


def test_when_it_ran_dry_what_comes_late_is_played_later() -> None:
    made = started(1)
    assert made.frames(3) == [1, "dry", "dry"]
    made.put(2, 3)
    assert made.frames(2) == [2, 3]


def test_when_it_ran_dry_over_a_loss_time_is_kept() -> None:
    made = started(1)
    assert made.frames(2) == [1, "dry"]
    made.put(3, 4)
    assert made.frames(2) == [3, 4]  # 2 was what the dry frame stood for


def test_time_is_kept_over_a_long_pause() -> None:
    made = started(1)
    made.frames(101)
    made.raw(2, 105 * FRAME)  # three frames before its time
    assert made.frames(4) == ["pause", "pause", "pause", 2]


def test_after_a_pause_a_packet_that_comes_late_waits_again() -> None:
    made = started(1)
    made.frames(101)
    made.raw(2, 50 * FRAME)
    assert made.frames(4) == ["pause", "pause", "pause", 2]


def test_old_sound_is_skipped_after_a_stall() -> None:
    made = started(1)
    made.frames(40)
    made.put(*range(2, 42))
    assert made.buffer.delay <= MAX_BUFFERED
    assert made.buffer.skipped > 0
    first = next(frame for frame in made.frames(8) if isinstance(frame, int))
    assert 41 - MAX_BUFFERED * 50 <= first <= 41


def test_a_source_that_counts_from_somewhere_else() -> None:
    for timestamp in (10**6, 10**9, 10**9 * 4):
        made = started(*range(1, 10))
        made.frames(9)
        for number in range(10):
            made.raw(100 + number, timestamp + number * FRAME)
        played = made.frames(12)
        assert 100 + JUMPED_IN_A_ROW - 1 in played
        assert 109 in played


def test_a_source_whose_clock_fell_behind_is_heard_again() -> None:
    made = started(*range(1, 10))
    made.frames(9)
    for number in range(2 * LATE_IN_A_ROW):
        made.raw(10 + number, (number - 20) * FRAME)
    assert 9 + 2 * LATE_IN_A_ROW in made.frames(40)


def test_one_packet_of_nonsense_changes_nothing() -> None:
    made = started(1, 2, 3)
    made.raw(4, 10**9)
    made.put(4, 5)
    assert made.frames(5) == [1, 2, 3, 4, 5]


numbers = st.tuples(st.integers(0, 65_535), st.integers(0, 2**32 - 1))


@given(st.lists(st.one_of(st.none(), numbers), max_size=400))
def test_whatever_comes_it_stays_small_and_gives_something(
    events: list[tuple[int, int] | None],
) -> None:
    made = Played()
    for event in events:
        if event is None:
            made.frame()
        else:
            made.buffer.push(*event, 0, b"")
        assert len(made.buffer._packets) <= MAX_PACKETS
        assert made.buffer.delay <= MAX_BUFFERED + 0.2


@given(st.integers(0, 65_535), st.permutations(range(4)))
def test_any_order_of_the_first_packets(base: int, order: list[int]) -> None:
    made = Played(*order, base=base)
    assert [frame for frame in made.frames(8) if isinstance(frame, int)] == [0, 1, 2, 3]
