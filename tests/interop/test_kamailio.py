"""Kamailio as the telephone company: we register there, call out, are called; the main sentence."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers import sipp
from tests.peers.baresip import Baresip
from tests.peers.exchange import Config, Exchange, Trunk, check_journal
from tests.peers.kamailio import Kamailio
from tests.peers.tone import assert_heard

from .common import HIGH, LOW, OUTSIDE, SECRET, US, plain

pytestmark = pytest.mark.interop
NEEDS = ("kamailio", "sipp", "baresip")
SENTENCE = "Call the number +1 202 555 0143 from the USA zone number, then call me back on 101"


def carrier(network: tuple[str, int], **options: object) -> Kamailio:
    return Kamailio({"account": "word"}, network=network, dids={US: "account"}, **options)  # type: ignore[arg-type]


def config(company: Kamailio) -> Config:
    host, port = company.access
    trunk = Trunk("company", host, port, [US], username="account", password="word", register=True)
    return Config(plain("101", "102"), [trunk], {US: "101"})


@pytest.mark.parametrize("challenge", [401, 407])
async def test_registers_and_calls_out(challenge: int) -> None:
    async with (
        sipp.callee("network", tone=HIGH) as outside,
        carrier(outside.address, challenge=challenge) as company,
        Exchange(config(company)) as exchange,
    ):
        await company.registered("account")
        async with sipp.caller(
            exchange.udp, OUTSIDE, number="102", password=SECRET["102"], tone=LOW, talk=2
        ) as caller:
            await asyncio.gather(caller.finish(), outside.finish())
            assert_heard(caller.media.pcm(), HIGH)
            assert_heard(outside.media.pcm(), LOW)
            invite = await outside.received("INVITE")
            assert invite.start.startswith(f"INVITE sip:{OUTSIDE}@"), invite.start
            assert US.lstrip("+") in invite.header("From")
            assert SECRET["102"] not in invite.text
            assert "secret" not in invite.text
        check_journal(await exchange.ended_call(), "102", OUTSIDE.lstrip("+"))


@pytest.mark.parametrize("did_in_uri", [True, False])
@pytest.mark.parametrize("phone_hangs_up", [True, False])
async def test_is_called(did_in_uri: bool, phone_hangs_up: bool) -> None:
    async with (
        carrier(("127.0.0.1", 9), did_in_uri=did_in_uri) as company,
        Exchange(config(company)) as exchange,
        Baresip("101", SECRET["101"], exchange.udp, tone=HIGH) as phone,
    ):
        await company.registered("account")
        async with sipp.caller(
            company.network_side, US, number=OUTSIDE, tone=LOW, talk=2.5,
            callee_hangs_up=phone_hangs_up,
        ) as outside:  # fmt: skip
            await phone.established()
            await phone.hears(LOW)
            if phone_hangs_up:
                await phone.hangup()
            await asyncio.gather(outside.finish(), phone.closed())
            assert_heard(outside.media.pcm(), HIGH)
            incoming = await phone.wait("CALL_ESTABLISHED")
            assert OUTSIDE.lstrip("+") in incoming["peeruri"]
        check_journal(await exchange.ended_call(), OUTSIDE.lstrip("+"), US.lstrip("+"))


async def test_registration_is_withdrawn_at_the_end() -> None:
    async with carrier(("127.0.0.1", 9)) as company:
        async with Exchange(config(company)):
            await company.registered("account")
        await company.process.wait_line("peer: unregistered account")


async def test_the_sentence_places_two_calls_and_joins_them() -> None:
    async with (
        sipp.callee("network", tone=HIGH, ring=0.3) as outside,
        carrier(outside.address) as company,
        Exchange(config(company)) as exchange,
        Baresip("101", SECRET["101"], exchange.udp, tone=LOW) as phone,
    ):
        await company.registered("account")
        reply = await exchange.say(SENTENCE)
        assert reply
        await outside.answered()
        await phone.established()
        await phone.hears(HIGH)
        since = len(outside.media.packets)
        await outside.media.wait_packets(75)
        await phone.hangup()
        await outside.finish()
        assert_heard(outside.media.pcm(since), LOW)
        assert_heard(await phone.heard(), HIGH, seconds=1.5, share=0.5)
        assert US.lstrip("+") in (await outside.received("INVITE")).header("From")
        check_journal(await exchange.ended_call())
