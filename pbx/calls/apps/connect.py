"""The ordinary call: ring somebody for a caller and bridge them with whoever answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from pbx.calls.bridge import Bridge
from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg
from pbx.media.sdp import SdpError

Dial = Callable[[Callable[[Leg], None]], Coroutine[Any, Any, Leg]]
"Rings, and gives who answered; told what to do when a far side rings."


async def connect(call: Call, leg: Leg, dial: Dial, *, early: bool) -> Ending:
    """Let a caller wait for whoever `dial` gets, carry the first answer back, and let both talk.
    With `early` what the far side plays while it rings is heard too. Raises `CallRefused` when
    nobody answers."""

    async def carry_early(other: Leg) -> None:
        try:
            body = await leg.answer_with(other.early)
        except (SdpError, OSError):
            leg.ring()
        else:
            leg.progress(body)
            if not leg.answered:
                Bridge(leg, other, call.privacy).connect()

    carrying: list[asyncio.Task[None]] = []

    def on_early(other: Leg) -> None:
        if other.early is None or not early or leg.answered:
            leg.ring()
        else:
            carrying.append(asyncio.ensure_future(carry_early(other)))

    dialling = asyncio.ensure_future(dial(on_early))
    try:
        if not await leg.until_over(asyncio.shield(dialling)):
            return leg.ending or Ending(status=487, reason="cancelled", by_peer=True)
        other = dialling.result()
    finally:
        dialling.cancel()
        for one in carrying:
            one.cancel()
    await leg.answer(other.media.remote)
    return await call.join(leg, other)
