"""What callers said on the answerphone: kept until it is old, sent to people as voice messages."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import func
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select, update

from encryptotel.sealed import sealed
from pbx.events import MessageLeft
from pbx.media import ogg
from pbx.media.codecs import RATE
from store.database import Database
from store.newest import keep_newest
from store.tables import VoicemailRow

log = logging.getLogger(__name__)

MAX_MESSAGES = 100
"Of one extension; the oldest go."


class Mailbox:
    """Voice messages by extension, kept for `keep`. `key_of` gives the key that those of an
    extension are sealed for, empty to keep them as they are; `write` what is said in one;
    `on_change` is told whose are more or fewer, or were listened to."""

    def __init__(
        self,
        database: Database,
        keep: timedelta,
        key_of: Callable[[str], str] = lambda extension: "",
        write: Callable[[bytes], Awaitable[str]] | None = None,
    ) -> None:
        self._database = database
        self._keep = keep
        self._key_of = key_of
        self._write = write
        self.on_change: Callable[[str], None] = lambda extension: None
        self._new: Counter[str] = Counter()
        self._old: Counter[str] = Counter()

    async def load(self, extension: str = "") -> None:
        """Count them all, or those of one extension."""
        of, heard = col(VoicemailRow.extension), col(VoicemailRow.heard)
        query = select(of, heard, func.count()).group_by(of, heard)
        if extension:
            query = query.where(of == extension)
        async with self._database.reading() as session:
            rows = (await session.execute(query)).all()
        for counter in (self._new, self._old):
            if extension:
                del counter[extension]
            else:
                counter.clear()
        for whose, was_heard, count in rows:
            (self._old if was_heard else self._new)[whose] = count

    def count(self, extension: str) -> tuple[int, int]:
        """How many messages nobody has listened to yet, and how many others there are."""
        return self._new[extension], self._old[extension]

    async def take(self, event: MessageLeft) -> tuple[VoicemailRow, bytes, str]:
        """Make a file that chat programs play of a message, and keep it; one that cannot be
        kept is only logged, for it can still be sent. The row, the file as it can be played, and
        what was said, if somebody can write that down."""
        words = await self._write(event.sound) if self._write else ""
        key = self._key_of(event.extension)
        sound = await asyncio.to_thread(ogg.encoded, event.sound)
        row = VoicemailRow(
            id=secrets.token_hex(6),
            extension=event.extension,
            caller=event.caller,
            at=event.at,
            seconds=round(len(event.sound) / (2 * RATE)),
            sound=await asyncio.to_thread(sealed, sound, [key]) if key else sound,
            sealed=bool(key),
            words="" if key else words,
        )
        try:
            await self._database.together(partial(_keep, row=row.model_copy()))
            await self._changed(row.extension)
        except DBAPIError as error:
            log.error("a voice message could not be kept: %s", error.orig)
        return row, sound, words

    async def latest(self, extension: str, limit: int) -> Sequence[VoicemailRow]:
        """The newest messages of an extension, newest first."""
        async with self._database.reading() as session:
            found = await session.execute(
                select(VoicemailRow)
                .where(col(VoicemailRow.extension) == extension)
                .order_by(col(VoicemailRow.at).desc())
                .limit(limit)
            )
            return found.scalars().all()

    async def listened(self, extension: str, ids: Sequence[str]) -> None:
        """Somebody has listened to messages of theirs."""

        async def listened(session: AsyncSession) -> None:
            mine = col(VoicemailRow.extension) == extension
            which = col(VoicemailRow.id).in_(ids)
            await session.execute(update(VoicemailRow).where(mine, which).values(heard=True))

        await self._database.together(listened)
        await self._changed(extension)

    async def remove(self, extension: str, id: str) -> bool:
        """Delete a message; False if there is none such."""

        async def remove(session: AsyncSession) -> bool:
            row = await session.get(VoicemailRow, id)
            if row is None or row.extension != extension:
                return False
            await session.delete(row)
            return True

        removed = await self._database.together(remove)
        await self._changed(extension)
        return removed

    async def forget(self, extension: str) -> None:
        """Forget all messages of an extension."""

        async def forget(session: AsyncSession) -> None:
            await session.execute(
                delete(VoicemailRow).where(col(VoicemailRow.extension) == extension)
            )

        await self._database.together(forget)
        await self._changed(extension)

    async def forget_old(self) -> None:
        """Forget what was kept for long enough."""
        old = datetime.now(UTC) - self._keep

        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(VoicemailRow).where(col(VoicemailRow.at) < old))

        before = {*self._new, *self._old}
        await self._database.together(forget)
        await self.load()
        for extension in before:
            self.on_change(extension)

    async def _changed(self, extension: str) -> None:
        await self.load(extension)
        self.on_change(extension)


async def _keep(session: AsyncSession, row: VoicemailRow) -> None:
    session.add(row)
    await keep_newest(
        session, VoicemailRow, col(VoicemailRow.extension) == row.extension, MAX_MESSAGES
    )
