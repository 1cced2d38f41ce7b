"""Stock pyVoIP 1.6.8 as a phone: registers, is called, calls."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers import sipp
from tests.peers.exchange import Config, Exchange, check_journal
from tests.peers.pyvoip_phone import PyVoipPhone
from tests.peers.tone import assert_heard

from .common import HIGH, LOW, SECRET, plain

pytestmark = pytest.mark.interop
NEEDS = ("sipp",)
NEEDS_MODULES = ("pyVoIP",)


async def test_is_called() -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with (
            PyVoipPhone("102", SECRET["102"], exchange.udp, tone=HIGH) as phone,
            sipp.caller(
                exchange.udp, "102", number="101", password=SECRET["101"], tone=LOW, talk=2.5
            ) as caller,
        ):
            await phone.established()
            await asyncio.gather(caller.finish(), phone.closed())
            assert_heard(caller.media.pcm(), HIGH, share=0.8)
            assert_heard(await phone.heard(), LOW, share=0.8)
        check_journal(await exchange.ended_call(), "101", "102")


@pytest.mark.parametrize("phone_hangs_up", [True, False])
async def test_calls(phone_hangs_up: bool) -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with (
            sipp.registered_callee(
                exchange.udp, "101", SECRET["101"], tone=HIGH, talk=2.5,
                hangs_up=not phone_hangs_up,
            ) as callee,
            PyVoipPhone("102", SECRET["102"], exchange.udp, tone=LOW) as phone,
        ):  # fmt: skip
            await phone.dial("101")
            await phone.established()
            if phone_hangs_up:
                await callee.media.wait_packets(100)
                await phone.hangup()
            await callee.finish()
            await phone.closed()
            assert_heard(callee.media.pcm(), LOW, share=0.8)
            assert_heard(await phone.heard(), HIGH, share=0.8)
        check_journal(await exchange.ended_call(), "102", "101")


async def test_hears_its_echo() -> None:
    async with Exchange(Config(plain("102"))) as exchange:
        async with PyVoipPhone("102", SECRET["102"], exchange.udp, tone=LOW) as phone:
            await phone.dial("600")
            await phone.established()
            await phone.hears(2)
            await phone.hangup()
            await phone.closed()
            assert_heard(await phone.heard(), LOW, share=0.8)
        check_journal(await exchange.ended_call(), "102", "600", legs=1)
