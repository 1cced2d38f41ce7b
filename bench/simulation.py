"""A city of nodes as queues: what it carries, and what is busy first, by discrete events.

Work is done by stations, each a number of processors that serve in the order of arrival. A call is
work at the edge, at one or two homes and at an engine, then sound for as long as it lasts, then
work once more. `bench/rows/cluster.py` holds it against measured runs of one node and of two;
`python -m bench.simulation` writes the table of docs/capacity.md.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

Then = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """CPU time, as measured: of each call in ms, of sound in ms a call-second."""

    edge: float
    node: float
    engine: float
    sound: float
    register: float = 1.15
    "At the home of a phone that registers again …"
    register_edge: float = 0.86
    "… at the edge …"
    register_copy: float = 0.13
    "… and at every other node."
    chat: float = 25.0
    "At the leader's helpers, for one message that is understood."
    apart: float = 0.9
    "What a call between two homes costs the second of them, of what it costs the first."


@dataclass(frozen=True, kw_only=True)
class City:
    """How many of each, and what one may use of its processors."""

    nodes: int = 1
    share: float = 1.0
    "Of one core: a node's event loop has no use for a second."
    edges: float = 4
    engines: float = 2
    helpers: float = 1


@dataclass(frozen=True, kw_only=True)
class Load:
    """What people do, a second."""

    calls: float
    apart: float = 0.0
    "Share of calls between two homes."
    seconds: float = 0.2
    "The mean length of a call."
    registers: float = 0.0
    chats: float = 0.0
    regular: bool = False
    "Whether calls come at even intervals, as from a generator."


@dataclass(kw_only=True)
class Station:
    """Processors with one queue."""

    processors: int
    speed: float = 1.0
    queue: deque[tuple[float, Then]] = field(default_factory=deque)
    free: int = 0
    busy: float = 0.0
    "Processor-seconds so far."
    steady: float = 0.0
    "Processors that sound takes just now."

    def __post_init__(self) -> None:
        self.free = self.processors


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it. Times in ms; how busy each kind of station was, of what it has."""

    setup_mean: float
    setup_p99: float
    busy: dict[str, float]
    calls: int


