"""A whole EncryptoTel in the test's process, over real sockets, with phones to call."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from bot.dialogue import Dialogue
from bot.replies import Reply
from encryptotel.app import App
from encryptotel.config import Config
from encryptotel.demo.phone import Behaviour, Phone
from encryptotel.language import Language
from nlp.commands import Understanding
from pbx.events import CallEnded, CallTraced, Event
from pbx.sip.digest import Credentials
from pbx.sip.stack import Incoming
from pbx.sip.transport import Transport
from store.database import Database

own_ports = pytest.mark.skipif(
    bool(os.environ.get("BY_RTPENGINE")),
    reason="looks at our own ports, and engines carry the sound",
)
NEVER = 3600.0
"Seconds a phone rings that nobody answers."


class BusyPhone(Phone):
    """A phone that refuses every call with a status."""

    status = 486

    def on_request(self, incoming: Incoming) -> None:
        if incoming.request.method == "INVITE":
            incoming.refuse_with(self.status)
        else:
            super().on_request(incoming)


class Office:
    """An app, its phones and what happened."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.events: list[Event] = []
        self.told: list[str] = []
        self._news = asyncio.Condition()
        self._phones: list[Phone] = []
        self._waking: set[asyncio.Task[None]] = set()
        self._dialogue: Dialogue | None = None
        self.doors: Mapping[str, str] = app.addresses
        "Where phones register, by transport."
        self.beside: list[Office] = []
        "Other programs of the same exchange."

    async def phone(
        self,
        number: str,
        phone: Phone,
        *,
        transport: Transport = "udp",
        secret: str = "",
        username: str = "",
    ) -> Phone:
        """Register a phone as an extension and keep it until the end of the test; `username` if
        it has an account of its own."""
        if transport == "udp":
            await phone.listen()
        self._phones.append(phone)
        host, port = self.doors[transport].rsplit(":", 1)
        tls = self.app.certificates.client_context() if transport == "tls" else None
        extension = self.app.directory.extension(number)
        assert extension is not None
        account = Credentials(username=username or number, secret=secret or extension.secret)
        status = await phone.register(
            (host.strip("[]"), int(port)),
            account,
            self.app.config.exchange.domain,
            number=number,
            transport=transport,
            tls=tls,
        )
        assert status == 200, status
        await self._all_know(lambda app: bool(app.exchange.registrar.bindings(number)))
        return phone

    async def at_home(self, number: str) -> None:
        """Wait until all know where a number is at home."""
        await self._all_know(lambda app: app.part is None or number in app.part.homes.all)

    async def _all_know(self, knows: Callable[[App], bool]) -> None:
        """Wait for what the programs of an exchange hear of by the database."""
        for each in self.beside and (*self.beside, self):
            async with asyncio.timeout(20):
                while not knows(each.app):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    def dialogue(self) -> Dialogue:
        """The owner's conversation; what it tells unasked is in `told`."""
        self._dialogue = self._dialogue or self.app.dialogue(self._hear)
        return self._dialogue

    def understands(self, *commands: Any) -> None:
        """From now on every message means these commands: the test is about something else
        than language."""

        async def understand(text: str, person: object, talk: object) -> Understanding:
            return Understanding(
                text=text, commands=commands, lacks=((),) * len(commands), confidence=1.0
            )

        self.dialogue()._understand = understand

    def _hear(self, reply: Reply) -> None:
        self.told.append(reply.text)
        self._wake()

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self._wake()

    def _wake(self) -> None:
        async def wake() -> None:
            async with self._news:
                self._news.notify_all()

        task = asyncio.ensure_future(wake())
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def until(self, happened: Callable[[], bool], seconds: float = 15.0) -> None:
        """Wait for something that events or replies bring about."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(happened)

    def of(self, kind: type[Any], call_id: str = "") -> list[Any]:
        """The events of a kind so far."""
        found = [event for event in self.events if isinstance(event, kind)]
        return [event for event in found if not call_id or event.call_id == call_id]

    async def ended(self, count: int = 1) -> CallEnded:
        """Wait until so many calls have ended; the latest."""
        await self.until(lambda: len(self.of(CallEnded)) >= count)
        last: CallEnded = self.of(CallEnded)[-1]
        return last

    async def traced(self) -> CallTraced:
        """Wait for the SIP messages of the first call."""
        await self.until(lambda: bool(self.of(CallTraced)))
        first: CallTraced = self.of(CallTraced)[0]
        return first

    async def close(self) -> None:
        for phone in self._phones:
            await phone.stop()


@asynccontextmanager
async def open_office(folder: Path, **sections: Any) -> AsyncIterator[Office]:
    """Start an app with three extensions and the given sections of configuration; with
    `language=True` the language model is loaded before. What takes long and is alike for all is
    done once for a process of tests: to load that model, and to bring up an empty database."""
    values: dict[str, Any] = {
        "exchange": {"udp_port": 0, "tcp_port": 0, "tls_port": 0},
        "web": {"port": 0},
        "extension": tuple(
            {"number": number, "name": name, "secret": f"secret-{number}"}
            for number, name in (("101", "Alice"), ("102", "Bob"), ("103", "Carol"))
        ),
    }
    sections["language"] = {"at_start": sections.pop("language", False)}
    app = App(Config.model_validate({**values, **sections}), folder)
    app.language = _language()
    if app.database.path is not None:
        await _bring_up(app.database.path)
    level = logging.getLogger().level
    await app.start()
    office = Office(app)
    take = app.exchange.emit

    def emit(event: Event) -> None:
        take(event)
        office.on_event(event)

    app.exchange.emit = emit
    try:
        yield office
    finally:
        await office.close()
        await app.stop()
        logging.getLogger().setLevel(level)  # which a reload sets for the whole process


class _Shared(Language):
    """Outlives the app that uses it; it ends with the tests."""

    async def close(self) -> None:
        """Stay."""


@cache
def _language() -> Language:
    return _Shared()


_empty: list[bytes] = []
"What a database without anything in it is, once known."


async def _bring_up(database: Path) -> None:
    if not _empty:
        with TemporaryDirectory() as folder:
            fresh = Database(Path(folder) / "empty.db")
            await fresh.open()
            await fresh.close()
            _empty.append((Path(folder) / "empty.db").read_bytes())
    await asyncio.to_thread(_put, _empty[0], database)


def _put(content: bytes, file: Path) -> None:
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)


async def silent(phone: Phone, leg: Any) -> None:
    """A phone at which nobody says anything."""
    await leg.ended()


quiet: Behaviour = silent
