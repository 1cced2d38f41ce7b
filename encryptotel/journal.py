"""Writes what happens to the database, off the call path.

Events are queued and written in batches, each batch one transaction. While the database cannot
be written (locked, disk full) calls go on, the queue waits, and what does not fit is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Executable, bindparam, update
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col, delete

from pbx.events import (
    CallAnswered,
    CallEnded,
    CallMeant,
    CallPrivate,
    CallStarted,
    CallTraced,
    DeviceRegistered,
    DeviceUnregistered,
    Event,
    LegAnswered,
    LegEnded,
    LegMeasured,
    LegRinging,
    LegStarted,
)
from store.database import Database
from store.journal import forget_traces, settle
from store.tables import BindingRow, CallRow, LegRow, TraceRow
from store.upsert import insert_new, insert_or_update

log = logging.getLogger(__name__)

MAX_WAITING = 20_000
"Events of calls kept while the database is away."
KEPT_FOR_ENDS = 4_000
"Of these, kept for calls that go on: new ones are given up before."
MAX_TRACE_BYTES = 32_000_000
"Characters of SIP messages among them."
MAX_DEVICES = 50_000
"Devices whose latest registration waits."
MAX_BATCH = 500
GATHER_SECONDS = 0.5
"Events are gathered this long, so that a busy second is a few transactions and not hundreds."
RETRY_SECONDS = 2.0
CLEAN_EVERY = timedelta(hours=6)
CLOSING_RETRY = 0.2
CLOSE_SECONDS = 5.0


class Journal:
    """The writer. `take` is the event sink; `close` writes what is left.

    `node` is the name of this program where several keep one journal. `alive` is when the last run
    was last known to live: its open calls ended then. `tell` gets one sentence for the owner when
    writing fails, and one when it works again.
    """

    def __init__(
        self,
        database: Database,
        *,
        node: str = "",
        alive: datetime | None = None,
        tell: Callable[[str], None] = log.warning,
        keep_traces: timedelta | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._node = node
        self._alive = alive
        self._tell = tell
        self._now = now
        self._started = self._clean_at = now()
        self.keep_traces = keep_traces
        "How long SIP messages of calls are kept; None: for ever."
        self._waiting: deque[Event] = deque()
        self._devices: dict[tuple[str, str], DeviceRegistered | DeviceUnregistered] = {}
        "The latest of each device only: what it was in between is nobody's business."
        self._given_up: set[str] = set()
        "Calls that go on and are not written: there was no room when they began."
        self._trace_bytes = 0
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""
        self._dropped_before = 0
        self.dropped = 0
        "Events that were not written since the start."

    @property
    def waiting(self) -> int:
        """Events not written yet."""
        return len(self._waiting) + len(self._devices)

    @property
    def trouble(self) -> str:
        """Why nothing can be written just now, in words; empty when all is well."""
        return self._trouble

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    def take(self, event: Event) -> None:
        """Queue one event; never blocks. Events that are in no table are left to others."""
        if isinstance(event, DeviceRegistered | DeviceUnregistered):
            self._take_device(event)
        elif type(event) in _STATEMENTS and self._has_room(event):
            self._waiting.append(event)
        else:
            return
        self._news.set()

    async def caught_up(self) -> None:
        """Wait until what happened so far can be read; not long, and not while there is trouble."""
        if not self.waiting or self._trouble:
            return
        self._caught_up.clear()
        self._hurry.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._caught_up.wait()

    async def close(self) -> None:
        """Write what is waiting, within a few seconds."""
        self._closing.set()
        self._news.set()
        self._hurry.set()
        if self._task is not None:
            try:
                await asyncio.wait_for(self._task, CLOSE_SECONDS)
            except TimeoutError:
                log.error("the journal lost %d events: %s", self.waiting, self._trouble)

    # ── what waits ──────────────────────────────────────────────────────────────────────
    def _take_device(self, event: DeviceRegistered | DeviceUnregistered) -> None:
        key = event.extension, event.contact
        if key not in self._devices and len(self._devices) >= MAX_DEVICES:
            self.dropped += 1
            return
        self._devices[key] = event
        if isinstance(event, DeviceUnregistered) or not event.refreshed:
            self._hurry.set()  # after a crash, a phone that thinks it is registered must be

    def _has_room(self, event: Any) -> bool:
        """Whether to keep an event of a call. When room gets short, whole new calls are given
        up, so that each call that is in the tables gets its end there."""
        kind = type(event)
        if event.call_id in self._given_up:
            if kind is CallTraced:  # the last of a call
                self._given_up.discard(event.call_id)
            self.dropped += 1
            return False
        size = _size(event) if kind is CallTraced else 0
        room = MAX_WAITING - KEPT_FOR_ENDS if kind is CallStarted else MAX_WAITING
        if len(self._waiting) < room and self._trace_bytes + size <= MAX_TRACE_BYTES:
            self._trace_bytes += size
            return True
        if kind is CallStarted:
            self._given_up.add(event.call_id)
        self.dropped += 1
        return False

    # ── writing ─────────────────────────────────────────────────────────────────────────
    async def _run(self) -> None:
        while not await self._attempt(self._settle):
            await self._pause(RETRY_SECONDS)
        while not (self._closing.is_set() and not self.waiting):
            await self._news.wait()
            if not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_SECONDS):
                        await self._hurry.wait()
                self._hurry.clear()
            self._news.clear()
            while self.waiting:
                if not await self._write():
                    await self._pause(RETRY_SECONDS)
            self._caught_up.set()
            self._note_all_well()
            if self._now() >= self._clean_at and await self._attempt(self._forget):
                self._clean_at = self._now() + CLEAN_EVERY

    async def _forget(self, session: AsyncSession) -> None:
        """Old SIP messages go; that the calls were made is kept."""
        if self.keep_traces is not None:
            await forget_traces(session, before=self._now() - self.keep_traces)

    async def _settle(self, session: AsyncSession) -> None:
        calls, _ = await settle(
            session, started=self._started, alive=self._alive, nodes={"", self._node}
        )
        if calls:
            log.warning("%d calls were going on when the last run stopped unexpectedly", calls)

    async def _write(self) -> bool:
        """Write a batch; False when that has to be tried again."""
        events = list(islice(self._waiting, MAX_BATCH))
        devices = dict(islice(self._devices.items(), MAX_BATCH))

        async def apply(session: AsyncSession) -> None:
            await _apply(session, events, self._node)
            await _apply_devices(session, list(devices.values()))

        try:
            if not await self._attempt(apply):
                return False
        except Exception:
            log.exception("the journal cannot write a batch and tries one by one")
            if not await self._one_by_one(events, list(devices.values())):
                return False
        for event in events:
            self._waiting.popleft()
            if isinstance(event, CallTraced):
                self._trace_bytes -= _size(event)
        for key, device in devices.items():
            if self._devices.get(key) is device:  # else there is later news of it
                del self._devices[key]
        return True

    async def _one_by_one(
        self, events: Sequence[Event], devices: Sequence[DeviceRegistered | DeviceUnregistered]
    ) -> bool:
        """Save what can be saved of a batch in which something cannot be written at all."""
        for event in (*events, *devices):

            async def apply(session: AsyncSession, event: Event = event) -> None:
                if isinstance(event, DeviceRegistered | DeviceUnregistered):
                    await _apply_devices(session, [event])
                else:
                    await _apply(session, [event], self._node)

            try:
                if not await self._attempt(apply):
                    return False
            except Exception:
                self.dropped += 1
                log.exception("the journal drops a %s", type(event).__name__)
        return True

    async def _attempt(self, apply: Callable[[AsyncSession], Awaitable[None]]) -> bool:
        """One transaction. False when the database is away (locked, full, gone): that passes,
        and applying the same again does no harm. Raises what will not pass."""
        try:
            async with self._database.writing() as session:
                await apply(session)
        except _IN_VAIN:
            raise
        except (DBAPIError, OSError) as error:
            self._note_trouble(error)
            return False
        return True

    async def _pause(self, seconds: float) -> None:
        """Wait; shorter when the program is about to end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
                await asyncio.sleep(CLOSING_RETRY)

    # ── telling ─────────────────────────────────────────────────────────────────────────
    def _note_trouble(self, error: Exception) -> None:
        reason = _in_words(error)
        if not self._trouble:
            self._dropped_before = self.dropped
            log.warning("the journal waits: %s", reason)
            self._tell(
                f"The call journal cannot be written: {reason}. Calls go on as usual; I keep "
                f"what happens in memory and write it as soon as I can."
            )
        self._trouble = reason
        self._caught_up.set()

    def _note_all_well(self) -> None:
        if self._trouble:
            self._trouble = ""
            lost = self.dropped - self._dropped_before
            what = f"{lost} entries were lost" if lost else "nothing was lost"
            log.warning("the journal is written again: %s", what)
            self._tell(f"The call journal is written again; {what}.")


