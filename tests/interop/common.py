"""What all interop tests share: the extensions, and the tones by which sides are told apart."""

from __future__ import annotations

import asyncio
from typing import Any

from pbx.media.speech import Speaker
from tests.hearing import holds, pieces
from tests.peers.baresip import Baresip
from tests.peers.exchange import Exchange, Extension
from tests.peers.tone import read_wav

LOW, HIGH, THIRD = 440, 660, 880  # Hz: the caller's tone, the callee's tone, somebody else's
SECRET = {str(number): f"secret-{number}" for number in range(101, 105)}
US = "+12025550100"  # our number on the test trunk
OUTSIDE = "+12025550143"  # somebody in the telephone network


def plain(*numbers: str) -> list[Extension]:
    """Extensions whose media is not encrypted."""
    return [Extension(number, SECRET[number]) for number in numbers]


def secure(*numbers: str) -> list[Extension]:
    """Extensions whose media must be encrypted."""
    return [Extension(number, SECRET[number], srtp="require") for number in numbers]


def phone(exchange: Exchange, number: str, tone: int, **options: Any) -> Baresip:
    """An extension's baresip, over UDP."""
    return Baresip(number, SECRET[number], exchange.udp, tone=tone, **options)


async def heard_by(phone: Baresip, words: str) -> None:
    """Wait until a phone has heard the exchange say something, the first three seconds of it."""
    wanted = pieces((await Speaker().say(words))[: 3 * 16_000])
    async with asyncio.timeout(25):
        while not phone.recordings() or not holds(_sound(phone), wanted):  # noqa: ASYNC110
            await asyncio.sleep(0.3)


def _sound(phone: Baresip) -> bytes:
    pcm, _ = read_wav(phone.recordings()[-1])
    return pcm.astype("<i2").tobytes()
