"""Limits an address: the bucket, the failures, the ban, and whom it never catches."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.guard import FAILURE_WINDOW, MAX_HOSTS, Guard
from tests.pbx.virtual_time import passing, run, virtual

HOST = "203.0.113.66"


class Door:
    def __init__(self, rate: float = 10.0) -> None:
        self.known: set[str] = set()
        self.bans: list[tuple[str, float, str]] = []
        self.guard = Guard(
            requests_per_second=rate,
            failures=3,
            ban_seconds=300.0,
            is_known=lambda host: host in self.known,
            on_ban=lambda *ban: self.bans.append(ban),
        )

    def admitted(self, count: int, host: str = HOST) -> int:
        return sum(self.guard.admits(host) for _ in range(count))

    def fails(self, count: int, host: str = HOST) -> None:
        for _ in range(count):
            self.guard.failed(host, "101", "wrong passwords")


@virtual
async def test_a_burst_and_then_the_rate() -> None:
    door = Door()
    assert door.admitted(100) == 20
    assert door.guard.dropped == 80
    await passing(1)
    assert door.admitted(100) == 10
    await passing(3_600)
    assert door.admitted(100) == 20  # it does not add up


@virtual
async def test_addresses_do_not_share() -> None:
    door = Door()
    door.admitted(100)
    assert door.admitted(20, "203.0.113.67") == 20


@virtual
async def test_failures_ban_for_a_while() -> None:
    door = Door()
    door.fails(2)
    assert not door.guard.is_banned(HOST)
    door.fails(1)
    assert door.bans == [(HOST, 300.0, "wrong passwords")]
    assert door.guard.is_banned(HOST)
    assert door.admitted(5) == 0
    door.fails(10)
    assert len(door.bans) == 1  # told once
    await passing(299)
    assert door.admitted(1) == 0
    await passing(2)
    assert not door.guard.is_banned(HOST)
    assert door.admitted(1) == 1


@virtual
async def test_slow_failures_are_somebody_mistyping() -> None:
    door = Door()
    for _ in range(10):
        door.fails(2)
        await passing(FAILURE_WINDOW + 1)
    assert door.bans == []


@virtual
async def test_an_address_with_a_live_registration_is_never_caught() -> None:
    door = Door()
    door.known.add(HOST)
    door.fails(100)
    assert door.admitted(1_000) == 1_000
    assert door.bans == []
    assert not door.guard.is_banned(HOST)


@virtual
async def test_registering_lifts_a_ban() -> None:
    door = Door()
    door.fails(3)
    door.known.add(HOST)
    assert not door.guard.is_banned(HOST)
    assert door.admitted(1) == 1


@virtual
async def test_a_flood_from_everywhere_costs_bounded_memory() -> None:
    door = Door()
    for number in range(MAX_HOSTS + 500):
        door.guard.admits(str(number))
    assert len(door.guard._hosts) == MAX_HOSTS


@given(st.lists(st.floats(0, 2), max_size=60), st.floats(1, 50))
@settings(deadline=None)
def test_never_more_than_the_burst_and_the_rate(pauses: list[float], rate: float) -> None:
    async def course() -> None:
        door = Door(rate)
        admitted = 0
        for pause in pauses:
            await passing(pause)
            admitted += door.admitted(7)
        assert admitted <= 2 * rate + sum(pauses) * rate + 1e-6

    run(course())


def test_an_address_never_seen_is_not_banned() -> None:
    async def course() -> bool:
        return Door().guard.is_banned("198.51.100.1")

    assert run(course()) is False


@pytest.mark.parametrize("count", [3, 30])
@virtual
async def test_the_ban_counts_from_the_failure_that_caused_it(count: int) -> None:
    door = Door()
    door.fails(count)
    await passing(301)
    door.fails(2)
    assert len(door.bans) == 1