_IN_VAIN = (IntegrityError, DataError, ProgrammingError, InterfaceError)


def _in_words(error: Exception) -> str:
    """What is wrong with the database, for people."""
    original = getattr(error, "orig", None) or error
    text = str(original).splitlines()[0] if str(original) else type(original).__name__
    for part, words in _WORDS.items():
        if part in text:
            return words
    return text


AWAY = "the database server is away"
_WORDS = {
    "disk is full": "the disk is full, make room on it",
    "No space left": "the disk is full, make room on it",
    "is locked": "another program holds the database",
    "connection failed": AWAY,
    "closed the connection": AWAY,
    "terminating connection": AWAY,
    "readonly": "the database file may not be written",
    "disk I/O error": "the disk reports an error",
    "unable to open": "the database file cannot be opened",
}


def _size(event: CallTraced) -> int:
    return sum(len(line.text) for line in event.lines)


async def _apply(session: AsyncSession, batch: Sequence[Event], node: str) -> None:
    """Write events with as few statements as there are kinds of them. Applying them twice
    changes nothing more."""
    rows: dict[type[Event], list[dict[str, Any]]] = {}
    for event in batch:
        if (row := _row(event)) is not None:
            if isinstance(event, CallStarted | LegStarted):
                row["node"] = node
            rows.setdefault(type(event), []).append(row)
    connection = await session.connection()
    for kind, what in _STATEMENTS.items():
        if kind in rows:
            statement = (
                insert_new(connection.dialect.name, what) if isinstance(what, type) else what
            )
            await connection.execute(statement, rows[kind])
    if node:
        await _join_traces(session, rows.get(CallTraced, ()))


