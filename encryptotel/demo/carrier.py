"""A toy telephone network in the same program: any number answers, speaks, and echoes.

It is a SIP trunk over a real socket like any other, so everything but the people behind it is
as it would be. Not for the public network.
"""

from __future__ import annotations

from encryptotel.demo.phone import Behaviour, Phone
from pbx.calls.leg import Leg
from pbx.media.speech import Speaker
from pbx.media.tones import tone
from pbx.ports import Trunk
from pbx.sip.transport import Address

LINES = (("US", "+12025550100"), ("UK", "+442079460100"), ("DE", "+493023125100"))
"Zone and number of each line of the demo carrier; the numbers are reserved for fiction."


def answers(speaker: Speaker, then: Behaviour) -> Behaviour:
    """Say which number was reached, beep, and go on with `then`."""

    async def behave(phone: Phone, leg: Leg) -> None:
        number = phone.called[-1] if phone.called else ""
        digits = " ".join(number.removeprefix("+"))
        greeting = await speaker.say(
            f"This is the demo carrier. You called {digits}. After the tone you hear yourself."
        )
        await leg.play(greeting + tone(0.4, 1000.0))
        await then(phone, leg)

    return behave


async def echoes(phone: Phone, leg: Leg) -> None:
    """Send back what is heard until the call ends."""
    hear = leg.audio.on_frame

    def both(frame: bytes) -> None:
        hear(frame)
        leg.audio.play_live(frame)

    leg.audio.on_frame = both
    await leg.ended()


def trunks(address: Address) -> list[Trunk]:
    """One trunk a line, all leading to the carrier at `address`."""
    return [
        Trunk(
            name=f"demo-{zone.lower()}",
            zone=zone,
            host=address[0],
            port=address[1],
            numbers=(number,),
        )
        for zone, number in LINES
    ]
