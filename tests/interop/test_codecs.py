"""A phone we did not write and one that shares no codec with it: the exchange transcodes."""

from __future__ import annotations

import asyncio

import pytest

from encryptotel.demo.phone import Phone, plays
from pbx.media.codecs import G722, OPUS, PCMA, Codec
from pbx.media.srtp import SrtpPolicy
from pbx.media.tones import share_of, tone
from pbx.sip.digest import Credentials
from tests.interop.common import HIGH, LOW, SECRET, plain
from tests.peers import ports
from tests.peers.baresip import Baresip
from tests.peers.exchange import Config, Exchange, check_journal

pytestmark = pytest.mark.interop
NEEDS = ("baresip",)
SECOND = 16_000
"Bytes of PCM."
WIDE = pytest.mark.parametrize("codec", ["G722/16000/1", "opus/48000/2"])


async def headless(exchange: Exchange, codec: Codec) -> Phone:
    """Extension 102: answers, plays the high tone, speaks one codec only."""
    first = ports.free_range(20)
    phone = Phone(
        plays(tone(1, float(HIGH))), rtp_ports=(first, first + 18), ring_seconds=0.1,
        srtp=SrtpPolicy.OFF, codecs=[codec],
    )  # fmt: skip
    await phone.listen()
    account = Credentials(username="102", secret=SECRET["102"])
    assert await phone.register(exchange.udp, account, "encryptotel.local") == 200
    return phone


async def hears(phone: Phone, hertz: float) -> None:
    """Wait until the headless phone has heard nothing else for 1.5 s."""
    phone.heard.clear()
    size = 3 * SECOND // 2
    async with asyncio.timeout(15):
        await phone.until_heard(
            lambda heard: len(heard) >= size and share_of(bytes(heard[-size:]), hertz) >= 0.9
        )


@WIDE
async def test_a_wideband_phone_and_a_narrowband_one(codec: str) -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with Baresip("101", SECRET["101"], exchange.udp, tone=LOW, codec=codec) as baresip:
            phone = await headless(exchange, PCMA)
            await baresip.dial("102")
            await baresip.established()
            assert phone.legs[0].media.codec is PCMA
            await baresip.hears(HIGH)
            await hears(phone, LOW)
            await baresip.hangup()
            await baresip.closed()
            await phone.stop()
        call = await exchange.ended_call()
        check_journal(call, "101", "102")
        names = {leg["codec"].lower() for leg in call["legs"]}
        assert names == {codec.lower().replace("16000/1", "8000"), "pcma/8000"}


@WIDE
async def test_a_narrowband_phone_calls_a_wideband_one(codec: str) -> None:
    async with (
        Exchange(Config(plain("101", "102"))) as exchange,
        Baresip("101", SECRET["101"], exchange.udp, tone=LOW, codec=codec) as baresip,
    ):
        phone = await headless(exchange, PCMA)
        leg = await phone.call("101")
        await baresip.established()
        assert leg.media.codec is PCMA
        await baresip.hears(HIGH)
        await hears(phone, LOW)
        leg.hang_up()
        await baresip.closed()
        await phone.stop()


@pytest.mark.parametrize(("codec", "other"), [("G722/16000/1", OPUS), ("opus/48000/2", G722)])
async def test_two_wideband_phones_without_a_common_codec(codec: str, other: Codec) -> None:
    async with (
        Exchange(Config(plain("101", "102"))) as exchange,
        Baresip("101", SECRET["101"], exchange.udp, tone=LOW, codec=codec) as baresip,
    ):
        phone = await headless(exchange, other)
        await baresip.dial("102")
        await baresip.established()
        await baresip.hears(HIGH)
        await hears(phone, LOW)
        await baresip.hangup()
        await baresip.closed()
        await phone.stop()


async def test_keys_of_a_wideband_phone_reach_a_narrowband_one() -> None:
    async with (
        Exchange(Config(plain("101", "102"))) as exchange,
        Baresip("101", SECRET["101"], exchange.udp, tone=LOW, codec="opus/48000/2") as baresip,
    ):
        phone = await headless(exchange, PCMA)
        await baresip.dial("102")
        await baresip.established()
        await baresip.hears(HIGH)
        await baresip.digits("159#")
        assert await phone.legs[0].digits(4, within=10) == "159#"
        for key in "20*":
            phone.legs[0].audio.send_digit(key)
        await baresip.events.wait(
            lambda event: event["type"] == "CALL_DTMF_START" and event["param"] == "*",
            what="the key *",
        )
        started = [e["param"] for e in baresip.events.items if e["type"] == "CALL_DTMF_START"]
        assert "".join(started) == "20*"
        await baresip.hangup()
        await baresip.closed()
        await phone.stop()
