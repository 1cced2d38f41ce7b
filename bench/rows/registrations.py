"""Memory of an idle registration, and CPU of its refresh: thousands of phones, idle for 35 s.

Every phone has an extension and an address of its own. The extensions and the first hundred phones
are there before memory is measured.
"""

from __future__ import annotations

import contextlib

from bench.crowd import Crowd, CrowdedExchange, rest
from bench.exchange import Exchange
from bench.process import Unavailable
from bench.report import Row
from bench.rows import Options
from bench.server import Wiring

LIMIT_BYTES = 8000.0
WARM = 100
IDLE = 35.0


def measure(options: Options) -> list[Row]:
    """20 000 phones over UDP, 900 over TCP."""
    if options.subject is not Exchange:
        raise Unavailable("only our exchange is measured here")
    phones, connected = (3000, 200) if options.quick else (20_000, 900)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(CrowdedExchange(Wiring.fresh(), options.folder / "crowd"))
        crowd = Crowd(server.address)
        crowd.register(range(WARM))
        rest(server, 1.0)
        before = server.memory()
        busy = server.cpu()
        took = crowd.register(range(WARM, phones))
        first_cost = (server.cpu() - busy) / (phones - WARM) * 1e6
        peak = server.memory()
        rest(server, IDLE)
        idle = server.memory()
        held = (idle - before) / (phones - WARM)
        refreshed = range(0, phones, phones // 1000)
        busy = server.cpu()
        crowd.register(refreshed)
        refresh_cost = (server.cpu() - busy) / len(refreshed) * 1e6
    stream_held = _over_tcp(options, connected)
    row = Row("registration", f"idle registration, {phones} of them", "bytes")
    row.against(held, LIMIT_BYTES)
    row.detail = (
        f"UDP; {before / 1e6:.0f} MB before, {peak / 1e6:.0f} MB right after registering at "
        f"{(phones - WARM) / took:.0f} phones/s, {idle / 1e6:.0f} MB idle; "
        f"{first_cost:.0f} µs CPU a first registration (challenge, journal), "
        f"{refresh_cost:.0f} µs a refresh; {crowd.put_off} put off with 503"
    )
    row.rounds = [
        {
            "phones": phones,
            "bytes": held,
            "before": before,
            "peak": peak,
            "first_us": first_cost,
            "refresh_us": refresh_cost,
        }
    ]
    tcp = Row("registration-tcp", f"idle registration over TCP, {connected} of them", "bytes")
    tcp.ours = stream_held
    tcp.detail = "its connection included, which stays open"
    return [row, tcp]


def _over_tcp(options: Options, phones: int) -> float:
    """Bytes a phone that holds a TCP connection."""
    with contextlib.ExitStack() as stack:
        server = CrowdedExchange(Wiring.fresh(), options.folder / "connected")
        server.phones = phones + WARM
        stack.enter_context(server)
        crowd = Crowd(server.address, stream=True)
        stack.callback(crowd.close)
        crowd.register(range(WARM))
        rest(server, 1.0)
        before = server.memory()
        crowd.register(range(WARM, WARM + phones))
        rest(server, 2.0)
        return (server.memory() - before) / phones
