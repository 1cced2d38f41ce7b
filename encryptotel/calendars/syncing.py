"""Keeps the calendars people follow: looks at them now and then; what is on in the next weeks is
kept as reminders of theirs."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select, update

from bot.ports import Calendar, OperatorError, Person
from encryptotel.calendars.entries import (
    CalendarError,
    Done,
    Entry,
    Job,
    Source,
    SourceError,
    cleaned,
    packed,
)
from encryptotel.config import CalendarsSection
from encryptotel.followers import Followers
from encryptotel.people import PeopleOfExchange
from encryptotel.worker import end_now, new_worker
from scheduler.reminders import Reminders
from store.database import Database
from store.tables import CalendarRow, ReminderRow

log = logging.getLogger(__name__)

AHEAD, BEHIND = timedelta(days=35), timedelta(days=1)
"What of a calendar is written out."
AGAIN = timedelta(hours=12)
"After that it is written out anew, though it did not change."
WITHIN = 90.0
"Seconds to fetch and read one."
SLOW = 3.0
"Seconds after which a person is told that it takes a while."
READING = "I am reading your calendar; that may take a minute."
LOOK = 20.0
"Seconds between looks for a calendar whose time it is."
MAX_CALENDARS = 20
"Of one person."
MAX_LEAD = 60 * 24 * 28


class Calendars:
    """Implements `bot.ports.Calendars`."""

    def __init__(
        self,
        database: Database,
        section: CalendarsSection,
        folder: Path,
        people: PeopleOfExchange,
        followers: Followers,
        reminders: Reminders,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database, self._section, self._folder = database, section, folder
        self._people, self._followers, self._reminders = people, followers, reminders
        self._now = now
        self._pool = new_worker()
        self._busy = asyncio.Lock()
        "One at a time: each takes memory, and none is in a hurry."
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look after all calendars from now on."""
        self._looking = asyncio.ensure_future(self._look_after())

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))
        end_now(self._pool)

    # ── what people order ───────────────────────────────────────────────────────────────
    async def follow(
        self, person: Person, url: str, user: str = "", password: str = ""
    ) -> Calendar:
        """Follow a calendar at an address, a feed or a CalDAV account. Raises `OperatorError`."""
        try:
            url = cleaned(url)
        except SourceError as error:
            raise OperatorError("calendar.url", str(error)) from error
        row = self._new(person, "dav" if user else "feed", url=url, user=user, password=password)
        return await self._begin(person, row)

    async def take_file(self, person: Person, content: bytes) -> Calendar:
        """Keep a calendar that somebody sent as a file. Raises `OperatorError`."""
        kept = await asyncio.to_thread(packed, content)
        return await self._begin(person, self._new(person, "file", content=kept))

    async def take_link(self, person: Person, url: str) -> Calendar:
        """Fetch a file once and keep it: where it was put, it may not stay. Raises
        `OperatorError`."""
        return await self._begin(person, self._new(person, "feed", url=url), keep=True)

    async def of(self, person: Person) -> Sequence[Calendar]:
        """All calendars of a person."""
        return [_shown(row) for row in await self._rows(person.extension)]

    async def ring(
        self, person: Person, id: str, leads: Sequence[int], by: str, words: str = ""
    ) -> Sequence[Calendar]:
        """How long before things of a calendar, or of all, the person is reminded, how, and of
        which. Raises `OperatorError`."""
        rows = [row for row in await self._rows(person.extension) if id in ("", row.id)]
        if not rows:
            raise OperatorError(
                "calendar.none",
                "I follow no calendar of yours; say “sync my calendar https://…”, or send its file",
            )
        if any(abs(lead) > MAX_LEAD for lead in leads):
            raise OperatorError("calendar.lead", "that is up to four weeks before")
        for row in rows:
            changes = {"leads": list(leads), "by": by, "words": words, "expanded": None}
            await self._change(row.id, **changes)
            fresh = await self._row(row.id)
            if fresh is not None:
                await self._sync(fresh, person)
        return await self.of(person)

    async def look(self, person: Person, id: str) -> Calendar:
        """Look at a calendar now. Raises `OperatorError`."""
        row = await self._mine(person, id)
        await self._sync(row, person)
        return _shown(await self._mine(person, id))

    async def leave(self, person: Person, id: str) -> str:
        """Follow a calendar no more; its name. Raises `OperatorError`."""
        row = await self._mine(person, id)
        await self._remove([row.id])
        return row.name

    async def forget(self, extension: str) -> None:
        """Forget all calendars of somebody."""
        await self._remove([row.id for row in await self._rows(extension)])

    async def write(self, person: Person, title: str, at: datetime, minutes: int = 60) -> str:
        """Put something into the first calendar of the person's that takes it; its name. Raises
        `OperatorError`."""
        row = next((row for row in await self._rows(person.extension) if row.kind == "dav"), None)
        if row is None:
            raise OperatorError(
                "calendar.read_only", "none of your calendars lets me write; a CalDAV account would"
            )
        job = asyncio.get_running_loop().run_in_executor(
            self._pool, _write, self._source(row), row.content, title, at, minutes
        )
        try:
            async with asyncio.timeout(WITHIN):
                await job
        except (CalendarError, BrokenProcessPool, TimeoutError) as error:
            why = str(error) or "the calendar's server does not answer"
            raise OperatorError("calendar.write", why) from error
        await self._sync(row, person)
        return row.name

    # ── looking ─────────────────────────────────────────────────────────────────────────
    async def _look_after(self) -> None:
        while True:
            try:
                for row in await self._waiting():
                    person = await self._people.with_extension(row.extension)
                    if person is not None:
                        await self._sync(row, person)
            except DBAPIError as error:
                log.error("calendars wait, the database fails: %s", error.orig)
            except Exception:
                log.exception("a calendar could not be looked at")
            await asyncio.sleep(LOOK)

    async def _waiting(self) -> Sequence[CalendarRow]:
        now = self._now()
        before = now - timedelta(minutes=self._section.every)
        async with self._database.reading() as session:
            found = await session.execute(
                select(CalendarRow).where(
                    (col(CalendarRow.checked) <= before) | col(CalendarRow.checked).is_(None)
                )
            )
            rows = found.scalars().all()
        old = now - AGAIN
        return [r for r in rows if r.kind != "file" or r.expanded is None or r.expanded < old]

    async def _begin(self, person: Person, row: CalendarRow, *, keep: bool = False) -> Calendar:
        """Look at a new calendar, and keep it if that works; with `keep` as a file."""
        if len(await self._rows(person.extension)) >= MAX_CALENDARS:
            raise OperatorError("calendar.many", f"{MAX_CALENDARS} calendars are the most")
        loop = asyncio.get_running_loop()
        patience = loop.call_later(SLOW, self._followers.announce, row.extension, READING)
        try:
            done = await self._ask(row, person)
        except CalendarError as error:
            raise OperatorError("calendar.failed", str(error)) from error
        finally:
            patience.cancel()
        row.name = (done.name or _host(row))[:80]
        row.content, row.etag, row.modified = done.content, done.etag, done.modified
        row.checked = row.expanded = self._now()
        if keep:
            row.kind, row.url, row.etag, row.modified = "file", "", "", ""
        kept = CalendarRow(**row.model_dump())

        async def add(session: AsyncSession) -> None:
            session.add(kept)

        await self._database.together(add)
        entries = done.entries or []
        await self._reminders.replace(row.id, self._as_reminders(row, person, entries))
        coming = [one for one in entries if one.start > self._now()]
        return _shown(row, coming=len(coming), note=done.left_out)

    async def _sync(self, row: CalendarRow, person: Person) -> None:
        """Look at one; who follows it is told once that it cannot be read, and once that it can
        be read again. What is known of it rings all the same."""
        now = self._now()
        try:
            done = await self._ask(row, person)
        except CalendarError as error:
            await self._change(row.id, checked=now, failing=str(error)[:200])
            if not row.failing:
                self._followers.announce(
                    row.extension,
                    f"I cannot read your calendar {row.name}: {error}. What I know of it still "
                    "rings, and I go on trying.",
                )
            return
        if row.failing:
            self._followers.announce(row.extension, f"I can read your calendar {row.name} again.")
        changes: dict[str, Any] = {"checked": now, "failing": ""}
        if done.entries is not None:
            await self._reminders.replace(row.id, self._as_reminders(row, person, done.entries))
            changes |= {"expanded": now, "content": done.content}
            changes |= {"etag": done.etag, "modified": done.modified}
        await self._change(row.id, **changes)

    async def _ask(self, row: CalendarRow, person: Person) -> Done:
        """Have the process do it; one that takes too long is replaced."""
        now = self._now()
        job = Job(
            kind=row.kind,
            source=self._source(row),
            etag=row.etag,
            modified=row.modified,
            content=row.content,
            anew=row.expanded is None or row.expanded < now - AGAIN,
            begin=now - BEHIND,
            end=now + AHEAD,
            zone=person.timezone,
        )
        async with self._busy:
            pool, loop = self._pool, asyncio.get_running_loop()
            try:
                async with asyncio.timeout(WITHIN):
                    return await loop.run_in_executor(pool, do_job, job)
            except (BrokenProcessPool, TimeoutError) as error:
                self._pool = new_worker()
                end_now(pool)
                raise SourceError("the calendar takes too long") from error

    def _as_reminders(
        self, row: CalendarRow, person: Person, entries: Sequence[Entry]
    ) -> list[ReminderRow]:
        found: dict[str, ReminderRow] = {}
        for one in entries:
            wanted = row.words.casefold() in f"{one.title} {one.people}".casefold()
            leads = set(one.leads)
            if wanted and not one.all_day:
                leads |= set(row.leads)
            id = hashlib.sha256(f"{row.id} {one.uid}".encode()).hexdigest()[:16]
            found[id] = ReminderRow(
                id=id,
                extension=row.extension,
                text=one.title,
                by=row.by,
                zone=person.timezone,
                start=one.start,
                leads=sorted(leads, reverse=True),
                occurrence=one.start,
                calendar=row.id,
                dial=one.dial,
                all_day=one.all_day,
            )
        return list(found.values())

    # ── rows ────────────────────────────────────────────────────────────────────────────
    def _new(self, person: Person, kind: str, **what: Any) -> CalendarRow:
        return CalendarRow(
            id=secrets.token_hex(4),
            extension=person.extension,
            name="",
            kind=kind,
            leads=[],
            **what,
        )

    def _source(self, row: CalendarRow) -> Source:
        ca = self._section.ca_file
        return Source(
            url=row.url,
            user=row.user,
            password=row.password,
            private=self._section.private,
            ca_file=str(self._folder / ca) if ca else "",
        )

    async def _rows(self, extension: str) -> Sequence[CalendarRow]:
        async with self._database.reading() as session:
            found = await session.execute(
                select(CalendarRow)
                .where(col(CalendarRow.extension) == extension)
                .order_by(col(CalendarRow.name), col(CalendarRow.id))
            )
            return found.scalars().all()

    async def _row(self, id: str) -> CalendarRow | None:
        async with self._database.reading() as session:
            return await session.get(CalendarRow, id)

    async def _mine(self, person: Person, id: str) -> CalendarRow:
        row = await self._row(id)
        if row is None or row.extension != person.extension:
            raise OperatorError("calendar.gone", "I follow no such calendar any more")
        return row

    async def _change(self, id: str, **changes: Any) -> None:
        async def change(session: AsyncSession) -> None:
            mine = col(CalendarRow.id) == id
            await session.execute(update(CalendarRow).where(mine).values(**changes))

        await self._database.together(change)

    async def _remove(self, ids: Sequence[str]) -> None:
        async def remove(session: AsyncSession) -> None:
            await session.execute(delete(CalendarRow).where(col(CalendarRow.id).in_(ids)))

        await self._database.together(remove)
        for id in ids:
            await self._reminders.replace(id, ())


def _shown(row: CalendarRow, coming: int = 0, note: str = "") -> Calendar:
    return Calendar(
        id=row.id,
        name=row.name,
        kind=row.kind,
        leads=tuple(row.leads),
        by=row.by,
        words=row.words,
        checked=row.checked,
        failing=row.failing,
        coming=coming,
        note=note,
    )


def _host(row: CalendarRow) -> str:
    return row.url.partition("://")[2].partition("/")[0].partition(":")[0] or "a file"


# ── in the process, which alone loads what reads calendars ──────────────────────────────────
def do_job(job: Job) -> Done:
    """Fetch and read one. Raises `CalendarError`."""
    from encryptotel.calendars.work import do  # noqa: PLC0415

    return do(job)


def _write(source: Source, content: bytes, title: str, at: datetime, minutes: int) -> None:
    from encryptotel.calendars.work import write  # noqa: PLC0415

    write(source, content, title, at, minutes)
