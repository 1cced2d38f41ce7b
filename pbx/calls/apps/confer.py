"""A conference that is called together: everybody is rung at once and comes in as they answer."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence

from pbx.calls.apps.callback import Party
from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.ports import CallRefused


async def confer(call: Call, parties: Sequence[Party]) -> Ending:
    """Run the whole conference. Raises `CallRefused` when fewer than two came."""
    conference = call.confer()
    bringing = [bring(call, party) for party in parties]
    try:
        await conference.over()
    finally:
        for task in bringing:
            task.cancel()
    if call.answered_at is None:
        raise CallRefused(480, "nobody else came")
    return Ending(status=200, reason="")


def bring(call: Call, party: Party) -> asyncio.Task[bool]:
    """Ring somebody and let them in; tells why not if they do not come. Whether they came."""
    call.confer().expect(1)  # at once: until they are there it must not look empty
    return asyncio.ensure_future(_bring(call, party))


async def _bring(call: Call, party: Party) -> bool:
    conference = call.confer()
    try:
        leg = await party.ring(call)
        if call.ending is not None or leg.ending is not None:
            leg.hang_up()
            return False
        try:
            conference.add(leg)
        except CallRefused as refused:
            leg.hang_up(refused.reason)
            raise
        call.left.discard(leg.peer)
        if len(conference.legs) > 1:
            call.answered()
    except CallRefused as refused:
        call.notice(f"{party.label}: {refused.reason}.")
        traceback.clear_frames(refused.__traceback__)  # they hold the call in a circle
        return False
    finally:
        conference.expect(-1)
    return True
