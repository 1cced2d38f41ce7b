"""CPU of calls between µ-law and A-law: every packet decoded, put in order and encoded again."""

from __future__ import annotations

import contextlib

from bench.asterisk import Asterisk, installed
from bench.report import Row
from bench.rows import Options
from bench.rows.beside import CALL_SECOND, PACKET, in_turn, per_call_second, per_packet
from bench.rows.beside import row as compared
from bench.server import ALAW, ULAW, Media
from bench.traffic import Traffic, bridged, limit

CALLS = 20
_BOTH_LAWS = Media(types=(ULAW, ALAW))


def measure(options: Options) -> list[Row]:
    """Ours beside the C relay (which only passes packets on) and Asterisk if it is here."""
    rounds, seconds = (3, 1.0) if options.quick else (6, 2.0)
    folder = options.folder / "transcode"
    core = options.core
    with contextlib.ExitStack() as stack:
        systems: list[Traffic] = [
            stack.enter_context(
                bridged(options.subject, folder / "ours", CALLS, media=_BOTH_LAWS, core=core)
            ),
            stack.enter_context(limit(folder / "limit", CALLS, core=core)),
        ]
        if installed() and options.subject is not Asterisk:
            systems.append(
                stack.enter_context(bridged(Asterisk, folder, CALLS, media=_BOTH_LAWS, core=core))
            )
        samples = in_turn(systems, rounds, seconds)
    ours, plain, *rest = samples.values()
    rows = [
        compared(
            "transcode",
            "G.711 packet transcoded",
            PACKET,
            per_packet,
            ours,
            plain,
            transcoded=True,
        )
    ]
    rows += [
        compared(
            "transcode-asterisk",
            "G.711 call transcoded",
            CALL_SECOND,
            per_call_second,
            ours,
            peer,
            transcoded=True,
        )
        for peer in rest
    ]
    return rows
