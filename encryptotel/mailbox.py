"""What callers said on the answerphone: kept until it is old, sent to people as voice messages."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

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
    """Voice messages by extension, kept for `keep`."""

    def __init__(self, database: Database, keep: timedelta) -> None:
        self._database = database
        self._keep = keep

    async def take(self, event: MessageLeft) -> VoicemailRow:
        """Make a file that chat programs play of a message, and keep it; one that cannot be
        kept is only logged, for it can still be sent."""
        row = VoicemailRow(
            id=secrets.token_hex(6),
            extension=event.extension,
            caller=event.caller,
            at=event.at,
            seconds=round(len(event.sound) / (2 * RATE)),
            sound=await asyncio.to_thread(ogg.encoded, event.sound),
        )
        try:
            await self._database.together(partial(_keep, row=row.model_copy()))
        except DBAPIError as error:
            log.error("a voice message could not be kept: %s", error.orig)
        return row

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

    async def forget(self, extension: str) -> None:
        """Forget all messages of an extension."""

        async def forget(session: AsyncSession) -> None:
            await session.execute(
                delete(VoicemailRow).where(col(VoicemailRow.extension) == extension)
            )

        await self._database.together(forget)

    async def forget_old(self) -> None:
        """Forget what was kept for long enough."""
        old = datetime.now(UTC) - self._keep

        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(VoicemailRow).where(col(VoicemailRow.at) < old))

        await self._database.together(forget)


async def _keep(session: AsyncSession, row: VoicemailRow) -> None:
    session.add(row)
    await keep_newest(
        session, VoicemailRow, col(VoicemailRow.extension) == row.extension, MAX_MESSAGES
    )
