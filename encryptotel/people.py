"""The people of the exchange, their accounts and invitations, on the database."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

from bot.bounded import Bounded
from bot.ports import Account, OperatorError, Person, Role
from encryptotel.directory import Directory, DirectoryError
from pbx.media.srtp import SrtpPolicy
from store.database import Database
from store.tables import AccountRow, InboxRow, InvitationRow, PersonRow

OWNER = "owner"
"The id of the one who runs the exchange."
INVITED_FOR = timedelta(days=7)
KEPT_IN_INBOX = timedelta(days=2)
MAX_IN_DOUBT = 1_000
MAX_INVITATIONS = 50
MAX_ACCOUNTS = 10
"Of one person."
_FIRST_EXTENSION, _LAST_EXTENSION = 110, 999


class PeopleOfExchange:
    """Implements `bot.ports.People`."""

    def __init__(
        self, database: Database, directory: Directory, owner: Person, keep: timedelta
    ) -> None:
        self._database = database
        self._directory = directory
        self._owner = owner
        self._keep = keep
        self._known: dict[Account, Person] | None = None
        "Whose account is whose; read once, because it is asked for every message."
        self._in_doubt: Bounded[tuple[str, str], datetime] = Bounded(MAX_IN_DOUBT)
        "Messages that may have been noted or not, and as of when."

    # ── who ─────────────────────────────────────────────────────────────────────────────
    async def person_of(self, account: Account) -> Person | None:
        if self._known is None:
            await self.everybody()
        assert self._known is not None
        return self._known.get(account)

    @property
    def extensions(self) -> set[str]:
        """Of those who write to us."""
        return {person.extension for person in (self._known or {}).values()}

    async def everybody(self) -> Sequence[tuple[Person, Sequence[Account]]]:
        async with self._database.reading() as session:
            people = (await session.execute(select(PersonRow))).scalars().all()
            accounts = (await session.execute(select(AccountRow))).scalars().all()
        found: dict[str, list[Account]] = {row.id: [] for row in people}
        for account in accounts:
            found[account.person_id].append(Account(account.channel, account.address))
        here = [(self._person(row), found[row.id]) for row in people if found[row.id]]
        self._known = {account: person for person, mine in here for account in mine}
        return here

    def _person(self, row: PersonRow) -> Person:
        if row.id == OWNER:
            return replace(
                self._owner,
                timezone=row.timezone or self._owner.timezone,
                key=row.key or self._owner.key,
                records=row.records,
            )
        return Person(
            id=row.id,
            name=row.name,
            extension=row.extension,
            role=Role(row.role),
            region=row.region,
            timezone=row.timezone,
            key=row.key,
            records=row.records,
        )

    async def set_recording(
        self, person: Person, *, key: str | None = None, records: bool | None = None
    ) -> Person:
        """For which key somebody's calls are recorded, and whether all are."""
        key = person.key if key is None else key
        records = person.records if records is None else records
        async with self._database.writing() as session:
            row = await self._row(session, person)
            row.key, row.records = key, records
        self._known = None
        return replace(person, key=key, records=records)

    async def _row(self, session: AsyncSession, person: Person) -> PersonRow:
        """Where it is kept what somebody is; the owner may be here without ever having joined by
        a chat. Raises `OperatorError`."""
        row = await session.get(PersonRow, person.id)
        if row is None and person.id == OWNER:
            row = PersonRow(
                id=OWNER, name=person.name, role=Role.OWNER, region=person.region, timezone=""
            )
            session.add(row)
        if row is None:
            raise OperatorError("person.unknown", "join by a chat first, so that I know you")
        return row

    async def with_extension(self, extension: str) -> Person | None:
        """Whose an extension is."""
        if extension == self._owner.extension:
            async with self._database.reading() as session:
                row = await session.get(PersonRow, OWNER)
            return self._person(row) if row else self._owner
        async with self._database.reading() as session:
            found = await session.execute(
                select(PersonRow).where(col(PersonRow.extension) == extension)
            )
            row = found.scalars().first()
        return self._person(row) if row else None

    async def set_timezone(self, person: Person, zone: str) -> Person:
        """Somebody lives in another time zone from now on."""
        async with self._database.writing() as session:
            row = await self._row(session, person)
            row.timezone = zone
        self._known = None
        return replace(person, timezone=zone)

    async def everything_of(self, person: Person) -> Mapping[str, Any]:
        """Who a person is here, where they write from, and where the conversation stands."""
        async with self._database.reading() as session:
            found = await session.execute(
                select(AccountRow).where(col(AccountRow.person_id) == person.id)
            )
            row = await session.get(PersonRow, person.id)
            accounts = [
                {"channel": one.channel, "address": one.address, "since": one.since.isoformat()}
                for one in found.scalars()
            ]
        who = {name: getattr(person, name) for name in ("name", "extension", "region", "timezone")}
        talk = row.talk if row else {}
        return {**who, "role": person.role.value, "accounts": accounts, "conversation": talk}

    async def forget(self, person: Person) -> None:
        """Forget somebody: their accounts, conversation and messages, and the extension that
        was made for them."""
        async with self._database.writing() as session:
            found = await session.execute(
                select(AccountRow).where(col(AccountRow.person_id) == person.id)
            )
            for account in found.scalars().all():
                await session.execute(
                    delete(InboxRow).where(
                        col(InboxRow.channel) == account.channel,
                        col(InboxRow.address) == account.address,
                    )
                )
                await session.delete(account)
            await session.flush()
            row = await session.get(PersonRow, person.id)
            if row is not None:
                await session.delete(row)
        self._known = None
        if person.id != OWNER and person.extension:
            with contextlib.suppress(DirectoryError):  # it is in the configuration, and stays
                await self._directory.remove_extension(person.extension)

    # ── ways in ─────────────────────────────────────────────────────────────────────────
    async def invite(self, name: str, *, role: Role, person_id: str = "") -> str:
        """A code that lets one account in within a week: somebody new as `role`, or a further
        account of `person_id`. Raises `OperatorError` when too many are open."""
        code = secrets.token_urlsafe(12)  # 96 bits; what a Telegram start link may carry
        now = datetime.now(UTC)
        async with self._database.writing() as session:
            await session.execute(delete(InvitationRow).where(col(InvitationRow.expires) < now))
            if person_id == OWNER:  # only the newest way to own the exchange is good
                await session.execute(
                    delete(InvitationRow).where(col(InvitationRow.person_id) == OWNER)
                )
            open_ones = (await session.execute(select(InvitationRow))).scalars().all()
            if len(open_ones) >= MAX_INVITATIONS:
                raise OperatorError(
                    "invite.too_many",
                    f"{MAX_INVITATIONS} invitations are open; they end after a week",
                )
            session.add(
                InvitationRow(
                    code_hash=_hash(code),
                    person_id=person_id,
                    name=name[:80],
                    role=role,
                    expires=now + INVITED_FOR,
                )
            )
        return code

    async def join(self, code: str, account: Account, name: str) -> Person | None:
        async with self._database.writing() as session:
            invitation = await session.get(InvitationRow, _hash(code))
            if invitation is None or invitation.expires < datetime.now(UTC):
                return None
            await session.delete(invitation)
            person_id = invitation.person_id or secrets.token_hex(6)
            row = await session.get(PersonRow, person_id)
            if row is None:
                row = PersonRow(
                    id=person_id,
                    name=(invitation.name or name)[:80],
                    role=invitation.role,
                    region=self._owner.region,
                    timezone="" if person_id == OWNER else self._owner.timezone,
                )
                session.add(row)
                await session.flush()
            known = await session.execute(
                select(AccountRow).where(col(AccountRow.person_id) == row.id)
            )
            if len(known.scalars().all()) >= MAX_ACCOUNTS:
                return None
            await session.merge(
                AccountRow(
                    channel=account.channel,
                    address=account.address,
                    person_id=row.id,
                    since=datetime.now(UTC),
                )
            )
        if row.id != OWNER and not row.extension:
            row.extension = await self._new_extension(row)
        person = self._person(row)
        if self._known is not None:
            self._known[account] = person
        return person

    async def _new_extension(self, row: PersonRow) -> str:
        """The first free number becomes somebody's; "" if there is none."""
        taken = {extension.number for extension in self._directory.extensions()}
        for number in map(str, range(_FIRST_EXTENSION, _LAST_EXTENSION)):
            if number in taken:
                continue
            try:
                await self._directory.add_extension(number, row.name, SrtpPolicy.OFFER)
            except DirectoryError:  # the echo test, or somebody was faster
                continue
            async with self._database.writing() as session:
                kept = await session.get(PersonRow, row.id)
                if kept is not None:
                    kept.extension = number
            return number
        return ""

    # ── messages, each once ─────────────────────────────────────────────────────────────
    async def take(self, account: Account, message_id: str) -> bool:
        key = (account.channel, message_id[:200])
        at = self._in_doubt.pop(key, None) or datetime.now(UTC)

        async def take(session: AsyncSession) -> bool:
            if (row := await session.get(InboxRow, key)) is not None:
                return row.at == at  # it was us, and only the word that it is done was lost
            channel, known_as = key
            row = InboxRow(
                channel=channel,
                message_id=known_as,
                address=account.address,
                at=at,
            )
            session.add(row)
            return True

        try:
            return await self._database.together(take)
        except Exception:
            self._in_doubt[key] = at
            raise

    async def finish(self, account: Account, message_id: str) -> None:
        async def finish(session: AsyncSession) -> None:
            row = await session.get(InboxRow, (account.channel, message_id[:200]))
            if row is not None:
                row.done = True

        await self._database.together(finish)

    async def unfinished(self) -> Sequence[Account]:
        async with self._database.writing() as session:
            found = await session.execute(select(InboxRow).where(col(InboxRow.done).is_(False)))
            rows = found.scalars().all()
            for row in rows:
                row.done = True
        return list(dict.fromkeys(Account(row.channel, row.address) for row in rows))

    async def forget_old(self) -> None:
        """Forget what was talked about with people who have not said a word for long enough."""
        async with self._database.writing() as session:
            old = datetime.now(UTC) - self._keep
            stale = await session.execute(select(PersonRow).where(col(PersonRow.talked_at) < old))
            for row in stale.scalars():
                row.talk, row.talked_at = {}, None
            noted = datetime.now(UTC) - KEPT_IN_INBOX
            await session.execute(delete(InboxRow).where(col(InboxRow.at) < noted))

    # ── conversations ───────────────────────────────────────────────────────────────────
    async def recall(self, person: Person) -> Mapping[str, Any]:
        async with self._database.reading() as session:
            row = await session.get(PersonRow, person.id)
        if row is None or row.talked_at is None or row.talked_at < datetime.now(UTC) - self._keep:
            return {}
        return row.talk

    async def remember(self, person: Person, talk: Mapping[str, Any]) -> None:
        async def remember(session: AsyncSession) -> None:
            row = await session.get(PersonRow, person.id)
            if row is not None:
                row.talk, row.talked_at = dict(talk), datetime.now(UTC)

        await self._database.together(remember)


def _hash(code: str) -> str:
    return hashlib.sha256(code.strip().encode()).hexdigest()
