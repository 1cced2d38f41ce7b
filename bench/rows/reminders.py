"""A hundred thousand reminders: the question what is due, five hundred in one second; and a
calendar of twenty thousand events."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import Row, quantile
from bench.rows import Options

STORED, AT_ONCE = 100_000, 500
EVENTS = 20_000
BEGIN = datetime(2026, 11, 29, tzinfo=UTC)


def measure(options: Options) -> list[Row]:
    """On the program's own tables; what follows a message is the chat network's."""
    folder = options.folder / "reminders"
    folder.mkdir(parents=True)
    stored = STORED // 10 if options.quick else STORED
    due, late = asyncio.run(_reminders(folder, stored))
    query = Row("due", f"what is due of {stored} reminders, p99", "ms")
    query.against(quantile(due, 0.99), 5.0)
    query.detail = f"median {quantile(due, 0.5):.3f} ms"
    lateness = Row("due-at-once", f"{AT_ONCE} messages due in one second, the last", "s late")
    lateness.against(max(late), 2.0)
    lateness.detail = f"median {quantile(late, 0.5):.2f} s"
    with get_context("spawn").Pool(1) as pool:
        first, again, memory, found = pool.apply(_calendar)
    calendar = Row("calendar", f"calendar of {EVENTS} events read", "s")
    calendar.against(first, 20.0)
    calendar.detail = f"{found} things within five weeks; read again {again:.2f} s"
    room = Row("calendar-memory", f"memory of the process that reads {EVENTS} events", "MB")
    room.against(memory, 200.0)
    with TemporaryDirectory() as place:
        account = asyncio.run(_account(Path(place)))
    return [query, lateness, calendar, room, *account]


async def _reminders(folder: Path, stored: int) -> tuple[list[float], list[float]]:
    """How long the query took each time, in ms; how late each of those due at once was, in s."""
    from scheduler.alarm import Alarm  # noqa: PLC0415 - what only this row needs
    from scheduler.reminders import Reminders, Result  # noqa: PLC0415
    from store.database import Database  # noqa: PLC0415
    from store.tables import ReminderRow, RingRow  # noqa: PLC0415

    database = Database(folder / "encryptotel.db")
    await database.open()
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=30)
    rows = [
        ReminderRow(
            id=f"{number:08x}", extension=str(101 + number % 100), text="water the plants",
            by="message", zone="UTC", leads=[0], start=(when := at + timedelta(hours=number // 60)),
            occurrence=when, due=when,
        )
        for number in range(AT_ONCE, stored)
    ]  # fmt: skip
    for row in rows[: 60 - AT_ONCE % 60]:
        row.due = row.occurrence = row.start = at + timedelta(days=400)
    rows += [
        ReminderRow(
            id=f"x{number:07x}", extension="101", text="now", by="message", zone="UTC", leads=[0],
            start=at, occurrence=at, due=at, rule="FREQ=DAILY",
        )
        for number in range(AT_ONCE)
    ]  # fmt: skip
    async with database.writing() as session:
        session.add_all(rows)
    plain = sqlite3.connect(folder / "encryptotel.db")
    took = []
    for number in range(500):
        began = time.perf_counter()
        plain.execute(
            "SELECT * FROM reminder WHERE due <= ? ORDER BY due, id LIMIT 500",
            (f"{at + timedelta(hours=number // 50):%Y-%m-%d %H:%M:%S}.000000",),
        ).fetchall()
        took.append(1000 * (time.perf_counter() - began))
    plain.close()
    late: list[float] = []
    everything = asyncio.Event()

    async def told(ring: RingRow) -> Result:
        late.append((datetime.now(UTC) - at).total_seconds())
        if len(late) == AT_ONCE:
            everything.set()
        return Result()

    alarm = Alarm(database, "bench")
    reminders = Reminders(database, alarm, told)
    await reminders.start()
    async with asyncio.timeout(120):
        await everything.wait()
    await alarm.stop()
    await reminders.stop()
    await database.close()
    return took, late


async def _account(folder: Path) -> list[Row]:
    """The same events in an account on Radicale, which has read them once before."""
    from encryptotel.calendars.entries import Job, Source  # noqa: PLC0415
    from encryptotel.calendars.syncing import do_job  # noqa: PLC0415
    from encryptotel.worker import end_now, new_worker  # noqa: PLC0415
    from tests.peers.radicale import PASSWORD, USER, radicale  # noqa: PLC0415

    async with radicale(folder) as server:
        await server.fill("big", _events().replace(";TZID=Europe/Berlin", ""))
        began = time.perf_counter()
        await server.names()
        server_alone = time.perf_counter() - began
        job = Job(
            kind="dav", etag="", modified="", content=b"", anew=True,
            source=Source(url=server.url, user=USER, password=PASSWORD, private=True),
            begin=BEGIN - timedelta(days=1), end=BEGIN + timedelta(days=35), zone="Europe/Berlin",
        )  # fmt: skip
        pool, loop = new_worker(), asyncio.get_running_loop()
        times, found = [], []
        for change in (None, None, ("one", "LOCATION:Here\n")):
            if change is not None:
                await server.put("big", change[0], _event(EVENTS // 2, change[1], "x"))
            began = time.perf_counter()
            done = await loop.run_in_executor(pool, do_job, job)
            times.append(time.perf_counter() - began)
            found.append(done)
            job = replace(job, content=done.content or job.content, anew=False)
        most = await loop.run_in_executor(pool, _most)
        end_now(pool)
    first = Row("calendar-dav", f"account of {EVENTS} events on Radicale synced", "s")
    first.against(times[0], 20.0)
    first.detail = (
        f"{len(found[0].entries or ())} things; again {times[1]:.1f} s, after one change "
        f"{times[2]:.1f} s; Radicale takes {server_alone:.1f} s to name its calendars"
    )
    room = Row("calendar-dav-memory", "memory of the process that does it", "MB")
    room.against(most, 200.0)
    return [first, room]


def _most() -> float:
    """The most memory of this process so far, in MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _event(number: int, more: str = "", uid: str = "") -> str:
    at = BEGIN + timedelta(hours=number - EVENTS / 2)
    often = "RRULE:FREQ=WEEKLY;BYDAY=MO,WE\n" if number % 50 == 0 else ""
    return (
        f"BEGIN:VEVENT\nUID:{number}{uid}@bench\nDTSTAMP:20260101T000000Z\n"
        f"DTSTART;TZID=Europe/Berlin:{at:%Y%m%dT%H%M%S}\nDURATION:PT1H\n"
        f"SUMMARY:Meeting {number}\nDESCRIPTION:What we talk about\n{often}{more}END:VEVENT\n"
    )


def _events() -> str:
    return "".join(_event(number) for number in range(EVENTS))


def _calendar() -> tuple[float, float, float, int]:
    """Seconds of the first read and of one more, MB at the most, and how much was found."""
    from encryptotel.calendars.reading import read  # noqa: PLC0415

    content = f"BEGIN:VCALENDAR\nVERSION:2.0\n{_events()}END:VCALENDAR\n".replace(
        "\n", "\r\n"
    ).encode()
    times = []
    for _ in range(2):
        began = time.process_time()
        found = len(read(content, BEGIN, BEGIN + timedelta(days=35), "Europe/Berlin").entries)
        times.append(time.process_time() - began)
    return times[0], times[1], _most(), found
