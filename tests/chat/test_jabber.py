"""Jabber as it is: a server that restarts, an independent client, certificates, rosters."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.jabber import CORRECTED, Jabber
from bot.ports import Role
from encryptotel.people import OWNER
from tests.chat.talkers import Stage, on_jabber
from tests.office import Office
from tests.peers import certs, prosody
from tests.peers.proc import Process, missing

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(bool(missing("prosody", "prosodyctl")), reason="Prosody is not installed"),
]


@asynccontextmanager
async def owned(folder: Path) -> AsyncIterator[tuple[Office, Stage, prosody.Talker]]:
    """An office whose owner has joined on Jabber."""
    async with on_jabber(folder, language=False) as stage:
        alice: Any = await stage.person("Alice")
        code = await stage.office.app.people.invite("Alice", role=Role.OWNER, person_id=OWNER)
        alice.says(code)
        await alice.sees(lambda text: "Welcome" in text)
        yield stage.office, stage, alice


async def test_a_server_that_restarts_is_found_again(tmp_path: Path) -> None:
    async with owned(tmp_path) as (office, stage, alice):
        server: prosody.Prosody = stage.server  # type: ignore[attr-defined]
        chat = office.app.chats[0]
        await server.stop()
        async with asyncio.timeout(10):
            while chat.ready.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        office.app.tell_owner("The line us is down.")  # said while nobody can be told
        alice.online.clear()
        await server.start()
        alice.connect("127.0.0.1", server.port)
        await alice.sees(lambda text: text == "The line us is down.", 60)
        alice.says("help")
        await alice.sees(lambda text: "I place calls" in text, 30)


async def test_messages_are_acknowledged_and_presence_is_for_friends(tmp_path: Path) -> None:
    async with owned(tmp_path) as (_, stage, alice):
        alice.plugin["xep_0184"].auto_request = True
        alice.says("help")
        await alice.sees(lambda text: "I place calls" in text)
        seen: asyncio.Queue[str] = asyncio.Queue()
        alice.add_event_handler("presence_available", lambda p: seen.put_nowait(p["from"].bare))
        alice.send_presence_subscription(pto=alice.bot)
        async with asyncio.timeout(10):
            while await seen.get() != alice.bot:
                pass
        assert alice.receipts
        mallory: Any = await stage.person("Mallory")
        refused = asyncio.Event()
        mallory.add_event_handler("presence_unsubscribed", lambda _: refused.set())
        mallory.send_presence_subscription(pto=mallory.bot)
        async with asyncio.timeout(10):
            await refused.wait()


async def test_a_corrected_order_is_not_carried_out(tmp_path: Path) -> None:
    async with owned(tmp_path) as (office, _, alice):
        message = alice.plugin["xep_0308"].build_correction("earlier", alice.bot, mbody="status")
        message.send()
        await alice.sees(lambda text: text == CORRECTED)
        assert office.app.operator.active_calls(office.app.person) == []


async def test_a_server_with_another_certificate_gets_no_password(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    trusted = await certs.make(ours, prosody.DOMAIN)
    async with prosody.Prosody(await certs.make(theirs, prosody.DOMAIN)) as server:
        await server.register("pbx", "bot-secret")
        reception: Any = type("Nobody", (), {"open_channel": lambda *_: None})()
        chat = Jabber(
            "pbx@xmpp.test",
            "bot-secret",
            reception,
            host="127.0.0.1",
            port=server.port,
            ca_file=str(trusted.ca),
        )
        refused = asyncio.Event()
        chat._client.add_event_handler("ssl_invalid_chain", lambda _: refused.set())
        chat._client.add_event_handler("connection_failed", lambda _: refused.set())
        chat._client.add_event_handler("disconnected", lambda _: refused.set())
        chat.start()
        async with asyncio.timeout(15):
            await refused.wait()
        assert not chat.ready.is_set()
        await chat.stop()


@pytest.mark.skipif(bool(missing("go-sendxmpp")), reason="go-sendxmpp is not installed")
async def test_an_independent_client_is_answered(tmp_path: Path) -> None:
    async with owned(tmp_path) as (office, stage, _):
        server: prosody.Prosody = stage.server  # type: ignore[attr-defined]
        jid = await server.register("gopher", "secret")
        code = await office.app.people.invite("", role=Role.OWNER, person_id=OWNER)
        where = ["-n", "-u", jid, "-p", "secret", "-j", f"127.0.0.1:{server.port}"]
        environment = {**os.environ, "HOME": str(tmp_path)}
        listener = await Process.start(
            "go-sendxmpp", ["go-sendxmpp", *where, "-l"], env=environment
        )
        try:
            sender = await asyncio.create_subprocess_exec(
                "go-sendxmpp", *where, "pbx@xmpp.test",
                stdin=asyncio.subprocess.PIPE, env=environment,
            )  # fmt: skip
            await sender.communicate(code.encode() + b"\n")
            await listener.lines.wait(lambda line: "Your extension is 101" in line, 30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                await listener.stop()
