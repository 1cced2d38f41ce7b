"""Who and what there is: the config file's extensions, trunks and routes, and those added at
run time, in memory, as the exchange wants to ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from encryptotel.config import Config, new_secret
from encryptotel.errors import UserError
from pbx.calls.router import ECHO
from pbx.media.srtp import SrtpPolicy
from pbx.ports import Extension, Trunk
from pbx.sip.digest import Credentials
from pbx.sip.transport import Transport
from store.database import Database
from store.tables import ExtensionRow, RouteRow, TrunkRow

ANY = "*"
"A route for numbers that have none of their own."


class DirectoryError(UserError):
    """Something cannot be added or found; the text says why."""


class Directory:
    """Implements `pbx.ports.Directory`. The config file wins over what was added later."""

    def __init__(self, config: Config, database: Database) -> None:
        self._config = config
        self._database = database
        self._extensions: dict[str, Extension] = {}
        self._trunks: dict[str, Trunk] = {}
        self._routes: dict[str, str] = {}
        self.demo_trunks: Sequence[Trunk] = ()

    # ── for the exchange ────────────────────────────────────────────────────────────────
    def extension(self, number: str) -> Extension | None:
        return self._extensions.get(number)

    def extensions(self) -> Sequence[Extension]:
        return list(self._extensions.values())

    def trunks(self) -> Sequence[Trunk]:
        return list(self._trunks.values())

    def route(self, number: str) -> str | None:
        return self._routes.get(number) or self._routes.get(ANY)

    # ── keeping it current ──────────────────────────────────────────────────────────────
    async def load(self, config: Config | None = None) -> None:
        """Read everything again, from another configuration if given. Raises `DirectoryError`
        when the database cannot be read; then everything stays as it was."""
        try:
            async with self._database.reading() as session:
                extensions = list((await session.execute(select(ExtensionRow))).scalars())
                trunks = list((await session.execute(select(TrunkRow))).scalars())
                routes = list((await session.execute(select(RouteRow))).scalars())
        except DBAPIError as error:
            raise DirectoryError(f"{self._database.path} cannot be read: {error.orig}") from error
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
        self._trunks = (
            {trunk.name: trunk for trunk in self.demo_trunks}
            | {row.name: _trunk(row) for row in trunks}
            | {trunk.name: trunk for trunk in _configured_trunks(self._config)}
        )
        self._extensions = dict(sorted(self._extensions.items()))
        self._routes = {row.number: row.to for row in routes} | {
            section.number: section.to for section in self._config.route
        }

    async def add_extension(self, number: str, name: str, srtp: SrtpPolicy) -> Extension:
        """Add a user with a fresh secret. Raises `DirectoryError`."""
        if not (number.isascii() and number.isdigit() and 2 <= len(number) <= 6) or number == ECHO:
            raise DirectoryError(f"{number} cannot be an extension: use two to six digits, not 600")
        if number in self._extensions:
            raise DirectoryError(f"extension {number} exists already")
        row = ExtensionRow(number=number, name=name[:80], secret=new_secret(), srtp=srtp.value)
        async with self._database.writing() as session:
            session.add(row)
        await self.load()
        return self._extensions[number]

    async def remove_extension(self, number: str) -> None:
        """Remove a user added at run time. Raises `DirectoryError`."""
        if any(section.number == number for section in self._config.extension):
            raise DirectoryError(f"extension {number} is in the config file: remove it there")
        async with self._database.writing() as session:
            row = await session.get(ExtensionRow, number)
            if row is None:
                raise DirectoryError(f"there is no extension {number}")
            await session.delete(row)
        await self.load()

    async def add_trunk(self, row: TrunkRow) -> None:
        """Add a trunk. Raises `DirectoryError`."""
        if row.name in self._trunks:
            raise DirectoryError(f"trunk {row.name} exists already")
        async with self._database.writing() as session:
            session.add(row)
        await self.load()

    async def remove_trunk(self, name: str) -> None:
        """Remove a trunk added at run time. Raises `DirectoryError`."""
        async with self._database.writing() as session:
            row = await session.get(TrunkRow, name)
            if row is None:
                raise DirectoryError(f"there is no trunk {name} that was added at run time")
            await session.delete(row)
        await self.load()

    async def add_route(self, number: str, to: str) -> None:
        """Let an incoming number ring an extension. Raises `DirectoryError`."""
        if to not in self._extensions:
            raise DirectoryError(f"there is no extension {to}")
        async with self._database.writing() as session:
            await session.merge(RouteRow(number=number, to=to))
        await self.load()


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
        )
        for section in config.trunk
    ]


def _transport(name: str) -> Transport | None:
    """The one a trunk must use; None leaves it to DNS."""
    return cast(Transport, name) if name in get_args(Transport) else None


def _credentials(username: str, secret: str) -> Credentials | None:
    return Credentials(username=username, secret=secret) if username else None
