"""The alarm clock: APScheduler on the program's own database, in a thread of its own.

Its job store knows when; what is to be done stands in tables of ours, which are the truth: a
job that was lost is set again at the start, one that comes twice finds nothing left to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.util import utc_timestamp_to_datetime
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from store.database import WATCHED, Database

log = logging.getLogger(__name__)

LOOK_EVERY = 20.0
"Seconds between looks at the wall clock, which the host may have set."

_clocks: dict[str, Alarm] = {}
"By node: a job that comes out of the database has to find its way back."


class _Store(SQLAlchemyJobStore):
    """A database that is away must not end the scheduler's thread: a job that stays rings again,
    and finds nothing to do. Of what several exchanges keep in one table, it sees its own."""

    def __init__(self, database: Database, node: str) -> None:
        options: dict[str, Any] = {"timeout": 5.0} if database.path is not None else WATCHED
        super().__init__(  # type: ignore[no-untyped-call]
            url=database.url,
            tablename="job",
            engine_options={"pool_pre_ping": True, "connect_args": options},
        )
        self._mine = self.jobs_t.c.id.startswith(f"{node}/", autoescape=True)

    def get_next_run_time(self) -> Any:
        """When the first of ours is due."""
        due = self.jobs_t.c.next_run_time
        query = select(due).where(due.is_not(None), self._mine).order_by(due).limit(1)
        with self.engine.begin() as connection:
            return utc_timestamp_to_datetime(connection.execute(query).scalar())

    def _get_jobs(self, *conditions: Any) -> Any:
        return super()._get_jobs(self._mine, *conditions)  # type: ignore[no-untyped-call]

    def remove_job(self, job_id: str) -> None:
        try:
            super().remove_job(job_id)  # type: ignore[no-untyped-call]
        except DBAPIError as error:
            log.error("a job could not be removed: %s", error.orig)

    def update_job(self, job: object) -> None:
        try:
            super().update_job(job)  # type: ignore[no-untyped-call]
        except DBAPIError as error:
            log.error("a job could not be updated: %s", error.orig)


class Alarm:
    """One an exchange, which `node` tells from others on the same database; it goes by `now`,
    whatever the clock of the host says. Things are of kinds;
    who cares for a kind is called on the loop with the key of each whose time has come, and may
    be called every `LOOK_EVERY` seconds besides."""

    def __init__(
        self,
        database: Database,
        node: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.node, self.now = node, now
        self._rings: dict[str, Callable[[str], None]] = {}
        self._looks: list[Callable[[], None]] = []
        self._store = _Store(database, node)
        self._scheduler = BackgroundScheduler(
            jobstores={"default": self._store},
            job_defaults={"misfire_grace_time": None, "coalesce": True},
            timezone="UTC",
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.Task[None] | None = None

    def on(self, kind: str, ring: Callable[[str], None]) -> None:
        """Care for a kind from now on."""
        self._rings[kind] = ring

    def on_look(self, look: Callable[[], None]) -> None:
        """Have something looked at from time to time, whatever the alarm is set for: the clock of
        the host may jump, and others may write to the same tables."""
        self._looks.append(look)

    async def start(self) -> None:
        """Begin to ring, for what is overdue as well; once is enough."""
        if self._looking is not None:
            return
        self._loop = asyncio.get_running_loop()
        _clocks[self.node] = self
        self._looking = asyncio.ensure_future(self._look())
        await asyncio.to_thread(self._scheduler.start)

    async def stop(self) -> None:
        """Ring no more."""
        if self._looking is not None:
            self._looking.cancel()
        if self._scheduler.running:
            await asyncio.to_thread(self._scheduler.shutdown)
        await asyncio.to_thread(self._store.engine.dispose)
        _clocks.pop(self.node, None)

    async def set(self, kind: str, key: str, at: datetime) -> None:
        """Ring for a thing at a time; in the place of what was set for it."""
        name = self._id(kind, key)
        await asyncio.to_thread(
            self._scheduler.add_job,
            _due,
            "date",
            run_date=at - (self.now() - datetime.now(UTC)),
            args=(self.node, name),
            id=name,
            replace_existing=True,
        )

    async def clear(self, kind: str, key: str) -> None:
        """Do not ring for a thing."""
        with contextlib.suppress(JobLookupError):
            await asyncio.to_thread(self._scheduler.remove_job, self._id(kind, key))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._scheduler.wakeup()
            for look in self._looks:
                look()

    def _id(self, kind: str, key: str) -> str:
        return f"{self.node}/{kind}:{key}"

    def _due(self, name: str) -> None:
        """From the scheduler's thread."""
        loop, (kind, _, key) = self._loop, name.partition("/")[2].partition(":")
        ring = self._rings.get(kind)
        if ring is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(ring, key)


def _due(clock: str, name: str) -> None:
    """What a job in the database calls."""
    alarm = _clocks.get(clock)
    if alarm is not None:
        alarm._due(name)
