"""The ordinary call: ring targets for a caller and bridge them with whoever answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pbx.calls.bridge import Bridge
from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg, Target
from pbx.media.sdp import SdpError, SessionDescription


async def connect(
    call: Call,
    leg: Leg,
    targets: Sequence[Target],
    offered: SessionDescription | None,
    *,
    ring_timeout: float,
) -> Ending:
    """Carry the caller's offer to all targets and the first answer back. Where there is no
    offer yet, ours goes out and the caller answers last. A single target's early media is heard
    too. Raises `CallRefused` when nobody answers."""

    def on_early(other: Leg) -> None:
        if other.early is None or len(targets) > 1 or offered is None:
            leg.ring()
            return
        try:
            leg.progress(leg.media.answer(other.early))
        except SdpError:
            leg.ring()
        else:
            Bridge(leg, other).connect()

    dialling = asyncio.ensure_future(
        call.dial(targets, ring_timeout=ring_timeout, like=offered, on_early=on_early)
    )
    try:
        if not await leg.until_over(asyncio.shield(dialling)):
            return leg.ending or Ending(status=487, reason="cancelled", by_peer=True)
        other = dialling.result()
    finally:
        dialling.cancel()
    await leg.answer(other.media.remote)
    return await call.join(leg, other)
