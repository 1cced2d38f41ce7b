"""Reminders: each rings once for each of its moments, however often we stop and start meanwhile.

A `ReminderRow` knows when it is due; what rings then is a `RingRow`, written in the transaction
that moves its reminder on, and tried until somebody took it. Several exchanges may share the
tables: who moves a row on first has it. The alarm rings for the earliest of all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, func, select, update

from scheduler.alarm import Alarm
from scheduler.recurrence import Recurrence
from store.database import Database
from store.tables import ReminderRow, RingRow

log = logging.getLogger(__name__)

KIND = "reminders"
"What the alarm knows them as."
BATCH = 500
"Rows looked at in one go."
MAX_REMINDERS = 500
"Of one person."
COALESCE = timedelta(minutes=10)
"What is later than the moment after it rings no more: of a night off one rings."
MAX_SKIPPED = 10_000
"Moments slept through that are counted."
LEASE = timedelta(minutes=6)
"What one try may take; after that another exchange, or the next run, tries."
AGAIN = 10.0
"Seconds until all is looked at again when the database failed."
NOTE_AGAIN = 2.0
"Seconds until it is tried again to write what came of a try."
LATE = timedelta(minutes=1)
"What comes later than this was late."
KEPT = timedelta(days=30)
"For so long the buttons of what rang still work."


class TooManyReminders(Exception):
    """A person has as many as one may have."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a reminder rings: `lead` minutes before an occurrence. All in UTC."""

    at: datetime
    occurrence: datetime
    lead: int


