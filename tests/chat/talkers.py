"""The same person on each front end: writes, taps and reads, and has a way to come in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from bot.ports import Account, Person, Talk
from bot.replies import Button, Reply
from encryptotel.app import App
from nlp.commands import COMMANDS, Understanding
from nlp.phrases import label_of_phrase
from tests.cluster.nodes import behind_edge
from tests.office import Office, open_office
from tests.peers import certs, ejabberd, prosody, telegram
from tests.peers.ports import free_port
from tests.peers.proc import Feed, PeerError


class Talker(Protocol):
    """Somebody who chats."""

    feed: Feed[str]

    def says(self, text: str) -> None: ...
    def taps(self, label: str) -> None: ...
    async def sees(self, wanted: Callable[[str], bool], within: float = 20) -> str: ...


class JabberServer(Protocol):
    """An XMPP server for `prosody.DOMAIN`."""

    port: int
    component: int
    ca: Path

    async def register(self, name: str, password: str) -> str: ...


class ConsoleTalker:
    """Somebody at a terminal: what the console prints is what they read."""

    def __init__(self, app: App, name: str) -> None:
        self._app, self._name = app, name
        self.feed: Feed[str] = Feed("console")
        self.files: list[bytes] = []
        self._buttons: tuple[Button, ...] = ()
        self._hearing: set[asyncio.Task[None]] = set()

    def shows(self, reply: Reply) -> None:
        self._buttons = reply.buttons or self._buttons
        if reply.file is not None:
            self.files.append(reply.file.content)
        self.feed.push(reply.card or reply.text)

    def says(self, text: str) -> None:
        account = Account("console", self._name)
        task = asyncio.ensure_future(self._app.reception.hear(account, text, name=self._name))
        self._hearing.add(task)
        task.add_done_callback(self._hearing.discard)

    def taps(self, label: str) -> None:
        for button in self._buttons:
            if button.label == label:
                self.says(button.says)
                return
        raise PeerError(f"no button {label!r} among {self._buttons}")

    async def sees(self, wanted: Callable[[str], bool], within: float = 20) -> str:
        return await self.feed.wait(wanted, within)


class Stage:
    """An office with a front end, and its people by name."""

    def __init__(self, office: Office, meet: Callable[[str], Any]) -> None:
        self.office = office
        self._meet = meet
        self._people: dict[str, Talker] = {}

    async def person(self, name: str) -> Talker:
        if name not in self._people:
            self._people[name] = await self._meet(name)
        return self._people[name]


def opened(folder: Path, **sections: Any) -> AbstractAsyncContextManager[Office]:
    """An office; with THROUGH_EDGE=1 behind Kamailio, with others beside it."""
    return (behind_edge if os.environ.get("THROUGH_EDGE") else open_office)(folder, **sections)


@asynccontextmanager
async def on_console(folder: Path) -> AsyncIterator[Stage]:
    async with opened(folder, language=True) as office:
        office.app.operator.offer_way(lambda code: f"Console: type the code {code}")
        talkers: dict[str, ConsoleTalker] = {}
        office.app.reception.open_channel("console", lambda who, r: talkers[who].shows(r))

        async def meet(name: str) -> Talker:
            talkers[name] = ConsoleTalker(office.app, name)
            return talkers[name]

        yield Stage(office, meet)


async def by_phrase(text: str, person: Person, talk: Talk) -> Understanding:
    """What set phrases mean ("help", "hang up"): enough where a test is not about language, and
    the model need not be loaded."""
    label = label_of_phrase(text.lower())
    commands = (COMMANDS[label](),) if label else ()
    return Understanding(text=text, commands=commands, lacks=((),) * len(commands), confidence=1.0)


@asynccontextmanager
async def on_telegram(
    folder: Path,
    *,
    language: bool = True,
    server: telegram.TelegramServer | None = None,
    webhook: bool = False,
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        if server is None:
            server = await stack.enter_async_context(telegram.TelegramServer())
        section: dict[str, Any] = {"token": telegram.TOKEN, "api": server.url}
        if webhook:
            port = free_port()
            section |= {"webhook": "https://pbx.example.org/tg", "webhook_port": port}
            server.webhook_at = f"http://127.0.0.1:{port}/tg"
        office = await stack.enter_async_context(
            opened(folder, language=language, telegram=section)
        )
        if not language:
            office.app.understand = by_phrase  # type: ignore[method-assign]
        async with asyncio.timeout(10):
            await office.app.chats[0].ready.wait()
        users = server

        async def meet(name: str) -> Talker:
            return users.user(500 + len(users.users), name)

        stage = Stage(office, meet)
        stage.server = server  # type: ignore[attr-defined]
        yield stage
        assert server.invalid == []


@asynccontextmanager
async def on_jabber(
    folder: Path,
    *,
    language: bool = True,
    server: JabberServer | None = None,
    numbers: bool = False,
) -> AsyncIterator[Stage]:
    """With a server of one's own the bot's account on it has to be there."""
    async with AsyncExitStack() as stack:
        if server is None:
            certificate = await certs.make(folder, prosody.DOMAIN)
            server = await stack.enter_async_context(prosody.Prosody(certificate))
            await server.register("pbx", "bot-secret")
        section = {
            "jid": f"pbx@{prosody.DOMAIN}",
            "password": "bot-secret",
            "host": "127.0.0.1",
            "port": server.port,
            "ca_file": str(server.ca),
        }
        if numbers:
            section |= {
                "component": prosody.NUMBERS,
                "component_secret": prosody.SECRET,
                "component_port": server.component,
            }
        talkers: list[prosody.Talker] = []
        data = folder / "data"
        data.mkdir(exist_ok=True)
        here = server
        async with opened(data, language=language, xmpp=section) as office:
            if not language:
                office.app.understand = by_phrase  # type: ignore[method-assign]
            async with asyncio.timeout(10):
                await office.app.chats[0].ready.wait()

            async def meet(name: str) -> Talker:
                jid = await here.register(name.lower(), "secret")
                talker = prosody.Talker(jid, "secret", section["jid"], here.ca)
                talker.connect("127.0.0.1", here.port)
                async with asyncio.timeout(10):
                    await talker.online.wait()
                talkers.append(talker)
                return talker

            stage = Stage(office, meet)
            stage.server = here  # type: ignore[attr-defined]
            yield stage
            for talker in talkers:
                await talker.disconnect()


@asynccontextmanager
async def on_ejabberd(
    folder: Path, *, language: bool = True, numbers: bool = False
) -> AsyncIterator[Stage]:
    certificate = await certs.make(folder, prosody.DOMAIN)
    async with ejabberd.Ejabberd(certificate) as server:
        await server.register("pbx", "bot-secret")
        async with on_jabber(folder, language=language, server=server, numbers=numbers) as stage:
            yield stage


@asynccontextmanager
async def on_webhook(folder: Path) -> AsyncIterator[Stage]:
    async with on_telegram(folder, webhook=True) as stage:
        yield stage


FRONT_ENDS = {
    "console": on_console,
    "telegram": on_telegram,
    "jabber": on_jabber,
}
