"""linphonec over TLS, its certificate check on, SRTP mandatory."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers import sipp
from tests.peers.baresip import Baresip
from tests.peers.exchange import Config, Exchange, check_journal
from tests.peers.linphone import Linphone
from tests.peers.tone import assert_heard

from .common import HIGH, LOW, SECRET, plain, secure

pytestmark = pytest.mark.interop
NEEDS = ("linphonec", "baresip", "sipp")


def linphone(exchange: Exchange, number: str, tone: int) -> Linphone:
    return Linphone(number, SECRET[number], exchange.tls, ca=exchange.ca, tone=tone)


async def test_calls_and_is_called_by_a_plain_phone() -> None:
    async with Exchange(Config([*secure("101"), *plain("102")])) as exchange:
        async with (
            linphone(exchange, "101", LOW) as soft,
            sipp.registered_callee(exchange.udp, "102", SECRET["102"], tone=HIGH) as callee,
        ):
            await soft.dial("102")
            await soft.established()
            await soft.hears(HIGH)
            await callee.media.wait_packets(50)
            await soft.hangup()
            await callee.finish()
            assert_heard(callee.media.pcm(), LOW, share=0.8)
            assert_heard(await soft.heard(), HIGH, share=0.8)
        check_journal(await exchange.ended_call(), "101", "102")
        async with (
            linphone(exchange, "101", HIGH) as soft,
            sipp.caller(
                exchange.udp, "101", number="102", password=SECRET["102"], tone=LOW, talk=3
            ) as caller,
        ):
            await soft.established()
            await soft.hears(LOW)
            await asyncio.gather(caller.finish(), soft.closed())
            assert_heard(caller.media.pcm(), HIGH, share=0.8)
        check_journal(await exchange.ended_call(), "102", "101")


@pytest.mark.parametrize("linphone_calls", [True, False])
async def test_both_encrypted(linphone_calls: bool) -> None:
    async with Exchange(Config(secure("101", "102"))) as exchange:
        async with (
            linphone(exchange, "101", LOW) as soft,
            Baresip(
                "102", SECRET["102"], exchange.tls, tone=HIGH, transport="tls", srtp="srtp-mand",
                ca=exchange.ca,
            ) as phone,
        ):  # fmt: skip
            if linphone_calls:
                await soft.dial("102")
            else:
                await phone.dial("101")
            await soft.established()
            await phone.established()
            await soft.hears(HIGH)
            await phone.hears(LOW)
            await (phone if linphone_calls else soft).hangup()
            assert_heard(await soft.heard(), HIGH, share=0.8)
            assert_heard(await phone.heard(), LOW, share=0.8)
        call = await exchange.ended_call()
        check_journal(call, *(("101", "102") if linphone_calls else ("102", "101")))
        assert all(leg["srtp"] for leg in call["legs"]), call
