"""Who and what there is: the config file's extensions, trunks and routes, and those added at
run time, in memory, as the exchange wants to ask for them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast, get_args

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select, update

from encryptotel.config import UNMISTAKABLE, Config, new_secret
from encryptotel.errors import UserError
from pbx.calls.apps.echo import ECHO_TEST
from pbx.calls.numbers import region_of_zone
from pbx.calls.router import ECHO
from pbx.calls.services import Service, Services
from pbx.calls.wishes import Wishes
from pbx.media.srtp import SrtpPolicy
from pbx.ports import Account, Extension, Trunk
from pbx.sip.digest import Credentials
from pbx.sip.registrar import MAX_DEVICES
from pbx.sip.transport import Transport
from store.database import Database
from store.tables import (
    ApiKeyRow,
    DeliveryRow,
    DeviceRow,
    ExtensionRow,
    RouteRow,
    ScenarioRow,
    SendingRow,
    SetupLinkRow,
    TrunkRow,
    VaultRow,
    VerificationRow,
    WebhookRow,
)
from wallet.ledger import close_account

ANY = "*"
"A route for numbers that have none of their own."
MAX_DEVICE_NAME = 40
MAX_REVOKED = 20
"Phones of an extension that are still told that they were revoked."


class DirectoryError(UserError):
    """Something cannot be added or found; the text says why."""


class Directory:
    """Implements `pbx.ports.Directory`. The config file wins over what was added later."""

    def __init__(self, config: Config, database: Database) -> None:
        self._config = config
        self.database = database
        self._extensions: dict[str, Extension] = {}
        self._devices: dict[str, DeviceRow] = {}
        "Phones with an account of their own, by its user name."
        self._accounts: dict[str, Account] = {}
        self._trunks: dict[str, Trunk] = {}
        self._routes: dict[str, str] = {}
        self._tracked: Sequence[RouteRow] = ()
        self._loading = asyncio.Lock()
        self.demo_trunks: Sequence[Trunk] = ()
        self.registers: Callable[[], bool] = lambda: True
        "Whether this program registers at carriers: of several only one may."
        self.wishes_of: Callable[[str], Wishes] = lambda extension: Wishes()
        self.services = Services()
        self.services.add(ECHO_TEST)

    # ── for the exchange ────────────────────────────────────────────────────────────────
    def extension(self, number: str) -> Extension | None:
        return self._extensions.get(number)

    def extensions(self) -> Sequence[Extension]:
        return list(self._extensions.values())

    def account(self, username: str) -> Account | None:
        return self._accounts.get(username)  # made before: its time must not tell who there is

    def _account(self, username: str) -> Account | None:
        device = self._devices.get(username)
        extension = self._extensions.get(device.extension if device else username)
        if extension is None:
            return None
        return Account(
            username=username,
            secret=device.secret if device else extension.secret,
            extension=extension,
            revoked=device is not None and device.revoked is not None,
        )

    def trunks(self) -> Sequence[Trunk]:
        return list(self._trunks.values())

    def route(self, number: str) -> str | None:
        return self._routes.get(number) or self._routes.get(ANY)

    @property
    def numbers_outside(self) -> Mapping[str, str]:
        """What each number of a carrier's leads to, those in E.164."""
        return {number: to for number, to in self._routes.items() if number.startswith("+")}

    def wishes(self, number: str) -> Wishes:
        return self.wishes_of(number)

    def service(self, dialled: str) -> tuple[Service, str] | None:
        return self.services.find(dialled)

    # ── phones with an account of their own ─────────────────────────────────────────────
    def accounts(self) -> Mapping[str, Account]:
        """Every account that is good, by its user name: those of the extensions, and those of
        phones."""
        return {name: one for name, one in self._accounts.items() if not one.revoked}

    def devices(self, extension: str = "") -> Sequence[DeviceRow]:
        """The phones that have an account of their own, of an extension or all, the oldest
        first."""
        found = [
            row
            for row in self._devices.values()
            if row.revoked is None and extension in ("", row.extension)
        ]
        return sorted(found, key=lambda row: (row.extension, row.since))

    def new_device(self, extension: str, name: str) -> DeviceRow:
        """An account for another phone of an extension, to be stored. Raises `DirectoryError`."""
        known = self._extensions.get(extension)
        if known is None:
            raise DirectoryError(f"there is no extension {extension}")
        if known.script or known.members:
            raise DirectoryError(f"{extension} is a script or a group, which has no phones")
        others = {row.name.casefold() for row in self.devices(extension)}
        if len(others) >= MAX_DEVICES:
            raise DirectoryError(
                f"{extension} has {MAX_DEVICES} phones already, which is the most; revoke one first"
            )
        name = " ".join(name.split())[: MAX_DEVICE_NAME - 3] or "phone"
        names = (name, *(f"{name} {n}" for n in range(2, MAX_DEVICES + 2)))
        username = extension
        while username in self._devices or username == extension:
            username = f"{extension}." + "".join(secrets.choice(UNMISTAKABLE) for _ in range(4))
        return DeviceRow(
            username=username,
            extension=extension,
            name=next(free for free in names if free.casefold() not in others),
            secret=new_secret(),
            since=datetime.now(UTC),
        )

    async def add_device(self, extension: str, name: str) -> DeviceRow:
        """Give another phone of an extension its account. Raises `DirectoryError`."""
        row = self.new_device(extension, name)
        async with self.database.writing() as session:
            session.add(row)
        await self.load()
        return row

    async def revoke_device(self, username: str) -> DeviceRow:
        """Take a phone's account away; its registrations are the exchange's to forget. Raises
        `DirectoryError`."""
        async with self.database.writing() as session:
            row = await session.get(DeviceRow, username)
            if row is None or row.revoked is not None:
                raise DirectoryError(f"there is no phone {username}; `device list` shows them")
            row.revoked = datetime.now(UTC)
            gone = await session.execute(
                select(DeviceRow)
                .where(
                    col(DeviceRow.extension) == row.extension, col(DeviceRow.revoked).is_not(None)
                )
                .order_by(col(DeviceRow.revoked).desc())
                .offset(MAX_REVOKED)
            )
            for old in gone.scalars().all():
                await session.delete(old)
        await self.load()
        return row

    async def forget_devices(self, extension: str) -> None:
        """Take all phones of an extension their accounts away, and the links that would make
        more."""
        async with self.database.writing() as session:
            await _delete_devices(session, extension)
        await self.load()

    # ── keeping it current ──────────────────────────────────────────────────────────────
    async def load(self, config: Config | None = None) -> None:
        """Read everything again, from another configuration if given. Raises `DirectoryError`
        when the database cannot be read; then everything stays as it was."""
        async with self._loading:  # one that began earlier must not have the last word
            await self._load(config)

    async def _load(self, config: Config | None) -> None:
        try:
            async with self.database.reading() as session:
                extensions = list((await session.execute(select(ExtensionRow))).scalars())
                devices = list((await session.execute(select(DeviceRow))).scalars())
                trunks = list((await session.execute(select(TrunkRow))).scalars())
                routes = list((await session.execute(select(RouteRow))).scalars())
        except DBAPIError as error:
            raise DirectoryError(f"{self.database.path} cannot be read: {error.orig}") from error
        self._config = config or self._config
        self._extensions = {row.number: _extension(row) for row in extensions} | {
            section.number: Extension(
                number=section.number,
                name=section.name,
                secret=section.secret,
                srtp=section.srtp,
                script=section.script,
                countries=section.countries,
                denied_countries=section.denied_countries,
            )
            for section in self._config.extension
        }
        self._extensions |= {
            section.number: Extension(
                number=section.number,
                name=section.name,
                members=section.members,
                in_turn=section.in_turn,
            )
            for section in self._config.group
        }
        self._devices = {row.username: row for row in devices}
        self._trunks = (
            {trunk.name: trunk for trunk in self.demo_trunks}
            | {row.name: _trunk(row) for row in trunks}
            | {trunk.name: trunk for trunk in _configured_trunks(self._config)}
        )
        if not self.registers():
            self._trunks = {
                name: replace(trunk, register=False) for name, trunk in self._trunks.items()
            }
        self._extensions = dict(sorted(self._extensions.items()))
        names = (*self._extensions, *self._devices)
        self._accounts = {name: one for name in names if (one := self._account(name)) is not None}
        self._routes = {row.number: row.to for row in routes} | {
            section.number: section.to for section in self._config.route
        }
        configured = {section.number for section in self._config.route}
        self._tracked = [row for row in routes if row.label and row.number not in configured]

    async def add_extension(self, number: str, name: str, srtp: SrtpPolicy) -> Extension:
        """Add a user with a fresh secret. Raises `DirectoryError`."""
        if not (number.isascii() and number.isdigit() and 2 <= len(number) <= 6) or number == ECHO:
            raise DirectoryError(f"{number} cannot be an extension: use two to six digits, not 600")
        if self.services.find(number) is not None:
            raise DirectoryError(f"{number} is a number of the exchange's own: use another")
        if number in self._extensions:
            raise DirectoryError(f"extension {number} exists already")
        row = ExtensionRow(number=number, name=name[:80], secret=new_secret(), srtp=srtp.value)
        async with self.database.writing() as session:
            session.add(row)
        await self.load()
        return self._extensions[number]

    async def remove_extension(self, number: str) -> None:
        """Remove a user added at run time. Raises `DirectoryError`."""
        if any(section.number == number for section in self._config.extension):
            raise DirectoryError(f"extension {number} is in the config file: remove it there")
        async with self.database.writing() as session:
            row = await session.get(ExtensionRow, number)
            if row is None:
                raise DirectoryError(f"there is no extension {number}")
            await session.delete(row)
            await _delete_devices(session, number)  # the number may be somebody else's later
            await _set_aside(session, number)
        await self.load()

    async def add_trunk(self, row: TrunkRow) -> None:
        """Add a trunk. Raises `DirectoryError`."""
        if row.name in self._trunks:
            raise DirectoryError(f"trunk {row.name} exists already")
        async with self.database.writing() as session:
            session.add(row)
        await self.load()

    async def remove_trunk(self, name: str) -> None:
        """Remove a trunk added at run time. Raises `DirectoryError`."""
        async with self.database.writing() as session:
            row = await session.get(TrunkRow, name)
            if row is None:
                raise DirectoryError(f"there is no trunk {name} that was added at run time")
            await session.delete(row)
        await self.load()

    def free_numbers(self, region: str | None) -> Sequence[str]:
        """Numbers of our lines, or those of one country, that lead nowhere of their own yet; the
        first of a trunk is what it shows, and stays."""
        return [
            number
            for trunk in self._trunks.values()
            if not region or region_of_zone(trunk.zone) == region
            for number in trunk.numbers[1:]
            if number not in self._routes
        ]

    def tracked(self) -> Sequence[RouteRow]:
        """The numbers that somebody has for something."""
        return self._tracked

    async def give_number(self, row: RouteRow) -> None:
        """Let an incoming number be for something."""
        async with self.database.writing() as session:
            await session.merge(row)
        await self.load()

    async def take_number(self, number: str) -> None:
        """Let an incoming number lead nowhere of its own any more."""
        async with self.database.writing() as session:
            row = await session.get(RouteRow, number)
            if row is not None:
                await session.delete(row)
        await self.load()

    async def add_route(self, number: str, to: str) -> None:
        """Let an incoming number ring an extension. Raises `DirectoryError`."""
        if to not in self._extensions and self.services.find(to) is None:
            raise DirectoryError(f"there is no extension {to}")
        async with self.database.writing() as session:
            await session.merge(RouteRow(number=number, to=to))
        await self.load()


