"""Programs at the API: 200 requests a second over TLS, from the request to the whole answer.

The whole way: TLS, HTTP, the key, the operator, JSON. Ten connections, a request every 5 ms,
whether the one before was answered or not; what is late counts as late.
"""

from __future__ import annotations

import asyncio
import ssl
import statistics
import time

import httpx

from bench.process import BenchError
from bench.report import Row, quantile
from bench.rows import Options
from tests.peers.exchange import WEB, Config, Exchange, Extension

RATE, CONNECTIONS = 200, 10
LIMIT_MS = 20.0
PATHS = ("/me", "/calls", "/contacts", "/redirects", "/balance")


async def _took(seconds: float) -> list[float]:
    """Milliseconds of each request, from when it was to be sent."""
    two = [Extension("101", "secret-101"), Extension("102", "secret-102")]
    async with Exchange(Config(two, extra=WEB)) as exchange:
        scopes = "calls:read,contacts:read,redirects:read,money:read"
        token = (await exchange.cli("key add", "101", "bench", "--scopes", scopes))["key"]
        url = (await exchange.cli("status"))["addresses"]["web"]
        trusted = ssl.create_default_context(cafile=exchange.ca)
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        headers = {"authorization": f"Bearer {token}"}
        took: list[float] = []
        async with httpx.AsyncClient(
            base_url=f"https://{url}/v1", verify=trusted, limits=limits, headers=headers
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
    """One row."""
    row = Row("programs", f"{RATE} requests a second at the API, p99", "ms", goal=1.0)
    took = asyncio.run(_took(3 if options.quick else 20))
    row.against(quantile(took, 0.99), LIMIT_MS)
    row.detail = (
        f"{len(took)} requests; p50 {statistics.median(took):.1f} ms, longest {max(took):.0f}"
    )
    return [row]
