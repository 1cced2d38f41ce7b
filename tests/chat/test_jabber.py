"""Jabber as it is: a server that restarts, an independent client, certificates, rosters."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from slixmpp import JID
from slixmpp.exceptions import IqError

from bot.jabber import Jabber
from bot.jabber.client import CORRECTED
from bot.jabber.menu import MENU, sentence_of
from bot.ports import Role
from encryptotel.demo.phone import Phone, plays
from encryptotel.people import OWNER
from pbx.media.tones import tone
from store.database import Database
from store.shelf import Shelf
from tests.calendars.test_sources import server
from tests.calls.test_calendars import Feed, tomorrow
from tests.calls.test_calendars import file as calendar
from tests.calls.test_callback import telephone_network
from tests.chat.talkers import Stage, on_ejabberd, on_jabber
from tests.office import Office
from tests.peers import certs, prosody
from tests.peers.proc import Process, missing

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(bool(missing("prosody", "prosodyctl")), reason="Prosody is not installed"),
]


@asynccontextmanager
async def owned(
    folder: Path, server: Callable[..., Any] = on_jabber
) -> AsyncIterator[tuple[Office, Stage, prosody.Talker]]:
    """An office whose owner has joined on Jabber."""
    async with server(folder, language=False) as stage:
        yield stage.office, stage, await _owner(stage)


async def _owner(stage: Stage) -> Any:
    alice: Any = await stage.person("Alice")
    code = await stage.office.app.people.invite("Alice", role=Role.OWNER, person_id=OWNER)
    alice.says(code)
    await alice.sees(lambda text: "Welcome" in text)
    return alice


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


async def _friends(alice: Any) -> None:
    """Alice and the bot see each other's presence."""
    alice.send_presence_subscription(pto=alice.bot, ptype="subscribe")
    async with asyncio.timeout(10):
        while not alice.client_roster[alice.bot].resources:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("server", ["prosody", "ejabberd"])
async def test_the_whole_menu_is_there_as_commands(server: str, tmp_path: Path) -> None:
    if server == "ejabberd" and missing("erl", "ejabberdctl"):
        pytest.skip("ejabberd is not installed")
    async with owned(tmp_path, on_ejabberd if server == "ejabberd" else on_jabber) as there:
        office, stage, alice = there
        await _friends(alice)
        items = await alice.plugin["xep_0050"].get_commands(alice.bot_jid)
        nodes = {node for _, node, _ in items["disco_items"]["items"]}
        assert nodes == {item.node for item in MENU}
        said, _ = await alice.executes("status")
        assert "The exchange is up." in said
        with pytest.raises(IqError) as refused:
            await alice.executes("contact-add", name="Dave", number="")
        assert refused.value.text == "Please fill in: Number"
        mallory: Any = await stage.person("Mallory")
        with pytest.raises(IqError) as refused:
            await mallory.plugin["xep_0050"].send_command(alice.bot_jid, "status")
        assert refused.value.condition == "forbidden"
        assert office.app.operator.active_calls(office.app.person) == []


async def test_forms_say_what_could_be_typed(tmp_path: Path) -> None:
    async with on_jabber(tmp_path) as stage:
        alice = await _owner(stage)
        await _friends(alice)
        await telephone_network(stage.office, Phone(plays(tone(1, 620.0))))
        await stage.office.phone("101", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        said, _ = await alice.executes("contact-add", name="Dave Miller", number="+12025550143")
        assert said == "I keep Dave Miller as +1 202-555-0143."
        said, _ = await alice.executes("contacts")
        assert said == "Dave Miller: +1 202-555-0143"
        said, choices = await alice.executes("call", to="Dave Miller", line="USA", back="")
        assert said.startswith("Call Dave Miller (+1 202-555-0143) over the US line")
        assert [label for label, _ in choices] == ["Yes", "No"]
        said, _ = await alice.fills_in(alice.last_form, answer=choices[0][1])
        await alice.sees(lambda text: "Connected since" in text)
        said, _ = await alice.executes("hang-up")
        assert said == "Hanging up."


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"to": "Bob"}, "call Bob"),
        ({"to": "Bob", "line": "UK"}, "call Bob from the UK line"),
        ({"to": "1", "back": "101"}, "call 1, then call me back on 101"),
        ({"to": "{line}", "line": "|"}, "call {line} from the | line"),
    ],
)
def test_what_is_left_empty_is_not_said(values: dict[str, str], said: str) -> None:
    (call,) = [item for item in MENU if item.node == "call"]
    assert sentence_of(call, values) == said


async def test_a_room_is_joined_for_people_and_answers_them_when_mentioned(tmp_path: Path) -> None:
    async with owned(tmp_path) as (_, stage, alice):
        mallory: Any = await stage.person("Mallory")
        room = f"family@rooms.{prosody.DOMAIN}"
        for talker, nick in ((alice, "alice"), (mallory, "mallory")):
            await talker.plugin["xep_0045"].join_muc_wait(JID(room), nick, timeout=10)
        mallory.plugin["xep_0045"].invite(room, alice.bot)
        mallory.send_message(JID(room), "pbx: help", mtype="groupchat")
        alice.plugin["xep_0045"].invite(room, alice.bot)
        async with asyncio.timeout(10):
            while "pbx" not in alice.plugin["xep_0045"].get_roster(room):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        alice.send_message(JID(room), "who wants help", mtype="groupchat")
        mallory.send_message(JID(room), "pbx: help", mtype="groupchat")
        alice.send_message(JID(room), "pbx: status", mtype="groupchat")
        said = await alice.room.wait(lambda _: True, 10)
        assert said.startswith("alice: The exchange is up.")
        assert len(alice.room.items) == 1


async def test_what_is_known_of_a_person_comes_as_an_uploaded_file(tmp_path: Path) -> None:
    async with owned(tmp_path) as (_, _stage, alice):
        alice.says("export my data")
        await alice.sees(lambda text: text.startswith("https://localhost:"))
        known = json.loads(await alice.fetched(alice.files[0]))
        assert known["accounts"][0]["address"] == f"alice@{prosody.DOMAIN}"


async def test_a_calendar_that_was_uploaded_is_kept(tmp_path: Path) -> None:
    feed = Feed(calendar(tomorrow("Dinner"), name="Private"))
    async with owned(tmp_path) as (_, stage, alice), server(feed) as url:
        calendars = stage.office.app.operator.calendars
        alice.sends(url)
        await alice.sees(lambda text: "by https" in text)
        calendars._section = calendars._section.model_copy(update={"private": True})
        alice.sends("aesgcm://upload.example/x.ics#0123")
        await alice.sees(lambda text: "encrypted for the upload" in text)
        alice.sends(url)
        await alice.sees(lambda text: text.startswith("I follow your calendar Private: 1 thing in"))
        feed.status = 404  # uploads do not stay
        alice.says("what's on tomorrow?")
        await alice.sees(lambda text: "Dinner." in text)
        (row,) = await calendars._rows("101")
        assert (row.kind, row.url) == ("file", "")


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
        database = Database(tmp_path / "encryptotel.db")
        await database.open()
        reception: Any = type("Nobody", (), {"open_channel": lambda *_: None})()
        chat = Jabber(
            "pbx@xmpp.test",
            "bot-secret",
            reception,
            reception,
            partial(Shelf, database),
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
