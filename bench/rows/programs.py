"""Programs at the API while calls are bridged: 200 requests a second over TLS, from the request to
the whole answer, and what that adds to the delay of the calls' sound.

The whole way: TLS, HTTP, the key, the operator, JSON. Ten connections, a request every 5 ms,
whether the one before was answered or not; what is late counts as late. The exchange has one core
to itself; the programs and the generator of sound share the other. The delay of the sound is that
of the plain C relay's with as many calls, before and after.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from bench.exchange import Exchange
from bench.process import BenchError
from bench.report import Row, quantile
from bench.rows import Options
from bench.traffic import bridged, limit

RATE, CONNECTIONS, CALLS = 200, 10, 50
LIMIT_MS, MAX_ADDED_MS = 20.0, 5.0
PATHS = ("/me", "/calls", "/contacts", "/redirects", "/balance")
SCOPES = ("calls:read", "contacts:read", "redirects:read", "money:read")


class Served(Exchange):
    """Our exchange with its API."""

    web = True


async def _took(url: str, trusted: ssl.SSLContext, token: str, seconds: float) -> list[float]:
    """Milliseconds of each request, from when it was to be sent."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    headers = {"authorization": f"Bearer {token}"}
    took: list[float] = []
    async with httpx.AsyncClient(
        base_url=url, verify=trusted, limits=limits, headers=headers
    ) as client:

        async def ask(number: int, due: float) -> None:
            answer = await client.get(PATHS[number % len(PATHS)])
            if answer.status_code != httpx.codes.OK:
                raise BenchError(f"{answer.status_code}: {answer.text[:200]}")
            took.append(1000 * (time.monotonic() - due))

        await asyncio.gather(*(client.get("/me") for _ in range(CONNECTIONS)))
        began = time.monotonic()
        asking = []
        for number in range(int(seconds * RATE)):
            due = began + number / RATE
            await asyncio.sleep(due - time.monotonic())
            asking.append(asyncio.ensure_future(ask(number, due)))
        await asyncio.gather(*asking)
    return took


def measure(options: Options) -> list[Row]:
    """The requests, and the calls beside them."""
    seconds = 4.0 if options.quick else 20.0
    folder = options.folder / "programs"
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(bridged(Served, folder / "ours", CALLS, core=options.core))
        base = stack.enter_context(limit(folder / "base", CALLS, core=options.core))
        server = ours.server
        assert isinstance(server, Served)
        token = server.key(*SCOPES)
        url, trusted = f"https://{server.said['web']}/v1", ssl.create_default_context()
        trusted.load_verify_locations(server.said["ca"])
        quiet = [base.run(seconds / 2)]
        alone = ours.run(seconds / 2)
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(lambda: asyncio.run(_took(url, trusted, token, seconds)))
            beside = ours.run(seconds)
            took = asking.result()
        quiet.append(base.run(seconds / 2))
    least = min(sample.delay_p99_us for sample in quiet)
    added = (beside.delay_p99_us - least) / 1000
    row = Row("programs", f"{RATE} requests a second at the API beside {CALLS} calls, p99", "ms")
    row.against(quantile(took, 0.99), LIMIT_MS)
    row.detail = (
        f"{len(took)} requests; p50 {statistics.median(took):.1f} ms, longest {max(took):.0f}; "
        f"the exchange's core {beside.cpu_share:.0%} busy, {alone.cpu_share:.0%} with calls alone"
    )
    delay = Row("programs-delay", "delay of calls' sound that this adds, p99", "ms")
    delay.against(max(0.0, added), MAX_ADDED_MS)
    delay.detail = (
        f"{beside.loss:.3f} % lost; p99 {beside.delay_p99_us / 1000:.2f} ms beside the requests, "
        f"{alone.delay_p99_us / 1000:.2f} without, C relay {least / 1000:.2f}"
    )
    if beside.loss > 1:
        delay.failed = delay.detail
    return [row, delay]
