"""Transfers from the keypad: two stars in a call, a number, and hash to transfer at once, or star
to talk to whoever answers first."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable

from pbx.calls.bridge import Bridge
from pbx.calls.call import Call
from pbx.calls.leg import Leg
from pbx.media.speech import Speaker
from pbx.media.tones import ringback
from pbx.ports import CallRefused

ASK = "Key a number, then hash to transfer, or star to speak to them first. Only star to go back."
SORRY = "Not transferred."
BACK = "They are gone. You are back in your call."
TO_KEY = 10.0
"Seconds to press a key."
MAX_NUMBER = 20
TAIL = 0.4
"Seconds in which the last packets of a key come."

Reach = Callable[[str], Callable[..., Awaitable[Leg]]]
"How to ring a number. Raises `CallRefused`."


async def consult(call: Call, leg: Leg, reach: Reach, speaker: Speaker) -> None:
    """Let somebody who keyed two stars transfer their call; the other side waits with music."""
    bridge = call.wait(leg)
    try:
        await _quiet(leg)
        leg.audio.play(await speaker.say(ASK))
        number, end = await _number(leg)
        if not number:
            return
        ring = reach(number)
        if end == "*":
            await _speak_first(call, leg, bridge, ring, speaker)
            return
        with leg.looping(ringback()):
            await call.transfer(leg, ring, hang_up=True)
    except CallRefused as refused:
        if leg.ending is None:
            await leg.play(await speaker.say(f"{SORRY} {refused.reason}."))
        traceback.clear_frames(refused.__traceback__)  # they hold the call in a circle
    finally:
        if leg.ending is None and not bridge.dissolved and leg in (bridge.first, bridge.second):
            bridge.stay()


async def _speak_first(
    call: Call,
    leg: Leg,
    bridge: Bridge,
    ring: Callable[..., Awaitable[Leg]],
    speaker: Speaker,
) -> None:
    """Ring somebody, let both talk, and join the call with them once `leg` hangs up. Two stars, or
    that they hang up, lead back. Raises `CallRefused`."""
    ringing = asyncio.ensure_future(ring(call))
    try:
        with leg.looping(ringback()):
            await _quiet(leg)
            if not await leg.until_over(asyncio.shield(ringing)):
                return  # nobody had answered yet: the call ends as it would have
        new = ringing.result()
    finally:
        ringing.cancel()
    bridge.leave(leg)
    private = Bridge(leg, new)
    stars = asyncio.Event()
    private.on_stars = lambda who: stars.set() if who is leg else None
    private.connect()
    pressing = asyncio.ensure_future(stars.wait())
    try:
        await asyncio.wait((pressing, leg.over, new.over), return_when=asyncio.FIRST_COMPLETED)
    finally:
        pressing.cancel()
    if leg.ending is not None and new.ending is None:
        with contextlib.suppress(CallRefused):
            call.give_over(leg, new)
            await call.wake()
        return
    private.dissolve()
    gone = new.ending is not None
    new.hang_up("taken back")
    await _quiet(leg)
    if gone:
        await leg.play(await speaker.say(BACK))


async def _quiet(leg: Leg) -> None:
    """Let the last packets of a key pass: they would be taken for another."""
    await leg.digits(MAX_NUMBER, within=TAIL)


async def _number(leg: Leg) -> tuple[str, str]:
    """What is keyed, and the key that ended it; empty when that is nothing."""
    number = ""
    key = await leg.interruption() or await leg.digits(1, within=TO_KEY)
    while key.isdecimal() and len(number) < MAX_NUMBER:
        number += key
        key = await leg.digits(1, within=TO_KEY)
    return number, key or "#"
