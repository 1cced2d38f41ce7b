"""The main job: call one party, call another back, and join them.

The second party is rung as soon as the first one rings, so neither waits longer than they
must. Whoever answers first hears that they are being connected and a ringing tone; if the
other does not come, they hear why, never silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg
from pbx.media.codecs import RATE
from pbx.media.sdp import SessionDescription
from pbx.media.speech import Speaker
from pbx.media.tones import ringback
from pbx.ports import CallRefused

_WAIT = "Please hold the line. You are being connected."
_SORRY = {
    408: "Sorry. The other person did not answer. Goodbye.",
    480: "Sorry. The other person cannot be reached now. Goodbye.",
    486: "Sorry. The other person is busy. Goodbye.",
    487: "Sorry. The other person hung up. Goodbye.",
    600: "Sorry. The other person is busy. Goodbye.",
    603: "Sorry. The other person declined the call. Goodbye.",
}
_PAUSE = bytes(2 * RATE * 3 // 10)
"Silence before hanging up: phones still hold the last words in their jitter buffer."
_SORRY_ELSE = "Sorry. The other person could not be reached. Goodbye."


class Ringing(Protocol):
    """Rings somebody until they answer."""

    def __call__(
        self,
        call: Call,
        on_early: Callable[[Leg], None] = ...,
        like: SessionDescription | None = ...,
    ) -> Coroutine[Any, Any, Leg]:
        """`on_early` is told when they ring, `like` is another side's offer to carry. Raises
        `CallRefused`."""


@dataclass(frozen=True, kw_only=True)
class Party:
    """One side of a callback: a name for people, and how to ring them."""

    label: str
    ring: Ringing


async def callback(call: Call, first: Party, second: Party, *, speaker: Speaker) -> Ending:
    """Run the whole job. Raises `CallRefused` when nobody was ever on the line."""
    rings = asyncio.Event()
    first_dial = asyncio.ensure_future(first.ring(call, on_early=lambda _: rings.set()))
    second_dial: asyncio.Future[Leg] | None = None
    try:
        await _either(first_dial, asyncio.ensure_future(rings.wait()))
        if first_dial.done():
            _outcome(first_dial, first)
        second_dial = asyncio.ensure_future(second.ring(call))
        await asyncio.wait((first_dial, second_dial), return_when=asyncio.FIRST_COMPLETED)
        if first_dial.done():
            leg, other, dialling = _outcome(first_dial, first), second, second_dial
        else:
            leg, other, dialling = _outcome(second_dial, second), first, first_dial
        return await _join(call, leg, other, dialling, speaker)
    finally:
        for task in (first_dial, second_dial):
            if task is not None:
                task.cancel()
                task.add_done_callback(_seen)


async def _join(
    call: Call, leg: Leg, other: Party, dialling: asyncio.Future[Leg], speaker: Speaker
) -> Ending:
    """`leg` is on the line; wait for the other side with it."""
    wait, sorry = await asyncio.gather(speaker.say(_WAIT), speaker.say(_SORRY_ELSE))
    try:
        with leg.looping(wait + ringback()):
            waited = await leg.until_over(asyncio.shield(dialling))
        if not waited:
            if dialling.done() and dialling.exception() is None:
                await _apologise(dialling.result(), await speaker.say(_SORRY[487]))
            return Ending(status=487, reason=f"{leg.peer} hung up before {other.label} answered")
        partner = dialling.result()
    except CallRefused as refused:
        call.notice(f"{other.label}: {refused.reason}. Telling {leg.peer} so.")
        words = _SORRY.get(refused.status)
        await _apologise(leg, await speaker.say(words) if words else sorry)
        return Ending(status=refused.status, reason=f"{other.label}: {refused.reason}")
    return await call.join(leg, partner)


async def _apologise(leg: Leg, pcm: bytes) -> None:
    leg.audio.stop()
    await leg.play(pcm + _PAUSE)


def _outcome(dial: asyncio.Future[Leg], party: Party) -> Leg:
    """The leg a finished dial got; its failure names the party."""
    try:
        return dial.result()
    except CallRefused as refused:
        raise CallRefused(refused.status, f"{party.label}: {refused.reason}") from refused


async def _either(one: asyncio.Future[Leg], other: asyncio.Future[bool]) -> None:
    try:
        await asyncio.wait((one, other), return_when=asyncio.FIRST_COMPLETED)
    finally:
        other.cancel()


def _seen(task: asyncio.Future[Leg]) -> None:
    if not task.cancelled():
        task.exception()
