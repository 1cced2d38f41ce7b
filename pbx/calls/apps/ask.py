"""“Who is calling?”: a caller says their name, and whoever answers hears it and chooses."""

from __future__ import annotations

import asyncio

from pbx.calls.apps.accept import accepted
from pbx.calls.apps.answerphone import BEEP, trimmed
from pbx.calls.apps.excuse import MOMENT
from pbx.calls.call import Call
from pbx.calls.leg import Leg
from pbx.media.codecs import RATE
from pbx.media.speech import Speaker
from pbx.ports import CallRefused

QUESTION = "Please say your name after the tone."
THANKS = "Thank you. One moment please."
NO_NAME = "I did not hear a name. Goodbye."
CHOICES = "Press 1 to take the call, 2 for the answerphone, 3 to block this caller."
WHO = "A call from"
LONGEST = 5.0
"Seconds of a name."
PAUSE = 1.0
"Seconds of silence after which it has been said."
SHORTEST = 0.3
"Seconds of sound that are a name at least."
TAKE, MAILBOX, BLOCK = "1", "2", "3"


async def ask_name(call: Call, leg: Leg, speaker: Speaker) -> bytes:
    """Answer, and hear a name out: PCM. Raises `CallRefused` when none is said."""
    question, thanks, none = [await speaker.say(text) for text in (QUESTION, THANKS, NO_NAME)]
    await leg.answer()
    await leg.play(question + BEEP)
    name = await _heard(leg)
    if len(name) < 2 * RATE * SHORTEST:
        if leg.ending is None:
            await leg.play(none + MOMENT)
        raise CallRefused(603, "the caller did not say who they are")
    await leg.play(thanks)
    return name


async def choose(leg: Leg, name: bytes, speaker: Speaker) -> str:
    """Let whoever answered hear a name and choose: the key. Raises `CallRefused`."""
    who, choices = await speaker.say(WHO), await speaker.say(CHOICES)
    return await accepted(leg, who + name + choices, TAKE + MAILBOX + BLOCK)


async def _heard(leg: Leg) -> bytes:
    """What is said until it is silent again, or for too long."""
    heard = bytearray()
    over = asyncio.Event()

    def hear(frame: bytes) -> None:
        heard.extend(frame)
        lately = bytes(heard[-round(2 * RATE * PAUSE) :])
        looked = len(heard) % (2 * RATE // 5) == 0
        said = looked and not trimmed(lately) and trimmed(bytes(heard))
        if said or len(heard) >= 2 * RATE * LONGEST:
            over.set()

    leg.audio.on_frame = hear
    try:
        await leg.until_over(asyncio.wait_for(over.wait(), LONGEST + PAUSE))
    except TimeoutError:
        pass  # a phone that sends nothing at all
    finally:
        if leg.ending is None:
            leg.audio.on_frame = lambda _: None
    return trimmed(bytes(heard))
