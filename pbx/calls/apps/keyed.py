"""What somebody keys: a PIN, a number, up to a hash."""

from __future__ import annotations

from pbx.calls.leg import Leg, LegOver
from pbx.media.codecs import RATE

PATIENCE = 10.0
"Seconds until the first key, and then until the next one."


async def keyed(leg: Leg, prompt: bytes, longest: int) -> str:
    """The digits pressed before # or a pause, `longest` and one more at most; a star begins anew.
    Keys need not wait for the end of the prompt. Raises `LegOver`."""
    leg.audio.play(prompt)
    keys = ""
    patience = PATIENCE + len(prompt) / 2 / RATE
    while len(keys) <= longest:
        pressed = ""

        async def press(within: float = patience) -> None:
            nonlocal pressed
            pressed = await leg.digits(1, within=within)

        if not await leg.until_over(press()):
            raise LegOver(leg.over.result())
        leg.audio.stop()
        if pressed in ("#", ""):
            break
        keys = "" if pressed == "*" else keys + pressed
        patience = PATIENCE
    return keys