Keep = Callable[[AsyncSession], Awaitable[Callable[[], None]]]
"Writes something in a transaction; what it gives is called once that is committed."


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a try: how the ring stands (of a snoozed one the tries begin anew, with a
    stopped one its reminder ends), and after what time it is tried `again`, if it is; that it
    could not be tried at all does not count. `keep` writes beside that what people are told, and
    gives what tells them once all of it is noted."""

    state: str = "open"
    again: timedelta | None = None
    counts: bool = True
    keep: Keep | None = None


Row = TypeVar("Row", ReminderRow, RingRow)
Deliver = Callable[[RingRow], Awaitable[Result]]


class Reminders:
    """`deliver` makes one try; `now` is the clock."""

    def __init__(
        self,
        database: Database,
        alarm: Alarm,
        deliver: Deliver,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.now = now
        self._database, self._alarm, self._deliver = database, alarm, deliver
        self._set_for: datetime | None = None
        "When the alarm rings."
        self._looking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self.tries: Counter[str] = Counter()
        "How often something was delivered since the start, by how the ring stood then."
        self.late = 0
        "Of those, what came later than it was due."
        alarm.on(KIND, lambda _: self._wake())
        alarm.on_look(self._wake)

    async def start(self) -> None:
        """Go on with what the last run left."""

        async def free(session: AsyncSession) -> None:
            mine = (col(RingRow.by_whom) == self._alarm.node) & col(RingRow.due).is_not(None)
            await session.execute(update(RingRow).where(mine).values(due=self.now(), by_whom=""))
            old = (col(RingRow.at) < self.now() - KEPT) & col(RingRow.due).is_(None)
            await session.execute(delete(RingRow).where(old))

        await self._database.together(free)
        await self._alarm.start()
        self._wake()

    async def stop(self) -> None:
        """Finish the tries that are being made; the alarm must have been stopped."""
        self._stopping.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ── what is to be rung for ──────────────────────────────────────────────────────────
    async def add(self, row: ReminderRow) -> ReminderRow:
        """Take a reminder with its start, rule and leads. Raises `TooManyReminders`, `RuleError`,
        or `ValueError` when it would never ring."""
        first = await asyncio.to_thread(_next, row, self.now())
        if first is None:
            raise ValueError("that is over")
        kept = _with(row, **_due(first))

        async with self._database.writing() as session:
            mine = select(func.count()).where(
                col(ReminderRow.extension) == row.extension, col(ReminderRow.calendar) == ""
            )
            if (await session.execute(mine)).scalar_one() >= MAX_REMINDERS:
                raise TooManyReminders
            session.add(kept)
        await self._expect(first.at)
        return kept

    async def of(self, extension: str) -> Sequence[ReminderRow]:
        """What somebody ordered to be reminded of, the next first, the paused last."""
        async with self._database.reading() as session:
            found = await session.execute(
                select(ReminderRow)
                .where(col(ReminderRow.extension) == extension, col(ReminderRow.calendar) == "")
                .order_by(col(ReminderRow.due).is_(None), col(ReminderRow.due))
            )
            return found.scalars().all()

    async def between(
        self, extension: str, begin: datetime, end: datetime
    ) -> Sequence[tuple[datetime, str]]:
        """All moments of somebody's reminders and calendars in a time, without what comes before
        them, and what each is about; what rests is left out."""
        ordered = [row for row in await self.of(extension) if row.due is not None]
        async with self._database.reading() as session:
            found = await session.execute(
                select(ReminderRow).where(
                    col(ReminderRow.extension) == extension,
                    col(ReminderRow.calendar) != "",
                    col(ReminderRow.start) >= begin,
                    col(ReminderRow.start) < end,
                )
            )
            rows = [*ordered, *found.scalars().all()]
        return await asyncio.to_thread(_moments, rows, begin, end)

    async def replace(self, calendar: str, rows: Sequence[ReminderRow]) -> None:
        """What is in a calendar now. What is as before keeps when it is due; what is gone rings no
        more."""
        now = self.now()
        async with self._database.reading() as session:
            query = select(ReminderRow).where(col(ReminderRow.calendar) == calendar)
            before = {row.id: row for row in (await session.execute(query)).scalars().all()}
        fresh = await asyncio.to_thread(_changed, rows, before, now)
        gone = list(before.keys() - {row.id for row in rows})
        for at in range(0, len(fresh), BATCH):
            await self._database.together(partial(_keep, fresh[at : at + BATCH]))
        for at in range(0, len(gone), BATCH):
            await self._database.together(partial(_drop, gone[at : at + BATCH]))
        await self._expect(min((row.due for row in fresh if row.due), default=None))

    async def change(self, row: ReminderRow, **changes: Any) -> ReminderRow:
        """Another start, rule, text or way. Raises as `add` does."""
        changed = _with(row, **changes)
        first = await asyncio.to_thread(_next, changed, self.now())
        if first is None:
            raise ValueError("that is over")
        moved = _with(changed, **_due(first))

        async def change(session: AsyncSession) -> None:
            await session.merge(moved)

        await self._database.together(change)
        await self._expect(first.at)
        return moved

    async def move(self, extension: str, zone: str) -> None:
        """What somebody ordered that comes again rings at the same hours of another zone."""
        for row in await self.of(extension):
            if not row.rule or row.zone == zone:
                continue
            clock = row.start.astimezone(ZoneInfo(row.zone)).replace(tzinfo=ZoneInfo(zone))
            if row.due is None:
                await self._rest(_with(row, start=clock, zone=zone))
                continue
            with contextlib.suppress(ValueError):  # its last moment was before
                await self.change(row, start=clock, zone=zone)

    async def pause(self, row: ReminderRow, *, on: bool) -> None:
        """Let one rest, or ring again from its next moment on."""
        if not on:
            await self.change(row)
            return
        await self._rest(row)

    async def _rest(self, row: ReminderRow) -> None:
        resting = _with(row, due=None)

        async def rest(session: AsyncSession) -> None:
            await session.merge(resting)

        await self._database.together(rest)

    async def cancel(self, id: str) -> bool:
        """Ring for one no more, nor go on with what rings for it; False if it is gone."""

        async def cancel(session: AsyncSession) -> bool:
            there = await session.get(ReminderRow, id) is not None
            await _drop([id], session)
            return there

        return await self._database.together(cancel)

    async def forget(self, extension: str) -> None:
        """Forget all that somebody is reminded of."""

        async def forget(session: AsyncSession) -> None:
            await session.execute(
                delete(ReminderRow).where(col(ReminderRow.extension) == extension)
            )
            await session.execute(delete(RingRow).where(col(RingRow.extension) == extension))

        await self._database.together(forget)

    # ── what rang ───────────────────────────────────────────────────────────────────────
    async def ring(self, id: str) -> RingRow | None:
        """One that rang, or rings."""
        async with self._database.reading() as session:
            return await session.get(RingRow, id)

    async def latest(self, extension: str) -> RingRow | None:
        """What rang last at somebody's and is still open."""
        theirs = (col(RingRow.extension) == extension) & (col(RingRow.to) == "")
        async with self._database.reading() as session:
            found = await session.execute(
                select(RingRow)
                .where(theirs | (col(RingRow.to) == extension), col(RingRow.state) == "open")
                .order_by(col(RingRow.at).desc())
                .limit(1)
            )
            return found.scalars().first()

    async def settle(self, id: str, state: str, again: timedelta | None = None) -> None:
        """Somebody took it, or wants it again after a time."""
        due = None if again is None else self.now() + again

        async def settle(session: AsyncSession) -> None:
            changes: dict[str, Any] = {"state": state, "due": due, "by_whom": "", "tries": 0}
            await session.execute(update(RingRow).where(col(RingRow.id) == id).values(**changes))

        await self._database.together(settle)
        if due is not None:
            await self._expect(due)

    # ── ringing ─────────────────────────────────────────────────────────────────────────
    async def look(self) -> int:
        """Ring for all that is due, and set the alarm for the next; how many rang."""
        rang = 0
        async with self._looking:
            while True:
                now = self.now()
                moved = await self._move_on(now)
                rings = await self._claim(now)
                for ring in rings:
                    self._spawn(self._try(ring))
                rang += len(rings)
                if not moved and not rings:
                    break
            self._set_for = None
            await self._expect(await self._earliest())
        return rang

    async def _move_on(self, now: datetime) -> int:
        """Make rings of all reminders that are due; how many those were."""
        rows = await self._overdue(ReminderRow, now)
        steps = await asyncio.to_thread(lambda: [_step(row, now) for row in rows])

        async def move(session: AsyncSession) -> None:
            for row, (ring, following) in zip(rows, steps, strict=True):
                if await _moved(session, row, following):
                    session.add(ring)

        if rows:
            await self._database.together(move)
        return len(rows)

    async def _claim(self, now: datetime) -> Sequence[RingRow]:
        """Rings that are due and nobody else's."""
        rows = await self._overdue(RingRow, now)

        async def claim(session: AsyncSession) -> list[RingRow]:
            mine: list[RingRow] = []
            for row in rows:
                same = (col(RingRow.id) == row.id) & (col(RingRow.due) == row.due)
                taken = {"due": now + LEASE, "by_whom": self._alarm.node, "tries": row.tries + 1}
                result: Any = await session.execute(update(RingRow).where(same).values(**taken))
                if result.rowcount:
                    mine.append(RingRow(**{**row.model_dump(), **taken}))
            return mine

        found = await self._database.together(claim) if rows else []
        late = {row.id for row in rows if row.due is not None and now - row.due > LATE}
        self.late += sum(ring.id in late for ring in found)
        return found

    async def _overdue(self, table: type[Row], now: datetime) -> Sequence[Row]:
        async with self._database.reading() as session:
            found = await session.execute(
                select(table)
                .where(col(table.due) <= now)
                .order_by(col(table.due), col(table.id))  # two exchanges never wait for each other
                .limit(BATCH)
            )
            return found.scalars().all()

    async def _try(self, ring: RingRow) -> None:
        try:
            result = await self._deliver(ring)
        except Exception:
            log.exception("a reminder failed")
            result = Result(again=LEASE)
        self.tries[result.state] += 1
        due = None if result.again is None else self.now() + result.again
        state = {"snoozed": "open", "stopped": "done"}.get(result.state, result.state)
        tell: Callable[[], None] = lambda: None  # noqa: E731

        async def note(session: AsyncSession) -> None:
            nonlocal tell
            mine = (col(RingRow.id) == ring.id) & (col(RingRow.by_whom) == self._alarm.node)
            changes: dict[str, Any] = {"state": state, "due": due, "by_whom": ""}
            if result.state == "snoozed":
                changes["tries"] = 0
            elif not result.counts:
                changes["tries"] = ring.tries - 1
            await session.execute(update(RingRow).where(mine).values(**changes))
            if result.state == "stopped":
                await _drop([ring.reminder], session)
            if result.keep is not None:
                tell = await result.keep(session)

        if await self._noted(note, ring):
            if due is not None:
                await self._expect(due)
            tell()

    async def _noted(self, note: Callable[[AsyncSession], Awaitable[None]], ring: RingRow) -> bool:
        """Write what came of a try, again and again: what nobody noted is tried once more when its
        time is up."""
        while True:
            try:
                await self._database.together(note)
                return True
            except DBAPIError as error:
                log.error("what came of a reminder waits to be noted: %s", error.orig)
            assert ring.due is not None
            if self._stopping.is_set() or self.now() >= ring.due:
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NOTE_AGAIN):
                    await self._stopping.wait()

    async def _earliest(self) -> datetime | None:
        async with self._database.reading() as session:
            found = [
                (await session.execute(select(func.min(due)))).scalar()
                for due in (col(ReminderRow.due), col(RingRow.due))
            ]
        return min((one for one in found if one is not None), default=None)

    async def _expect(self, at: datetime | None) -> None:
        """Have the alarm ring by then."""
        if at is None or (self._set_for is not None and self._set_for <= at):
            return
        self._set_for = at
        await self._alarm.set(KIND, "next", at)

    def _wake(self) -> None:
        self._spawn(self._look_now())

    async def _look_now(self) -> None:
        try:
            await self.look()
        except DBAPIError as error:
            log.error("reminders wait, the database fails: %s", error.orig)
            asyncio.get_running_loop().call_later(AGAIN, self._wake)

    def _spawn(self, job: Awaitable[None]) -> None:
        task = asyncio.ensure_future(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


# ── moments, for a thread ───────────────────────────────────────────────────────────────────
def _next(row: ReminderRow, now: datetime) -> Moment | None:
    """The first moment from now on. Raises `RuleError`."""
    recurrence = Recurrence(row.start, ZoneInfo(row.zone), row.rule)
    recurrence.refuse_often()
    return _first(recurrence, row.leads, None, now)


def _changed(
    rows: Iterable[ReminderRow], before: Mapping[str, ReminderRow], now: datetime
) -> list[ReminderRow]:
    """Those that are new or other than before, each with when it is due."""
    found = []
    for row in rows:
        old = before.get(row.id)
        same = ("start", "text", "by", "leads", "dial")
        if old is not None and all(getattr(old, name) == getattr(row, name) for name in same):
            continue
        first = _first(Recurrence(row.start, ZoneInfo(row.zone)), row.leads, None, now)
        due = _due(first) if first is not None else {"due": None, "occurrence": row.start}
        found.append(_with(row, **due))
    return found


def _moments(
    rows: Iterable[ReminderRow], begin: datetime, end: datetime
) -> list[tuple[datetime, str]]:
    found: list[tuple[datetime, str]] = []
    for row in rows:
        recurrence = Recurrence(row.start, ZoneInfo(row.zone), row.rule)
        at = recurrence.after(begin - timedelta(microseconds=1))
        while at is not None and at < end:
            found.append((at, row.text))
            at = recurrence.after(at)
    return sorted(found)


def _first(
    recurrence: Recurrence, leads: Iterable[int], last: Moment | None, now: datetime
) -> Moment | None:
    found: list[Moment] = []
    for lead in leads:
        ahead = timedelta(minutes=lead)
        bound = now if last is None else last.at
        if last is not None and lead < last.lead:  # of two at once the longer lead is first
            bound -= timedelta(microseconds=1)
        occurrence = recurrence.after(bound + ahead)
        if occurrence is not None:
            found.append(Moment(at=occurrence - ahead, occurrence=occurrence, lead=lead))
    return min(found, key=lambda one: (one.at, -one.lead), default=None)


def _step(row: ReminderRow, now: datetime) -> tuple[RingRow, Moment | None]:
    """What rings for a reminder that is due, the latest moment of those that passed, and what
    comes after it."""
    assert row.due is not None
    recurrence = Recurrence(row.start, ZoneInfo(row.zone), row.rule)
    moment = Moment(at=row.due, occurrence=row.occurrence, lead=row.lead)
    skipped = 0
    following = _first(recurrence, row.leads, moment, now)
    while following is not None and following.at <= now - COALESCE and skipped < MAX_SKIPPED:
        moment, skipped = following, skipped + 1
        following = _first(recurrence, row.leads, moment, now)
    ring = RingRow(
        id=secrets.token_hex(6),
        reminder=row.id,
        extension=row.extension,
        text=row.text,
        by=row.by,
        to=row.to,
        occurrence=moment.occurrence,
        lead=moment.lead,
        at=moment.at,
        skipped=skipped,
        repeats=bool(row.rule),
        due=moment.at,
        dial=row.dial,
    )
    return ring, following


async def _moved(session: AsyncSession, row: ReminderRow, following: Moment | None) -> bool:
    """Move a reminder on, or drop it after its last moment; False if somebody else did."""
    same = (col(ReminderRow.id) == row.id) & (col(ReminderRow.due) == row.due)
    if following is not None:
        moving: Any = update(ReminderRow).where(same).values(**_due(following))
    elif row.calendar:  # it is on still, and its calendar is what drops it
        moving = update(ReminderRow).where(same).values(due=None)
    else:
        moving = delete(ReminderRow).where(same)
    result: Any = await session.execute(moving)
    return bool(result.rowcount)


async def _keep(rows: Iterable[ReminderRow], session: AsyncSession) -> None:
    for row in rows:
        await session.merge(row)


async def _drop(ids: Sequence[str], session: AsyncSession) -> None:
    """These rings no more, nor goes on what rings for them."""
    await session.execute(delete(ReminderRow).where(col(ReminderRow.id).in_(ids)))
    waiting = col(RingRow.reminder).in_(ids) & col(RingRow.due).is_not(None)
    await session.execute(update(RingRow).where(waiting).values(due=None, state="done"))


def _with(row: ReminderRow, **changes: Any) -> ReminderRow:
    return ReminderRow(**{**row.model_dump(), **changes})


def _due(moment: Moment) -> dict[str, Any]:
    return {"due": moment.at, "occurrence": moment.occurrence, "lead": moment.lead}
