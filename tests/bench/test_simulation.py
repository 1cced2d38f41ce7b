"""The model of a city, held against what theory says of simple ones."""

from __future__ import annotations

import pytest

from bench.simulation import City, Costs, Load, Simulation, most

COSTS = Costs(edge=0.0, node=15.0, engine=0.0, sound=0.0)


def test_one_station_is_as_busy_as_its_work_and_waits_as_theory_says() -> None:
    """Uniform work of 5 to 15 ms for the set-up, 2.5 to 7.5 ms for the end (M/G/1, Pollaczek and
    Khinchine): the mean wait is rate × E[s²] / 2 (1 - busy)."""
    rate = 40.0
    load = Load(calls=rate, seconds=50.0)
    found = Simulation(City(), COSTS, load).run(400.0)
    first, second = 0.010, 0.005
    squares = sum(mean**2 * (1 + 1 / 12) for mean in (first, second))
    busy = rate * (first + second)
    wait = rate * squares / (2 * (1 - busy))
    assert found.busy["nodes"] == pytest.approx(busy, rel=0.06)
    assert found.setup_mean == pytest.approx(1000 * (first + wait), rel=0.12)


def test_two_nodes_hold_twice_as_much_and_calls_between_homes_cost_them() -> None:
    one, two = (
        most(City(nodes=nodes), COSTS, Load(calls=1), setup_ms=100.0, seconds=30)
        for nodes in (1, 2)
    )
    apart = most(City(nodes=2), COSTS, Load(calls=1, apart=1.0), setup_ms=100.0, seconds=30)
    assert 1.85 < two / one < 2.2
    assert apart < 0.7 * two


def test_sound_leaves_less_for_the_rest_of_an_engine() -> None:
    costs = Costs(edge=0, node=0.1, engine=5.0, sound=4.0)
    few, many = (
        Simulation(City(engines=1), costs, Load(calls=calls, seconds=20.0)).run(120.0)
        for calls in (2.0, 11.0)
    )
    assert few.setup_mean < 6
    assert many.setup_mean > 3 * few.setup_mean
