"""Writes what happens to the database, off the call path.

Events are queued and written in batches, each batch one transaction. While the database cannot
be written (locked, disk full) calls go on, the queue waits, and what does not fit is counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from sqlalchemy.exc import SQLAlchemyError
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
            self._news.clear()
            while self._waiting:
                batch = [self._waiting[i] for i in range(min(MAX_BATCH, len(self._waiting)))]
                try:
                    async with self._database.writing() as session:
                        for event in batch:
                            await _apply(session, event)
                except (SQLAlchemyError, OSError) as error:
                    log.warning("the journal waits: %s", str(error).splitlines()[0])
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                for _ in batch:
                    self._waiting.popleft()


async def _apply(session: AsyncSession, event: Event) -> None:
    """Write one event. Applying it twice changes nothing more."""
    match event:
        case CallStarted():
            await session.merge(
                CallRow(
                    id=event.call_id,
                    started_at=event.at,
                    caller=event.caller[:80],
                    callee=event.callee[:80],
                    user=event.user,
                    kind=event.kind,
                )
            )
            await session.flush()
        case CallAnswered():
            if (call := await session.get(CallRow, event.call_id)) is not None:
                call.answered_at = event.at
        case CallEnded():
            if (call := await session.get(CallRow, event.call_id)) is not None:
                call.ended_at, call.status, call.cause = event.at, event.status, event.cause[:200]
        case LegStarted():
            await session.merge(
                LegRow(
                    id=event.leg_id,
                    call_id=event.call_id,
                    peer=event.peer[:80],
                    direction=event.direction,
                    trunk=event.trunk,
                    device=event.device[:120],
                    started_at=event.at,
                )
            )
        case LegRinging():
            if (leg := await session.get(LegRow, event.leg_id)) is not None:
                leg.ringing_at = event.at
        case LegAnswered():
            if (leg := await session.get(LegRow, event.leg_id)) is not None:
                leg.answered_at, leg.codec, leg.srtp = event.at, event.codec[:40], event.srtp
        case LegEnded():
            await _end_leg(session, event)
        case CallTraced():
            await _trace(session, event)
        case DeviceRegistered():
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
        case DeviceUnregistered():
            await session.execute(
                delete(BindingRow).where(
                    col(BindingRow.extension) == event.extension,
                    col(BindingRow.contact) == event.contact,
                )
            )
        case _:
            pass


async def _end_leg(session: AsyncSession, event: LegEnded) -> None:
    leg = await session.get(LegRow, event.leg_id)
    if leg is None:
        return
    leg.ended_at, leg.status, leg.cause = event.at, event.status, event.cause[:200]
    leg.codec, leg.srtp = event.codec[:40], event.srtp
    leg.received, leg.sent, leg.lost = event.received, event.sent, event.lost
    leg.jitter_ms = round(event.jitter_ms, 2)


async def _trace(session: AsyncSession, event: CallTraced) -> None:
    for position, line in enumerate(event.lines):
        await session.merge(
            TraceRow(
                call_id=event.call_id,
                position=position,
                at=line.at,
                sent=line.sent,
                peer=line.peer,
                summary=line.summary,
                text=line.text,
            )
        )
