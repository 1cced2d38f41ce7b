"""A caller whom nobody takes just now is told so, in words."""

from __future__ import annotations

from pbx.calls.call import Call
from pbx.calls.cause import DECLINED, Ending
from pbx.calls.leg import Leg
from pbx.media.codecs import RATE

MOMENT = bytes(2 * RATE // 4)
"A quarter of a second in which the caller's phone gets ready to listen, and plays what it has."


async def excuse(call: Call, leg: Leg, words: bytes) -> Ending:
    """Say something and hang up; to people, and in the journal, the call was declined."""
    await leg.answer()
    await leg.play(MOMENT + words + MOMENT)
    return Ending(status=603, reason=DECLINED)
