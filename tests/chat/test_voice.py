"""Voice messages to the bot: real speech, by espeak-ng, heard by the offline recogniser."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from bot.dialogue import NOT_HEARD
from encryptotel.config import MenusSection
from encryptotel.ivr.ear import MAX_SOUND, ProcessEar
from encryptotel.listening import SENTENCES, heard
from pbx.media import ogg
from tests.chat.talkers import on_telegram
from tests.chat.test_telegram import joined

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed"),
]

VOICES = ("en-us", "en-gb", "en-us+f2", "en-us+m3", "en-gb+f3", "en-gb-x-rp", "en-us+m7")
NAMES = ("Bob", "Alice", "Carol", "Dave Miller", "Doctor Jones")
FIRST = (
    "Alice", "Peter", "Mary", "Tom", "Susan", "George", "Laura", "Henry", "Julia", "Frank", "Emma",
    "Oscar", "Nora", "Victor", "Diana", "Simon", "Helen", "Robert", "Linda", "Martin", "Karen",
    "Steven", "Paula",
)  # fmt: skip
LAST = (
    "Miller", "Smith", "Baker", "Wilson", "Taylor", "Johnson", "Carter", "Fisher", "Thompson",
    "Anderson", "Roberts", "Cooper", "Morgan", "Parker", "Edwards", "Turner", "Phillips",
    "Campbell", "Stewart", "Morris", "Rogers", "Bailey",
)  # fmt: skip
OTHER = (
    "what is the weather like tomorrow", "please water the plants", "the train leaves at seven",
    "i would like a pizza with cheese", "let us meet at the station", "happy birthday to you",
    "turn left at the next corner", "good morning everyone", "open the window please",
    "she sells sea shells by the shore",
)  # fmt: skip


async def spoken(text: str, voice: str) -> bytes:
    """A voice message as Telegram makes them, with some noise of the room."""
    script = (
        f"espeak-ng -v {voice} -s 150 --stdout '{text}' | "
        "sox -t wav - -t raw -r 8000 -e signed -b 16 -c 1 - pad 0.3 0.4"
    )
    child = await asyncio.create_subprocess_shell(script, stdout=asyncio.subprocess.PIPE)
    pcm, _ = await child.communicate()
    samples = np.frombuffer(pcm, "<i2") + np.random.default_rng(1).normal(0, 20, len(pcm) // 2)
    return ogg.encoded(samples.clip(-32_768, 32_767).astype("<i2").tobytes())


@pytest.fixture
async def ear() -> AsyncIterator[ProcessEar]:
    opened = ProcessEar(MenusSection(), Path())
    yield opened
    await opened.close()


async def test_what_is_heard_is_what_was_said_or_nothing(ear: ProcessEar) -> None:
    right = wrong = said = 0
    sentences = [*SENTENCES, *(f"call {name.lower()}" for name in NAMES)]
    for number, sentence in enumerate(sentences):
        for voice in (VOICES[number % len(VOICES)], VOICES[(number + 3) % len(VOICES)]):
            words = await heard(ear, await spoken(sentence, voice), NAMES)
            said += 1
            right += words == sentence
            wrong += words not in ("", sentence)
    accepted = sum(
        [
            bool(await heard(ear, await spoken(text, VOICES[number % len(VOICES)]), NAMES))
            for number, text in enumerate(OTHER)
        ]
    )
    print(f"heard {right} of {said}, {wrong} as something else; {accepted} of {len(OTHER)} others")
    assert right / said >= 0.6
    assert wrong / said <= 0.03
    assert accepted / len(OTHER) <= 0.3


@pytest.mark.parametrize("content", [b"", b"OggS" + bytes(1000), b"x" * 100_000])
async def test_what_is_no_sound_is_nothing(ear: ProcessEar, content: bytes) -> None:
    assert await heard(ear, content, NAMES) == ""


async def test_silence_is_nothing_whatever_was_heard_before(ear: ProcessEar) -> None:
    silence = ogg.encoded(bytes(16_000))
    for number, sentence in enumerate((*SENTENCES, *OTHER)):
        await heard(ear, await spoken(sentence, VOICES[number % len(VOICES)]), NAMES)
        assert await heard(ear, silence, NAMES) == ""


async def test_strange_names_are_left_out(ear: ProcessEar) -> None:
    names = ["Zbigniew", "Øystein", "x;\npublic <y> = hang", "", "a" * 1000]
    assert await heard(ear, await spoken("hang up", "en-us"), names) == "hang up"


async def test_half_of_a_long_message_is_not_taken_for_it(ear: ProcessEar) -> None:
    said = "hang up, and then go and see whether there is still anybody in the old house"
    message = await spoken(said, "en-us")
    assert len(ogg.decoded(message)) > MAX_SOUND
    assert await heard(ear, message, NAMES) == ""


async def test_five_hundred_names_are_told_apart_in_time(ear: ProcessEar) -> None:
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    assert len(names) >= 500
    assert (
        await heard(ear, await spoken("call alice miller", "en-us"), names) == "call alice miller"
    )


async def test_a_voice_message_is_read_back_before_it_is_done(tmp_path: Path) -> None:
    async with on_telegram(tmp_path) as stage:
        alice = await joined(stage, "Alice")
        note = stage.server.file(await spoken("call doctor jones", "en-us"))  # type: ignore[attr-defined]
        alice.sends(contact={"phone_number": "12025550143", "first_name": "Doctor Jones"})
        await alice.sees(lambda text: "I keep Doctor Jones" in text)
        alice.sends(voice={**note, "duration": 2})
        await alice.sees(lambda text: text.startswith("I heard: “call doctor jones”. Call Doctor"))
        alice.taps("No")
        await alice.sees(lambda text: text == "All right, nothing done.")
        other = stage.server.file(ogg.encoded(bytes(16_000)))  # type: ignore[attr-defined]
        alice.sends(voice={**other, "duration": 1})
        await alice.sees(lambda text: text == NOT_HEARD)
        assert stage.office.app.operator.active_calls(stage.office.app.person) == []
