"""Video between real phones, told apart by the colour of what they film."""

from __future__ import annotations

import asyncio
from pathlib import Path

import av
import numpy as np
import pytest

from tests.calls.cameras import COLOURS
from tests.peers.baresip import Baresip
from tests.peers.exchange import Config, Exchange, check_journal

from .common import HIGH, LOW, SECRET, plain

pytestmark = pytest.mark.interop
NEEDS = ("baresip",)


def film(folder: Path, colour: str) -> Path:
    """Two seconds of one colour, with something moving in it."""
    path = folder / f"{colour}.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(30):
            picture = np.empty((240, 320, 3), np.uint8)
            picture[:] = COLOURS[colour]
            picture[:20, number * 10 : number * 10 + 20] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


async def shows(phone: Baresip, colour: str, within: float = 15) -> None:
    """Wait until a phone's screen is of a colour."""
    async with asyncio.timeout(within):
        while True:
            paint = (await phone.picture()).reshape(-1, 3).astype(float).mean(axis=0)
            near = {name: np.abs(np.array(rgb) - paint).sum() for name, rgb in COLOURS.items()}
            if min(near, key=lambda name: near[name]) == colour and near[colour] < 120:
                return


def phone(
    exchange: Exchange, number: str, codec: str, colour: str, folder: Path, tone: int = 0
) -> Baresip:
    return Baresip(
        number, SECRET[number], exchange.udp, tone=tone, video=codec, film=film(folder, colour)
    )


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_two_phones_see_and_hear_each_other(tmp_path: Path, codec: str) -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with (
            phone(exchange, "101", codec, "red", tmp_path, LOW) as one,
            phone(exchange, "102", codec, "blue", tmp_path, HIGH) as other,
        ):
            await one.dial("102")
            await asyncio.gather(one.established(), other.established())
            await asyncio.gather(shows(one, "blue"), shows(other, "red"))
            await asyncio.gather(one.hears(HIGH), other.hears(LOW))
            await one.hangup()
            await other.closed()
        check_journal(await exchange.ended_call(), "101", "102")


async def test_a_phone_without_video_is_heard(tmp_path: Path) -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with (
            phone(exchange, "101", "H264", "red", tmp_path, LOW) as one,
            Baresip("102", SECRET["102"], exchange.udp, tone=HIGH) as other,
        ):
            await one.dial("102")
            await asyncio.gather(one.established(), other.established())
            await asyncio.gather(one.hears(HIGH), other.hears(LOW))
            await one.hangup()
            await other.closed()
        check_journal(await exchange.ended_call(), "101", "102")


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_a_broadcast(tmp_path: Path, codec: str) -> None:
    """Whoever comes late sees as well; nobody sees those who watch."""
    config = Config(
        plain("101", "102", "103"),
        tables={"broadcast": [{"number": "620", "name": "The door", "sender": "101"}]},
    )
    async with (
        Exchange(config) as exchange,
        phone(exchange, "101", codec, "red", tmp_path, LOW) as door,
        phone(exchange, "102", codec, "blue", tmp_path) as first,
        phone(exchange, "103", codec, "green", tmp_path) as late,
    ):
        await door.dial("620")
        await door.established()
        await first.dial("620")
        await first.established()
        await asyncio.gather(shows(first, "red"), first.hears(LOW))
        await late.dial("620")
        await late.established()
        await asyncio.gather(shows(late, "red"), shows(first, "red"), late.hears(LOW))
        said = await exchange.say("who is watching?")
        assert "shown by Extension 101 (101)" in said
        assert "Extension 102 (102), Extension 103 (103)" in said
        with pytest.raises(TimeoutError):
            await door.picture(2)
        await first.hangup()
        await asyncio.gather(shows(late, "red"), late.hears(LOW))
        assert "102" not in await exchange.say("who is watching?")
