"""A second yes, by buttons or a key on the phone: for programs, and before dangerous things."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from bot.card import stopped
from bot.console import Console
from bot.dialogue import Dialogue
from bot.ports import OperatorError
from bot.replies import Reply
from encryptotel.approvals import SAID
from encryptotel.demo.phone import Phone
from tests.hearing import at_length
from tests.office import Office
from tests.web.test_api import Client, client, key, problem
from tests.web.test_events import listening


def keying(office: Office, about: str, digit: str) -> Any:
    """A phone at which a key is pressed once the question was heard."""

    async def behave(phone: Phone, leg: Any) -> None:
        words = await office.app.exchange.speaker.say(SAID.format(about=stopped(about)))
        await phone.until_heard(at_length(words))
        leg.audio.send_digit(digit)
        await leg.ended()

    return behave


class Chat:
    """The owner's chat, with what it tells unasked."""

    def __init__(self, office: Office) -> None:
        self.dialogue: Dialogue = office.dialogue()
        self.office = office
        self.told: list[Reply] = []
        hear = self.dialogue._push

        def push(reply: Reply) -> None:
            self.told.append(reply)
            hear(reply)

        self.dialogue._push = push

    async def asked(self) -> Reply:
        """The newest question with buttons."""
        found: list[Reply] = []

        def there() -> bool:
            found[:] = [one for one in self.told if one.buttons]
            return bool(found)

        await self.office.until(there)
        self.told.clear()
        return found[-1]

    async def say(self, text: str) -> str:
        return "\n".join(reply.text for reply in await self.dialogue.hear(text))


async def ask(it: Client, by: str, to: str = "101") -> str:
    order = {"to": to, "by": by, "approve": "Sign in to Example?"}
    answer = await it.post("/verifications", order)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def state(it: Client, id: str) -> str:
    return str((await it.get(f"/verifications/{id}"))["state"])


@pytest.mark.parametrize(("button", "ends"), [("Approve", "approved"), ("Refuse", "denied")])
async def test_a_sign_in_is_approved_with_a_button(tmp_path: Path, button: str, ends: str) -> None:
    async with client(tmp_path) as it, listening(it) as ear:
        chat = Chat(it.office)
        id = await ask(it, "chat")
        question = await chat.asked()
        assert question.text == "Your program CRM 0 asks: Sign in to Example? Do you approve?"
        assert question.private
        (pressed,) = [one.says for one in question.buttons if one.label == button]
        assert await chat.say(pressed)
        (*before, decided) = await ear.until("decided")
        assert (decided["about"], decided["text"]) == (id, ends)
        assert before == []  # no program hears the question
        assert await state(it, id) == ends
        assert "no longer asked" in await chat.say(pressed)


@pytest.mark.parametrize(("digit", "ends"), [("1", "approved"), ("2", "denied")])
async def test_a_sign_in_is_approved_on_the_phone(tmp_path: Path, digit: str, ends: str) -> None:
    async with client(tmp_path, "verify", "events") as it, listening(it) as ear:
        about = "Owner (CRM 0) asks: Sign in to Example?"
        await it.office.phone("102", Phone(keying(it.office, about, digit)))
        id = await ask(it, "call", "102")
        decided = (await ear.until("decided"))[-1]
        assert (decided["about"], decided["text"]) == (id, ends)


async def test_a_phone_that_is_off_approves_nothing(tmp_path: Path) -> None:
    async with client(tmp_path, "verify", "events") as it, listening(it) as ear:
        id = await ask(it, "call", "102")
        assert (await ear.until("decided"))[-1]["text"] == "failed"
        assert await state(it, id) == "failed"


