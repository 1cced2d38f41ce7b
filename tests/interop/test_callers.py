"""What a person has done with callers, seen by telephones that we did not write: strangers say
their names, calls are passed on by keys, numbers count what they bring, and two people talk without
seeing each other's number. All of it is ordered in the chat or by keys."""

from __future__ import annotations

import asyncio

import pytest

from pbx.calls.apps.ask import QUESTION
from pbx.calls.apps.consult import ASK
from pbx.media.codecs import RATE
from pbx.media.speech import Speaker
from tests.hearing import holds, pieces
from tests.peers import ports, sipp
from tests.peers.exchange import Config, Exchange, Trunk
from tests.peers.tone import analyse

from .common import HIGH, LOW, OUTSIDE, THIRD, US, heard_by, phone, plain

pytestmark = pytest.mark.interop
NEEDS = ("baresip", "sipp")


async def test_a_stranger_says_a_name_and_is_taken_by_key() -> None:
    """The stranger's name is a tone: the phone that rings hears it before anybody is joined."""
    port = ports.free_port()
    trunk = Trunk("us", ports.HOST, port, [US])
    async with (
        Exchange(Config(plain("101"), [trunk], {US: "101"})) as exchange,
        phone(exchange, "101", HIGH) as alice,
    ):
        said = await exchange.say("ask unknown callers for their name")
        assert "asked for their name" in said
        async with sipp.caller(
            exchange.udp, US, number=OUTSIDE, tone=LOW, talk=60, port=port
        ) as stranger:
            await stranger.answered()
            await alice.established(within=40)
            await alice.hears(LOW, seconds=0.8, within=20)
            question = pieces(await Speaker().say(QUESTION))
            assert holds(stranger.media.pcm().astype("<i2").tobytes(), question)
            await alice.digits("1")
            async with asyncio.timeout(20):
                while analyse(stranger.media.pcm()[-RATE:], RATE).share(HIGH) < 0.9:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            await alice.hears(LOW)
            await alice.hangup()


async def test_two_stars_pass_a_call_on() -> None:
    async with (
        Exchange(Config([*plain("101", "102", "103")])) as exchange,
        phone(exchange, "101", LOW) as alice,
        phone(exchange, "102", HIGH) as bob,
        phone(exchange, "103", THIRD) as carol,
    ):
        await alice.dial("102")
        await alice.hears(HIGH)
        await alice.digits("**")
        await heard_by(alice, ASK)
        await alice.digits("103*")  # to speak to them first
        await alice.hears(THIRD, within=20)
        await carol.hears(LOW)
        await alice.hangup()
        await bob.hears(THIRD)
        await carol.hears(HIGH)


async def test_a_number_for_an_advertisement_counts_what_it_brings() -> None:
    port, ad = ports.free_port(), "+12025550101"
    trunk = Trunk("us", ports.HOST, port, [US, ad])
    async with (
        Exchange(Config(plain("101"), [trunk])) as exchange,
        phone(exchange, "101", HIGH) as alice,
    ):
        given = await exchange.say("a number for the Facebook ad")
        number = US if "+1 202-555-0100" in given else ad
        async with sipp.caller(
            exchange.udp, number, number=OUTSIDE, tone=LOW, talk=3, port=port
        ) as caller:
            await caller.answered()
            await alice.hears(LOW)
            await caller.finish()
        assert analyse(caller.media.pcm()[-RATE:], RATE).share(HIGH) > 0.9
        await exchange.ended_call()
        brought = await exchange.say("how did the Facebook number do today?")
        assert "1 call, 1 answered" in brought, brought


async def test_two_people_talk_and_neither_sees_the_others_number() -> None:
    async with (
        Exchange(Config([*plain("101", "102")])) as exchange,
        phone(exchange, "101", LOW) as alice,
        phone(exchange, "102", HIGH) as bob,
    ):
        given = await exchange.say("a relay number between 101 and 102")
        number = given.partition(":")[0]
        assert number.isdecimal(), given
        for caller, callee, tone, own in ((alice, bob, HIGH, "101"), (bob, alice, LOW, "102")):
            since = len(callee.events.items)
            await caller.dial(number)
            ringing = await callee.established(since=since)
            assert f":{number}@" in ringing["peeruri"]
            assert own not in str(ringing.get("peerdisplayname", ""))
            await caller.hears(tone)
            await caller.hangup()
            await callee.closed(since=since)
