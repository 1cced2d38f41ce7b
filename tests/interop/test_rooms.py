"""Phones of three makers, each with a codec and a way of encrypting of its own, in one room."""

from __future__ import annotations

import asyncio

import pytest

from encryptotel.demo.phone import Phone
from pbx.media.codecs import OPUS
from pbx.media.srtp import SrtpPolicy
from pbx.sip.digest import Credentials
from tests.calls.test_transfer import tells
from tests.interop.common import HIGH, LOW, SECRET, plain, secure
from tests.office import quiet
from tests.peers import ports
from tests.peers.baresip import Baresip
from tests.peers.exchange import Config, Exchange
from tests.peers.linphone import Linphone

pytestmark = pytest.mark.interop
NEEDS = ("baresip", "linphonec")
PIN = "246810"


async def listener(exchange: Exchange) -> Phone:
    """Extension 103: says nothing, speaks Opus only."""
    first = ports.free_range(20)
    phone = Phone(quiet, rtp_ports=(first, first + 18), srtp=SrtpPolicy.OFF, codecs=[OPUS])
    await phone.listen()
    account = Credentials(username="103", secret=SECRET["103"])
    assert await phone.register(exchange.udp, account, "encryptotel.local") == 200
    return phone


async def test_three_makers_meet_in_a_room() -> None:
    room = {"number": "800", "name": "Team", "pin": PIN, "owner": "101"}
    config = Config([*secure("101"), *plain("102", "103")], rooms=[room])
    async with (
        Exchange(config) as exchange,
        Linphone("101", SECRET["101"], exchange.tls, ca=exchange.ca, tone=LOW) as owner,
        Baresip("102", SECRET["102"], exchange.udp, tone=HIGH, codec="G722/16000/1") as guest,
    ):
        await owner.dial("800")
        await owner.established()
        await guest.dial("800")
        await guest.established()
        await asyncio.sleep(1)  # as long as people take to press the first key
        await guest.digits(PIN + "#")
        await owner.hears(HIGH / 6, within=25)  # in Opus: its file has 48 kHz, and is read as 8
        await guest.hears(LOW, within=25)
        third = await listener(exchange)
        leg = await third.call("800")
        await asyncio.sleep(1)
        for key in PIN + "#":
            leg.audio.send_digit(key)
        async with asyncio.timeout(25):
            await third.until_heard(lambda _: tells(third, LOW, HIGH))
        await third.stop()
        await guest.hangup()
        await owner.hangup()
