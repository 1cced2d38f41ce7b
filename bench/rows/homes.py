"""A hundred thousand phones in PostgreSQL: what Kamailio asks for each call, and what a node asks
for somebody who comes home, while phones refresh their registrations."""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
import time
from datetime import UTC, datetime, timedelta

import psycopg
from sqlalchemy import URL

from bench.process import Unavailable
from bench.report import Row, quantile
from bench.rows import Options
from store.database import Database
from tests.peers.postgres import Postgres, programs

PHONES, LOOKS = 100_000, 5_000
LIMIT_MS = 5.0
NODES = ("one", "two", "three")
TOGETHER, EVERY = 500, 0.5
"Registrations that a node writes at a time, and the seconds between."
HOME = (
    "SELECT n.address FROM home h JOIN node n ON n.name = h.node "
    "WHERE h.number = %s AND n.until > timezone('utc', clock_timestamp())"
)
"As in deploy/kamailio/kamailio.cfg."
PHONE = "SELECT * FROM binding WHERE extension = %s AND expires > timezone('utc', now())"
REFRESH = "UPDATE binding SET cseq = cseq + 1, expires = %s WHERE extension = ANY(%s)"


def _fill(connection: psycopg.Connection, phones: int) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    later = now + timedelta(hours=1)
    with connection.cursor() as cursor:
        for name in NODES:
            cursor.execute(
                "INSERT INTO node VALUES (%s, %s, %s, %s, false)",
                (name, f"{name}:5060", now, later),
            )
        with cursor.copy("COPY home (number, node) FROM STDIN") as homes:
            for number in range(phones):
                homes.write_row((str(100_000 + number), NODES[number % len(NODES)]))
        columns = (
            "extension, contact, transport, remote_host, remote_port, expires, user_agent, "
            "call_id, cseq, username, since, path, instance, reg_id"
        )
        with cursor.copy(f"COPY binding ({columns}) FROM STDIN") as bindings:
            for number in range(phones):
                own, host = str(100_000 + number), f"10.{number >> 16}.{number >> 8 & 255}.9"
                path = f"<sip:10.0.0.5;lr;received=sip:{host}:5060>"
                bindings.write_row(
                    (own, f"sip:{own}@{host}:5060", "udp", "10.0.0.5", 5060, later, "a phone",
                     f"{number:x}@phone", 1, own, now, path, "", 0)
                )  # fmt: skip
    connection.commit()
    connection.autocommit = True
    connection.execute("ANALYZE")


def _refreshing(address: str, phones: int, over: threading.Event) -> None:
    """What phones do all the time: two batches a second."""
    rng = random.Random(3)
    with psycopg.connect(address, autocommit=True) as connection:
        while not over.wait(EVERY):
            some = [str(100_000 + rng.randrange(phones)) for _ in range(TOGETHER)]
            later = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)
            connection.execute(REFRESH, (later, some))


def _took(url: URL, phones: int, looks: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of look-up."""
    address = url.set(drivername="postgresql", query={}).render_as_string(hide_password=False)
    took: dict[str, list[float]] = {"home": [], "phones": []}
    over, rng = threading.Event(), random.Random(4)
    with psycopg.connect(address) as connection:
        _fill(connection, phones)
        refreshing = threading.Thread(target=_refreshing, args=(address, phones, over))
        refreshing.start()
        try:
            for _ in range(looks):
                for kind, query in (("home", HOME), ("phones", PHONE)):
                    number = str(100_000 + rng.randrange(phones))
                    began = time.perf_counter()
                    found = connection.execute(query, (number,)).fetchall()
                    took[kind].append(1000 * (time.perf_counter() - began))
                    assert len(found) == 1, (kind, number, found)
        finally:
            over.set()
            refreshing.join()
    return took


async def _open(url: URL) -> None:
    database = Database(url)
    await database.open()
    await database.close()


def measure(options: Options) -> list[Row]:
    """One row: both kinds of look-up together."""
    found = programs()
    if found is None:
        raise Unavailable("PostgreSQL is not installed")
    phones, looks = (10_000, 500) if options.quick else (PHONES, LOOKS)
    row = Row("homes", f"a look-up among {phones:,} registrations in PostgreSQL, p99", "ms")
    server = Postgres(found)
    try:
        with server.database() as url:
            asyncio.run(_open(url))
            took = _took(url, phones, looks)
    finally:
        server.stop()
    row.against(quantile([one for kind in took.values() for one in kind], 0.99), LIMIT_MS)
    row.detail = (
        "; ".join(
            f"{kind} p50 {statistics.median(times):.2f}, p99 {quantile(times, 0.99):.2f}"
            for kind, times in took.items()
        )
        + f"; beside {TOGETHER / EVERY:.0f} refreshes a second"
    )
    return [row]