async def _join_traces(session: AsyncSession, ours: Sequence[Mapping[str, Any]]) -> None:
    """Of a call that several programs carried there is one ladder, with what each of them saw."""
    for one in ours:
        found = await session.get(TraceRow, one["call_id"], with_for_update=True)
        if found is None or found.messages == one["messages"]:
            continue
        new = [message for message in one["messages"] if message not in found.messages]
        found.messages = sorted([*found.messages, *new], key=lambda message: message["at"])


def _row(event: Event) -> dict[str, Any] | None:
    """The parameters of an event's statement."""
    match event:
        case CallStarted():
            return {
                "id": event.call_id,
                "started_at": event.at,
                "caller": event.caller[:80],
                "callee": event.callee[:80],
                "dialled": event.callee[:80],
                "user": event.user,
                "kind": event.kind,
                "shown": event.shown[:80],
                "cause": "",
                "private": False,
            }
        case CallMeant():
            return {
                "key": event.call_id,
                "callee": event.callee[:80],
                "shown": event.shown[:80],
                "user": event.user,
            }
        case LegStarted(inner=True):
            return None  # one call has the sides that people are on, whichever program has each
        case LegStarted():
            return {
                "id": event.leg_id,
                "call_id": event.call_id,
                "peer": event.peer[:80],
                "direction": event.direction,
                "trunk": event.trunk,
                "device": event.device[:120],
                "started_at": event.at,
                **_UNHEARD,
            }
        case CallAnswered():
            return {"key": event.call_id, "answered_at": event.at}
        case CallPrivate():
            return {"key": event.call_id, "private": event.private}
        case CallEnded():
            cause = event.cause[:200]
            return {
                "key": event.call_id,
                "ended_at": event.at,
                "status": event.status,
                "cause": cause,
            }
        case LegRinging():
            return {"key": event.leg_id, "ringing_at": event.at}
        case LegAnswered():
            return {
                "key": event.leg_id,
                "answered_at": event.at,
                "codec": event.codec[:40],
                "srtp": event.srtp,
            }
        case LegEnded():
            return {
                "key": event.leg_id,
                "ended_at": event.at,
                "status": event.status,
                "cause": event.cause[:200],
                **_counts(event),
            }
        case LegMeasured():
            return {"key": event.ended.leg_id, **_counts(event.ended)}
        case CallTraced():
            return {"call_id": event.call_id, "messages": [line.to_json() for line in event.lines]}
    return None


