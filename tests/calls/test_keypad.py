"""Feature codes on any phone, parked calls, calls taken from another's phone, and who is called
once they are free."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from encryptotel.demo.phone import Phone, plays
from nlp.commands import Call, Party
from pbx.calls.leg import Leg
from pbx.events import CallAnswered, CallEnded, CallStarted, LegRinging, MessageLeft
from pbx.media.codecs import RATE
from pbx.media.music import hold_music
from pbx.media.tones import share_of, tone
from pbx.ports import CallRefused
from tests.calls.test_answerphone import follow
from tests.calls.test_callback import NUMBER, steady, telephone_network
from tests.calls.test_transfer import connected as in_a_call
from tests.calls.test_transfer import desk, hears
from tests.hearing import beeped, lately, match
from tests.office import NEVER, BusyPhone, Office, open_office, quiet


async def hear(office: Office, phone: Phone, code: str) -> bytes:
    """Dial a code and hear what is said, to its end."""
    phone.heard.clear()
    leg = await phone.call(code)
    async with asyncio.timeout(30):
        await leg.ended()
    return bytes(phone.heard)


async def says(office: Office, words: str, heard: bytes) -> None:
    assert match(heard, await office.app.exchange.speaker.say(words)) > 0.7, words


async def test_codes_do_what_the_chat_does_and_say_so(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await telephone_network(office, Phone(quiet))
        alice = await office.phone("101", Phone(quiet))
        wishes = office.app.wishes
        await says(office, "Nobody can ring you.", await hear(office, alice, "*78"))
        assert wishes.of("101").quiet_until is not None
        await says(office, "Your phones ring again.", await hear(office, alice, "*79"))
        assert wishes.of("101").quiet_until is None
        await says(office, "Calls go to Bob (102).", await hear(office, alice, "*72102"))
        await says(
            office,
            "Calls go to +1 202-555-0143 when you are busy.",
            await hear(office, alice, f"*90{NUMBER}"),
        )
        assert [rule.to for rule in wishes.of("101").rules] == [(NUMBER,), ("102",)]
        await hear(office, alice, "*73")
        assert wishes.of("101").rules == ()
        await hear(office, alice, "*44")
        assert not wishes.of("101").waiting
        words = "Key an extension or a phone number behind it."
        await says(office, words, await hear(office, alice, "*725"))


async def test_the_list_is_read_out_and_shown(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        codes = dict(office.app.operator.codes())
        assert {"*67", "*72", "*97", "*1", "*66", "*700", "*701"} <= set(codes)
        alice = await office.phone("101", Phone(quiet))
        leg = await alice.call("*00")
        async with asyncio.timeout(20):
            await alice.until_heard(lambda heard: len(heard) > 8 * RATE)
        leg.hang_up()
        first = await office.app.exchange.speaker.say(
            office.app.operator.codes()[0][0].replace("*", "star ")
        )
        assert len(first) > 0
        assert share_of(bytes(alice.heard), 440.0) < 0.2


async def test_nobody_from_outside_uses_a_code(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        services = office.app.directory.services.all()
        inside = {one.number for one in services if not one.outside}
        assert {"*72", "*1", "*97", "*701", "*66"} <= inside
        assert "*98" not in inside  # which asks for a PIN


@pytest.mark.parametrize("code", ["*66", "*69"])
async def test_calling_again_and_calling_back(tmp_path: Path, code: str) -> None:
    async with open_office(tmp_path) as office:
        told = follow(office)
        alice, bob = await desk(office, "101", "102")
        words = {"*66": "You have called nobody yet.", "*69": "Nobody has called you yet."}
        await says(office, words[code], await hear(office, alice, code))
        first, second = (alice, "102") if code == "*66" else (bob, "101")
        (await first.call(second)).hang_up()
        await office.ended(2)
        await alice.call(code)
        await hears(alice, "102")
        await hears(bob, "101")
        past = await office.app.operator.past.calls(office.app.person)
        assert (past[0].back, past[0].incoming) == ("102", False)
        assert all(one.text != code for one in told)


async def test_a_call_is_parked_and_taken_at_another_phone(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        operator, call_id = await in_a_call(office)
        await hears(alice, "102")
        place = operator.park(office.app.person, call_id)
        assert place == "*701"
        music = hold_music()[: 2 * RATE]
        bob.heard.clear()
        async with asyncio.timeout(15):
            await bob.until_heard(lambda heard: len(heard) > 6 * RATE)
        assert match(bytes(bob.heard), music[RATE:]) > 0.5 or share_of(bytes(bob.heard), 440) < 0.3
        await carol.call(place)
        await hears(carol, "102")
        await hears(bob, "103")
        await says(office, "Nobody is parked there.", await hear(office, alice, place))
        for leg in list(carol.legs):
            leg.hang_up()
        await office.until(lambda: call_id in [one.call_id for one in office.of(CallEnded)])
        for leg in list(bob.legs):
            await leg.ended()


async def test_a_parked_call_goes_back_to_who_parked_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pbx.calls.apps.park.PATIENCE", 1.0)
    async with open_office(tmp_path) as office:
        alice, bob = await desk(office, "101", "102")
        operator, call_id = await in_a_call(office)
        await hears(alice, "102")
        operator.park(office.app.person, call_id)
        await office.until(lambda: len(alice.called) == 2)
        await hears(alice, "102")
        await hears(bob, "101")


async def test_who_is_parked_may_give_up(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice, bob = await desk(office, "101", "102")
        operator, call_id = await in_a_call(office)
        await hears(alice, "102")
        operator.park(office.app.person, call_id)
        for leg in list(bob.legs):
            leg.hang_up()
        await office.ended()
        assert office.app.exchange.parking.parked("*701") is None
        await asyncio.wait_for(office.app.exchange._idle.wait(), 5)


@pytest.mark.parametrize("code", ["*1", "*1102"])
async def test_a_call_that_rings_at_another_phone_is_taken(tmp_path: Path, code: str) -> None:
    async with open_office(tmp_path) as office:
        bob = await office.phone("102", Phone(quiet, ring_seconds=NEVER))
        alice, carol = await desk(office, "101", "103")
        calling = asyncio.ensure_future(carol.call("102"))
        await office.until(lambda: bool(office.of(LegRinging)))
        await alice.call(code)
        await calling
        await hears(alice, "103")
        await hears(carol, "101")
        assert bob.legs == []


async def test_nothing_to_take(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", Phone(quiet))
        await says(office, "Nothing rings there.", await hear(office, alice, "*1"))


@pytest.mark.parametrize("how", ["code", "chat"])
async def test_who_is_busy_is_called_once_they_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("encryptotel.when_free.SETTLES", 0.1)
    async with open_office(tmp_path) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        talk = await carol.call("102")
        await office.until(lambda: bool(office.of(CallAnswered)))
        if how == "code":
            await hear(office, alice, "*37102")
        else:
            replies = await office.dialogue().hear("call 102 when he is free")
            assert [reply.text for reply in replies] == [
                "I call Bob (102) for you as soon as you are both free, within the next two hours."
            ]
        started = len(office.of(CallStarted))
        talk.hang_up()
        await office.until(lambda: len(office.of(CallStarted)) > started)
        await hears(alice, "102")
        await hears(bob, "101")


# ── the answerphone by phone ────────────────────────────────────────────────────────────────
SAID = tone(2.0, 700.0)


async def leaves(office: Office, caller: Phone) -> None:
    """A message of two seconds for Alice, who is busy."""
    leg = await caller.call("101")
    async with asyncio.timeout(30):
        await caller.until_heard(beeped)
    await leg.play(bytes(RATE) + SAID + bytes(RATE))
    leg.hang_up()
    count = len(office.of(MessageLeft))
    await office.until(lambda: len(office.of(MessageLeft)) > count or count > 0)
    await office.until(lambda: sum(office.app.mailbox.count("101")) > 0)


async def keys(leg: Leg, phone: Phone, after: bytes, key: str) -> None:
    """Press a key once some words were heard."""
    async with asyncio.timeout(30):
        await phone.until_heard(lately(after))
    phone.heard.clear()
    for one in key:
        leg.audio.send_digit(one)


async def test_messages_are_heard_and_deleted_by_phone(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 1}) as office:
        follow(office)
        say = office.app.exchange.speaker.say
        await office.app.operator.handling.set_pin(office.app.person, "4711")
        alice: Any = await office.phone("101", BusyPhone(quiet))
        bob = await office.phone("102", Phone(quiet))
        await leaves(office, bob)
        assert office.app.mailbox.count("101") == (1, 0)
        leg = await alice.call("*97")
        await keys(leg, alice, await say("Please key your PIN, then hash."), "1234#")
        await keys(leg, alice, await say("That is not right."), "4711#")
        await keys(leg, alice, await say("You have 1 new message and no old messages."), "1")
        async with asyncio.timeout(20):
            await alice.until_heard(lambda heard: share_of(bytes(heard[-RATE:]), 700.0) > 0.9)
        leg.audio.send_digit("3")
        async with asyncio.timeout(20):
            deleted = await say("Deleted.")
            await alice.until_heard(lately(deleted))
        assert office.app.mailbox.count("101") == (0, 0)
        leg.hang_up()


async def test_a_greeting_is_spoken_by_phone(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 1}) as office:
        follow(office)
        say = office.app.exchange.speaker.say
        alice: Any = await office.phone("101", BusyPhone(quiet))
        leg = await alice.call("*97")
        await keys(leg, alice, await say("You have no new messages and no old messages."), "9")
        async with asyncio.timeout(20):
            await alice.until_heard(beeped)
        await leg.play(bytes(RATE // 2) + tone(1.5, 520.0) + bytes(RATE // 2))
        leg.audio.send_digit("#")
        kept = await say("This is your greeting now.")
        async with asyncio.timeout(20):
            await alice.until_heard(lately(kept))
        leg.hang_up()
        bob = await office.phone("102", Phone(quiet))
        await bob.call("101")
        async with asyncio.timeout(20):
            await bob.until_heard(lambda _: steady(bob, 520.0))


async def test_pins_cannot_be_guessed(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        say = office.app.exchange.speaker.say
        alice = await office.phone("101", Phone(quiet))
        wrong, ask = await say("That is not right."), await say("Please key your PIN, then hash.")
        for extension in ("101#", "999#"):  # no PIN, and nobody: it sounds the same
            leg = await alice.call("*98")
            await keys(leg, alice, await say("Please key your extension, then hash."), extension)
            await keys(leg, alice, ask, "0000#")
            for _ in range(2):
                await keys(leg, alice, wrong, "0000#")
            async with asyncio.timeout(20):
                await leg.ended()
            alice.heard.clear()


async def test_a_greeting_in_words(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 1}) as office:
        follow(office)
        (reply,) = await office.dialogue().hear("my greeting is: I am on holiday until Monday")
        assert reply.text == "Your answerphone says: “I am on holiday until Monday”"
        bob = await office.phone("102", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        await bob.call("101")
        words = await office.app.exchange.speaker.say("I am on holiday until Monday")
        async with asyncio.timeout(20):
            await bob.until_heard(lately(words))


async def test_who_is_refused_hears_nothing_of_a_pin(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        (reply,) = await office.dialogue().hear("my pin is 1234")
        assert "guessed first" in reply.text
        (reply,) = await office.dialogue().hear("my pin is 2846")
        assert "2846" not in office.app.wishes.rest("101").pin
        with pytest.raises(CallRefused):
            await (await office.phone("102", Phone(quiet))).call("*5")
        await asyncio.sleep(0)
        assert Call(to=(Party(extension="102"),)).to
