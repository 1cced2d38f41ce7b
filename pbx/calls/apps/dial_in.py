"""Somebody who was told of a conference is taken there: its number is dialled, its keys pressed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg
from pbx.media.tones import ringback

COMMA, KEY = 2.0, 0.3
"Seconds that a comma means, as telephones have it, and that a key takes with the pause behind it."


async def dial_in(call: Call, leg: Leg, ringing: Awaitable[Leg], keys: str) -> Ending:
    """Ring a conference, press keys there, and join. Raises `CallRefused` when nobody answers."""
    with leg.looping(ringback()):
        other = await ringing
        for key in keys:
            if key != ",":
                other.audio.send_digit(key)
            await other.until_over(asyncio.sleep(COMMA if key == "," else KEY))
    return await call.join(leg, other)
