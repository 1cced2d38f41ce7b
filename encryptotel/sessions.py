"""Ways into the console page: a link that is good once, and the session that it opens."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlmodel import col, delete

from bot.ports import ConsoleLink, OperatorError
from encryptotel.api_keys import ApiKeys
from store.database import Database
from store.tables import ConsoleLinkRow
from web.ports import Program

log = logging.getLogger(__name__)

GOOD_FOR = timedelta(minutes=10)
DAYS = 7
"How long a session lasts at most."
MOST = 5
"Sessions of one person; the oldest makes room."
NOT_YOU = "If that was not you, say “revoke the console API key”."


class Sessions:
    """Implements `web.ports.Sessions`. A session is a key for everything,
    made by the link and kept by the browser: it is listed and revoked as others are."""

    def __init__(
        self, database: Database, keys: ApiKeys, url: Callable[[], str], tell: Callable[..., None]
    ) -> None:
        self._database, self._keys, self._url, self._tell = database, keys, url, tell

    async def offer(self, extension: str) -> ConsoleLink:
        """A link into the console. Raises `OperatorError`."""
        if not self._url():
            raise OperatorError(
                "console.off", "the console page needs the web server: set on = true in [web]"
            )
        token, now = secrets.token_hex(16), datetime.now(UTC)
        async with self._database.writing() as session:
            mine = col(ConsoleLinkRow.extension) == extension
            old = col(ConsoleLinkRow.expires) <= now
            await session.execute(delete(ConsoleLinkRow).where(mine | old))  # the last one counts
            row = ConsoleLinkRow(
                token_hash=_hash(token), extension=extension, expires=now + GOOD_FOR
            )
            session.add(row)
        # Behind a “#” it is in no request: neither logs nor those who show previews get it.
        return ConsoleLink(
            url=f"{self._url()}/console/#{token}", minutes=round(GOOD_FOR.total_seconds() / 60)
        )

    async def enter(self, token: str, browser: str) -> str | None:
        """The key of a session for a token, which is used up then; None if it is none."""
        async with self._database.reading() as session:
            if await session.get(ConsoleLinkRow, _hash(token)) is None:
                return None  # strangers keep nobody from writing
        async with self._database.writing() as session:
            row = await session.get(ConsoleLinkRow, _hash(token), with_for_update=True)
            if row is None or row.expires <= datetime.now(UTC):
                return None
            await session.delete(row)
        key = await self._keys.open_session(row.extension, DAYS, MOST)
        self._tell(row.extension, f"Your console page was opened in {browser}. {NOT_YOU}")
        log.info("%s: the console was opened", row.extension)
        return key

    async def forget(self, extension: str) -> None:
        """No link opens somebody's console any more."""
        async with self._database.writing() as session:
            mine = col(ConsoleLinkRow.extension) == extension
            await session.execute(delete(ConsoleLinkRow).where(mine))

    async def leave(self, program: Program) -> None:
        """End a session."""
        if program.is_session:
            await self._keys.revoke(program.person.extension, program.key)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
