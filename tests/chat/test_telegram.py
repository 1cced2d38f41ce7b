"""Telegram at its worst: limits, broken connections, updates twice, other people's buttons."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiogram import types
from aiohttp import ClientSession

from bot.personal import EXPORTED
from bot.ports import Role
from bot.reception import INTERRUPTED, STRANGER
from bot.telegram.client import FETCH_AGAIN, NOT_READ, TOO_LARGE, TOO_OLD
from bot.telegram.texts import pieces
from encryptotel import logs
from encryptotel.people import OWNER
from tests.chat.talkers import Stage, on_telegram
from tests.office import Office
from tests.peers.telegram import BOT, Refused, TelegramServer, User

VCARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:{name}\r\nTEL;TYPE=CELL:{number}\r\nEND:VCARD\r\n"


@asynccontextmanager
async def owned(folder: Path) -> AsyncIterator[tuple[Office, TelegramServer, User]]:
    """An office whose owner has joined on Telegram."""
    async with on_telegram(folder, language=False) as stage:
        alice = await joined(stage, "Alice")
        yield stage.office, stage.server, alice  # type: ignore[attr-defined]


async def joined(stage: Stage, name: str) -> User:
    code = await stage.office.app.people.invite(name, role=Role.OWNER, person_id=OWNER)
    user: Any = await stage.person(name)
    user.says(f"/start {code}")
    await user.sees(lambda text: "Welcome" in text)
    found: User = user
    return found


async def test_a_start_link_is_good_once(tmp_path: Path) -> None:
    async with on_telegram(tmp_path, language=False) as stage:
        code = await stage.office.app.people.invite("", role=Role.OWNER, person_id=OWNER)
        alice, mallory = await stage.person("Alice"), await stage.person("Mallory")
        alice.says(f"/start {code}")
        await alice.sees(lambda text: "Welcome" in text)
        mallory.says(f"/start {code}")
        assert await mallory.sees(lambda _: True) == STRANGER


async def test_refusals_and_broken_connections_lose_nothing_and_repeat_nothing(
    tmp_path: Path,
) -> None:
    async with owned(tmp_path) as (_, server, alice):
        server.trouble += [
            Refused(429, "Too Many Requests: retry after 1", retry_after=1),
            Refused(500, "Internal Server Error"),
            None,
            Refused(502, "Bad Gateway"),
        ]
        before = len(alice.messages)
        for text in ("help", "status", "help"):
            alice.says(text)
        await alice.sees(lambda _: len(alice.messages) == before + 3, 30)
        kinds = ["I place" if "I place" in m.text else "status" for m in alice.messages[before:]]
        assert kinds == ["I place", "status", "I place"]


async def test_who_got_no_answer_before_we_stopped_is_told(tmp_path: Path) -> None:
    async with TelegramServer() as server:
        async with on_telegram(tmp_path, language=False, server=server) as stage:
            alice = await joined(stage, "Alice")
            server.trouble += [Refused(500, "Internal Server Error")] * 100
            alice.says("help")
            await server.gave_trouble()
        server.trouble.clear()
        async with on_telegram(tmp_path, language=False, server=server):
            await alice.sees(lambda text: text == INTERRUPTED)
            alice.says("help")
            await alice.sees(lambda text: "I place calls" in text)
        async with on_telegram(tmp_path, language=False, server=server):
            alice.says("status")
            await alice.sees(lambda text: "exchange is up" in text)
        assert [seen.text for seen in alice.messages].count(INTERRUPTED) == 1


async def test_trouble_is_told_by_an_id_that_the_log_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with TelegramServer() as server:
        async with on_telegram(tmp_path, language=False, server=server) as stage:
            alice = await joined(stage, "Alice")

            async def broken(text: str, person: Any, talk: Any) -> Any:
                raise RuntimeError("the secret plan")

            room = stage.office.app.reception._rooms[OWNER]
            understand, room.dialogue._understand = room.dialogue._understand, broken
            alice.says("help")
            said = await alice.sees(lambda text: "went wrong" in text)
            assert "secret plan" not in said
            trouble = re.search(r"\d{9}", said)
            assert trouble
            assert trouble[0] in caplog.text
            room.dialogue._understand = understand
            alice.says("help")
            await alice.sees(lambda text: "I place calls" in text)
        async with on_telegram(tmp_path, language=False, server=server):
            alice.says("status")
            await alice.sees(lambda text: "exchange is up" in text)
        assert INTERRUPTED not in [seen.text for seen in alice.messages]


async def test_an_update_that_comes_twice_is_done_once(tmp_path: Path) -> None:
    async with owned(tmp_path) as (office, server, alice):
        done: list[str] = []
        hear = office.app.reception._hear_person

        async def counted(person: Any, account: Any, text: Any, to: Any) -> list[Any]:
            done.append(text)
            return await hear(person, account, text, to)

        office.app.reception._hear_person = counted  # type: ignore[method-assign]
        server.again = 3
        for text in ("help", "status", "help"):
            alice.says(text)
            await alice.sees(lambda _, text=text: done[-1:] == [text])
        alice.says("status")
        await alice.sees(lambda _: len(done) >= 4)
        assert server.again == 0
        assert done == ["help", "status", "help", "status"]


async def test_other_peoples_buttons_and_old_ones_do_nothing(tmp_path: Path) -> None:
    async with owned(tmp_path) as (office, server, alice):
        alice.says("make a cup of tea with the neighbours")
        await alice.sees(lambda text: "did not understand" in text)
        (button,) = [b for seen in alice.messages for b in seen.buttons]
        mallory = server.user(666, "Mallory")
        mallory.says("hello")
        await mallory.sees(lambda text: text == STRANGER)
        seen = mallory.messages[0]
        mallory.presses(seen, button[1])
        mallory.presses(seen, "forged")
        alice.presses(alice.messages[-1], "from before the restart")
        alice.says("help")
        await alice.sees(lambda text: "I place calls" in text)
        assert mallory.toasts == [TOO_OLD, TOO_OLD]
        assert alice.toasts == [TOO_OLD]
        assert len(mallory.messages) == 1
        alice.presses(alice.messages[-1], button[1])
        await alice.feed.wait(lambda text: "I place calls" in text, since=len(alice.feed.items))
        assert office.app.reception is not None


@pytest.mark.parametrize("count", [200, pytest.param(1_000, marks=pytest.mark.soak)])
async def test_strangers_cost_a_line_each_and_the_owner_nothing(tmp_path: Path, count: int) -> None:
    async with owned(tmp_path) as (office, server, alice):
        crowd = [server.user(10_000 + n, f"S{n}") for n in range(count)]
        for stranger in crowd:
            stranger.says("call +1 202 555 0143")
            stranger.says("/start AAAAAAAAAAAAAAAA")
        alice.says("help")
        await alice.sees(lambda text: "I place calls" in text, 60)
        told = [stranger for stranger in crowd if stranger.messages]
        assert all(len(stranger.messages) == 1 for stranger in told)
        assert len(told) <= 600
        assert office.app.operator.active_calls(office.app.person) == []


async def test_what_cannot_be_read_is_answered_politely(tmp_path: Path) -> None:
    async with owned(tmp_path) as (_, _server, alice):
        alice.sends(dice={"emoji": "🎲", "value": 3})
        await alice.sees(lambda text: text == NOT_READ)


async def test_contacts_are_taken_from_telegram_and_from_files(tmp_path: Path) -> None:
    async with owned(tmp_path) as (office, server, alice):
        alice.sends(contact={"phone_number": "442079460321", "first_name": "Dave"})
        await alice.sees(lambda text: text == "I keep Dave as +442079460321.")
        cards = "".join(
            VCARD.format(name=f"Friend {n}", number=f"+1 202 555 01{n:02}") for n in range(20)
        )
        card = VCARD.format(name="Broken", number="call me") + cards
        alice.sends(document={**server.file(card.encode()), "file_name": "all.vcf"})
        told = await alice.sees(lambda text: "20 of 21 contacts" in text)
        assert told.endswith("These have no number I can call: Broken.")
        kept = dict(office.app.operator.contacts(office.app.person))
        assert kept["Friend 7"] == "+1 202-555-0107"
        assert len(kept) == 21


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 10_000, b"BEGIN:VCARD\r\n" * 20_000, b"{}", "\u202e".encode() * 999]
)
async def test_files_that_are_no_contacts_are_answered(tmp_path: Path, content: bytes) -> None:
    async with owned(tmp_path) as (office, server, alice):
        alice.sends(document={**server.file(content), "file_name": "all.vcf"})
        await alice.sees(lambda text: "vCard" in text or "no telephone numbers" in text)
        large = {**server.file(b""), "file_size": 5_000_000, "file_name": "all.vcf"}
        alice.sends(document=large)
        await alice.sees(lambda text: text == TOO_LARGE)
        alice.sends(document={"file_id": "gone", "file_unique_id": "gone", "file_name": "a.vcf"})
        await alice.sees(lambda text: text == FETCH_AGAIN)
        assert list(office.app.operator.contacts(office.app.person)) == []


async def test_the_menu_says_what_could_be_written(tmp_path: Path) -> None:
    async with on_telegram(tmp_path) as stage:
        alice = await joined(stage, "Alice")
        server: TelegramServer = stage.server  # type: ignore[attr-defined]
        (offered,) = [call["commands"] for name, call in server.calls if name == "setmycommands"]
        answers = {
            "help": "I place calls", "status": "exchange is up", "missed": "No missed calls",
            "calls": "No calls", "voicemail": "no voice messages", "contacts": "no contacts",
            "hangup": "no call of yours", "phones": "no phones yet",
            "setup": "Scan this with Linphone", "today": "Today nothing is planned.",
            "reminders": "Nothing is planned.", "calendars": "I follow no calendar of yours",
        }  # fmt: skip
        assert {command["command"] for command in offered} == set(answers)
        for command, answer in answers.items():
            alice.says(f"/{command}")
            await alice.sees(lambda text, answer=answer: answer in text)


async def test_a_place_offers_its_time_zone(tmp_path: Path) -> None:
    async with owned(tmp_path) as (_, _server, alice):
        alice.sends(location={"latitude": 52.52, "longitude": 13.4})
        await alice.sees(lambda text: "The time zone there is Europe/Berlin" in text)
        alice.taps("Use Europe/Berlin")
        await alice.sees(lambda text: text == "Your time zone is Europe/Berlin from now on.")


async def test_in_a_group_only_who_mentions_the_bot_is_answered(tmp_path: Path) -> None:
    async with TelegramServer() as server:
        await _in_a_group(tmp_path, server)
        async with on_telegram(tmp_path, language=False, server=server):
            (alice,) = [user for user in server.users.values() if user.name == "Alice"]
            alice.says("help")
            await alice.sees(lambda text: "I place calls" in text)
        assert INTERRUPTED not in [seen.text for seen in alice.messages]


async def _in_a_group(folder: Path, server: TelegramServer) -> None:
    async with on_telegram(folder, language=False, server=server) as stage:
        alice = await joined(stage, "Alice")
        mallory = server.user(666, "Mallory")
        alice.says_in(-100, "who wants help")
        mallory.says_in(-100, "@encryptotel_test_bot help")
        alice.says_in(-100, "@encryptotel_test_bot make tea")
        await server.group_feed.wait(lambda text: "did not understand" in text, 10)
        assert len(server.groups[-100]) == 1
        seen = server.groups[-100][0]
        mallory.presses(seen, seen.buttons[0][1])
        alice.presses(seen, seen.buttons[0][1])
        await server.group_feed.wait(lambda text: "I place calls" in text, 10)
        assert mallory.toasts == [TOO_OLD]
        assert mallory.messages == []
        assert len(server.groups[-100]) == 2
        answer = types.Message(
            message_id=seen.id, date=datetime.now(UTC), text=seen.text,
            chat=types.Chat(id=-100, type="supergroup"), from_user=BOT,
        )  # fmt: skip
        alice.says_in(-100, "status", reply_to_message=answer)
        await server.group_feed.wait(lambda text: "exchange is up" in text, 10)


async def test_what_is_known_of_a_person_comes_as_a_file(tmp_path: Path) -> None:
    async with owned(tmp_path) as (_, _server, alice):
        alice.sends(contact={"phone_number": "442079460321", "first_name": "Dave"})
        await alice.sees(lambda text: "I keep Dave" in text)
        alice.says("export my data")
        await alice.sees(lambda text: text == EXPORTED)
        known = json.loads(alice.messages[-1].file)
        assert known["contacts"] == {"Dave": "+442079460321"}
        assert known["accounts"][0]["channel"] == "telegram"


async def test_a_webhook_is_told_that_a_message_came_when_it_is_noted(tmp_path: Path) -> None:
    async with on_telegram(tmp_path, language=False, webhook=True) as stage:
        server: TelegramServer = stage.server  # type: ignore[attr-defined]
        alice = await joined(stage, "Alice")
        people = stage.office.app.people
        take, failed = people.take, []

        async def locked_once(account: Any, message_id: str) -> bool:
            if not failed:
                failed.append(message_id)
                raise OSError("the disk is full")
            return await take(account, message_id)

        people.take = locked_once  # type: ignore[method-assign]
        server.again = 2
        before = len(alice.messages)
        for text in ("help", "status", "help"):
            alice.says(text)
        await alice.sees(lambda _: len(alice.messages) == before + 3)
        assert failed
        async with ClientSession() as session:
            forged = {"update_id": 9_999, "message": alice.message("help").model_dump(mode="json")}
            for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": "guess"}):
                async with session.post(server.webhook_at, json=forged, headers=headers) as got:
                    assert got.status == 403
        assert len(alice.messages) == before + 3


async def test_secrets_are_in_no_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the most talkative level, with libraries that log whole addresses, and trouble."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    monkeypatch.setattr(logs, "_QUIET", ("aiohttp.access",))
    async with on_telegram(tmp_path, language=False) as stage:
        config = stage.office.app.config
        loud = config.model_copy(update={"log": config.log.model_copy(update={"level": "debug"})})
        logs.log_to(None, loud)
        alice = await joined(stage, "Alice")
        stage.server.trouble += [None, Refused(500, "Internal Server Error")]  # type: ignore[attr-defined]
        alice.says("help")
        await alice.sees(lambda text: "I place calls" in text)
    written = capsys.readouterr().err
    assert f"bot{logs.MASKED}/sendMessage" in written
    assert all(secret not in written for secret in logs.secrets_of(config) if secret)


@pytest.mark.parametrize(
    "text", ["x" * 10_000, "😀" * 5_000, "line\n" * 3_000, "\u202e" * 4_097, "a\n" + "b" * 9_000]
)
def test_long_texts_are_broken_where_telegram_takes_them(text: str) -> None:
    parts = pieces(text)
    assert all(len(part.encode("utf-16-le")) // 2 <= 4096 for part in parts)
    assert "".join(parts) == text


def test_nothing_is_never_sent() -> None:
    assert pieces("") == ["…"]
