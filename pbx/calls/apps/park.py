"""Parking a call, and taking one that is parked or rings at somebody else's phone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg
from pbx.calls.parking import Parked, Parking
from pbx.calls.services import Visit
from pbx.media.music import hold_music
from pbx.ports import CallRefused

PATIENCE = 180.0
"Seconds until a parked call goes back to who parked it."


def park(
    call: Call,
    leg: Leg,
    parking: Parking,
    place: str,
    ring_back: Callable[[Call, str], Awaitable[Leg]],
) -> Parked:
    """Let the other side of `leg` wait in a place; `leg` itself is let go and stays. `ring_back`
    rings who parked it when nobody takes it. Raises `CallRefused`."""
    other = call.other_side(leg)
    parked = parking.park(other, leg.peer, place)
    call.part(leg, lambda: _wait(call, parked, parking, ring_back))
    return parked


async def _wait(
    call: Call,
    parked: Parked,
    parking: Parking,
    ring_back: Callable[[Call, str], Awaitable[Leg]],
) -> Ending:
    leg = parked.leg
    try:
        with leg.looping(hold_music()):
            try:
                async with asyncio.timeout(PATIENCE):
                    there = await leg.until_over(asyncio.shield(parked.taken))
            except TimeoutError:
                parking.leave(parked)
                ringing = asyncio.ensure_future(ring_back(call, parked.by))
                try:
                    there = await leg.until_over(asyncio.shield(ringing))
                    if there:
                        parked.taken.set_result(ringing.result())
                finally:
                    ringing.cancel()
    finally:
        parking.leave(parked)
        if not parked.taken.done():
            parked.taken.cancel()
    if not there:
        return leg.ending or Ending(status=200, reason="")
    taker = parked.taken.result()
    call.came(parked.by, taker)
    return await call.join(leg, taker)


async def take_parked(visit: Visit, parking: Parking) -> Ending:
    """Have the call that waits in the place that was dialled. Raises `CallRefused` when none
    does."""
    parked = parking.parked(visit.dialled)
    if parked is None or parked.taken.done():
        raise CallRefused(404, "nobody is parked there")
    call = parked.leg.listener
    assert isinstance(call, Call)
    await visit.leg.answer()
    if visit.leg.ending is not None:
        return visit.leg.ending
    if parked.taken.done():  # somebody was faster while our phone agreed
        raise CallRefused(404, "nobody is parked there")
    visit.call.hand_over(visit.leg, call)
    parked.taken.set_result(visit.leg)
    return Ending(status=200, reason="took a parked call")


async def pick_up(visit: Visit, call: Call, rung: str) -> Ending:
    """Have a call that rings at the phone of `rung`. Raises `CallRefused` when it rings no
    more."""
    await visit.leg.answer()
    if visit.leg.ending is not None:
        return visit.leg.ending
    call.pick_up(visit.leg, rung)
    visit.call.hand_over(visit.leg, call)
    call.came(rung, visit.leg)
    return Ending(status=200, reason="picked up")
