"""What people are to read in their chats outlives a network that is away, and us."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlmodel import select

from encryptotel.unread import PERHAPS
from nlp.commands import Remind, When
from store.tables import UnreadRow
from tests.calls.writers import Writer
from tests.chat.talkers import on_telegram
from tests.chat.test_telegram import joined
from tests.office import Office
from tests.peers.telegram import Refused, TelegramServer, User


async def until_kept(office: Office, count: int) -> None:
    """Wait until so much is not read."""
    async with asyncio.timeout(10):
        while True:
            async with office.app.database.reading() as session:
                if len((await session.execute(select(UnreadRow))).all()) == count:
                    return
            await asyncio.sleep(0.02)


def count(user: User, text: str) -> int:
    return [seen.text for seen in user.messages].count(text)


async def test_what_telegram_could_not_be_told_is_told_after_a_restart(tmp_path: Path) -> None:
    words, water = "Bob (102) writes:\nsee you at five", "Reminder: drink water."
    async with TelegramServer() as server:
        async with on_telegram(tmp_path, language=False, server=server) as stage:
            alice = await joined(stage, "Alice")
            bob = await stage.office.phone("102", Writer())
            await bob.write("101", "hello")
            await alice.sees(lambda text: text.endswith("hello"))
            await until_kept(stage.office, 0)
            server.trouble += [Refused(500, "Internal Server Error")] * 1000
            assert (await bob.write("101", "see you at five")).status == 202
            await server.gave_trouble()
            app = stage.office.app
            when = When(at=datetime.now(UTC) + timedelta(milliseconds=100))
            order = Remind(text="drink water", when=when, by="message")
            await app.operator.reminding.remind(app.person, order)
            await until_kept(stage.office, 2)
        server.trouble.clear()
        async with on_telegram(tmp_path, language=False, server=server) as stage:
            await alice.sees(lambda text: text == water)
            await until_kept(stage.office, 0)
            told = [seen.text for seen in alice.messages[-3:]]
            assert told == [PERHAPS, words, water]
            assert alice.messages[-1].buttons  # it can still be answered
        async with on_telegram(tmp_path, language=False, server=server):
            alice.says("status")
            await alice.sees(lambda text: "exchange is up" in text)
        assert [count(alice, one) for one in (PERHAPS, words, water)] == [1, 1, 1]


async def test_whoever_is_forgotten_leaves_nothing_unread(tmp_path: Path) -> None:
    async with (
        TelegramServer() as server,
        on_telegram(tmp_path, language=False, server=server) as stage,
    ):
        await joined(stage, "Alice")
        bob = await stage.office.phone("102", Writer())
        server.trouble += [Refused(500, "Internal Server Error")] * 1000
        await bob.write("101", "hello")
        await server.gave_trouble()
        await stage.office.app.operator.forget(stage.office.app.person)
        await until_kept(stage.office, 0)
