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
    heard = _Hearing(leg)
    try:
        if leg.ending is None:
            await heard.until_over(MAX_SECONDS)
    finally:  # also when the exchange is about to stop: nothing that was said is lost
        said = await heard.said()
        if len(said) >= SHORTEST * _SECOND:
            call.emit(
                MessageLeft(
                    call_id=call.id, at=at, extension=extension, caller=call.shown, sound=said
                )
            )
    return Ending(status=200, reason="left a message" if said else "left no message")


async def heard_out(leg: Leg, longest: float) -> bytes:
    """What somebody says until they key #, fall silent or hang up: PCM without the silence around
    it."""
    heard = _Hearing(leg)
    if leg.ending is None:
        await heard.until_over(longest)
    return await heard.said()


class _Hearing:
    """What a leg says, kept as it comes."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._heard = bytearray()
        self._news = asyncio.Event()

    async def said(self) -> bytes:
        """In a thread: minutes of sound take longer to look at than a call may wait."""
        return await asyncio.to_thread(trimmed, bytes(self._heard))

    async def until_over(self, longest: float) -> None:
        self._leg.audio.on_frame = self._hear
        try:
            await _first(self._leg, self._finished(longest), _hash(self._leg))
        finally:
            if self._leg.ending is None:
                self._leg.audio.on_frame = lambda _: None

    def _hear(self, frame: bytes) -> None:
        self._heard.extend(frame)
        self._news.set()

    async def _finished(self, longest: float) -> None:
        """Looks at what was heard every second."""
        seen = 0
        while len(self._heard) < longest * _SECOND:
            if len(self._heard) - seen >= _SECOND:
                seen = len(self._heard)
                if _silent(bytes(self._heard[-_LATELY:])):
                    return
            self._news.clear()
            await self._news.wait()


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
    return len(lately) >= _LATELY and not trimmed(lately)


def trimmed(pcm: bytes) -> bytes:
    """What was said, without the silence before and behind."""
    pieces = [pcm[at : at + _PIECE] for at in range(0, len(pcm), _PIECE)]
    loud = [index for index, piece in enumerate(pieces) if level(piece) >= QUIET]
    if not loud:
        return b""
    return b"".join(pieces[max(0, loud[0] - 1) : loud[-1] + 3])
