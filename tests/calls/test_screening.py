"""“Who is calling?”, callers without a number, and numbers that are not shown."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bot.ports import Progress, Step
from encryptotel.demo.phone import Behaviour, Phone, plays
from nlp.commands import Call, HideNumber, Party
from pbx.calls.apps.ask import CHOICES, NO_NAME, QUESTION, THANKS
from pbx.calls.leg import Leg
from pbx.calls.wishes import ANONYMOUS
from pbx.events import AnswerphoneTook, CallStarted, LegAnswered
from pbx.media import ogg
from pbx.media.codecs import RATE
from pbx.media.tones import share_of, tone
from pbx.ports import CallRefused
from tests.calls.test_answerphone import follow
from tests.calls.test_callback import NUMBER, steady, telephone_network
from tests.hearing import beeped, match
from tests.office import NEVER, Office, open_office, quiet

NAME, CALLER, ALICE = 700.0, 440.0, 620.0
SAID = tone(1.2, NAME)


def says_name(sound: bytes = SAID) -> Behaviour:
    """A caller who says something after the tone, then talks on."""

    async def behave(phone: Phone, leg: Leg) -> None:
        await phone.until_heard(beeped)
        await leg.play(bytes(RATE // 2) + sound)
        leg.audio.play(bytes(4 * RATE))
        await phone.until_heard(lambda heard: steady(phone, ALICE))
        with leg.looping(tone(1, CALLER)):
            await leg.ended()

    return behave


def chooses(key: str) -> Behaviour:
    async def behave(phone: Phone, leg: Leg) -> None:
        await phone.until_heard(lambda heard: share_of(bytes(heard[-RATE:]), NAME) > 0.8)
        until = len(phone.heard) + 9 * RATE  # most of what there is to choose from
        await phone.until_heard(lambda heard: len(heard) > until)
        leg.audio.send_digit(key)
        with leg.looping(tone(1, ALICE)):
            await leg.ended()

    return behave


async def strangers_call(office: Office, behave: Behaviour) -> tuple[Phone, asyncio.Task[Leg]]:
    """Bob, who hides his number from somebody who asks the nameless for their names."""
    handling, person = office.app.operator.handling, office.app.person
    said = await handling.treat(person, anonymous=True, unknown=True, how="ask")
    assert said.endswith("are asked for their name, and you choose.")
    bob = await office.phone("102", Phone(behave, ring_seconds=NEVER))
    return bob, asyncio.ensure_future(bob.call("*67101"))


async def test_a_caller_says_their_name_and_is_taken(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        told = follow(office)
        alice = await office.phone("101", Phone(chooses("1"), ring_seconds=0.1))
        bob, dialling = await strangers_call(office, says_name())
        await dialling
        async with asyncio.timeout(30):
            await alice.until_heard(lambda _: steady(alice, CALLER))
        say = office.app.exchange.speaker.say
        assert match(bytes(bob.heard), await say(QUESTION)) > 0.7
        assert match(bytes(bob.heard), await say(THANKS)) > 0.7
        assert match(bytes(alice.heard), (await say(CHOICES))[: 2 * RATE]) > 0.5
        (named,) = [one for one in told if one.step is Step.NAMED]
        assert named.file is not None
        assert share_of(ogg.decoded(named.file.content), NAME) > 0.7
        (incoming,) = [one for one in told if one.step is Step.INCOMING]
        assert (incoming.peer, incoming.back) == ("somebody without a number", "")


async def test_a_caller_is_sent_to_the_answerphone(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        follow(office)
        await office.phone("101", Phone(chooses("2"), ring_seconds=0.1))
        _, dialling = await strangers_call(office, says_name())
        await dialling
        await office.until(lambda: bool(office.of(AnswerphoneTook)), 30)


async def test_a_caller_is_blocked_for_good(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        told = follow(office)
        await office.phone("101", Phone(chooses("3"), ring_seconds=0.1))
        bob, dialling = await strangers_call(office, says_name())
        leg = await dialling
        async with asyncio.timeout(30):
            await leg.ended()
        await office.until(lambda: office.app.wishes.is_blocked("101", "102"))
        with pytest.raises(CallRefused) as refused:
            await bob.call("101")
        assert refused.value.status == 603
        assert [one.step for one in told].count(Step.INCOMING) == 1


async def test_who_says_nothing_rings_nobody(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", Phone(quiet, ring_seconds=0.1))
        bob, dialling = await strangers_call(office, says_name(b""))
        leg = await dialling
        async with asyncio.timeout(30):
            await leg.ended()
        assert alice.called == []
        assert match(bytes(bob.heard), await office.app.exchange.speaker.say(NO_NAME)) > 0.7


async def test_friends_are_not_asked(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        handling, person = office.app.operator.handling, office.app.person
        await handling.treat(person, anonymous=True, unknown=True, how="refuse")
        await handling.allow(person, Party(extension="102"), on=True)
        alice = await office.phone("101", Phone(quiet, ring_seconds=0.1))
        bob = await office.phone("102", Phone(quiet))
        await bob.call("101")
        assert alice.called == ["101"]
        with pytest.raises(CallRefused) as refused:
            await bob.call("*67101")
        assert refused.value.status == 603


# ── numbers that are not shown ──────────────────────────────────────────────────────────────
def invite_to(office: Office, user: str) -> str:
    """The INVITE we sent to somebody."""
    (call_id,) = office.app.exchange.calls
    sent = [line.text for line in office.app.exchange.trace(call_id) if line.sent]
    return next(text for text in sent if text.startswith(f"INVITE sip:{user}"))


@pytest.mark.parametrize("how", ["code", "next", "always", "order"])
async def test_a_number_is_hidden(tmp_path: Path, how: str) -> None:
    """For this call by a code, for the next, for all, or by the order for the call itself."""
    async with open_office(tmp_path) as office:
        app, person = office.app, office.app.person
        told = follow(office)
        if how == "next":
            await app.operator.handling.hide_number(person, HideNumber(scope="next"))
        elif how == "always":
            await app.operator.handling.hide_number(person, HideNumber())
        alice = await office.phone("101", Phone(quiet, ring_seconds=0.1))
        await office.phone("102", Phone(quiet, ring_seconds=0.1))
        if how == "order":
            command = Call(to=(Party(extension="102"),), hide_number=True)
            await app.operator.call(person, command)
        else:
            await alice.call("*67102" if how == "code" else "102")
        await office.until(lambda: "102" in [one.peer for one in office.of(LegAnswered)])
        invite = invite_to(office, "102")
        assert 'From: "Anonymous" <sip:anonymous@anonymous.invalid>' in invite
        head = invite.partition("\r\n\r\n")[0]
        assert "101" not in [word for word in head.replace("@", " ").split() if word.isdecimal()]
        assert "Alice" not in head
        (started,) = office.of(CallStarted)
        assert (started.caller, started.shown) == ("101", ANONYMOUS)
        assert told is not None


async def test_the_next_call_is_the_next_one_only_and_a_code_shows(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        handling, person = office.app.operator.handling, office.app.person
        alice = await office.phone("101", Phone(quiet, ring_seconds=0.1))
        await office.phone("102", Phone(quiet, ring_seconds=0.1))
        await handling.hide_number(person, HideNumber(scope="next"))
        for number in ("102", "102"):
            (await alice.call(number)).hang_up()
        await handling.hide_number(person, HideNumber(scope="always"))
        for number in ("102", "*82102"):
            (await alice.call(number)).hang_up()
        await office.until(lambda: len(office.of(CallStarted)) == 4)
        shown = [one.shown for one in office.of(CallStarted)]
        assert shown == [ANONYMOUS, "101", ANONYMOUS, "101"]
        assert [one.callee for one in office.of(CallStarted)] == ["102"] * 4


async def test_who_hid_their_number_stays_hidden_in_the_history(tmp_path: Path) -> None:
    async with open_office(tmp_path, answerphone={"on": False}) as office:
        told = follow(office)
        bob = await office.phone("102", Phone(quiet))
        with pytest.raises(CallRefused):
            await bob.call("*67101")
        await office.ended()
        (past,) = await office.app.operator.past.calls(office.app.person)
        assert (past.peer, past.back) == ("somebody without a number", "")
        assert all("102" not in one.peer and "Bob" not in one.peer for one in told)
        missed: list[Progress] = [one for one in told if one.step is Step.MISSED]
        assert [one.back for one in missed] == [""]


@pytest.mark.parametrize("trusted", [False, True])
async def test_only_a_carrier_that_is_trusted_learns_who_calls(
    tmp_path: Path, trusted: bool
) -> None:
    async with open_office(tmp_path) as office:
        network: Any = await telephone_network(
            office, Phone(plays(tone(1, ALICE)), ring_seconds=0.1), trusted=trusted
        )
        alice = await office.phone("101", Phone(quiet))
        await alice.call(f"*67{NUMBER}")
        invite = invite_to(office, NUMBER)
        assert network.called == [NUMBER]
        assert "Privacy: id" in invite
        assert 'From: "Anonymous" <sip:anonymous@anonymous.invalid>' in invite
        told = "P-Asserted-Identity: <sip:+12025550100@127.0.0.1>" in invite
        assert told is trusted
        if not trusted:
            assert "12025550100" not in invite
