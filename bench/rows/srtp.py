"""CPU of calls encrypted on both sides (SDES, AES_CM_128_HMAC_SHA1_80), undone and done again.

Beside the C relay that only passes packets on (the goal), the same relay with libsrtp, and
Asterisk with SDES on both legs.
"""

from __future__ import annotations

import contextlib

from bench.asterisk import Asterisk, installed
from bench.report import Row
from bench.rows import Options
from bench.rows.beside import CALL_SECOND, PACKET, in_turn, per_call_second, per_packet, remarks
from bench.rows.beside import row as compared
from bench.server import Media
from bench.traffic import Traffic, bridged, limit

CALLS = 50
GOAL_LIMIT = 2.0
_SECURE = Media(srtp=True)


def measure(options: Options) -> list[Row]:
    """Ours beside the relays, and Asterisk in a full run."""
    rounds, seconds = (3, 1.0) if options.quick else (8, 2.0)
    folder = options.folder / "srtp"
    core = options.core
    with contextlib.ExitStack() as stack:
        systems: list[Traffic] = [
            stack.enter_context(
                bridged(options.subject, folder / "ours", CALLS, media=_SECURE, core=core)
            ),
            stack.enter_context(limit(folder / "plain", CALLS, core=core)),
            stack.enter_context(limit(folder / "libsrtp", CALLS, srtp=True, core=core)),
        ]
        if not options.quick and installed() and options.subject is not Asterisk:
            systems.append(
                stack.enter_context(bridged(Asterisk, folder, CALLS, media=_SECURE, core=core))
            )
        samples = in_turn(systems, rounds, seconds)
        said = remarks(systems)
    ours, plain, encrypting, *rest = samples.values()
    title = "SRTP packet, SRTP on both sides"
    rows = [
        compared("srtp", title, PACKET, per_packet, ours, plain, goal=GOAL_LIMIT),
        compared("srtp-libsrtp", title, PACKET, per_packet, ours, encrypting),
    ]
    for peer in rest:
        made = compared(
            "srtp-asterisk", "SRTP call bridged", CALL_SECOND, per_call_second, ours, peer
        )
        made.detail += f"; {said}"
        rows.append(made)
    return rows
