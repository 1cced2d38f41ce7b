"""Thousands of hostile messages over the real library: nothing breaks, nobody else is touched."""

from __future__ import annotations

import contextlib
import logging
import random
import resource
from pathlib import Path
from typing import Any

import pytest

from bot.ports import Account, Role
from encryptotel.people import OWNER
from tests.chat.talkers import on_telegram
from tests.chat.test_telegram import joined
from tests.peers.proc import PeerError
from tests.peers.telegram import TelegramServer, User

_WORDS = (
    "call", "hang up", "\u202e102 llac", "invite", "save", "as", "+1 202 555 0143", "999",
    "forget", "me", "yes", "no", "1", "#", "press", "pick", "🔥", "\x00", "\ufeff", "'; DROP",
    "{}", "%s", "\n", "time zone", "../../etc/passwd", "<script>", "\u202e", "Ⅷ", "١٢٣",
)  # fmt: skip
_ODD = (32, 0x5D0, 0x202E, 0x1F600, 0xE000, 0x7F)


def hostile_text(dice: random.Random) -> str:
    """Something nobody sane writes, as Telegram would let it through."""
    kind = dice.randrange(6)
    if kind == 0:
        return "".join(chr(dice.choice(_ODD)) for _ in range(99))
    if kind == 1:
        return dice.choice(("9", "+", "call 1", "\u200b", "ﷺ")) * dice.randrange(1, 1000)
    if kind == 2:
        return f"{dice.choice(('yes', 'hang up', 'pick 1', 'press 1'))} #{dice.getrandbits(32):08x}"
    if kind == 3:
        return "/" + "".join(dice.choice("abcstart_@ ") for _ in range(dice.randrange(1, 64)))
    return " ".join(dice.choice(_WORDS) for _ in range(dice.randrange(1, 30)))[:4096] or "x"


def strike(dice: random.Random, user: User, victim: User, used_code: str) -> None:
    """One hostile update of `user`."""
    server = user.server
    match dice.randrange(12):
        case 0:
            server.deliver(message=user.message(f"/start {used_code}"))
        case 1:
            buttons = [button for seen in victim.messages for button in seen.buttons]
            data = dice.choice(buttons)[1] if buttons else "x"
            user.presses(victim.messages[0], data)
        case 2:
            user.presses(victim.messages[0], f"{dice.getrandbits(128):032x}")
        case 3:
            name = hostile_text(dice)[:64]
            user.sends(contact={"phone_number": hostile_text(dice)[:20], "first_name": name})
        case 4:
            user.sends(location={"latitude": dice.uniform(-1e9, 1e9), "longitude": 1e308})
        case 5:
            content = dice.randbytes(dice.randrange(2000))
            file = {**server.file(content), "file_name": hostile_text(dice)[:40] + ".vcf"}
            user.sends(document=file)
        case 6:
            entity = {"type": "bold", "offset": 0, "length": 1}
            user.server.deliver(message=user.message("x" * 500, entities=[entity] * 500))
        case 7:
            user.sends(voice={**server.file(dice.randbytes(500)), "duration": 1})
        case _:
            server.deliver(message=user.message(hostile_text(dice)))


async def _answered(user: User) -> None:
    """Wait until all that was written is dealt with; who writes that much is not always heard."""
    for _ in range(10):
        begun = len(user.feed.items)
        user.says("help")  # a set phrase, whatever was talked about before
        with contextlib.suppress(PeerError):
            await user.feed.wait(lambda text: "I place calls" in text, 20, since=begun)
            return
    raise AssertionError("nothing is answered any more")


@pytest.mark.parametrize(
    "count", [300, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
async def test_hostile_messages(
    tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    dice = random.Random(count)
    async with on_telegram(tmp_path) as stage:
        server: TelegramServer = stage.server  # type: ignore[attr-defined]
        alice = await joined(stage, "Alice")
        people = stage.office.app.people
        code = await people.invite("Mallory", role=Role.MEMBER)
        mallory: Any = await stage.person("Mallory")
        mallory.says(f"/start {code}")
        await mallory.sees(lambda text: "Welcome" in text)
        stranger = server.user(666, "Stranger")
        stranger.started = True
        alice.says("make tea")  # a button for others to press
        await alice.sees(lambda text: "did not understand" in text)
        alices, before = len(alice.messages), 0
        for number in range(count):
            strike(dice, dice.choice((mallory, mallory, stranger)), alice, code)
            if number % 20 == 19:
                await _answered(mallory)
            if number == count // 3:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await stage.office.app.reception.hear(
            Account("telegram", str(mallory.id)), "8 MB " * 1_600_000
        )
        await mallory.sees(lambda text: "too long for me" in text)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        told = [seen.text for seen in mallory.messages]
        assert not any("went wrong" in text for text in told)
        assert len(alice.messages) == alices, alice.messages[alices:]
        assert len(stranger.messages) <= 1
        assert await people.person_of(Account("telegram", str(stranger.id))) is None
        assert stage.office.app.operator.active_calls(stage.office.app.person) == []
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert server.invalid == []
        print(f"{count} hostile messages: grew by {grown / 1000:.0f} MB in the last two thirds")
        assert grown < 60_000
        owner = stage.office.app.person
        assert stage.office.app.operator.contacts(owner) == []
        assert (await people.person_of(Account("telegram", str(alice.id)))).id == OWNER  # type: ignore[union-attr]
