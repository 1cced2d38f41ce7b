"""Phones that we did not write transfer their calls: to somebody, and two of theirs to each
other. Who hears whom afterwards is told by tone."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers import sipp
from tests.peers.exchange import Config, Exchange
from tests.peers.linphone import Linphone
from tests.peers.tone import analyse

from .common import HIGH, LOW, SECRET, THIRD, phone, plain, secure

pytestmark = pytest.mark.interop
NEEDS = ("linphonec", "baresip", "sipp")
RATE = 8000


async def test_a_call_is_transferred_to_somebody() -> None:
    async with (
        Exchange(Config([*plain("101", "102", "103")])) as exchange,
        phone(exchange, "101", LOW) as alice,
        phone(exchange, "102", HIGH) as bob,
        phone(exchange, "103", THIRD) as carol,
    ):
        await alice.dial("102")
        await alice.hears(HIGH)
        await alice.command("transfer", f"sip:103@{exchange.udp[0]}:{exchange.udp[1]}")
        await bob.hears(THIRD)
        await carol.hears(HIGH)
        await alice.closed()


async def test_a_transfer_to_nobody_leaves_the_call_as_it_was() -> None:
    async with (
        Exchange(Config([*plain("101", "102")])) as exchange,
        phone(exchange, "101", LOW) as alice,
        phone(exchange, "102", HIGH) as bob,
    ):
        await alice.dial("102")
        await alice.hears(HIGH)
        await alice.command("transfer", f"sip:777@{exchange.udp[0]}:{exchange.udp[1]}")
        await alice.wait("TRANSFER_FAILED")
        await bob.hears(LOW)
        await alice.hears(HIGH)


async def test_two_calls_of_a_phone_are_joined() -> None:
    """The phone holds the first while it makes the second: both sides are woken."""
    async with (
        Exchange(Config([*secure("101"), *plain("102", "103")])) as exchange,
        Linphone("101", SECRET["101"], exchange.tls, ca=exchange.ca, tone=LOW) as alice,
        sipp.registered_callee(exchange.udp, "102", SECRET["102"], tone=HIGH, talk=60) as bob,
        phone(exchange, "103", THIRD) as carol,
    ):
        await alice.dial("102")
        await alice.hears(HIGH)
        await alice.hold()
        await alice.dial("103")
        await alice.hears(THIRD)
        alice.process.write("transfer 1 --to-call 2")
        await carol.hears(HIGH, within=15)
        async with asyncio.timeout(15):
            while analyse(bob.media.pcm()[-RATE:], RATE).share(THIRD) < 0.9:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
