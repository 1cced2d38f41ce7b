"""Extension 600: the caller hears (and sees) themselves, whatever the codec."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg, Target
from pbx.media.port import RtpPort


async def echo(call: Call, leg: Leg) -> Ending:
    """Answer with everything the caller offered and send each packet back."""
    await leg.answer(leg.media.remote)
    return await _mirror(call, leg)


async def call_and_echo(call: Call, targets: Sequence[Target], *, ring_timeout: float) -> Ending:
    """Ring somebody and let them hear themselves. Raises `CallRefused` if they do not answer."""
    return await _mirror(call, await call.dial(targets, ring_timeout=ring_timeout))


async def _mirror(call: Call, leg: Leg) -> Ending:
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
