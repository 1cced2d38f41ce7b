"""Extension 600: the caller hears (and sees) themselves, whatever the codec."""

from __future__ import annotations

import secrets

from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg
from pbx.calls.router import ECHO
from pbx.calls.services import Service, Visit
from pbx.media.port import RtpPort


async def echo(visit: Visit) -> Ending:
    """Answer with everything the caller offered and send each packet back."""
    await visit.leg.answer(visit.leg.media.remote)
    return await mirror(visit.call, visit.leg)


ECHO_TEST = Service(number=ECHO, says="sends back what it hears", app=echo)


async def mirror(call: Call, leg: Leg) -> Ending:
    """Let somebody on the line hear themselves."""
    for port in leg.media.ports:
        if port is not None:
            _reflect(port)
    call.answered()
    return await leg.ended()


def _reflect(port: RtpPort) -> None:
    """Send back under an SSRC of our own: seeing its own one a phone suspects a loop
    (RFC 3550 §8.2)."""
    ssrc = secrets.token_bytes(4)
    port.sink = lambda data: port.send(data[:8] + ssrc + data[12:])
