"""Several nodes behind Kamailio, sound by rtpengine: what a call costs beside the embedded relay
and Asterisk, and how many more calls two nodes hold than one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench import sipp
from bench.asterisk import Asterisk, installed
from bench.city import City, City1, number_of
from bench.process import BenchError
from bench.report import Row
from bench.rows import Options
from bench.rows.beside import CALL_SECOND, in_turn, per_call_second
from bench.rows.beside import row as compared
from bench.rows.calls import Load, Sample
from bench.server import Wiring
from bench.sip import bound_socket
from bench.traffic import Traffic, bridged

CALLS = 50
GOAL_TWICE = 1.8
SHARE = 0.25
"What each node may use of one core: the rest of the machine is for all that is beside them."
RATES = range(10, 200, 5)
"Calls a second that are tried."
SECONDS = 8
SETUP_MS = 150.0
"The mean time to the answer from which on calls are no longer held well."


def measure(options: Options) -> list[Row]:
    """Sound, then set-up."""
    return [*_sound(options), *_twice(options)]


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

    def __init__(self, city: City, loads: Sequence[Load]) -> None:
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
            found.append(Load(city, callee, place, replace(wiring, number=number_of(own[0]))))
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


def _most(all_of_it: Loads) -> tuple[int, float, list[str]]:
    """The highest rate a node that is held, what a call costs the nodes then in ms, and each rate
    in words."""
    words, best, cost = [], 0, 0.0
    for rate in RATES:
        before = all_of_it.city.cpu_of("nodes")
        samples = all_of_it.run(rate)
        spent = all_of_it.city.cpu_of("nodes") - before
        good = sum(one.good for one in samples)
        slowest = max(one.setup_ms for one in samples)
        words.append(f"{rate}/s: {slowest:.0f} ms")
        if not _held(samples):
            break
        best, cost = rate, 1000 * spent / max(1, good)
    return best, cost, words


def _twice(options: Options) -> list[Row]:
    row = Row("cluster-two", "calls two nodes hold, beside one", "× one node's")
    found = []
    for kind in (Small1, Small):
        with loads(kind, options.folder / f"cluster-{kind.nodes}") as all_of_it:
            all_of_it.run(RATES[0])
            found.append((kind.nodes, *_most(all_of_it)))
    (_, one, one_cost, one_words), (nodes, two, two_cost, two_words) = found
    row.against(nodes * two / max(1, one), GOAL_TWICE, at_least=True)
    row.detail = (
        f"nodes of {SHARE:.0%} of a core; one: {one} calls/s, {one_cost:.1f} ms CPU a call "
        f"({', '.join(one_words)}); two: {nodes * two} calls/s, {two_cost:.1f} ms a call "
        f"({', '.join(two_words)})"
    )
    row.rounds = [
        {"nodes": count, "rate": count * rate, "cpu_ms": cost} for count, rate, cost, _ in found
    ]
    return [row]
