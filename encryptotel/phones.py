"""Phones of people: links that set one up, the accounts they get, and taking these away."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlmodel import col, delete, select

from bot.ports import OperatorError, Person, Phone, SetupLink
from encryptotel.directory import Directory, DirectoryError
from pbx.media.srtp import SrtpPolicy
from pbx.sip.registrar import Registrar
from store.database import Database
from store.tables import DeviceRow, SetupLinkRow
from web.ports import PhoneSettings, SetupRefused

log = logging.getLogger(__name__)

GOOD_FOR = timedelta(minutes=10)
MAX_LINKS = 5
"Of one extension; the oldest goes."
SET_UP = (
    "“{name}” was set up as a phone of yours just now. If that was not you, say “my phones” and "
    "revoke it."
)
REVOKED = "the phone was revoked"


@dataclass(frozen=True, kw_only=True)
class Site:
    """How phones reach us: over HTTPS, and then by SIP over TLS. Without a URL there is no web
    server; without an authority phones trust our certificate as it is."""

    url: str
    sip_host: str
    tls_port: int
    domain: str
    authority: bytes | None


class Phones:
    """Implements `web.ports.Setup`, and what the operator does with phones. `tell` says one
    sentence to whoever has an extension."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        registrar: Registrar,
        tell: Callable[[str, str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._directory = directory
        self._registrar = registrar
        self._tell = tell
        self._now = now
        self.site: Site | None = None
        self.on_revoked: Callable[[str], None] = lambda extension: None
        "Told of an extension one of whose phones was shut out."

    def url(self) -> str:
        """Where the web is served; empty where it is not."""
        return self.site.url if self.site else ""

    # ── for the operator ────────────────────────────────────────────────────────────────
    async def offer(self, extension: str, name: str) -> SetupLink:
        """A link that sets up one phone. Raises `OperatorError`."""
        if self.site is None or not self.site.url:
            raise OperatorError(
                "phone.no_web",
                "links to set phones up need the web server: set on = true in [web], or use "
                "`encryptotel device add`",
            )
        try:
            name = self._directory.new_device(extension, name).name
        except DirectoryError as error:
            raise OperatorError("phone.refused", str(error)) from error
        token, now = secrets.token_hex(16), self._now()  # letters that no chat cuts off a link
        async with self._database.writing() as session:
            await session.execute(delete(SetupLinkRow).where(col(SetupLinkRow.expires) <= now))
            found = await session.execute(
                select(SetupLinkRow)
                .where(col(SetupLinkRow.extension) == extension)
                .order_by(col(SetupLinkRow.expires).desc())
            )
            for old in found.scalars().all()[MAX_LINKS - 1 :]:
                await session.delete(old)
            session.add(
                SetupLinkRow(
                    token_hash=_hash(token),
                    extension=extension,
                    name=name,
                    expires=now + GOOD_FOR,
                )
            )
        return SetupLink(
            name=name,
            extension=extension,
            page=f"{self.site.url}/setup/{token}",
            phone=f"{self.site.url}/linphone/{token}",
            minutes=round(GOOD_FOR.total_seconds() / 60),
        )

    def of(self, person: Person) -> Sequence[Phone]:
        """A person's phones: those with an account of their own, and what else is registered."""
        here = {b.username: b for b in self._registrar.bindings(person.extension)}
        found = []
        for row in self._directory.devices(person.extension):
            binding = here.pop(row.username, None)
            found.append(
                Phone(
                    id=row.username,
                    name=row.name,
                    agent=binding.user_agent if binding else "",
                    since=binding.since if binding else None,
                    set_up=row.since,
                )
            )
        others = [
            binding
            for binding in self._registrar.bindings(person.extension)
            if binding.username in here
        ]
        return found + [
            Phone(id="", name="", agent=binding.user_agent, since=binding.since, set_up=None)
            for binding in others
        ]

    async def revoke(self, person: Person, id: str) -> str:
        """Shut one of a person's phones out, at once; its name. Raises `OperatorError`."""
        mine = {row.username for row in self._directory.devices(person.extension)}
        if id not in mine:
            raise OperatorError("phone.unknown", "that is none of your phones (any more)")
        row = await self._directory.revoke_device(id)
        self._registrar.drop(row.extension, REVOKED, username=row.username)
        self.on_revoked(row.extension)
        log.info("%s: a phone was revoked", row.extension)
        return row.name

    async def forget(self, extension: str) -> None:
        """Shut out all phones of an extension that have accounts of their own."""
        gone = self._directory.devices(extension)
        await self._directory.forget_devices(extension)
        for row in gone:
            self._registrar.drop(extension, REVOKED, username=row.username)
        self.on_revoked(extension)

    # ── for the web ─────────────────────────────────────────────────────────────────────
    async def is_open(self, token: str) -> bool:
        async with self._database.reading() as session:
            link = await session.get(SetupLinkRow, _hash(token))
        return link is not None and link.expires > self._now()

    async def redeem(self, token: str) -> PhoneSettings | None:
        # The link goes in the transaction that makes the account: it cannot be used twice, and
        # is not lost when there is no room for another phone.
        try:
            async with self._database.writing() as session:
                link = await session.get(SetupLinkRow, _hash(token))
                if link is None or link.expires <= self._now():
                    return None
                await session.delete(link)
                row = self._directory.new_device(link.extension, link.name)
                session.add(row)
        except DirectoryError as error:
            raise SetupRefused(f"{error}.") from error
        await self._directory.load()
        log.info("%s: a phone was set up", row.extension)
        self._tell(row.extension, SET_UP.format(name=row.name))
        return self.settings(row)

    def authority(self) -> bytes | None:
        return self.site.authority if self.site else None

    def settings(self, row: DeviceRow) -> PhoneSettings:
        """All that a phone must know."""
        extension = self._directory.extension(row.extension)
        assert extension is not None
        assert self.site is not None
        return PhoneSettings(
            name=row.name,
            owner=extension.name or extension.number,
            number=extension.number,
            username=row.username,
            secret=row.secret,
            domain=self.site.domain,
            host=self.site.sip_host,
            tls_port=self.site.tls_port,
            encrypts=extension.srtp is not SrtpPolicy.OFF,
            must_encrypt=extension.srtp is SrtpPolicy.REQUIRE,
        )


def _hash(token: str) -> str:
    """How a token is kept and found: by this no comparison tells by its time how near one was."""
    return hashlib.sha256(token.encode()).hexdigest()
