"""Writes what happens to the database, off the call path.

Events are queued and written in batches, each batch one transaction. While the database cannot
be written (locked, disk full) calls go on, the queue waits, and what does not fit is counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, bindparam, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete

from pbx.events import (
    AddressBanned,
    CallAnswered,
    CallEnded,
    CallNotice,
    CallStarted,
    CallTraced,
    DeviceRegistered,
    DeviceUnregistered,
    Event,
    LegAnswered,
    LegEnded,
    LegRinging,
    LegStarted,
    TrunkChanged,
)
from store.database import Database
from store.tables import BindingRow, CallRow, LegRow, TraceRow

log = logging.getLogger(__name__)

MAX_WAITING = 20_000
"Events kept while the database is away."
MAX_BATCH = 500
GATHER_SECONDS = 0.2
"Events are gathered this long, so that a busy second is a few transactions and not hundreds."
RETRY_SECONDS = 2.0


class Journal:
    """The writer. `take` is the event sink; `close` writes what is left."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[Event] = deque()
        self._news = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    def take(self, event: Event) -> None:
        """Queue one event; never blocks."""
        if isinstance(event, CallNotice | AddressBanned | TrunkChanged):
            return  # for people and the log, not for the tables
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._waiting.append(event)
        self._news.set()

    async def close(self) -> None:
        """Write what is waiting, within a few seconds."""
        self._closing = True
        self._news.set()
        if self._task is not None:
            try:
                await asyncio.wait_for(self._task, 5)
            except TimeoutError:
                log.error("the journal lost %d events: no database", len(self._waiting))

    async def _run(self) -> None:
        while not (self._closing and not self._waiting):
            await self._news.wait()
            if not self._closing:
                await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            while self._waiting:
                batch = [self._waiting[i] for i in range(min(MAX_BATCH, len(self._waiting)))]
                try:
                    async with self._database.writing() as session:
                        await _apply(session, batch)
                except (OperationalError, OSError) as error:  # locked, full, gone: it will pass
                    log.warning("the journal waits: %s", str(error).splitlines()[0])
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                except Exception:
                    log.exception("the journal cannot write a batch and tries one by one")
                    await self._one_by_one(batch)
                for _ in batch:
                    self._waiting.popleft()

    async def _one_by_one(self, batch: Sequence[Event]) -> None:
        """Save what can be saved of a batch in which something cannot be written at all."""
        for event in batch:
            try:
                async with self._database.writing() as session:
                    await _apply(session, [event])
            except Exception:
                self.dropped += 1
                log.exception("the journal drops a %s", type(event).__name__)


async def _apply(session: AsyncSession, batch: Sequence[Event]) -> None:
    """Write events with as few statements as there are kinds of them. Applying them twice
    changes nothing more."""
    rows: dict[type[Event], list[dict[str, Any]]] = {}
    for event in batch:
        if isinstance(event, DeviceRegistered | DeviceUnregistered):
            await _apply_device(session, event)
        elif (row := _row(event)) is not None:
            rows.setdefault(type(event), []).append(row)
    for kind, statement in _STATEMENTS.items():
        if kind in rows:
            connection = await session.connection()
            await connection.execute(statement, rows[kind])


def _row(event: Event) -> dict[str, Any] | None:
    """The parameters of an event's statement."""
    match event:
        case CallStarted():
            return {
                "id": event.call_id,
                "started_at": event.at,
                "caller": event.caller[:80],
                "callee": event.callee[:80],
                "user": event.user,
                "kind": event.kind,
                "cause": "",
            }
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
                "codec": event.codec[:40],
                "srtp": event.srtp,
                "received": event.received,
                "sent": event.sent,
                "lost": event.lost,
                "jitter_ms": round(event.jitter_ms, 2),
            }
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
}
_CALL = update(CallRow).where(col(CallRow.id) == bindparam("key"))
_LEG = update(LegRow).where(col(LegRow.id) == bindparam("key"))


def _set(*columns: str) -> dict[str, Any]:
    return {column: bindparam(column) for column in columns}


# In the order of a call's life: what starts is inserted before anything updates it.
_STATEMENTS: dict[type[Event], Executable] = {
    CallStarted: insert(CallRow).on_conflict_do_nothing(),
    LegStarted: insert(LegRow).on_conflict_do_nothing(),
    CallAnswered: _CALL.values(_set("answered_at")),
    LegRinging: _LEG.values(_set("ringing_at")),
    LegAnswered: _LEG.values(_set("answered_at", "codec", "srtp")),
    LegEnded: _LEG.values(
        _set(
            "ended_at", "status", "cause", "codec", "srtp", "received", "sent", "lost", "jitter_ms"
        )
    ),
    CallEnded: _CALL.values(_set("ended_at", "status", "cause")),
    CallTraced: insert(TraceRow).on_conflict_do_nothing(),
}


async def _apply_device(
    session: AsyncSession, event: DeviceRegistered | DeviceUnregistered
) -> None:
    if isinstance(event, DeviceUnregistered):
        await session.execute(
            delete(BindingRow).where(
                col(BindingRow.extension) == event.extension,
                col(BindingRow.contact) == event.contact,
            )
        )
        return
    await session.merge(
        BindingRow(
            extension=event.extension,
            contact=event.contact,
            transport=event.transport,
            remote_host=event.remote_host,
            remote_port=event.remote_port,
            expires=event.expires,
            user_agent=event.user_agent,
            call_id=event.call_id[:255],
            cseq=event.cseq,
        )
    )
