"""The answerphone: a greeting, a tone, and what the caller says then."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg
from pbx.events import AnswerphoneTook, MessageLeft
from pbx.media.codecs import RATE
from pbx.media.tones import level, tone

MAX_SECONDS = 180
"Of one message."
SHORTEST = 1.0
"Seconds of sound below which nothing was said."
SILENCE = 6.0
"Seconds without a word after which the message is over."
QUIET = -45.0
"Decibels below full scale that no word stays under."
BEEP = tone(0.4, 1000.0)
_SECOND = 2 * RATE
_PIECE = _SECOND // 10
_LATELY = int(SILENCE * _SECOND)


async def take_message(
    call: Call, leg: Leg, greeting: bytes, *, extension: str, at: datetime
) -> Ending:
    """Answer, greet, and record until the caller hangs up, keys #, falls silent or has said
    enough; emits `MessageLeft` if they said something."""
    call.emit(AnswerphoneTook(call_id=call.id, at=at, extension=extension))
    await leg.answer()
    call.answered()
    await leg.play(greeting + BEEP)
    heard = bytearray()
    news = asyncio.Event()

    def hear(frame: bytes) -> None:
        heard.extend(frame)
        news.set()

    async def finished() -> None:
        """Looks at what was heard every second."""
        seen = 0
        while len(heard) < MAX_SECONDS * _SECOND:
            if len(heard) - seen >= _SECOND:
                seen = len(heard)
                if _silent(bytes(heard[-_LATELY:])):
                    return
            news.clear()
            await news.wait()

    try:
        if leg.ending is None:
            leg.audio.on_frame = hear
            await _first(leg, finished(), _hash(leg))
    finally:  # also when the exchange is about to stop: nothing that was said is lost
        said = _trimmed(bytes(heard))
        if len(said) >= SHORTEST * _SECOND:
            call.emit(
                MessageLeft(
                    call_id=call.id, at=at, extension=extension, caller=call.caller, sound=said
                )
            )
    return Ending(status=200, reason="left a message" if said else "left no message")


async def _first(leg: Leg, *events: Coroutine[object, object, None]) -> None:
    """Wait for one of several events, or for the end of the leg."""
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(event) for event in events]
    try:
        await asyncio.wait((*tasks, leg.over), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _hash(leg: Leg) -> None:
    while await leg.digits(1, within=MAX_SECONDS) not in ("#", ""):
        pass


def _silent(lately: bytes) -> bool:
    return len(lately) >= _LATELY and not _trimmed(lately)


def _trimmed(pcm: bytes) -> bytes:
    """What was said, without the silence before and behind."""
    pieces = [pcm[at : at + _PIECE] for at in range(0, len(pcm), _PIECE)]
    loud = [index for index, piece in enumerate(pieces) if level(piece) >= QUIET]
    if not loud:
        return b""
    return b"".join(pieces[max(0, loud[0] - 1) : loud[-1] + 3])
