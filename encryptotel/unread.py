"""What people are to read in their chats, kept until it was sent: a network may be away for longer
than this program lives."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

from bot.ports import Progress, Sent, Step
from encryptotel.followers import Followers
from pbx.texts import Text
from store.database import Database
from store.newest import keep_newest
from store.tables import UnreadRow

log = logging.getLogger(__name__)

MOST = 100
"Of one person; the oldest go."
PERHAPS = "I was restarted before I knew that you have this, so you may have read it already:"


class Unread:
    """Of everybody. Only what can be told once more in words: no files, and nothing of a call that
    goes on."""

    def __init__(self, database: Database, followers: Followers) -> None:
        self._database, self._followers = database, followers
        self._waiting: set[asyncio.Task[None]] = set()

    async def keep(
        self, session: AsyncSession, extension: str, news: Progress
    ) -> Callable[[], None]:
        """Keep news with what they are about; what to do once that is committed."""
        if not self._followers.has(extension):
            return lambda: self._tell("", extension, news)
        row = UnreadRow(
            id=secrets.token_hex(8),
            at=datetime.now(UTC),
            extension=extension,
            step=news.step,
            text=news.text,
            peer=news.peer,
            back=news.back,
            about=news.about,
        )
        session.add(row)
        await keep_newest(session, UnreadRow, col(UnreadRow.extension) == extension, MOST)
        return lambda: self._tell(row.id, extension, news)

    async def keep_text(self, session: AsyncSession, text: Text) -> Callable[[], None]:
        """The same for what somebody wrote."""
        return await self.keep(session, text.recipient, self._followers.of_text(text))

    async def start(self) -> None:
        """Tell what the last run had not told, or not for certain."""
        async with self._database.reading() as session:
            found = await session.execute(select(UnreadRow).order_by(col(UnreadRow.at)))
            rows = found.scalars().all()
        warned: set[str] = set()
        for row in rows:
            if row.extension not in warned:
                warned.add(row.extension)
                perhaps = Progress(call_id="", step=Step.NOTICE, text=PERHAPS)
                self._followers.show(row.extension, perhaps)
            news = Progress(
                call_id="", step=Step(row.step), text=row.text, peer=row.peer, back=row.back,
                about=row.about,
            )  # fmt: skip
            self._when_sent(row.id, self._followers.show(row.extension, news))

    async def close(self) -> None:
        """The chats are closed: what they have not sent stays kept."""
        for one in self._waiting:
            one.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    async def forget(self, extension: str) -> None:
        """Forget what is for somebody."""

        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(UnreadRow).where(col(UnreadRow.extension) == extension))

        await self._database.together(forget)

    # ── inside ──────────────────────────────────────────────────────────────────────────
    def _tell(self, id: str, extension: str, news: Progress) -> None:
        sent = self._followers.spread(extension, news)
        if id:
            self._when_sent(id, sent)

    def _when_sent(self, id: str, sent: Sequence[Sent]) -> None:
        waiting = asyncio.ensure_future(self._done(id, sent))
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)

    async def _done(self, id: str, sent: Sequence[Sent]) -> None:
        under_way = [one for one in sent if one is not None]
        results = await asyncio.gather(*under_way, return_exceptions=True)
        if any(isinstance(result, BaseException) for result in results):
            return  # we stop, and tell it at the next start

        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(UnreadRow).where(col(UnreadRow.id) == id))

        try:
            await self._database.together(forget)
        except DBAPIError as error:  # it is told once more, with a word of that
            log.error("what was told cannot be forgotten: %s", error.orig)
