"""Start to first REGISTER answered: from spawning the program until a phone holds its 200 OK.

A bare socket sends a REGISTER every 20 ms, with digest once challenged. The first start makes the
certificate authority and the tables; the later ones find them.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass

from bench.exchange import SECRET, available, await_ready, configuration, launch
from bench.report import Row
from bench.rows import Options
from bench.server import CALLEE_HOST, CALLER_HOST, CARRIER_HOST, EXCHANGE_HOST
from bench.sip import Registration, bound_socket, free_port

LIMIT_S = 2.0
EVERY = 0.02
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Start:
    """One start, in seconds."""

    registered: float
    ready: float
    stopped: float


def measure(options: Options) -> list[Row]:
    """One first start and several later ones."""
    available()
    later = 3 if options.quick else 7
    folder = options.folder / "start"
    data = folder / "data"
    data.mkdir(parents=True)
    config = folder / "config.toml"
    carrier = (CARRIER_HOST, free_port(CARRIER_HOST))
    caller = (CALLER_HOST, free_port(CALLER_HOST))

    def start() -> Start:
        port = free_port(EXCHANGE_HOST)
        config.write_text(configuration(port, caller, carrier, ("101", "201")))
        with bound_socket((CALLEE_HOST, 0)) as phone:
            phone.setblocking(False)
            registration = Registration(phone, (EXCHANGE_HOST, port), "101", SECRET)
            with launch(config, data, folder / "log") as child:
                late = time.monotonic() - child.started
                registered = late + registration.complete(PATIENCE, EVERY)
                await_ready(child)
                ready = time.monotonic() - child.started
                begun = time.monotonic()
                child.stop()
                return Start(registered, ready, time.monotonic() - begun)

    starts = [start() for _ in range(later + 1)]
    first, again = starts[0], statistics.median(one.registered for one in starts[1:])
    row = Row(
        "start",
        "start → first REGISTER answered",
        "s",
        ours=again,
        peer=LIMIT_S,
        peer_name="limit",
        ratio=again / LIMIT_S,
        goal=1.0,
    )
    row.detail = (
        f"first start {first.registered:.2f} s; {later} later ones "
        f"{min(one.registered for one in starts[1:]):.2f}–"
        f"{max(one.registered for one in starts[1:]):.2f} s; "
        f"stopped in {statistics.median(one.stopped for one in starts):.2f} s"
    )
    row.rounds = [asdict(one) for one in starts]
    return [row]
