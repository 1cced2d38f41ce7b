"""Phone numbers as Jabber addresses, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.jabber.numbers import TOO_LONG
from bot.ports import Role
from encryptotel.demo.phone import Phone
from encryptotel.people import OWNER
from nlp.commands import Call, Party
from tests.calls.test_texts import carrier
from tests.calls.writers import Writer
from tests.chat.talkers import Stage, on_ejabberd, on_jabber
from tests.office import quiet
from tests.peers import prosody
from tests.peers.proc import missing

pytestmark = pytest.mark.interop
SERVERS = {
    "prosody": (on_jabber, ("prosody", "prosodyctl")),
    "ejabberd": (on_ejabberd, ("erl", "ejabberdctl")),
}
NUMBER = "+12025550143"


@asynccontextmanager
async def owned(folder: Path, server: str = "prosody") -> AsyncIterator[tuple[Stage, Any]]:
    """A stage with numbers as addresses, and its owner."""
    opened, needs = SERVERS[server]
    if gone := missing(*needs):
        pytest.skip(f"not installed: {', '.join(gone)}")
    async with opened(folder, language=False, numbers=True) as stage:
        alice: Any = await stage.person("Alice")
        code = await stage.office.app.people.invite("Alice", role=Role.OWNER, person_id=OWNER)
        alice.says(code)
        await alice.sees(lambda text: "Welcome" in text)
        jabber: Any = stage.office.app.chats[0]
        async with asyncio.timeout(10):
            await jabber._numbers.ready.wait()
        yield stage, alice


@pytest.mark.parametrize("server", SERVERS)
async def test_people_write_to_numbers_and_numbers_write_back(server: str, tmp_path: Path) -> None:
    async with owned(tmp_path, server) as (stage, alice):
        office = stage.office
        bob = await office.phone("102", Writer())
        network = Writer()
        await carrier(office, network)
        sent = alice.writes("102", "Hello Bob")
        await bob.reads("101", "Hello Bob")
        async with asyncio.timeout(10):
            while sent not in alice.receipts:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await bob.write("101", "Hello Alice")
        await alice.gets("102", "Hello Alice")
        alice.writes(NUMBER, "and outside")
        await network.reads("+12025550100", "and outside")
        assert not [text for text in alice.feed.items if "writes" in text]
        await network.stop()


async def test_what_cannot_be_sent_comes_back(tmp_path: Path) -> None:
    async with owned(tmp_path) as (_, alice):
        alice.writes("998", "hello")
        await alice.gets("998", "hello", "there is no extension 998")
        alice.writes(NUMBER, "hello")
        why = "no line of ours carries text messages ([sms], or texts = true of a trunk)"
        await alice.gets(NUMBER, "hello", why)
        alice.writes("102", "x" * 1001)
        await alice.gets("102", "x" * 1001, TOO_LONG)
        alice.writes("101", "to myself")
        await alice.gets("101", "to myself", "that is nobody to write to")


async def test_strangers_reach_nobody(tmp_path: Path) -> None:
    async with owned(tmp_path) as (stage, _):
        bob = await stage.office.phone("102", Writer())
        mallory: Any = await stage.person("Mallory")
        mallory.writes("102", "hello")
        await mallory.gets("102", "hello", "This is somebody's private telephone exchange.")
        refused = asyncio.Event()
        mallory.add_event_handler("presence_unsubscribed", lambda _: refused.set())
        mallory.send_presence_subscription(pto=f"102@{prosody.NUMBERS}")
        async with asyncio.timeout(10):
            await refused.wait()
        assert bob.read.items == []


async def _until_shown(alice: Any, number: str, show: str) -> None:
    """Wait until somebody's client shows a number so; "" is available, "off" is not there."""
    jid = f"{number}@{prosody.NUMBERS}"
    async with asyncio.timeout(10):
        while True:
            resources = alice.client_roster[jid].resources
            now = next(iter(resources.values()))["show"] if resources else "off"
            if now == show:
                return
            await asyncio.sleep(0.01)


async def test_numbers_show_whether_their_phones_are_there_and_talk(tmp_path: Path) -> None:
    async with owned(tmp_path) as (stage, alice):
        office = stage.office
        alice.send_presence_subscription(pto=f"102@{prosody.NUMBERS}", ptype="subscribe")
        allowed = asyncio.Event()
        alice.add_event_handler("presence_subscribed", lambda _: allowed.set())
        async with asyncio.timeout(10):
            await allowed.wait()
        await _until_shown(alice, "102", "off")
        bob = await office.phone("102", Phone(quiet, ring_seconds=0.1))
        await _until_shown(alice, "102", "")
        await office.phone("101", Phone(quiet, ring_seconds=0.1))
        placed = await office.app.operator.call(
            office.app.person, Call(to=(Party(extension="102"),))
        )
        await _until_shown(alice, "102", "dnd")
        await office.app.operator.hang_up(office.app.person, placed.call_id)
        await _until_shown(alice, "102", "")
        await bob.unregister()
        await _until_shown(alice, "102", "off")


async def test_friends_outlast_a_restart_and_a_server_that_restarts(tmp_path: Path) -> None:
    async with owned(tmp_path) as (stage, alice):
        server: Any = stage.server  # type: ignore[attr-defined]
        await stage.office.phone("102", Phone(quiet))
        alice.send_presence_subscription(pto=f"102@{prosody.NUMBERS}", ptype="subscribe")
        await _until_shown(alice, "102", "")
        await server.stop()
        alice.online.clear()
        await server.start()
        alice.connect("127.0.0.1", server.port)
        async with asyncio.timeout(30):
            await alice.online.wait()
        await _until_shown(alice, "102", "")