class Simulation:
    """One run."""

    def __init__(self, city: City, costs: Costs, load: Load, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._city, self._costs, self._load = city, costs, load
        self._now = 0.0
        self._events: list[tuple[float, int, Then]] = []
        self._order = 0
        whole = max(1, round(city.edges))
        self._edge = Station(processors=whole, speed=city.edges / whole)
        engines = max(1, round(city.engines))
        self._engine = Station(processors=engines, speed=city.engines / engines)
        self._helpers = Station(processors=max(1, round(city.helpers)))
        self._nodes = [Station(processors=1, speed=city.share) for _ in range(city.nodes)]
        self._setups: list[float] = []

    def run(self, seconds: float) -> Outcome:
        """So long of it; the first tenth is not looked at."""
        self._at(self._gap(self._load.calls), self._call)
        if self._load.registers:
            self._at(self._gap(self._load.registers), self._register)
        if self._load.chats:
            self._at(self._gap(self._load.chats), self._chat)
        while self._events and self._events[0][0] < seconds:
            self._now, _, then = heapq.heappop(self._events)
            then()
        seen = self._setups[len(self._setups) // 10 :]
        kinds = {
            "edge": [self._edge], "nodes": self._nodes,
            "engines": [self._engine], "helpers": [self._helpers],
        }  # fmt: skip
        busy = {
            kind: sum(one.busy for one in stations)
            / (seconds * sum(one.processors for one in stations))
            for kind, stations in kinds.items()
        }
        return Outcome(
            setup_mean=1000 * statistics.mean(seen) if seen else float("inf"),
            setup_p99=1000 * sorted(seen)[int(0.99 * len(seen))] if seen else float("inf"),
            busy=busy,
            calls=len(self._setups),
        )

    # ── what people do ──────────────────────────────────────────────────────────────────
    def _call(self) -> None:
        rate = self._load.calls
        self._at(1 / rate if self._load.regular else self._gap(rate), self._call)
        begun, costs = self._now, self._costs
        homes = [self._random.choice(self._nodes)]
        if self._random.random() < self._load.apart and len(self._nodes) > 1:
            homes.append(self._random.choice([one for one in self._nodes if one is not homes[0]]))
        # Two thirds of a call's work come before its answer; the rest is its end.
        before = [(self._edge, costs.edge), (homes[0], costs.node), (self._engine, costs.engine)]
        before += [(one, costs.node * costs.apart) for one in homes[1:]]
        lasts = self._random.expovariate(1 / self._load.seconds)

        def answered() -> None:
            self._setups.append(self._now - begun)
            self._sound(costs.sound / 1000)
            self._at(lasts, over)

        def over() -> None:
            self._sound(-costs.sound / 1000)
            self._through([(station, ms / 3) for station, ms in before], lambda: None)

        self._through([(station, 2 * ms / 3) for station, ms in before], answered)

    def _register(self) -> None:
        self._at(self._gap(self._load.registers), self._register)
        home, costs = self._random.choice(self._nodes), self._costs
        self._through([(self._edge, costs.register_edge), (home, costs.register)], lambda: None)
        for one in self._nodes:
            if one is not home:
                self._through([(one, costs.register_copy)], lambda: None)

    def _chat(self) -> None:
        self._at(self._gap(self._load.chats), self._chat)
        self._through([(self._helpers, self._costs.chat)], lambda: None)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _gap(self, rate: float) -> float:
        return self._random.expovariate(rate)

    def _at(self, seconds: float, then: Then) -> None:
        self._order += 1
        heapq.heappush(self._events, (self._now + seconds, self._order, then))

    def _sound(self, processors: float) -> None:
        """Sound begins or ends: it comes before all other work of the engines."""
        engine = self._engine
        engine.steady += processors
        if processors < 0:
            self._serve(engine)

    def _through(self, work: Sequence[tuple[Station, float]], then: Then) -> None:
        """Have stations do their parts in ms, one after the other."""
        if not work:
            then()
            return
        (station, ms), *rest = work
        station.queue.append((ms / 1000, lambda: self._through(rest, then)))
        self._serve(station)

    def _serve(self, station: Station) -> None:
        while station.queue and station.free:
            left = 1 - station.steady / (station.processors * station.speed)
            if left <= 0.02:  # sound has all of it: set-up waits
                return
            seconds, then = station.queue.popleft()
            station.free -= 1
            lasts = self._random.uniform(0.5, 1.5) * seconds / (station.speed * left)
            station.busy += lasts

            def done(then: Then = then) -> None:
                station.free += 1
                self._serve(station)
                then()

            self._at(lasts, done)


def most(city: City, costs: Costs, load: Load, *, setup_ms: float, seconds: float = 60) -> float:
    """The highest rate of calls at which the mean time to the answer stays below that."""
    low, high = 0.0, 1.0
    while _holds(city, costs, replace(load, calls=high), setup_ms, seconds) and high < 1e5:
        low, high = high, high * 2
    for _ in range(8):
        middle = (low + high) / 2
        if _holds(city, costs, replace(load, calls=middle), setup_ms, seconds):
            low = middle
        else:
            high = middle
    return low


def _holds(city: City, costs: Costs, load: Load, setup_ms: float, seconds: float) -> bool:
    wanted = min(seconds, max(4.0, 20_000 / load.calls))
    return Simulation(city, costs, load).run(wanted).setup_mean < setup_ms


# ── how many of each for how many people ────────────────────────────────────────────────────
MEASURED = Costs(edge=2.0, node=14.0, engine=2.5, sound=3.8)
"""`python -m bench --only cluster` on two cores of a virtual machine; rtpengine without its kernel
module, and each call's sound twice through it."""
CALLS_IN_BUSY_HOUR = 0.45
"Three calls a day, 15 % of them in the busiest hour."
CALL_SECONDS = 150.0
INTERNAL = 0.4
"Share of calls between people of the exchange; the others lead outside and have one home."
PHONES, REGISTERED_EVERY = 1.3, 600.0
CHATS_IN_BUSY_HOUR = 0.15
SETUP_MS = 150.0
MOST_BUSY = 0.6
CORE_MONTH, GIGABYTE = 8.0, 0.02
"US dollars: a core with 2 GB of memory, and traffic."


def day_of(people: int, nodes: int) -> Load:
    """The busiest hour of so many."""
    return Load(
        calls=people * CALLS_IN_BUSY_HOUR / 3600,
        apart=INTERNAL * (1 - 1 / nodes),
        seconds=CALL_SECONDS,
        registers=people * PHONES / REGISTERED_EVERY,
        chats=people * CHATS_IN_BUSY_HOUR / 3600,
    )


def city_for(people: int, costs: Costs = MEASURED) -> tuple[City, Outcome]:
    """The smallest city that has none of its parts busy for more than `MOST_BUSY`."""
    city = City(nodes=1, edges=1, engines=1)
    while True:
        load = day_of(people, city.nodes)
        # Sound of calls that are on when one begins to look: a run is shorter than a call.
        sound = load.calls * load.seconds * costs.sound / 1000
        busy = Simulation(
            replace(city, engines=max(0.1, city.engines - sound)),
            replace(costs, sound=0.0), load,
        ).run(min(60.0, 20 + 4000 / load.calls))  # fmt: skip
        engines = (sound + load.calls * costs.engine / 1000) / city.engines
        grown = replace(
            city,
            nodes=city.nodes + (busy.busy["nodes"] > MOST_BUSY or busy.setup_p99 > SETUP_MS),
            edges=city.edges + (busy.busy["edge"] > MOST_BUSY),
            engines=city.engines if engines <= MOST_BUSY else int(sound / MOST_BUSY) + 1,
            helpers=city.helpers + (busy.busy["helpers"] > MOST_BUSY),
        )
        if grown == city:
            return city, replace(busy, busy={**busy.busy, "engines": engines})
        city = grown


def main() -> None:
    """The table of docs/capacity.md."""
    heads = ("people", "calls a second", "at once", "nodes", "edges", "engines", "helpers",
             "first busy", "answer p99", "cores a person", "a month")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for people in (1_000, 10_000, 100_000, 300_000, 1_000_000):
        city, outcome = city_for(people)
        load = day_of(people, city.nodes)
        cores = city.nodes + city.edges + city.engines + city.helpers
        first = max(outcome.busy, key=lambda kind: outcome.busy[kind])
        traffic = 3 * 30 * CALL_SECONDS * 2 * 2 * 50 * 214 / 1e9
        dollars = cores * CORE_MONTH / people + traffic * GIGABYTE
        print(
            f"| {people:,} | {load.calls:.1f} | {load.calls * CALL_SECONDS:,.0f} | {city.nodes} "
            f"| {city.edges:.0f} | {city.engines:.0f} | {city.helpers:.0f} "
            f"| {first}, {outcome.busy[first]:.0%} | {outcome.setup_p99:.0f} ms "
            f"| {cores / people:.5f} | ${dollars:.4f} |"
        )


if __name__ == "__main__":
    main()