async def test_what_is_to_be_approved_has_no_code(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        id = await ask(it, "chat")
        for code in ("000000", "1234"):
            tried = await it.post(f"/verifications/{id}/check", {"code": code})
            problem(tried, 409, "verification.no_code")
        by_sms = {"to": "+12025550143", "by": "sms", "approve": "Sign in?"}
        problem(await it.post("/verifications", by_sms), 422, "verification.no_sms")


async def test_a_program_cannot_approve_what_it_asks(tmp_path: Path) -> None:
    """It does not hear the id; and one that guessed it would say it to no effect."""
    async with client(tmp_path) as it:
        chat = Chat(it.office)
        id = await ask(it, "chat")
        (approve, _) = (await chat.asked()).buttons
        assert re.fullmatch(r"approve #[0-9a-f]{16}", approve.says)
        await it.post("/say", {"text": approve.says})
        assert await state(it, id) == "sent"
        await chat.say(approve.says)
        await it.office.until(lambda: True)
        async with asyncio.timeout(5):
            while await state(it, id) != "approved":
                pass


async def test_nobody_answers_for_another(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        chat = Chat(it.office)
        await ask(it, "chat")
        (approve, _) = (await chat.asked()).buttons
        operator = it.office.app.operator
        somebody = await it.office.app._person_of("102")
        with pytest.raises(OperatorError, match="no longer asked"):
            operator.approvals.answer(somebody, approve.says[-16:], yes=True)


# ── before what is dangerous ────────────────────────────────────────────────────────────────
async def test_a_new_phone_waits_for_a_key_on_the_old_one(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        chat = Chat(it.office)
        assert "Connect a phone first" in await chat.say(
            "ask me by phone before dangerous commands"
        )
        about = "Somebody wants a new phone in your name"
        await it.office.phone("101", Phone(keying(it.office, about, "1")))
        assert "I ring your phone" in await chat.say("ask me by phone before dangerous commands")
        assert "need your approval by call" in await chat.say("my settings")
        assert "needs your approval" in await chat.say("set up my phone")
        refused = await it.post("/devices", {"name": "desk"})
        problem(refused, 403, "approval.asked")
        await it.office.until(lambda: any("Approved: a new phone" in t for t in it.office.told))
        assert "Scan this" in await chat.say("set up my phone")
        assert "needs your approval" in await chat.say("set up my phone")  # once


async def test_that_nobody_is_asked_any_more_is_asked_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encryptotel.approvals.REST", 0.0)
    async with client(tmp_path) as it:
        chat = Chat(it.office)
        assert "ask you in your chats" in await chat.say("ask me before dangerous commands by chat")
        stop = "don't ask me before dangerous commands"
        assert "needs your approval" in await chat.say(stop)
        (_, refuse) = (await chat.asked()).buttons
        await chat.say(refuse.says)
        assert "needs your approval" in await chat.say(stop)
        (approve, _) = (await chat.asked()).buttons
        await chat.say(approve.says)
        assert "I ask you no more" in await chat.say(stop)
        assert "Scan this" in await chat.say("set up my phone")


async def test_a_key_for_what_is_dangerous_needs_a_second_yes(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        chat = Chat(it.office)
        make = "make an API key for my wallet that can money"
        assert "et_" not in await chat.say(make)
        (approve, _) = (await chat.asked()).buttons
        assert "et_" not in await chat.say("make an API key for my wallet that can say")  # another
        await chat.say(approve.says)
        assert "et_" in await chat.say(make)
        assert "et_" in await chat.say("make an API key for my CRM that can calls")


async def test_a_program_gets_no_key_by_talking(tmp_path: Path) -> None:
    """A key that may say all that the person may makes no other without them."""
    async with client(tmp_path) as it:
        talker = Client(it.site, await key(it.office, "say"))
        for text in (
            "make an API key for me that can calls",
            "open the console",
            "ask me before dangerous commands by chat",
        ):
            (answer,) = (await talker.post("/say", {"text": text})).json()
            assert answer["text"] == "That can be said in a chat of yours only."


async def test_the_terminal_tells_what_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with client(tmp_path) as it:
        chat = Chat(it.office)
        id = await ask(it, "chat")
        Console().show(await chat.asked())
        typed = re.search(r"Type: (approve #[0-9a-f]{16}) · refuse", capsys.readouterr().out)
        assert typed
        await chat.say(typed[1])
        async with asyncio.timeout(5):
            while await state(it, id) != "approved":
                pass
