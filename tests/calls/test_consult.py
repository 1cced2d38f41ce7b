"""Transfers from the keypad, while one talks: who hears whom is told apart by tone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from encryptotel.demo.phone import Phone, plays
from pbx.calls.apps.consult import ASK, SORRY
from pbx.calls.leg import Leg
from pbx.events import CallTransferred
from pbx.media.codecs import RATE
from pbx.media.tones import tone
from tests.calls.test_callback import NUMBER, telephone_network
from tests.calls.test_transfer import TONES, desk, hears
from tests.hearing import lately
from tests.office import Office, open_office, quiet


class Desk(Phone):
    """A phone whose person plays a tone between the keys."""

    def __init__(self, number: str) -> None:
        super().__init__(plays(tone(1, TONES[number])), ring_seconds=0.1)

    def press(self, keys: str) -> None:
        (leg,) = self.legs
        for key in keys:
            leg.audio.send_digit(key)


async def talking(office: Office) -> tuple[Desk, Phone, Leg]:
    """Alice calls Bob."""
    alice = Desk("101")
    await office.phone("101", alice)
    (bob,) = await desk(office, "102")
    leg = await alice.call("102")
    await hears(alice, "102")
    return alice, bob, leg


async def asked(office: Office, alice: Desk) -> None:
    alice.heard.clear()
    alice.press("**")
    words = (await office.app.exchange.speaker.say(ASK))[: 3 * RATE]
    async with asyncio.timeout(15):
        await alice.until_heard(lately(words))


async def test_at_once(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice, bob, leg = await talking(office)
        (carol,) = await desk(office, "103")
        await asked(office, alice)
        alice.press("103#")
        await hears(bob, "103")
        await hears(carol, "102")
        async with asyncio.timeout(5):
            await leg.ended()
        (gone,) = office.of(CallTransferred)
        assert (gone.gone, gone.new) == ("101", "103")


async def test_to_a_number_outside(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        network = await telephone_network(
            office, Phone(plays(tone(1, TONES["103"])), ring_seconds=0.1)
        )
        alice, bob, _ = await talking(office)
        await asked(office, alice)
        alice.press("2025550143#")
        await hears(bob, "103")
        await hears(network, "102")
        assert network.called == [NUMBER]
        assert office.app.gatekeeper._at_once == {"101": 1}
        for one in list(bob.legs):
            one.hang_up()
        await office.ended()
        assert office.app.gatekeeper._at_once == {}


async def test_speaking_to_them_first(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice, bob, leg = await talking(office)
        (carol,) = await desk(office, "103")
        await asked(office, alice)
        alice.press("103*")
        await hears(alice, "103")
        await hears(carol, "101")
        leg.hang_up()
        await hears(bob, "103")
        await hears(carol, "102")


@pytest.mark.parametrize("how", ["stars", "gone"])
async def test_and_back_again(tmp_path: Path, how: str) -> None:
    async with open_office(tmp_path) as office:
        alice, bob, _ = await talking(office)
        (carol,) = await desk(office, "103")
        await asked(office, alice)
        alice.press("103*")
        await hears(alice, "103")
        if how == "stars":
            alice.press("**")
        else:
            for one in list(carol.legs):
                one.hang_up()
        await hears(alice, "102")
        await hears(bob, "101")
        for one in list(carol.legs):
            await one.ended()


@pytest.mark.parametrize("keys", ["*", "777#"])
async def test_to_nobody(tmp_path: Path, keys: str) -> None:
    async with open_office(tmp_path) as office:
        alice, bob, _ = await talking(office)
        await asked(office, alice)
        alice.press(keys)
        if keys != "*":
            sorry: Any = await office.app.exchange.speaker.say(
                f"{SORRY} 777 is neither an extension nor a phone number."
            )
            async with asyncio.timeout(20):
                await alice.until_heard(lately(sorry))
        await hears(alice, "102")
        await hears(bob, "101")


async def test_stars_of_others_do_nothing(tmp_path: Path) -> None:
    """Only phones of ours transfer; slow stars are just keys."""
    async with open_office(tmp_path) as office:
        network = Desk("103")
        await telephone_network(office, network)
        alice = Desk("101")
        await office.phone("101", alice)
        await alice.call(NUMBER)
        await hears(alice, "103")
        network.press("**")
        alice.press("*")
        await asyncio.sleep(1.2)
        alice.press("*")
        await hears(alice, "103")
        await hears(network, "101")
        assert quiet is not None
