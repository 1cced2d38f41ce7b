"""What this program does as one of several: puts together who is alive, who is at home where and
what the others change, and says what that means for the parts of the program."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, update

from encryptotel.cluster.changes import Changes, Take
from encryptotel.cluster.homes import Homes
from encryptotel.cluster.membership import Membership, Node
from encryptotel.cluster.phones import PhonesElsewhere
from pbx.calls.parking import PLACES
from pbx.events import CallEnded, DeviceRegistered, Event
from pbx.media.anchor import anchored
from pbx.nat import split_host_port
from pbx.nodes import device_of
from pbx.sip.transport import Address, bracketed
from store.journal import open_legs_outside, settle
from store.tables import ShelfRow, TextRow
from store.upsert import insert_new
from wallet.ledger import extension_of

if TYPE_CHECKING:
    from encryptotel.app import App

log = logging.getLogger(__name__)

SHELF, KEY = "cluster", "secret"
AGAIN_SECONDS = 1.0
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared, not bound
LOOK_EVERY = 5.0
"Seconds between looks whether everybody is at home where they should be."


class Part:
    """One of several. `join` before anything is read, `begin` when all is up."""

    def __init__(self, app: App, name: str) -> None:
        self._app, self._database = app, app.database
        self.name = name
        self.members = Membership(app.database, name, app.config.cluster.address, self._settle)
        self.homes = Homes(app.database, self.members, self._numbers, self._with_leader, self._busy)
        self.lost = asyncio.Event()
        "The others took this program for dead: it must begin anew."
        self._secret = ""
        self._changes: Changes | None = None
        self._phones: PhonesElsewhere | None = None
        self._others: Mapping[str, Node] = {}
        self._news = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._led, self._orphans = False, True
        app.directory.registers = lambda: self.leads

    @property
    def leads(self) -> bool:
        """Whether what is done once for all is ours to do."""
        return self.members.leads

    @property
    def serves(self) -> bool:
        """Whether whoever asks for the one that leads is right here."""
        return self.leads and self.members.sees

    def where(self, number: str) -> Address | None:
        """Where a number is at home; None where that is here."""
        node = self.homes.node(number)
        return _address(node) if node is not None else None

    def leader_web(self) -> str | None:
        """Where the web of the one that leads is, host:port; empty where that is here, None where
        nobody knows."""
        if self.leads:
            return "" if self.members.sees else None  # others may lead by now
        leader = self.members.nodes.get(self.members.leader)
        return (leader.web or None) if leader is not None else None

    def proof(self) -> str:
        """What requests that one of us passes on to another are known by."""
        return hmac.digest(self._secret.encode(), b"web", "sha256").hex()

    async def has_moved(self, number: str, device: str) -> bool:
        """Whether a number is not at home any more at what a call for it was sent to. Word of that
        may have come while the call was on its way."""
        try:
            await self._homes_changed([number])
        except (DBAPIError, OSError):
            return False
        address = self.where(number)
        return address is None or device_of(address) != device

    # ── life ────────────────────────────────────────────────────────────────────────────
    async def join(self) -> None:
        """Be one of them. Raises DBAPIError."""
        async with self._database.writing() as session:
            fresh = {"shelf": SHELF, "key": KEY, "value": {KEY: secrets.token_hex(32)}}
            await session.execute(insert_new("postgresql", ShelfRow), fresh)
            row = await session.get(ShelfRow, (SHELF, KEY))
            assert row is not None
            self._secret = row.value[KEY]
        await self.members.join()
        await self.homes.load()

    async def begin(self) -> None:
        """Hear of what others change, give everybody a home, and lead if it is ours to, from now
        on."""
        app = self._app
        others = app.exchange.nodes
        others.where, others.has_moved = self.where, self.has_moved
        app.exchange.share(self._secret)
        app.exchange.parking.is_here = lambda place: self.where(place) is None
        app.texts.looks_after = self.homes.writes_to
        self._phones = PhonesElsewhere(self._database, app.exchange, self._phones_changed)
        self._changes = Changes(self._database.url, self.name, self._takers(self._phones))
        self._others = self.members.nodes
        self.members.changed, self.members.lost = self._members_changed, self.lost.set
        await self._changes.start()
        await self._phones.load(())  # before anybody comes home
        await self.members.enter(self._web())
        await self._look()
        self._looking = asyncio.ensure_future(self._look_after())

    def take(self, event: Event) -> None:
        """The event sink."""
        if self._phones is not None:
            self._phones.take(event)
        if isinstance(event, CallEnded):
            self._news.set()  # whoever was in it may be on their way to another home

    async def leave(self) -> None:
        """Send away whoever is in no call, and take nobody in any more."""
        if self.lost.is_set():
            return
        try:
            await self.members.leave()
            await self.homes.spread()
        except (DBAPIError, OSError) as error:
            log.warning("nobody could be sent to another node: %s", type(error).__name__)

    async def close(self) -> None:
        """Be none of them any more; who is left goes home to others."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))
        if self._changes is not None:
            await self._changes.stop()
        if self._phones is not None:
            self._phones.close()
        if self.lost.is_set():
            await self.members.stop()
            return
        try:
            await self.members.close(self._bequeath)
        except (DBAPIError, OSError) as error:
            log.warning("this node could not say good-bye: %s", type(error).__name__)

    def _web(self) -> str:
        """Where the others reach our web."""
        own = self._app.addresses.get("web", "")
        if not own:
            return ""
        host, port = split_host_port(own, 0)
        if host in ANYWHERE:
            host, _ = split_host_port(self._app.config.cluster.address, 0)
        return f"{bracketed(host)}:{port}"

    # ── who is where ────────────────────────────────────────────────────────────────────
    def _numbers(self) -> dict[str, str]:
        """Everybody's, and of all that is one place for all. Numbers outside are where those are
        whom they lead to, so that the edge takes calls there."""
        people = (one.number for one in self._app.directory.extensions())
        own = {number: number for number in (*people, *self._places(), *PLACES)}
        outside = self._app.directory.numbers_outside.items()
        return {number.removeprefix("+"): to for number, to in outside} | own

    def _places(self) -> list[str]:
        config = self._app.config
        rooms, broadcasts = config.room, config.broadcast
        return [*(one.number for one in rooms), *(one.number for one in broadcasts)]

    def _with_leader(self) -> set[str]:
        """Those who chat, or whose programs act for them, and what they order about by chat: that
        is done where the leader is."""
        app = self._app
        people = app.people.extensions | app.api_keys.extensions
        return {app.person.extension, *people, *self._places()}

    def _busy(self) -> set[str]:
        calls = [one for one in self._app.exchange.calls.values() if one.ending is None]
        there = {leg.peer for call in calls for leg in call.legs}
        there |= self._app.exchange.parking.taken
        return there.union(*({call.user, call.caller, call.callee} for call in calls))

    async def _look_after(self) -> None:
        """Look when there are news: others came or went, numbers are new, calls are over."""
        while True:
            with contextlib.suppress(TimeoutError):  # there may be people who are new to us
                async with asyncio.timeout(LOOK_EVERY):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._look()
            except (DBAPIError, OSError) as error:
                log.warning("homes could not be looked after: %s", type(error).__name__)
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._news.set)
            except Exception:
                log.exception("homes could not be looked after")

    async def _look(self) -> None:
        """Lead if it is ours to, and see to it that everybody is at home where they should be."""
        if self.leads and not self._led:
            log.warning("this node leads from now on")
            await self._app.read_again()
            self._led = True
            await self._app.begin_duties()
        if self.leads and self._orphans:
            self._orphans = False
            await self._app.texts.adopt()
        await self._arrived(await self.homes.spread())
        await self._app.texts.pass_on()

    def _members_changed(self) -> None:
        for name in self._others.keys() - self.members.nodes.keys():
            self._app.exchange.node_gone(_address(self._others[name]))
        self._others, self._orphans = self.members.nodes, True
        self._news.set()

    async def _settle(
        self, session: AsyncSession, dead: Node, alive: datetime, left: Mapping[str, Node]
    ) -> None:
        """Close the calls of a dead node in the journal, take the money for them, and give its
        people other homes: all of it or nothing, and once."""
        # An engine would go on carrying sound that nobody is charged for.
        outside = await open_legs_outside(session, dead.name)
        self._app.exchange.engines.forget([anchored(*one) for one in outside])
        await settle(session, started=self._app.now(), alive=alive, nodes={dead.name})
        if self._app.metering is not None:
            await self._app.metering.charging.settle(session, alive, {dead.name})
        await self._bequeath(session, dead, left)

    async def _bequeath(self, session: AsyncSession, gone: Node, left: Mapping[str, Node]) -> None:
        """Leave the messages and the people of a node that is no more to others."""
        theirs = update(TextRow).where(col(TextRow.node) == gone.name)
        await session.execute(theirs.values(node=""))
        await self.homes.leave(session, gone, left)

    # ── what others change ──────────────────────────────────────────────────────────────
    def _takers(self, phones: PhonesElsewhere) -> dict[str, Take]:
        app = self._app
        takers: dict[str, Take] = {
            "home": self._homes_changed,
            "binding": phones.load,
            "balance": self._balances_changed,
            "text": app.texts.look,
        }
        for tables, read in (
            (("extension", "device", "trunk", "route"), self._directory_changed),
            (("person", "account", "listed", "rule", "wish"), app.load_wishes),
            (("contact",), app.contacts.load),
            (("relay",), app.operator.relays.load),
            (("voicemail",), app.mailbox.load),
            (("scenario",), app.scenarios.load),
            (("apikey",), app.api_keys.load),
        ):
            takers |= dict.fromkeys(tables, _whole(read))
        return takers

    async def _homes_changed(self, numbers: Collection[str]) -> None:
        came = await self.homes.load(numbers)
        if not {self.homes.all.get(one, self.name) for one in numbers} <= self.members.nodes.keys():
            await self.members.look()  # at home at one that is new, and not here
        await self._arrived(came)

    async def _arrived(self, numbers: Collection[str]) -> None:
        """People are at home here from now on: what others did for them must be known here."""
        if not numbers:
            return
        log.info("%d numbers have come home here", len(numbers))
        await self._app.read_again()
        await self._app.recall_calls_of(numbers)

    async def _directory_changed(self) -> None:
        await self._app.read_directory()
        self._news.set()

    async def _balances_changed(self, accounts: Collection[str]) -> None:
        """Somebody paid in elsewhere; calls of others are paid for at their own homes."""
        metering = self._app.metering
        if metering is None:
            return
        if not accounts or any(self.where(extension_of(one)) is None for one in accounts):
            await metering.charging.reload()

    def _phones_changed(self, event: Event) -> None:
        self._app.presence.take(event)
        self._app.subscriptions.event(event)
        if isinstance(event, DeviceRegistered):
            self._app.texts.phone_is_there(event.extension)


def _address(node: Node) -> Address:
    return split_host_port(node.address, 0)


def _whole(read: Callable[[], Awaitable[object]]) -> Take:
    """Reads all again, whatever of it has changed."""

    async def take(_: Collection[str]) -> None:
        await read()

    return take
