"""Whoever answers takes a call with a key: a mailbox or a child cannot."""

from __future__ import annotations

import asyncio

from pbx.calls.leg import Leg
from pbx.media.codecs import RATE
from pbx.ports import CallRefused

PAUSE = bytes(2 * RATE * 3 // 2)
"Between two times the words are said: a second and a half."


async def accepted(leg: Leg, words: bytes, keys: str) -> str:
    """Say words over and over until one of `keys` is pressed; which. Raises `CallRefused` when
    they hang up instead; how long is the caller's business."""
    with leg.looping(words + PAUSE):
        pressing = asyncio.ensure_future(_press(leg, keys))
        try:
            if not await leg.until_over(asyncio.shield(pressing)):
                raise CallRefused(480, "nobody took the call there")
            return pressing.result()
        finally:
            pressing.cancel()


async def _press(leg: Leg, keys: str) -> str:
    while (key := await leg.digit()) not in keys:
        pass
    return key
