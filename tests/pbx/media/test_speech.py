"""Announcements: a recogniser we did not write understands what our voice says."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from pocketsphinx import Decoder

from pbx.media.speech import MAX_CACHED, MAX_TEXT, PEAK, Speaker, SpeechError
from pbx.media.tones import level

SENTENCES = {
    "nobody answered": "nobody answered please try again later",
    "connecting": "please wait i am connecting your call",
    "goodbye": "thank you for calling goodbye",
}
GRAMMAR = "#JSGF V1.0; grammar said; public <said> = {};".format(" | ".join(SENTENCES.values()))


def understood(pcm: bytes) -> str:
    """What pocketsphinx hears, of the sentences it knows; its model wants 16 kHz."""
    pause = bytes(6_000)
    samples = np.frombuffer(pause + pcm + pause, "<i2").astype(float)
    samples += np.random.default_rng(1).normal(0, 20, samples.size)  # a line is never quite silent
    at = np.arange(0, samples.size - 1, 0.5)
    wide = np.interp(at, np.arange(samples.size), samples).astype("<i2").tobytes()
    decoder = Decoder(samprate=16_000, lm=None, loglevel="FATAL")
    decoder.add_jsgf_string("said", GRAMMAR)
    decoder.activate_search("said")
    decoder.start_utt()
    decoder.process_raw(wide, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=list(SENTENCES))
async def test_what_is_said_is_understood(sentence: str) -> None:
    assert understood(await Speaker().say(sentence)) == sentence


async def test_level_and_length_are_those_of_a_telephone() -> None:
    pcm = await Speaker().say("thank you for calling goodbye")
    assert 1.0 < len(pcm) / 16_000 < 4.0
    assert len(pcm) % 2 == 0
    assert -30 < level(pcm) < -12
    loudest = int(np.max(np.abs(np.frombuffer(pcm, "<i2").astype(int))))
    assert PEAK - 2 <= loudest <= PEAK


async def test_nothing_above_the_telephone_band() -> None:
    samples = np.frombuffer(await Speaker().say("six sissy sisters"), "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    at = np.fft.rfftfreq(samples.size, 1 / 8000)
    assert spectrum[at > 3_900].sum() < 0.01 * spectrum.sum()


async def test_two_speakers_at_once_do_not_mix() -> None:
    one, two = Speaker("en-us"), Speaker("de")
    sentences = list(SENTENCES.values())
    said = await asyncio.gather(
        *(speaker.say(sentence) for sentence in sentences for speaker in (one, two))
    )
    assert [understood(pcm) for pcm in said[::2]] == sentences
    for american, german in zip(said[::2], said[1::2], strict=True):
        assert american != german


async def test_a_sentence_is_spoken_once_and_kept() -> None:
    speaker = Speaker()
    assert await speaker.say("goodbye") is await speaker.say("goodbye")
    for number in range(MAX_CACHED + 10):
        await speaker.say(str(number % 10) * (number // 10 + 1))
    assert len(speaker._cache._spoken) <= MAX_CACHED


async def test_no_text_no_sound_and_odd_text_no_harm() -> None:
    speaker = Speaker()
    assert level(await speaker.say("")) == -120.0
    for odd in ["\0", "…", "<speak>&amp;", "日本", "a\0b", "\n\r\t"]:
        await speaker.say(odd)


async def test_a_long_text_is_cut() -> None:
    long, cut = "no " * 2_000, ("no " * 2_000)[:MAX_TEXT]
    difference = len(await Speaker().say(long)) - len(await Speaker().say(cut))
    assert abs(difference) < 1_000  # the voice never says a thing twice to the sample


async def test_an_unknown_voice_says_which_there_are() -> None:
    with pytest.raises(SpeechError, match="en-us"):
        await Speaker("klingonish").say("hello")
    assert await Speaker().say("hello")  # the others go on
