"""OMEMO on a real server: who encrypts is answered encrypted, and later devices must be let in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.jabber.privacy import IN_THE_CLEAR
from bot.ports import Role
from encryptotel.people import OWNER
from tests.chat.talkers import Stage, on_jabber
from tests.peers import certs, ejabberd, prosody
from tests.peers.proc import PeerError, missing
from tests.peers.profanity import Profanity

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(bool(missing("prosody", "prosodyctl")), reason="Prosody is not installed"),
]


@asynccontextmanager
async def owned(
    folder: Path, server: prosody.Prosody | None = None
) -> AsyncIterator[tuple[Stage, prosody.SecretTalker]]:
    """An office whose owner joined with an encrypted message."""
    async with on_jabber(folder, language=False, server=server) as stage:
        here: prosody.Prosody = stage.server  # type: ignore[attr-defined]
        await here.register("alice", "secret")
        chat: Any = stage.office.app.chats[0]
        await chat._privacy._omemo.get_session_manager()  # its keys are on the server then
        async with device(stage, folder) as alice:
            people = stage.office.app.people
            alice.says(await people.invite("Alice", role=Role.OWNER, person_id=OWNER))
            await alice.sees(lambda text: "Welcome" in text)
            yield stage, alice


@asynccontextmanager
async def device(
    stage: Stage, folder: Path, same_as: prosody.SecretTalker | None = None
) -> AsyncIterator[prosody.SecretTalker]:
    """One more of Alice's devices, or one that comes back."""
    server: prosody.Prosody = stage.server  # type: ignore[attr-defined]
    talker = prosody.SecretTalker(
        f"alice@{prosody.DOMAIN}",
        "secret",
        f"pbx@{prosody.DOMAIN}",
        folder / "ca.pem",
        keys=same_as and same_as.keys,
    )
    talker.connect("127.0.0.1", server.port)
    async with asyncio.timeout(20):
        await talker.can_encrypt.wait()
    yield talker
    await talker.disconnect()


@asynccontextmanager
async def server_of(kind: str, folder: Path) -> AsyncIterator[Any]:
    certificate = await certs.make(folder, prosody.DOMAIN)
    server = ejabberd.Ejabberd if kind == "ejabberd" else prosody.Prosody
    async with server(certificate) as here:
        await here.register("pbx", "bot-secret")
        yield here


@pytest.mark.parametrize("kind", ["prosody", "ejabberd"])
async def test_who_encrypts_is_answered_encrypted(tmp_path: Path, kind: str) -> None:
    if kind == "ejabberd" and missing("erl", "ejabberdctl"):
        pytest.skip("ejabberd is not installed")
    async with server_of(kind, tmp_path) as server, owned(tmp_path, server) as (stage, alice):
        alice.says("status")
        await alice.sees(lambda text: "exchange is up" in text)
        stage.office.app.tell_owner("The line us is down.")
        await alice.sees(lambda text: text == "The line us is down.")
        alice.says("omemo")
        told = await alice.sees(lambda text: "My fingerprint" in text)
        assert told.count(" trusted: ") == 1
        alice.says("export my data")
        await alice.sees(lambda text: text.startswith("aesgcm://localhost:"))
        assert alice.in_the_clear == []


async def test_what_was_written_first_is_answered_first(tmp_path: Path) -> None:
    async with owned(tmp_path) as (_, alice):
        begun = len(alice.feed.items)
        said = ["help", "status", "help", "status", "help", "status"]
        for text in said:
            await alice._say(text)
        await alice.sees(lambda _: len(alice.feed.items) == begun + len(said))
        told = ["help" if "I place" in text else "status" for text in alice.feed.items[begun:]]
        assert told == said


