"""Keys by which programs act for people: made once, kept as a digest, scoped, and they end."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

from bot.ports import ApiKey, OperatorError, Person
from store.database import Database
from store.tables import ApiKeyRow, ReplayRow
from web.ports import SCOPES, SESSION, Asked, Program

MOST = 20
"Keys of one person."
DAYS, MOST_DAYS = 365, 3_650
PREFIX = "et_"
USED_EVERY = timedelta(minutes=1)
"How fine the last use of a key is known."
REMEMBERED = timedelta(hours=24)
"How long a request is known that may come again."


async def _nothing() -> None:
    """Where nothing depends on keys."""


async def _nobody(extension: str) -> None:
    """Where keys are looked at only."""


class ApiKeys:
    """Implements `web.ports.Keys` and `bot.ports.ApiKeys`."""

    def __init__(
        self, database: Database, person_of: Callable[[str], Awaitable[Person | None]] = _nobody
    ) -> None:
        self._database, self._person_of = database, person_of
        self._making = asyncio.Lock()
        self.on_revoked: Callable[[], Awaitable[None]] = _nothing
        "Keys are gone, and with them what they began."
        self._rows: dict[str, ApiKeyRow] = {}

    @property
    def extensions(self) -> set[str]:
        """Of those whose programs act for them."""
        return {row.extension for row in self._rows.values()}

    async def load(self) -> None:
        """Know all keys."""
        async with self._database.reading() as session:
            found = (await session.execute(select(ApiKeyRow))).scalars()
            self._rows = {row.id: row for row in found}

    # ── for people ──────────────────────────────────────────────────────────────────────
    def is_known(self, key: str) -> bool:
        """Whether a key opens something still, by its id."""
        row = self._rows.get(key)
        return row is not None and row.expires > datetime.now(UTC)

    async def make(self, extension: str, name: str, scopes: Sequence[str], days: int = DAYS) -> str:
        """A key for a program; what is to be shown once and kept nowhere. Raises
        `OperatorError`."""
        wanted = sorted(set(scopes))
        unknown = [scope for scope in wanted if scope not in SCOPES]
        if unknown or not wanted:
            raise OperatorError(
                "key.scope",
                f"a key can do {', '.join(SCOPES)}; not {', '.join(unknown) or 'nothing'}",
            )
        if not 1 <= days <= MOST_DAYS:
            raise OperatorError("key.days", f"a key is good for 1 to {MOST_DAYS} days")
        async with self._making:
            return await self._made(extension, name, wanted, days)

    async def _made(self, extension: str, name: str, wanted: Sequence[str], days: int) -> str:
        mine = [row for row in self._rows.values() if row.extension == extension]
        if sum(row.scopes != SESSION for row in mine) >= MOST:
            raise OperatorError("key.too_many", f"{MOST} keys are the most; revoke one first")
        name = " ".join(name.split())[:40]
        if any(row.name.casefold() == name.casefold() for row in mine) or name == SESSION:
            raise OperatorError("key.name_taken", f"there is a key {name} already")
        return await self._kept(extension, name, wanted, days)

    async def _kept(self, extension: str, name: str, wanted: Sequence[str], days: int) -> str:
        secret, now = secrets.token_urlsafe(32), datetime.now(UTC)
        row = ApiKeyRow(
            id=secrets.token_hex(6),
            extension=extension,
            name=name,
            scopes=" ".join(wanted),
            digest=_digest(secret),
            made=now,
            expires=now + timedelta(days=days),
        )

        async def add(session: AsyncSession) -> None:
            session.add(ApiKeyRow(**row.model_dump()))

        await self._database.together(add)
        self._rows[row.id] = row
        return f"{PREFIX}{row.id}_{secret}"

    async def open_session(self, extension: str, days: int, most: int) -> str:
        """A key for all that the person can do themselves, in the place of the oldest such where
        there are so many."""
        async with self._making:
            mine = [row for row in self._rows.values() if row.extension == extension]
            known = sorted((row for row in mine if row.scopes == SESSION), key=lambda row: row.made)
            if len(known) >= most:
                await self._remove([row.id for row in known[: len(known) - most + 1]])
            return await self._kept(extension, SESSION, [SESSION], days)

    def of(self, extension: str) -> Sequence[ApiKey]:
        """Somebody's keys, the oldest first."""
        rows = [row for row in self._rows.values() if row.extension == extension]
        return [
            ApiKey(
                id=row.id,
                name=row.name,
                scopes=tuple(row.scopes.split()),
                expires=row.expires,
                used=row.used,
            )
            for row in sorted(rows, key=lambda row: row.made)
        ]

    async def revoke(self, extension: str, which: str) -> str:
        """Let a key open nothing from now on; its name. Raises `OperatorError`."""
        said = which.casefold()
        found = [
            row
            for row in self._rows.values()
            if row.extension == extension and said in (row.id, row.name.casefold())
        ]
        if found:
            await self._remove([row.id for row in found])  # all sessions have one name
            return found[0].name
        known = ", ".join(one.name for one in self.of(extension)) or "none"
        raise OperatorError("key.unknown", f"there is no key {which}; there is {known}")

    async def forget(self, extension: str) -> None:
        """Revoke all keys of an extension."""
        await self._remove([row.id for row in self._rows.values() if row.extension == extension])

    async def _remove(self, ids: Sequence[str]) -> None:
        async def remove(session: AsyncSession) -> None:
            await session.execute(delete(ApiKeyRow).where(col(ApiKeyRow.id).in_(ids)))
            await session.execute(delete(ReplayRow).where(col(ReplayRow.key).in_(ids)))

        await self._database.together(remove)
        for id in ids:
            self._rows.pop(id, None)
        if ids:
            await self.on_revoked()

    # ── for programs ────────────────────────────────────────────────────────────────────
    async def find(self, token: str) -> Program | None:
        """Whose key that is; None for one that opens nothing (any more)."""
        id, _, secret = token.removeprefix(PREFIX).partition("_")
        row = self._rows.get(id[:16])
        right = hmac.compare_digest(_digest(secret[:100]), row.digest if row else _NOBODYS)
        now = datetime.now(UTC)
        if row is None or not right or row.expires <= now:
            return None
        person = await self._person_of(row.extension)
        if person is None:
            return None
        if row.used is None or now - row.used > USED_EVERY:
            row.used = now
            await self._database.together(lambda session: _note_use(session, row.id, now))
        return Program(key=row.id, name=row.name, person=person, scopes=row.scopes.split())

    def holds(self, program: Program) -> bool:
        """Whether its key opens something still."""
        return self.is_known(program.key)

    async def begin(self, program: Program, word: str, digest: str) -> Asked | None:
        """A request that may come again begins; what was answered if it came before."""
        row = ReplayRow(key=program.key, word=word, digest=digest, at=datetime.now(UTC))

        async def begin(session: AsyncSession) -> Asked | None:
            known = await session.get(ReplayRow, (program.key, word), with_for_update=True)
            if known is not None and row.at - known.at < REMEMBERED:
                return Asked(
                    same=known.digest == digest,
                    status=known.status,
                    media_type=known.media_type,
                    body=known.body,
                )
            await session.merge(row)
            return None

        return await self._database.together(begin)

    async def finish(self, program: Program, word: str, answer: Asked | None) -> None:
        """What was answered; None lets it be asked anew, for nothing was done."""

        async def finish(session: AsyncSession) -> None:
            row = await session.get(ReplayRow, (program.key, word))
            if row is None:
                return
            if answer is None:
                await session.delete(row)
                return
            row.status, row.media_type, row.body = answer.status, answer.media_type, answer.body

        await self._database.together(finish)

    async def forget_old(self) -> None:
        """Forget requests that will not come again."""
        old = datetime.now(UTC) - REMEMBERED

        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(ReplayRow).where(col(ReplayRow.at) < old))

        await self._database.together(forget)


async def _note_use(session: AsyncSession, id: str, at: datetime) -> None:
    row = await session.get(ApiKeyRow, id)
    if row is not None:
        row.used = at


def _digest(secret: str) -> str:
    """It is random and long: nobody guesses it, however fast this is."""
    return hashlib.sha256(secret.encode()).hexdigest()


_NOBODYS = _digest(secrets.token_urlsafe(32))
