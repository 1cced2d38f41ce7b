"""CPU of bridged G.711 calls: a packet beside a C relay, a call-second beside Asterisk.

Asterisk is measured twice: as it comes (its native RTP bridge passes packets on within the
process), and without that bridge, as calls go that it must listen to. The goal is for the first.
"""

from __future__ import annotations

import contextlib
import statistics

from bench.asterisk import Asterisk, AsteriskInCore, installed
from bench.report import Row
from bench.rows import Options
from bench.rows.beside import CALL_SECOND, PACKET, in_turn, per_call_second, per_packet, remarks
from bench.rows.beside import row as compared
from bench.traffic import Traffic, bridged, limit

CALLS = 50
GOAL_LIMIT = 1.4
GOAL_ASTERISK = 0.2


def measure(options: Options) -> list[Row]:
    """Ours, the C relay (connected sockets count) and Asterisk if it is here."""
    rounds, seconds = (5, 1.0) if options.quick else (12, 2.0)
    folder = options.folder / "relay"
    beside_asterisk = installed() and options.subject is not Asterisk
    with contextlib.ExitStack() as stack:
        systems: list[Traffic] = [
            stack.enter_context(bridged(options.subject, folder / "ours", CALLS)),
            stack.enter_context(limit(folder / "limit", CALLS)),
        ]
        if not options.quick:
            systems.append(stack.enter_context(limit(folder / "plain", CALLS, connect=False)))
        if beside_asterisk:
            systems += [
                stack.enter_context(bridged(kind, folder, CALLS))
                for kind in (Asterisk, AsteriskInCore)
            ]
        samples = in_turn(systems, rounds, seconds)
        said = remarks(systems)
    ours, connected, *_ = samples.values()
    first = compared(
        "relay", "RTP packet relayed", PACKET, per_packet, ours, connected, goal=GOAL_LIMIT
    )
    if plain := samples.get("C relay, unconnected"):
        first.detail += f"; unconnected: {statistics.median(map(per_packet, plain)):.2f} µs"
    rows = [first]
    for kind, title, goal in (
        (Asterisk, "G.711 call bridged", GOAL_ASTERISK),
        (AsteriskInCore, "G.711 call bridged, not natively", None),
    ):
        if peer := samples.get(kind.name):
            key = f"relay-{kind.name.partition(',')[0].lower()}{'' if goal else '-core'}"
            made = compared(key, title, CALL_SECOND, per_call_second, ours, peer, goal=goal)
            made.detail += f"; {said}"
            rows.append(made)
    if not beside_asterisk:
        missing = Row("relay-asterisk", "G.711 call bridged", CALL_SECOND, goal=GOAL_ASTERISK)
        missing.skipped = "Asterisk is not installed: python -m bench.asterisk install (root)"
        rows.append(missing)
    return rows
