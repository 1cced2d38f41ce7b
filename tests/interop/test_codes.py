"""A code that is said on a phone which we did not write is what somebody would write down who heard
it: a recogniser does, from what the phone recorded, and what it wrote is approved."""

from __future__ import annotations

import ssl
from itertools import islice, product

import httpx
import numpy as np
import pytest

from encryptotel.ivr.recognisers import PocketSphinx
from tests.peers.exchange import WEB, Config, Exchange
from tests.peers.tone import read_wav

from .common import LOW, phone, plain

pytestmark = pytest.mark.interop
NEEDS = ("baresip",)
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
UNSURE = {"eight": "68", "six": "68"}
"The recogniser takes the six of this voice for an eight: either may have been said."
LENGTH, TRIES, CODES = 4, 5, 3
FRAME = 160
"Samples of 20 ms."
PAUSE, AROUND = 12, 8
"Frames of silence between two digits, at least; and those left around each."


def cut(sound: bytes) -> list[bytes]:
    """A sound at its pauses."""
    samples = np.frombuffer(sound, "<i2").astype(float)
    frames = samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME)
    loud = np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > 150)
    ends = np.flatnonzero(np.diff(loud) > PAUSE)
    begins = [loud[0], *loud[ends + 1]]
    return [
        frames[max(0, begin - AROUND) : end + AROUND].astype("<i2").tobytes()
        for begin, end in zip(begins, [*loud[ends], loud[-1]], strict=True)
    ]


def written_down(sound: bytes) -> list[str]:
    """The digits of each word that was heard as one, as often as the code was said."""
    recogniser = PocketSphinx()
    heard = [recogniser.hear(word, DIGITS) for word in cut(sound)]
    return [UNSURE.get(word, str(DIGITS.index(word))) for word in heard if word]


async def test_a_code_is_understood_from_the_sound_of_a_phone() -> None:
    config = Config(plain("101", "102"), extra=WEB)
    async with Exchange(config) as exchange, phone(exchange, "102", LOW) as bob:
        made = await exchange.cli("key add", "101", "Shop", "--scopes", "verify")
        async with httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{exchange.address('web')[1]}/v1",
            verify=ssl.create_default_context(cafile=exchange.ca),
            headers={"authorization": f"Bearer {made['key']}"},
        ) as client:
            for _ in range(CODES):  # one that was not understood is asked for anew, as people do
                order = {"to": "102", "by": "call", "length": LENGTH}
                since = len(bob.events.items)
                sent = (await client.post("/verifications", json=order)).json()
                await bob.closed(within=40, since=since)
                pcm, rate = read_wav(await bob.heard())
                assert rate == 8_000
                digits = written_down(pcm.astype("<i2").tobytes())
                if len(digits) != 2 * LENGTH:
                    continue  # a word was missed
                heard = [
                    "".join(dict.fromkeys(once + again))
                    for once, again in zip(digits[:LENGTH], digits[LENGTH:], strict=True)
                ]
                for guess in islice(product(*heard), TRIES):
                    tried = {"code": "".join(guess)}
                    answer = await client.post(f"/verifications/{sent['id']}/check", json=tried)
                    if answer.json()["state"] == "approved":
                        return
        raise AssertionError("no code was understood")