async def _delete_devices(session: AsyncSession, extension: str) -> None:
    await session.execute(delete(DeviceRow).where(col(DeviceRow.extension) == extension))
    await session.execute(delete(SetupLinkRow).where(col(SetupLinkRow.extension) == extension))


def _extension(row: ExtensionRow) -> Extension:
    return Extension(
        number=row.number,
        name=row.name,
        secret=row.secret,
        srtp=SrtpPolicy(row.srtp),
        script=row.script,
    )


def _trunk(row: TrunkRow) -> Trunk:
    return Trunk(
        name=row.name,
        zone=row.zone,
        host=row.host,
        port=row.port,
        transport=_transport(row.transport),
        numbers=tuple(row.numbers.split()),
        credentials=_credentials(row.username, row.secret),
        register=row.register_there,
        dial=row.dial,
        srtp=SrtpPolicy(row.srtp),
    )


def _configured_trunks(config: Config) -> list[Trunk]:
    return [
        Trunk(
            name=section.name,
            zone=section.zone,
            host=section.host,
            port=section.port,
            transport=_transport(section.transport),
            outbound_proxy=section.outbound_proxy,
            numbers=section.numbers,
            credentials=_credentials(section.username, section.password),
            register=section.register_there,
            dial=section.dial,
            srtp=section.srtp,
            max_calls=section.max_calls,
            countries=section.countries,
            denied_countries=section.denied_countries,
            verify_tls=section.verify_tls,
            ca_file=section.ca_file,
            texts=section.texts,
            trusted=section.trusted,
        )
        for section in config.trunk
    ]


def _transport(name: str) -> Transport | None:
    """The one a trunk must use; None leaves it to DNS."""
    return cast(Transport, name) if name in get_args(Transport) else None


def _credentials(username: str, secret: str) -> Credentials | None:
    return Credentials(username=username, secret=secret) if username else None


async def _set_aside(session: AsyncSession, number: str) -> None:
    """What was somebody's is not for whoever has their extension later: keys and scenarios are
    gone, a wallet and payments on their way go by another name, credit goes back to the host."""
    hooks = select(WebhookRow.id).where(col(WebhookRow.extension) == number)
    await session.execute(delete(DeliveryRow).where(col(DeliveryRow.webhook).in_(hooks)))
    for kind in (ScenarioRow, ApiKeyRow, WebhookRow, VerificationRow):
        await session.execute(delete(kind).where(col(kind.extension) == number))
    name = f"gone {secrets.token_hex(5)}"
    for table in (VaultRow, SendingRow):
        mine = col(table.extension) == number
        await session.execute(update(table).where(mine).values(extension=name))
    await close_account(session, number, datetime.now(UTC))
