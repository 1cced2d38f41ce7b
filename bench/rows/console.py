"""The console page in Chromium: from the address to the page that can be used, with everything in
the browser's cache; and what there is to fetch at first, compressed."""

from __future__ import annotations

import asyncio
import re
import statistics
import time

from bench.process import BenchError, Unavailable
from bench.report import Row, quantile
from bench.rows import Options
from tests.peers.chromium import chromium, installed
from tests.peers.exchange import WEB, Config, Exchange, Extension

LIMIT_MS, LIMIT_KB = 1_000.0, 150.0
LINK = re.compile(r"https://\S+/console/#[0-9a-f]{32}")
SIZES = "performance.getEntries().map(one => one.encodedBodySize || 0)"


async def _loads(loads: int) -> tuple[list[float], float]:
    """Milliseconds of each load, and kilobytes of the first."""
    two = [Extension("101", "secret-101"), Extension("102", "secret-102")]
    async with Exchange(Config(two, extra=WEB)) as exchange:
        link = LINK.search(await exchange.say("open the console"))
        if link is None:
            raise BenchError("there is no link into the console")
        async with chromium(exchange.data / "tls" / "server.pem") as browser:
            page = await (await browser.new_context()).new_page()
            await page.goto(link[0])
            await page.get_by_text("connected", exact=True).wait_for()
            first = sum(await page.evaluate(SIZES)) / 1000
            took = []
            for _ in range(loads):
                began = time.monotonic()
                await page.reload()
                await page.get_by_text("connected", exact=True).wait_for()
                took.append(1000 * (time.monotonic() - began))
    return took, first


def measure(options: Options) -> list[Row]:
    """How quick, and how much."""
    if not installed():
        raise Unavailable("chromium is not installed")
    took, size = asyncio.run(_loads(5 if options.quick else 30))
    load = Row("console", "console page, from its cache until it can be used, p99", "ms")
    load.against(quantile(took, 0.99), LIMIT_MS)
    load.detail = f"{len(took)} loads, p50 {statistics.median(took):.0f} ms"
    weight = Row("console-size", "the same, fetched at first, with what it asks for", "kB")
    weight.against(size, LIMIT_KB)
    return [load, weight]