async def test_in_the_clear_nothing_is_done_in_the_name_of_who_encrypts(tmp_path: Path) -> None:
    async with owned(tmp_path) as (_, alice):
        alice.says_in_the_clear("status")
        await alice.sees(lambda text: text == IN_THE_CLEAR)
        assert alice.in_the_clear == [IN_THE_CLEAR]
        alice.says_in_the_clear("plain text is fine")
        await alice.feed.wait(lambda text: text == IN_THE_CLEAR, since=len(alice.feed.items))
        alice.says("plain text is fine")
        await alice.sees(lambda text: "comes in the clear" in text and text != IN_THE_CLEAR)
        alice.says_in_the_clear("status")
        await alice.sees(lambda text: "exchange is up" in text)
        assert len(alice.in_the_clear) == 2
        alice.says("encrypt always")
        await alice.sees(lambda text: "encrypted messages only" in text)


@pytest.mark.skipif(bool(missing("profanity")), reason="profanity is not installed")
async def test_an_independent_client_encrypts(tmp_path: Path) -> None:
    async with on_jabber(tmp_path, language=False) as stage:
        server: prosody.Prosody = stage.server  # type: ignore[attr-defined]
        chat: Any = stage.office.app.chats[0]
        await chat._privacy._omemo.get_session_manager()
        jid, bot = await server.register("alice", "secret"), f"pbx@{prosody.DOMAIN}"
        async with device(stage, tmp_path):
            pass  # makes the list of devices, which profanity does not
        people = stage.office.app.people
        code = await people.invite("Alice", role=Role.OWNER, person_id=OWNER)
        async with Profanity(tmp_path / "home", jid, "secret", server.port) as alice:
            alice.types("/omemo gen")
            await alice.shows("materials generated")
            alice.types(f"/msg {bot} {code}")
            await alice.shows("Your extension is 101")
            alice.types(f"/sub request {bot}")
            await alice.shows("Authorization request")
            alice.types(f"/sub allow {bot}")
            async with asyncio.timeout(10):
                while chat._client.client_roster[jid]["subscription"] != "both":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            alice.types(f"/msg {bot}")
            alice.types("/omemo start")
            await alice.shows("OMEMO")
            for _ in range(5):  # it does not say when it has our keys
                alice.types("status")
                with contextlib.suppress(PeerError):
                    await alice.shows("The exchange is up.", 3)
                    break
            alice.types("omemo")
            await alice.shows("My fingerprint:")
            assert b"no line to the telephone network" in alice.screen
        assert chat._privacy.encrypts_for(jid)
        assert chat._privacy.refuses_clear(jid)


async def test_sessions_outlast_a_restart(tmp_path: Path) -> None:
    async with server_of("prosody", tmp_path) as server:
        async with owned(tmp_path, server) as (stage, alice):
            alice.says("status")
            await alice.sees(lambda text: "exchange is up" in text)
        async with on_jabber(tmp_path, language=False, server=server) as stage:
            stage.office.app.tell_owner("The line us is down.")
            async with device(stage, tmp_path, alice) as again:
                again.says("help")
                await again.sees(lambda text: "I place calls" in text)
                await again.sees(lambda text: text == "The line us is down.")
                assert again.in_the_clear == []


async def test_a_later_device_is_let_in_by_an_earlier_one(tmp_path: Path) -> None:
    async with owned(tmp_path) as (stage, alice), device(stage, tmp_path) as phone:
        phone.says("status")
        told = await alice.sees(lambda text: "do not trust yet" in text)
        short = told.partition("“trust ")[2][:8]
        assert not any("exchange is up" in text for text in (*alice.feed.items, *phone.feed.items))
        alice.says(f"trust {short}")
        await alice.sees(lambda text: text == f"Device {short} is trusted from now on.")
        phone.says("status")
        await phone.sees(lambda text: "exchange is up" in text)
        alice.says(f"distrust {short}")
        await alice.sees(lambda text: "not trusted from now on" in text)
        seen = len(phone.feed.items)
        phone.says("help")
        await alice.sees(lambda text: text.count(short) == 1 and "do not trust yet" in text)
        assert not any("I place calls" in text for text in phone.feed.items[seen:])
