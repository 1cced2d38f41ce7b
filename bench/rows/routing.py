"""A plan with very many rules: what the router makes of a call for somebody who has 1 000 of them,
none of which holds until the last, and of a chain of people who each send their calls on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from datetime import time as clock

from bench.report import Row, quantile
from bench.rows import Options
from pbx.calls.diversion import Ring, course_of
from pbx.calls.router import RingExtension
from pbx.calls.services import Service
from pbx.calls.wishes import Condition, Hours, Rule, Wishes, in_order
from pbx.ports import Extension, Trunk

RULES = 1_000
CHAIN = 10
LIMIT_MS = 1.0
NOW = datetime(2026, 12, 24, 18, 30, tzinfo=UTC)


class _Office:
    """Somebody with many rules, whose calls go on from one to the next."""

    def __init__(self) -> None:
        self._extensions = {str(n): Extension(number=str(n)) for n in range(101, 101 + CHAIN)}
        never = Hours(days=frozenset({3}), begin=clock(3), end=clock(4))
        rules = [
            Rule(id=str(n), to=("102",), caller=f"+1202555{n:04}", hours=never)
            if n % 2
            else Rule(id=str(n), to=("102",), hours=never)
            for n in range(RULES - 1)
        ]
        self._wishes = {
            number: Wishes(rules=(Rule(id="on", to=(str(int(number) + 1),)),))
            for number in list(self._extensions)[:-1]
        }
        last = Rule(id="last", to=("102",), condition=Condition.ALWAYS)
        self._wishes["101"] = Wishes(rules=(*in_order(rules), last))

    def extension(self, number: str) -> Extension | None:
        return self._extensions.get(number)

    def extensions(self) -> Sequence[Extension]:
        return list(self._extensions.values())

    def trunks(self) -> Sequence[Trunk]:
        return ()

    def route(self, number: str) -> str | None:
        return None

    def wishes(self, number: str) -> Wishes:
        return self._wishes.get(number, Wishes())

    def service(self, dialled: str) -> tuple[Service, str] | None:
        return None


def measure(options: Options) -> list[Row]:
    """The same call again and again, by the time it takes the processor."""
    office = _Office()
    alice = office.extension("101")
    assert alice is not None
    plan = RingExtension(extension=alice, dialled="101")
    took: list[float] = []
    for _ in range(200 if options.quick else 2_000):
        began = time.thread_time()
        course = course_of(plan, caller="+442079460321", directory=office, now=NOW, inside=False)
        took.append(1000 * (time.thread_time() - began))
        assert isinstance(course, Ring)
        assert [place.extension.number for place in course.places] == [str(100 + CHAIN)]  # type: ignore[union-attr]
    row = Row("routing", f"plan past {RULES} rules and {CHAIN} people, p99", "ms")
    row.against(quantile(took, 0.99), LIMIT_MS)
    row.detail = f"median {quantile(took, 0.5):.2f} ms"
    return [row]