_UNHEARD: dict[str, Any] = {
    "cause": "",
    "codec": "",
    "srtp": False,
    "received": 0,
    "sent": 0,
    "lost": 0,
    "jitter_ms": 0.0,
    "lost_by_peer": 0,
}


_COUNTS = (
    "codec", "srtp", "received", "sent", "lost", "jitter_ms", "lost_by_peer", "round_trip_ms",
    "mos",
)  # fmt: skip


def _counts(event: LegEnded) -> dict[str, Any]:
    return {
        "codec": event.codec[:40],
        "srtp": event.srtp,
        "received": event.received,
        "sent": event.sent,
        "lost": event.lost,
        "jitter_ms": round(event.jitter_ms, 2),
        "lost_by_peer": event.lost_by_peer,
        "round_trip_ms": _rounded(event.round_trip_ms, 1),
        "mos": _rounded(event.mos, 2),
    }


def _rounded(figure: float | None, digits: int) -> float | None:
    return None if figure is None else round(figure, digits)


_CALL = update(CallRow).where(col(CallRow.id) == bindparam("key"))
_LEG = update(LegRow).where(col(LegRow.id) == bindparam("key"))


def _set(*columns: str) -> dict[str, Any]:
    return {column: bindparam(column) for column in columns}


# In the order of a call's life: what starts is inserted before anything updates it.
_STATEMENTS: dict[type[Event], Executable | type[SQLModel]] = {
    CallStarted: CallRow,
    LegStarted: LegRow,
    CallMeant: _CALL.values(_set("callee", "shown", "user")),
    CallAnswered: _CALL.values(_set("answered_at")),
    CallPrivate: _CALL.values(_set("private")),
    LegRinging: _LEG.values(_set("ringing_at")),
    LegAnswered: _LEG.values(_set("answered_at", "codec", "srtp")),
    LegEnded: _LEG.values(_set("ended_at", "status", "cause", *_COUNTS)),
    LegMeasured: _LEG.values(_set(*_COUNTS)),
    CallEnded: _CALL.values(_set("ended_at", "status", "cause")),
    CallTraced: TraceRow,
}


async def _apply_devices(
    session: AsyncSession, batch: Sequence[DeviceRegistered | DeviceUnregistered]
) -> None:
    """Write the latest of each device: one statement for those that came, one for those gone."""
    gone = [
        {"gone_extension": event.extension, "gone_contact": event.contact}
        for event in batch
        if isinstance(event, DeviceUnregistered)
    ]
    here = [
        {
            "extension": event.extension,
            "contact": event.contact,
            "transport": event.transport,
            "remote_host": event.remote_host,
            "remote_port": event.remote_port,
            "expires": event.expires,
            "user_agent": event.user_agent,
            "call_id": event.call_id[:255],
            "cseq": event.cseq,
            "username": event.username,
            "since": event.since,
            "path": ", ".join(event.path),
            "instance": event.instance,
            "reg_id": event.reg_id,
        }
        for event in batch
        if isinstance(event, DeviceRegistered)
    ]
    connection = await session.connection()
    if gone:
        await connection.execute(_UNBIND, gone)
    if here:
        key = ("extension", "contact")
        bind = insert_or_update(connection.dialect.name, BindingRow, key, _KEPT_OF_DEVICE)
        await connection.execute(bind, here)


_UNBIND = delete(BindingRow).where(
    col(BindingRow.extension) == bindparam("gone_extension"),
    col(BindingRow.contact) == bindparam("gone_contact"),
)
_KEPT_OF_DEVICE = (
    "transport",
    "remote_host",
    "remote_port",
    "expires",
    "user_agent",
    "call_id",
    "cseq",
    "username",
    "since",
    "path",
    "instance",
    "reg_id",
)
