"""The ear of the menus, with the recogniser that comes with us."""

from __future__ import annotations

import asyncio
import audioop
import importlib.util
import os
import re
import signal
from collections.abc import AsyncIterator
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from bench import spoken
from encryptotel.config import MenusSection
from encryptotel.ivr.book import spoken as spoken_menus
from encryptotel.ivr.ear import ProcessEar
from encryptotel.ivr.file import MenuError, Surroundings, parsed
from encryptotel.ivr.pronunciation import unlike
from encryptotel.ivr.recognisers import Engine, RecogniserError, masked, within
from pbx.media.piper import PiperVoice
from pbx.media.speech import Speaker, SpeechError
from tests.narrator import TEXT, narrated

WORDS = ("sales", "support", "billing", "reception")


@pytest.fixture
async def ear() -> AsyncIterator[ProcessEar]:
    made = ProcessEar(MenusSection(), Path())
    yield made
    await made.close()


def said(text: str, *, noisy: bool = False) -> bytes:
    return spoken.utterance(spoken.on_the_line(text, "en-us", noisy=noisy, number=1))


@pytest.mark.parametrize("noisy", [False, True])
async def test_words_of_a_menu_are_known_and_others_are_not(ear: ProcessEar, noisy: bool) -> None:
    heard = [await ear.hear(said(word, noisy=noisy), WORDS) for word in WORDS]
    assert heard == list(WORDS)
    others = ["what time is it", "the weather is nice today", "my name is peter"]
    assert [await ear.hear(said(other, noisy=noisy), WORDS) for other in others] == [""] * 3


async def test_no_sound_is_no_word(ear: ProcessEar) -> None:
    assert await ear.hear(b"", WORDS) == ""
    assert await ear.hear(bytes(64_000), WORDS) == ""
    assert await ear.hear(bytes(500_000), WORDS) == "", "only the beginning is looked at"
    assert await ear.hear(b"\x01" * 9999, WORDS) == ""


async def test_what_it_cannot_know_is_said(ear: ProcessEar) -> None:
    assert await ear.unknown(["sales", "vertrieb", "customer service"]) == ["vertrieb"]
    text = """
    [menu.main]
    number = "800"
    prompt = "Press 1."
    [[menu.main.choice]]
    key = "1"
    words = ["sales", "vertrieb"]
    to = "hang up"
    """
    draft = parsed(text, Path("menus.toml"), Surroundings())
    with pytest.raises(MenuError, match=r"line 7, .* does not know “vertrieb”: choose"):
        await spoken_menus(draft, Path("menus.toml"), lambda name: Speaker(), ear)


async def test_a_process_that_dies_is_replaced(ear: ProcessEar) -> None:
    await ear.unknown(["sales"])
    (child,) = ear._pool._processes
    os.kill(child, signal.SIGKILL)
    sound = said("sales")
    while child in (ear._pool._processes or {}):
        assert await ear.hear(sound, WORDS) in ("", "sales")
    assert await ear.hear(sound, WORDS) == "sales"


async def test_it_does_not_hold_the_loop(ear: ProcessEar) -> None:
    sound = said("reception")
    await ear.hear(sound, WORDS)
    loop = asyncio.get_running_loop()
    hearing = asyncio.ensure_future(ear.hear(sound, WORDS))
    steps: list[float] = []
    while not hearing.done():
        begun = loop.time()
        await asyncio.sleep(0)
        steps.append(loop.time() - begun)
    assert len(steps) > 100
    assert sorted(steps)[int(0.99 * len(steps))] < 0.005


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (Engine.VOSK, "pip install vosk|is not the folder of a Vosk model"),
        (Engine.MOONSHINE, "has no encoder_model.ort of a Moonshine model"),
        (Engine.WHISPER, "pip install faster-whisper|has no model.bin of a Whisper model"),
    ],
)
async def test_a_recogniser_without_its_model_says_what_to_do(
    engine: Engine, said: str, tmp_path: Path
) -> None:
    section = MenusSection(recogniser=engine, model="no-model")
    ear = ProcessEar(section, tmp_path)
    try:
        with pytest.raises(RecogniserError, match=said):
            await ear.unknown(["sales"])
        assert await ear.hear(bytes(32_000), WORDS) == ""
    finally:
        await ear.close()


async def test_a_message_over_the_telephone_is_written_down(tmp_path: Path) -> None:
    """By a real model; and the words of a menu are told apart as ever."""
    ear = ProcessEar(MenusSection(recogniser=Engine.MOONSHINE), tmp_path)
    try:
        written = await ear.write(audioop.ulaw2lin(audioop.lin2ulaw(narrated(30.0), 2), 2))
        heard, wanted = re.findall(r"[a-z]+", written.lower()), TEXT.split()
        same = SequenceMatcher(None, heard, wanted, autojunk=False).get_matching_blocks()
        assert sum(block.size for block in same) >= 0.75 * len(wanted), written
        assert await ear.write(bytes(32_000)) == ""
        assert await ear.hear(said("sales"), WORDS) == "sales"
    finally:
        await ear.close()


async def test_a_piper_voice_without_its_model_says_what_to_do(tmp_path: Path) -> None:
    there = importlib.util.find_spec("piper") is not None
    wanted = "is not a Piper voice" if there else "pip install piper-tts"
    with pytest.raises(SpeechError, match=wanted):
        await PiperVoice(tmp_path / "no.onnx").say("Hello.")


@pytest.mark.parametrize(
    ("heard", "word"),
    [
        ("Sales.", "sales"),
        ("sales, please", "sales"),
        ("Customer service!", "customer service"),
        ("service", "service"),
        ("I would like to talk to somebody in sales", ""),
        ("sales or billing", ""),
        ("salesman", ""),
        ("", ""),
    ],
)
def test_one_word_is_found_in_what_was_written(heard: str, word: str) -> None:
    assert within(heard, ["sales", "billing", "service", "customer service"]) == word


def test_sounds_are_alike_or_not() -> None:
    sales = ["S", "EY", "L", "Z"]
    assert unlike(sales, sales) == 0
    assert 0 < unlike(sales, ["Z", "EY", "L", "S"]) < unlike(sales, ["S", "EY", "L"]) + 0.1
    assert unlike(sales, ["M", "AW", "N", "T", "AH", "N"]) > 1
    assert unlike(sales, []) == 1


def test_speech_is_masked_at_one_loudness() -> None:
    loud, quiet = said("sales"), said("sales")
    assert masked(loud) == masked(quiet)
    assert masked(b"\x01") == b""
