"""The bench itself: its generator notices what went wrong, its goals mean what they say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.process import Unavailable
from bench.report import MARKERS, Row, write_report
from bench.server import CALLEE_HOST, CALLER_HOST, Media
from bench.sip import Address
from bench.traffic import Traffic, generator, limit

WHERE = dict.fromkeys(("date", "cpus", "processor", "kernel", "python", "revision", "load"), "")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


class _Nobody:
    def cpu(self) -> float:
        return 0.0

    def memory(self) -> int:
        return 0


def _loop(stack: ExitStack, folder: Path, media: Media, order: tuple[int, ...]) -> Traffic:
    """Two calls whose legs send straight to each other, leg n to leg order[n]."""
    try:
        pump = stack.enter_context(generator(2, media, folder, None))
    except Unavailable as reason:
        pytest.skip(str(reason))
    ports: list[int] = pump.json_line(10)["ports"]
    hosts = (CALLER_HOST, CALLEE_HOST)
    places: list[Address] = [(hosts[index % 2], port) for index, port in enumerate(ports)]
    traffic = Traffic("loop", _Nobody(), pump, ports)
    keys = [bytes([7] * 30)] * 8 if media.srtp else []
    traffic.aim([places[index] for index in order], keys)
    traffic.grow(2)
    return traffic


@pytest.mark.parametrize("srtp", [False, True])
def test_every_packet_that_arrives_is_counted_once(
    stack: ExitStack, tmp_path: Path, srtp: bool
) -> None:
    sample = _loop(stack, tmp_path, Media(srtp=srtp), (1, 0, 3, 2)).run(0.4)
    assert sample.sent == sample.received == 80
    assert (sample.strays, sample.changed, sample.foreign) == (0, 0, 0)


def test_a_packet_at_the_wrong_leg_is_noticed(stack: ExitStack, tmp_path: Path) -> None:
    sample = _loop(stack, tmp_path, Media(), (3, 2, 1, 0)).run(0.4)
    assert sample.received == 0
    assert sample.strays == sample.sent == 80


def test_a_packet_from_elsewhere_is_noticed(stack: ExitStack, tmp_path: Path) -> None:
    sample = _loop(stack, tmp_path, Media(), (1, 2, 3, 0)).run(0.4)
    assert sample.foreign == sample.sent


def test_a_packet_of_the_wrong_codec_is_noticed(stack: ExitStack, tmp_path: Path) -> None:
    sample = _loop(stack, tmp_path, Media(types=(0, 8)), (1, 0, 3, 2)).run(0.4)
    assert sample.received == 0
    assert sample.strays == sample.sent


@pytest.mark.parametrize("srtp", [False, True])
def test_the_relay_it_is_held_against_loses_nothing(tmp_path: Path, srtp: bool) -> None:
    try:
        with limit(tmp_path, 3, srtp=srtp) as traffic:
            traffic.run(0.2)  # until it has learnt both addresses it has nowhere to send to
            sample = traffic.run(0.4)
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert sample.sent == sample.received == 120
    assert (sample.strays, sample.changed, sample.foreign) == (0, 0, 0)
    assert 0 < sample.delay_p50_us <= sample.delay_p99_us < 200_000


def test_a_goal_is_a_most_or_a_least() -> None:
    row = Row("a", "a", "ms")
    assert row.met is None
    row.against(3.0, 4.0)
    assert row.met is True
    row.against(5.0, 4.0)
    assert row.met is False
    row.against(5.0, 4.0, at_least=True)
    assert row.met is True
    row.failed = "calls failed"
    assert row.met is False


def test_the_report_replaces_only_its_own_part(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKERS[0]}\nold\n{MARKERS[1]}\nafter\n")
    row = Row("a", "something", "ms")
    row.against(1.0, 2.0)
    for _ in range(2):
        write_report(page, [row], quick=False, where=WHERE)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{MARKERS[1]}\nafter\n")
    assert text.count("| something | ms | 1 | 2 limit | **0.50** | ≤ 1 | yes |") == 1
    assert "old" not in text
