"""Somebody is told something and answers with a key."""

from __future__ import annotations

import asyncio

from pbx.calls.apps.accept import PAUSE, accepted
from pbx.calls.apps.excuse import MOMENT
from pbx.calls.leg import Leg, LegOver
from pbx.media.codecs import RATE
from pbx.ports import CallRefused

TIMES = 3
"So often it is said to somebody who presses no key."
MAX_REPEATS = 10
"So often somebody may ask for it again."


async def tell(leg: Leg, words: bytes, keys: str, repeat: str = "") -> str:
    """Say words until one of `keys` is pressed; which, or nothing when they were said often enough
    or the other side hung up. The key `repeat` begins anew."""
    try:
        await leg.play(MOMENT)
        for _ in range(MAX_REPEATS):
            async with asyncio.timeout(TIMES * len(words + PAUSE) / (2 * RATE)):
                key = await accepted(leg, words, keys + repeat)
            leg.audio.stop()
            if key != repeat:
                return key
    except (TimeoutError, CallRefused, LegOver):
        pass
    return ""
