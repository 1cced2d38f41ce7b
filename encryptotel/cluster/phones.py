"""Phones that registered through another program: known here too, so that whoever becomes their
home can ring them, and everybody sees that they are there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select

from encryptotel.bindings import saved
from pbx.events import DeviceRegistered, DeviceUnregistered, Event
from pbx.exchange import Exchange
from pbx.sip.registrar import Binding
from store.database import Database
from store.tables import BindingRow

log = logging.getLogger(__name__)

UNWRITTEN = 10.0
"Seconds within which a registration of ours may not be in the table yet."


class PhonesElsewhere:
    """Keeps a registrar as the table says. `tell` hears of each extension whose phones changed, as
    of an event of our own."""

    def __init__(
        self, database: Database, exchange: Exchange, tell: Callable[[Event], None]
    ) -> None:
        self._database, self._exchange, self._tell = database, exchange, tell
        self._ours: dict[tuple[str, str], float] = {}
        "When a phone registered here, by the loop's clock."
        self._later: dict[str, asyncio.TimerHandle] = {}
        "By extension, another look at what the table did not have."
        self._looking: set[asyncio.Task[None]] = set()

    def take(self, event: Event) -> None:
        """What happens to phones here."""
        if isinstance(event, DeviceRegistered):
            self._ours[event.extension, event.contact] = asyncio.get_running_loop().time()
        elif isinstance(event, DeviceUnregistered):
            self._ours.pop((event.extension, event.contact), None)

    async def load(self, extensions: Collection[str]) -> None:
        """Know the phones of some extensions, or of all."""
        query = select(BindingRow).where(col(BindingRow.expires) > self._exchange.now())
        if extensions:
            query = query.where(col(BindingRow.extension).in_(extensions))
        async with self._database.reading() as session:
            rows = (await session.execute(query)).scalars().all()
        registrar = self._exchange.registrar
        found: dict[str, list[Binding]] = {one: [] for one in extensions}
        if not extensions:
            found = {binding.extension: [] for binding in registrar.all()}
        for row in rows:
            binding = self._exchange.restored(saved(row), copy=True)
            if binding is not None:
                found.setdefault(row.extension, []).append(binding)
        for extension, bindings in found.items():
            if registrar.learn(extension, bindings, self._is_news):
                self._tell(self._changed(extension))

    def _changed(self, extension: str) -> Event:
        """What there is to know: that phones are there, or that none is."""
        now, there = self._exchange.now(), self._exchange.registrar.bindings(extension)
        if not there:
            return DeviceUnregistered(extension=extension, at=now, contact="", reason="")
        return self._exchange.registered(there[-1], refreshed=False)

    def close(self) -> None:
        """Look no more."""
        for waiting in self._later.values():
            waiting.cancel()
        for looking in self._looking:
            looking.cancel()

    def _is_news(self, binding: Binding) -> bool:
        """Whether a phone registered here so lately that the table need not know. It may also have
        signed off elsewhere already, so the table is looked at again once it must know."""
        since = self._ours.get((binding.extension, binding.contact))
        loop = asyncio.get_running_loop()
        if binding.copy or since is None or loop.time() - since >= UNWRITTEN:
            return False
        if binding.extension not in self._later:
            again = loop.call_later(UNWRITTEN, self._look_again, binding.extension)
            self._later[binding.extension] = again
        return True

    def _look_again(self, extension: str) -> None:
        del self._later[extension]
        looking = asyncio.ensure_future(self._looked_at(extension))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    async def _looked_at(self, extension: str) -> None:
        try:
            await self.load((extension,))
        except (DBAPIError, OSError) as error:  # all is read when the database is back
            log.warning("phones cannot be looked up: %s", type(error).__name__)
