"""Menus for callers from a trunk, with SIPp as the carrier, and for baresip: keys by RFC 4733."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import pytest

from pbx.media.codecs import RATE
from pbx.media.speech import Speaker
from tests.hearing import match
from tests.peers import ports, sipp
from tests.peers.exchange import Config, Exchange, Trunk
from tests.peers.tone import assert_heard

from .common import HIGH, LOW, OUTSIDE, SECRET, US, plain

pytestmark = pytest.mark.interop

PROMPTS = {
    "welcome": "Welcome. For support, press 2.",
    "support": "Support. For a person, press 1.",
}
MENUS = """\
[menu.main]
number = "800"
sound = "welcome.wav"
default = "hang up"

[[menu.main.choice]]
key = "2"
to = "menu support"

[menu.support]
sound = "support.wav"
default = "hang up"

[[menu.support.choice]]
key = "1"
to = "extension 101"
"""


async def test_a_carriers_caller_keys_through_menus_to_a_phone(tmp_path: Path) -> None:
    (tmp_path / "menus.toml").write_text(MENUS)
    port = ports.free_port()
    config = Config(
        plain("101"),
        [Trunk("static", ports.HOST, port, [US])],
        {US: "800"},
        extra={"menus": {"file": str(tmp_path / "menus.toml")}},
    )
    sounds = {name: await Speaker().say(text) for name, text in PROMPTS.items()}
    for name, pcm in sounds.items():
        write_wav(tmp_path / f"{name}.wav", pcm)
    async with Exchange(config) as exchange:
        async with (
            sipp.registered_callee(exchange.udp, "101", SECRET["101"], tone=HIGH) as phone,
            sipp.caller(exchange.udp, US, number=OUTSIDE, tone=LOW, talk=20, port=port) as outside,
        ):
            await outside.answered()
            await _hears(outside, sounds["welcome"])
            outside.media.send_digits("2")
            await _hears(outside, sounds["support"])
            outside.media.send_digits("1")
            await phone.answered()
            await asyncio.gather(outside.finish(), phone.finish())
            assert_heard(outside.media.pcm()[-16_000:], HIGH)
            assert_heard(phone.media.pcm(), LOW)
        assert await exchange.ended_call()


def write_wav(file: Path, pcm: bytes) -> None:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(pcm)


async def _hears(phone: sipp.Sipp, prompt: bytes) -> None:
    """Wait until the first second of a prompt was heard."""
    beginning = prompt[: 2 * RATE]
    async with asyncio.timeout(15):
        while match(phone.media.pcm().tobytes(), beginning) < 0.8:
            await phone.media.wait_packets(25)
