"""Media sockets read in batches: nothing is late, nothing is lost, nobody is starved."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import AsyncIterator, Callable

import pytest

from pbx.media import poller as module
from pbx.media.poller import MAX_TICK, MediaPoller


class Pipe:
    """A UDP socket with a reader, and the other end."""

    def __init__(self, poller: MediaPoller) -> None:
        self.poller = poller
        self.here, self.there = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in "ab")
        for end in (self.here, self.there):
            end.bind(("127.0.0.1", 0))
            end.setblocking(False)
        self.there.connect(self.here.getsockname())
        self.got: list[tuple[float, bytes]] = []
        self.also: Callable[[], None] = lambda: None
        poller.watch(self.here.fileno(), self.read)

    def read(self) -> None:
        try:
            data = self.here.recv(100)
        except OSError:
            return
        self.got.append((time.monotonic(), data))
        self.also()

    def close(self) -> None:
        self.poller.forget(self.here.fileno())
        self.here.close()
        self.there.close()


@pytest.fixture(params=["epoll", "loop"])
async def pipes(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Pipe]]:
    if request.param == "loop":
        monkeypatch.delattr(select, "epoll", raising=False)
    poller = MediaPoller(asyncio.get_running_loop())
    made = [Pipe(poller) for _ in range(80)]
    yield made
    for pipe in made:
        if pipe.here.fileno() >= 0:
            pipe.close()
    assert poller._epoll is None
    assert poller._timer is None


async def turns(until: Callable[[], bool]) -> bool:
    async with asyncio.timeout(5):
        for _ in range(10_000):
            if until():
                return True
            await asyncio.sleep(0.0005)
    return False


def all_got(pipes: list[Pipe], count: int) -> bool:
    return all(len(pipe.got) >= count for pipe in pipes)


async def test_every_packet_is_read_in_order(pipes: list[Pipe]) -> None:
    for number in range(5):
        for pipe in pipes:
            pipe.there.send(b"%d" % number)
    assert await turns(lambda: all_got(pipes, 5))
    for pipe in pipes:
        assert [data for _, data in pipe.got] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_reader_that_fails_or_closes_its_neighbour_harms_no_other(
    pipes: list[Pipe], caplog: pytest.LogCaptureFixture
) -> None:
    first, second, *others = pipes

    def fail() -> None:
        second.close()
        raise ZeroDivisionError

    first.also = fail
    if first.poller._epoll is None:  # the loop's own handler would say it
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    for pipe in pipes:
        pipe.there.send(b"x")
    assert await turns(lambda: all_got(others, 1))


async def test_dense_traffic_is_taken_in_batches_and_sparse_at_once() -> None:
    loop = asyncio.get_running_loop()
    poller = MediaPoller(loop)
    pipes = [Pipe(poller) for _ in range(20)]
    looks = 0
    drain = poller._drain

    def counted() -> bool:
        nonlocal looks
        looks += 1
        return drain()

    poller._drain = counted  # type: ignore[method-assign]
    sent = 0
    began = time.monotonic()
    while time.monotonic() - began < 0.5 or poller._timer is None:
        for _ in range(5):
            pipes[sent % 20].there.send(b"x")
            sent += 1
        await asyncio.sleep(0.0001)
        assert time.monotonic() - began < 5
    assert await turns(lambda: sum(len(pipe.got) for pipe in pipes) == sent)
    assert looks < sent / 2
    # now that it is quiet, the loop is left alone
    assert await turns(lambda: poller._timer is None)
    looks = 0
    await asyncio.sleep(5 * MAX_TICK)
    assert looks == 0
    pipes[0].got.clear()
    pipes[0].there.send(b"y")
    assert await turns(lambda: len(pipes[0].got) == 1)
    for pipe in pipes:
        pipe.close()


async def test_the_loop_gets_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that are slow and always have more do not hold it."""
    monkeypatch.setattr(module, "CHUNK", 4)
    poller = MediaPoller(asyncio.get_running_loop())
    pipes = [Pipe(poller) for _ in range(40)]
    for pipe in pipes:
        pipe.also = lambda: time.sleep(0.0005)
        for _ in range(5):
            pipe.there.send(b"x")
    gaps: list[float] = []
    last = time.monotonic()
    while not all_got(pipes, 5):
        await asyncio.sleep(0)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
    # 40 × 5 packets are 100 ms of work; at most MAX_WORK and a chunk of it at a time
    assert len([gap for gap in gaps if gap > 0.001]) >= 15
    for pipe in pipes:
        pipe.close()


async def test_one_poller_a_loop() -> None:
    assert MediaPoller.running() is MediaPoller.running()
