"""Recordings of calls: sealed while they are written for a key of the person's, which is not
here. Whoever runs this machine cannot listen to them, nor can we."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import ColumnElement
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

from bot.ports import OperatorError
from encryptotel.sealed import SealedFile
from pbx.about import about
from pbx.calls.call import Call
from pbx.media.codecs import RATE, WIDE_RATE
from pbx.media.recorder import Recorder
from pbx.ports import CallRefused
from store.database import Database
from store.tables import RecordingRow

log = logging.getLogger(__name__)

MAX_AT_ONCE = 100
MAX_KEPT = 1_000
"Of one extension; the oldest go."
MAX_SENT = 20 * 1024 * 1024
"Bytes of a file that is sent by chat: two hours."
SUFFIX = ".ogg.age"
INTERRUPTED = "the exchange stopped unexpectedly"


class Recordings:
    """Files in `folder`, kept for `keep`; `done` is told of each that is finished."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        keep: timedelta,
        done: Callable[[RecordingRow], None],
    ) -> None:
        self._database = database
        self._folder = folder
        self._keep = keep
        self._done = done
        self._running: dict[str, RecordingRow] = {}
        "By call."
        self._finishing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait until what was recorded is safe."""
        await asyncio.gather(*self._finishing, return_exceptions=True)

    async def begin(
        self,
        call: Call,
        extension: str,
        phones: Collection[str],
        peer: str,
        keys: Sequence[str],
        notice: bytes,
    ) -> None:
        """Record a call for an extension, which is there as one of `phones`, until it leaves; to
        be opened with any of `keys` (``age1…``). Who comes later hears the notice as well.
        Raises `OperatorError`."""
        if len(self._running) >= MAX_AT_ONCE:
            raise OperatorError("record.too_many", f"{MAX_AT_ONCE} calls are recorded already")
        row = RecordingRow(
            id=secrets.token_hex(6),
            extension=extension,
            call_id=call.id,
            peer=peer,
            at=datetime.now(UTC),
            failed=INTERRUPTED,
        )
        await self._note(row)
        try:
            file = await self._open(row, keys)
        except OperatorError:
            await self._drop(row)
            raise
        wide = any(leg.media.codec and leg.media.codec.rate > RATE for leg in call.legs)
        with about(call.id):  # which somebody may have asked for by chat
            recorder = Recorder(file, WIDE_RATE if wide else RATE)
        try:
            call.record(recorder, phones, partial(self.end, call), notice)
        except CallRefused as refused:
            await self._finish(recorder, row, keep=False)
            raise OperatorError("record.refused", refused.reason) from refused
        self._running[call.id] = row
        call.on_end.append(partial(self.end, call))

    def is_of(self, call: Call, extension: str) -> bool:
        """Whether a call is recorded for an extension."""
        row = self._running.get(call.id)
        return row is not None and row.extension == extension

    def end(self, call: Call) -> None:
        """Record no more; `done` follows when the file is finished."""
        recorder, row = call.stop_recording(), self._running.pop(call.id, None)
        if recorder is not None and row is not None:
            with about(call.id):
                task = asyncio.ensure_future(self._finish(recorder, row, keep=True))
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)

    async def _open(self, row: RecordingRow, keys: Sequence[str]) -> SealedFile:
        def open_() -> SealedFile:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            return SealedFile(self.path(row), keys)

        try:
            return await asyncio.to_thread(open_)
        except OSError as error:
            log.error("a recording cannot be written: %s", error.strerror)
            raise OperatorError(
                "record.disk", f"recordings cannot be written ({error.strerror})"
            ) from error

    async def _finish(self, recorder: Recorder, row: RecordingRow, *, keep: bool) -> None:
        await recorder.stop()
        row.seconds, row.failed = round(recorder.seconds), recorder.failed
        if not keep or not row.seconds:
            await self._drop(row)
            return
        await self._note(row)
        self._done(row)

    async def _note(self, row: RecordingRow) -> None:
        """Write down what there is of a recording."""
        try:
            await self._database.together(partial(_keep, row=row.model_copy()))
        except DBAPIError as error:
            log.error("a recording is on the disk, but not in the list: %s", error.orig)

    async def _drop(self, row: RecordingRow) -> None:
        """Delete a recording."""
        await self._delete(col(RecordingRow.id) == row.id, row)

    # ── what there is ───────────────────────────────────────────────────────────────────
    def path(self, row: RecordingRow) -> Path:
        """Where a recording lies."""
        return self._folder / f"{row.at:%Y-%m-%d-%H%M%S}-{row.id}{SUFFIX}"

    async def latest(self, extension: str, limit: int) -> Sequence[RecordingRow]:
        """The newest recordings of an extension, newest first."""
        async with self._database.reading() as session:
            found = await session.execute(
                select(RecordingRow)
                .where(col(RecordingRow.extension) == extension)
                .order_by(col(RecordingRow.at).desc())
                .limit(limit)
            )
            return found.scalars().all()

    async def content(self, row: RecordingRow) -> bytes:
        """The file, as sealed as it is on the disk; empty if it is gone, or more than chat
        networks take."""

        def read() -> bytes:
            path = self.path(row)
            try:
                return path.read_bytes() if path.stat().st_size <= MAX_SENT else b""
            except OSError:
                return b""

        log.info("recording %s was given to %s", row.id, row.extension)
        return await asyncio.to_thread(read)

    async def forget(self, extension: str) -> None:
        """Delete all recordings of an extension."""
        await self._delete(col(RecordingRow.extension) == extension)

    async def forget_old(self) -> None:
        """Delete what was kept for long enough, and what is too much."""
        await self._delete(col(RecordingRow.at) < datetime.now(UTC) - self._keep)
        async with self._database.reading() as session:
            counts = await session.execute(select(RecordingRow.extension).distinct())
            extensions = counts.scalars().all()
        for extension in extensions:
            for row in (await self.latest(extension, 2 * MAX_KEPT))[MAX_KEPT:]:
                await self._drop(row)

    async def _delete(self, which: ColumnElement[bool], *more: RecordingRow) -> None:
        async with self._database.reading() as session:
            found = await session.execute(select(RecordingRow).where(which))
            rows = [*found.scalars().all(), *more]
        for row in rows:
            await asyncio.to_thread(self._remove, row)

        async def forget(session: AsyncSession) -> None:
            ids = [row.id for row in rows]
            await session.execute(delete(RecordingRow).where(col(RecordingRow.id).in_(ids)))

        await self._database.together(forget)

    def _remove(self, row: RecordingRow) -> None:
        """Delete a file and what lies beside it."""
        path = self.path(row)
        try:
            for file in (path, *path.parent.glob(f"{path.name}.*")):
                file.unlink(missing_ok=True)
        except OSError as error:
            log.error("a recording could not be deleted: %s", error.strerror)


async def _keep(session: AsyncSession, row: RecordingRow) -> None:
    await session.merge(row)
