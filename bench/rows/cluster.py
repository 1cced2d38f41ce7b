"""Several nodes behind Kamailio, sound by rtpengine: what a call costs beside the embedded relay
and Asterisk, and how many more calls two nodes hold than one."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench import sipp
from bench.asterisk import Asterisk, installed
from bench.city import City, City1, number_of
from bench.exchange import SECRET
from bench.process import BenchError, awake
from bench.report import Row
from bench.rows import Options
from bench.rows.beside import CALL_SECOND, in_turn, per_call_second
from bench.rows.beside import row as compared
from bench.rows.calls import HOLD_MS, SETTLE, Sample
from bench.rows.calls import Load as Placed
from bench.server import CALLEE_HOST, Wiring
from bench.simulation import City as Model
from bench.simulation import Costs, Load, most
from bench.sip import Registration, bound_socket
from bench.traffic import Traffic, bridged

CALLS = 50
GOAL_TWICE = 1.8
SHARE = 0.25
"What each node may use of one core: the rest of the machine is for all that is beside them."
RATES = range(6, 200, 2)
"Calls a second at each node that are tried."
SECONDS = 10
TRIES = 2
"How often a rate is tried: something else may have run just then."
SETUP_MS = 150.0
"The mean time to the answer from which on calls are no longer held well."


def measure(options: Options) -> list[Row]:
    """Sound, set-up, registrations."""
    return [*_sound(options), *_twice(options), _registered(options)]


def _sound(options: Options) -> list[Row]:
    """CPU of calls that go on: all parts together, beside one program and beside Asterisk."""
    rounds, seconds = (3, 1.0) if options.quick else (8, 2.0)
    folder = options.folder / "cluster"
    kinds = [City, options.subject, *([Asterisk] if installed() else [])]
    with contextlib.ExitStack() as stack:
        systems: list[Traffic] = [
            stack.enter_context(
                bridged(kind, folder / str(at), CALLS, core=options.core, number=_number(kind))
            )
            for at, kind in enumerate(kinds)
        ]
        samples = in_turn(systems, rounds, seconds)
        city = systems[0].system
        assert isinstance(city, City)
        before = {part: city.cpu_of(part) for part in city.parts}
        systems[0].run(seconds)
        told = ", ".join(
            f"{part} {1000 * (city.cpu_of(part) - was) / seconds / CALLS:.2f}"
            for part, was in before.items()
        )
    ours, *others = samples.values()
    rows = []
    for its in others:
        key = "cluster" if its is others[0] else "cluster-asterisk"
        made = compared(key, f"call through {City.name}", CALL_SECOND, per_call_second, ours, its)
        made.detail += f"; ms CPU a call-second by parts: {told}"
        rows.append(made)
    return rows


def _number(kind: type[object]) -> str:
    return number_of("201") if kind is City else ""


# ── one node and two ────────────────────────────────────────────────────────────────────────
class Loads:
    """A SIPp each side for each node: calls to somebody who is at home there."""

    def __init__(self, city: City, loads: Sequence[Placed]) -> None:
        self.city = city
        self._loads = loads

    def run(self, rate: int) -> list[Sample]:
        """So many calls a second at each node, at the same time."""
        samples: list[Sample | BaseException] = [BenchError("no calls were placed")] * len(
            self._loads
        )

        def place(at: int) -> None:
            try:
                samples[at] = self._loads[at].run(rate * SECONDS, rate)
            except BaseException as error:  # told by whoever waits
                samples[at] = error

        threads = [threading.Thread(target=place, args=(at,)) for at in range(len(samples))]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        good = [one for one in samples if isinstance(one, Sample)]
        if len(good) < len(samples):
            raise next(one for one in samples if isinstance(one, BaseException))
        return good


@contextlib.contextmanager
def loads(kind: type[City], folder: Path) -> Iterator[Loads]:
    """A city with a share for each node, and its callers and callees."""
    with contextlib.ExitStack() as stack:
        wirings = [Wiring.fresh() for _ in range(kind.nodes)]
        city = kind(wirings[0], folder)
        city.callers = [wiring.caller for wiring in wirings[1:]]
        stack.enter_context(city)
        found = []
        for at, (wiring, own) in enumerate(zip(wirings, city.homes().values(), strict=True)):
            place = folder / f"load{at}"
            place.mkdir()
            with bound_socket(wiring.callee) as sock:
                city.register(sock, own[0])
            callee = stack.enter_context(sipp.callee(wiring.callee, place))
            found.append(Placed(city, callee, place, replace(wiring, number=number_of(own[0]))))
        yield Loads(city, found)


class Small(City):
    """Two nodes with a share each."""

    share = SHARE


class Small1(City1):
    """One node with the same."""

    share = SHARE


def _held(samples: Sequence[Sample]) -> bool:
    return not any(one.failed for one in samples) and all(
        one.setup_ms < SETUP_MS for one in samples
    )


@dataclass(frozen=True, kw_only=True)
class Held:
    """The most that was held: calls a second of all nodes, what a call cost each kind of part in
    ms CPU, how long the answer took at each rate, and all that in words."""

    rate: int
    costs: Mapping[str, float]
    told: str


def _most(all_of_it: Loads) -> Held:
    """Go up in steps until a rate is not held twice in turn, then see whether half a step is."""
    city, words, best, costs = all_of_it.city, [], 0, dict.fromkeys(all_of_it.city.parts, 0.0)

    def holds(rate: int) -> bool:
        nonlocal best, costs
        for _ in range(TRIES):
            before = {part: city.cpu_of(part) for part in city.parts}
            samples = all_of_it.run(rate)
            good = max(1, sum(one.good for one in samples))
            words.append(f"{rate}/s: {max(one.setup_ms for one in samples):.0f} ms")
            if _held(samples):
                best = rate * len(samples)
                spent = {part: city.cpu_of(part) - was for part, was in before.items()}
                costs = {part: 1000 * cpu / good for part, cpu in spent.items()}
                return True
        return False

    first_not = next(rate for rate in RATES if not holds(rate))
    holds(first_not - RATES.step // 2)
    return Held(rate=best, costs=costs, told=", ".join(words))


def _twice(options: Options) -> list[Row]:
    """One node and two with a share of a core each; and what the model says of both."""
    row = Row("cluster-two", "calls a second two nodes hold, beside one", "× one node's")
    found: list[Held] = []
    with awake(options.folder):
        for kind in (Small1, Small):
            with loads(kind, options.folder / f"cluster-{kind.nodes}") as all_of_it:
                all_of_it.run(RATES[0])
                found.append(_most(all_of_it))
    one, two = found
    row.against(two.rate / max(1, one.rate), GOAL_TWICE, at_least=True)
    row.detail = f"nodes of {SHARE:.0%} of a core; one: {_told(one)}; two: {_told(two)}"
    row.rounds = [asdict(held) for held in found]
    return [row, *(_modelled(at + 1, held, one) for at, held in enumerate(found))]


def _told(held: Held) -> str:
    costs = ", ".join(f"{part} {ms:.1f}" for part, ms in held.costs.items())
    return f"{held.rate} calls/s, ms CPU a call: {costs} (a node's answer took {held.told})"


def _modelled(nodes: int, held: Held, one: Held) -> Row:
    """What the simulation says that so many nodes hold, by the costs that one node's run showed."""
    costs = Costs(
        edge=one.costs["Kamailio"], node=one.costs["nodes"], engine=one.costs["rtpengine"], sound=0
    )
    city = Model(nodes=nodes, share=SHARE, edges=1, engines=1)
    load = Load(calls=1, seconds=HOLD_MS / 1000, regular=True)
    said = most(city, costs, load, setup_ms=SETUP_MS, seconds=SECONDS)
    row = Row(f"cluster-model-{nodes}", f"the model's calls a second of {nodes}", "calls/s")
    row.peer_name, row.ours, row.peer = "measured", said, float(held.rate)
    row.ratio = said / max(1, held.rate)
    row.detail = f"the model: {said:.0f} calls/s at costs of one node's run; seen: {held.rate}"
    return row


def _registered(options: Options) -> Row:
    """What a phone that registers again costs its home, and everybody who hears of it."""
    row = Row("cluster-register", "registration, where at home", "ms CPU")
    count = 100 if options.quick else 400
    folder = options.folder / "cluster-register"
    with City(Wiring.fresh(), folder) as city, bound_socket((CALLEE_HOST, 0)) as sock:
        extension = next(iter(city.homes().values()))[0]
        city.register(sock, extension)
        before = {part: city.cpu_of(part) for part in city.parts}
        nodes = [child.cpu() for child in city.parts["nodes"]]
        idle = time.monotonic()
        for _ in range(count):
            Registration(sock, city.address, extension, SECRET).complete(10)
        took = time.monotonic() - idle
        time.sleep(SETTLE)
        spent = [child.cpu() - was for child, was in zip(city.parts["nodes"], nodes, strict=True)]
        edge = city.cpu_of("Kamailio") - before["Kamailio"]
    home, other = sorted(spent, reverse=True)
    row.ours = 1000 * home / count
    row.peer, row.peer_name = 1000 * other / count, "ms at each other node"
    row.detail = f"{count} in {took:.1f} s; at the edge {1000 * edge / count:.2f} ms"
    return row
