"""CPU of bridged G.711 calls: a packet beside a C relay, a call-second beside Asterisk.

Every server has one core to itself, the generator the other. Asterisk is measured twice: as it
comes (its native RTP bridge passes packets on as they are), and with calls it must listen to, whose
frames go through its core. The goal is for the first.
"""

from __future__ import annotations

import contextlib
import statistics

from bench.asterisk import Asterisk, AsteriskListening, installed
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
    rounds, seconds = (4, 1.0) if options.quick else (10, 2.0)
    folder = options.folder / "relay"
    core = options.core
    beside_asterisk = installed() and options.subject is not Asterisk
    with contextlib.ExitStack() as stack:
        systems: list[Traffic] = [
            stack.enter_context(bridged(options.subject, folder / "ours", CALLS, core=core)),
            stack.enter_context(limit(folder / "limit", CALLS, core=core)),
        ]
        if not options.quick:
            systems.append(
                stack.enter_context(limit(folder / "plain", CALLS, connect=False, core=core))
            )
        if beside_asterisk:
            systems += [
                stack.enter_context(bridged(kind, folder, CALLS, core=core))
                for kind in ((Asterisk,) if options.quick else (Asterisk, AsteriskListening))
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
        (AsteriskListening, "G.711 call bridged, keys listened to", None),
    ):
        if peer := samples.get(kind.name):
            key = f"relay-{kind.name.partition(',')[0].lower()}{'' if goal else '-listening'}"
            made = compared(key, title, CALL_SECOND, per_call_second, ours, peer, goal=goal)
            made.detail += f"; {said}"
            if goal:
                least = statistics.median(map(per_call_second, connected))
                made.detail += f"; the C relay: {least:.2f} ms, {least / (made.peer or 1):.2f} × it"
            rows.append(made)
    if not beside_asterisk:
        missing = Row("relay-asterisk", "G.711 call bridged", CALL_SECOND, goal=GOAL_ASTERISK)
        missing.skipped = "Asterisk is not installed: python -m bench.asterisk install (root)"
        rows.append(missing)
    return rows
