"""Calls that go elsewhere, because those they are for want it: who has the call is told by tone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.ports import OperatorError, Step
from encryptotel.demo.phone import Behaviour, Phone, plays
from nlp.commands import Call, DoNotDisturb, Party, Redirect, When, Window
from pbx.calls.apps.accept import PAUSE
from pbx.calls.leg import Leg
from pbx.events import CallAnswered, CallDiverted, CallEnded, LegAnswered, MessageLeft
from pbx.media.tones import tone
from pbx.ports import CallRefused
from store.tables import RuleRow
from tests.calls.test_answerphone import follow, leaves_a_message
from tests.calls.test_callback import NUMBER, steady, telephone_network
from tests.hearing import match
from tests.office import NEVER, BusyPhone, Office, open_office, quiet

CALLER, BOB, OUTSIDE = 440.0, 620.0, 850.0
MOBILE = Party(number=NUMBER)


def takes_it(key: str = "1", hertz: float = OUTSIDE) -> Behaviour:
    """A phone whose person hears the offer out, presses a key and talks."""

    async def behave(phone: Phone, leg: Leg) -> None:
        await phone.until_heard(lambda heard: len(heard) > 16_000)
        leg.audio.send_digit(key)
        with leg.looping(tone(1, hertz)):
            await leg.ended()

    return behave


async def wishes(office: Office, **redirect: Any) -> str:
    """The owner, 101, sends calls elsewhere."""
    return await office.app.operator.handling.redirect(office.app.person, Redirect(**redirect))


async def connected(phone: Phone, hertz: float) -> None:
    async with asyncio.timeout(20):
        await phone.until_heard(lambda _: steady(phone, hertz))


async def desks(office: Office, **behaviours: Phone) -> list[Phone]:
    return [
        await office.phone(number.removeprefix("x"), phone) for number, phone in behaviours.items()
    ]


def caller() -> Phone:
    return Phone(plays(tone(1, CALLER)), ring_seconds=NEVER)


async def test_all_calls_go_to_somebody_else(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        told = follow(office)
        said = await wishes(office, to=Party(extension="102"))
        assert said == "Calls go to Bob (102)."
        alice, bob, carol = await desks(
            office,
            x101=Phone(quiet, ring_seconds=0.1),
            x102=Phone(plays(tone(1, BOB)), ring_seconds=0.1),
            x103=caller(),
        )
        await carol.call("101")
        await connected(carol, BOB)
        await connected(bob, CALLER)
        assert alice.called == []
        (sent,) = office.of(CallDiverted)
        assert (sent.extension, sent.to) == ("101", ("102",))
        notices = [one.text for one in told if one.step is Step.NOTICE]
        assert notices == ["Sent to Bob (102): a rule."]


async def test_a_telephone_elsewhere_takes_a_call_with_a_key(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await wishes(office, to=MOBILE)
        mobile = await telephone_network(office, Phone(takes_it(), ring_seconds=0.1))
        (carol,) = await desks(office, x103=caller())
        await carol.call("101")
        await connected(carol, OUTSIDE)
        await connected(mobile, CALLER)
        assert mobile.called == [NUMBER]
        words = "A call for Alice, from 1 0 3. To take it, press 1."
        offer = await office.app.exchange.speaker.say(words)
        assert match(bytes(mobile.heard), offer[: 2 * 8000]) > 0.5
        for leg in list(carol.legs):
            leg.hang_up()
        await office.ended()
        assert office.app.gatekeeper._at_once == {}


async def test_a_mailbox_elsewhere_swallows_no_call(tmp_path: Path) -> None:
    """The mobile's mailbox answers at once and talks; the caller ends at our answerphone."""
    async with open_office(tmp_path, calls={"ring_timeout": 2}) as office:
        follow(office)
        await wishes(office, to=MOBILE)
        mailbox = await telephone_network(office, Phone(plays(tone(1, OUTSIDE)), ring_seconds=0.1))
        carol = await office.phone("103", Phone(leaves_a_message, ring_seconds=0.1))
        leg = await carol.call("101")
        async with asyncio.timeout(40):
            await leg.ended()
        await office.until(lambda: bool(office.of(MessageLeft)))
        assert mailbox.called == [NUMBER]
        assert not steady(carol, OUTSIDE)
        words = "A call for Alice, from 1 0 3. To take it, press 1."
        offer = await office.app.exchange.speaker.say(words)
        assert match(bytes(mailbox.heard), offer + PAUSE) > 0.5
        assert office.app.gatekeeper._at_once == {}


async def test_whoever_takes_it_first_has_it(tmp_path: Path) -> None:
    """A mailbox has answered long ago when Bob picks up."""
    async with open_office(tmp_path) as office:
        said = await wishes(office, to=MOBILE, also=(Party(extension="102"),))
        assert said == "Calls go to +1 202-555-0143 and Bob (102)."
        mailbox = await telephone_network(office, Phone(plays(tone(1, OUTSIDE)), ring_seconds=0.1))
        bob, carol = await desks(
            office, x102=Phone(plays(tone(1, BOB)), ring_seconds=3.0), x103=caller()
        )
        await carol.call("101")
        await connected(carol, BOB)
        await connected(bob, CALLER)
        assert mailbox.legs == []
        assert office.app.gatekeeper._at_once == {}


async def test_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pbx.calls.diversion.TURN", 1.0)
    async with open_office(tmp_path) as office:
        await wishes(office, to=Party(extension="102"), also=(MOBILE,), in_turn=True)
        mobile = await telephone_network(office, Phone(takes_it(), ring_seconds=0.1))
        bob, carol = await desks(office, x102=Phone(quiet, ring_seconds=NEVER), x103=caller())
        await carol.call("101")
        await connected(carol, OUTSIDE)
        assert (bob.called, mobile.called) == (["102"], [NUMBER])
        assert [sent.to for sent in office.of(CallDiverted)] == [("102",), (NUMBER,)]


@pytest.mark.parametrize("condition", ["busy", "no_answer", "offline"])
async def test_conditions(tmp_path: Path, condition: str) -> None:
    async with open_office(tmp_path) as office:
        said = await wishes(office, to=Party(extension="102"), condition=condition, after=1)
        assert said.startswith("Calls go to Bob (102) when ")
        if condition != "offline":
            phone = BusyPhone(quiet) if condition == "busy" else Phone(quiet, ring_seconds=NEVER)
            await office.phone("101", phone)
        bob, carol = await desks(
            office, x102=Phone(plays(tone(1, BOB)), ring_seconds=0.1), x103=caller()
        )
        began = asyncio.get_running_loop().time()
        await carol.call("101")
        took = asyncio.get_running_loop().time() - began
        await connected(carol, BOB)
        assert bob.called == ["102"]
        assert (took >= 1.0) == (condition == "no_answer")


async def test_only_calls_of_somebody_at_some_hours(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        now = datetime.now(UTC)
        later = (now + timedelta(hours=2)).strftime("%H:%M")
        now_ = (now - timedelta(hours=1)).strftime("%H:%M")
        said = await wishes(
            office,
            to=Party(extension="102"),
            from_=Party(extension="103"),
            window=Window(from_=now_, to=later),
        )
        assert said == f"Calls from Carol (103) go to Bob (102) from {now_} to {later}."
        not_now = Window(from_=later, to=(now + timedelta(hours=3)).strftime("%H:%M"))
        await wishes(office, to=MOBILE, window=not_now)
        alice, bob, carol = await desks(
            office,
            x101=Phone(plays(tone(1, OUTSIDE)), ring_seconds=0.1),
            x102=Phone(plays(tone(1, BOB)), ring_seconds=0.1),
            x103=caller(),
        )
        await carol.call("101")
        await connected(carol, BOB)
        assert alice.called == []
        await bob.call("101")
        await connected(bob, OUTSIDE)


async def test_what_is_ordered_by_chat_goes_where_it_is_sent(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        app = office.app
        bob = await app.people.with_extension("102")
        assert bob is None  # he has no chat; his wishes are set by whoever has
        row = app.operator.handling._row(app.person, Redirect(to=Party(extension="103")))
        await app.wishes.add_rule(RuleRow(**{**row.model_dump(), "extension": "102"}))
        alice, _, carol = await desks(
            office,
            x101=Phone(plays(tone(1, CALLER)), ring_seconds=0.1),
            x102=Phone(quiet, ring_seconds=0.1),
            x103=Phone(plays(tone(1, BOB)), ring_seconds=0.1),
        )
        await app.operator.call(app.person, Call(to=(Party(extension="102"),)))
        await connected(alice, BOB)
        await connected(carol, CALLER)


async def test_do_not_disturb_and_who_may_nevertheless(tmp_path: Path) -> None:
    async with open_office(tmp_path, answerphone={"on": False}) as office:
        told = follow(office)
        handling, person = office.app.operator.handling, office.app.person
        await handling.allow(person, Party(extension="102"), on=True)
        until = When(at=datetime.now(UTC) + timedelta(hours=1))
        said = await handling.do_not_disturb(person, DoNotDisturb(until=until))
        assert "Only Bob (102) still can." in said
        alice, bob, carol = await desks(
            office, x101=Phone(quiet, ring_seconds=0.1), x102=caller(), x103=caller()
        )
        with pytest.raises(CallRefused) as refused:
            await carol.call("101")
        assert refused.value.status == 480
        await office.ended()
        assert alice.called == []
        assert [one.step for one in told] == [Step.MISSED]
        await bob.call("101")
        assert alice.called == ["101"]
        await handling.do_not_disturb(person, DoNotDisturb(on=False))
        await carol.call("101")
        assert alice.called == ["101", "101"]


async def test_second_calls_are_busy_without_call_waiting(tmp_path: Path) -> None:
    async with open_office(tmp_path, answerphone={"on": False}) as office:
        await office.app.operator.handling.wait(office.app.person, on=False)
        alice, bob, carol = await desks(
            office, x101=Phone(quiet, ring_seconds=0.1), x102=caller(), x103=caller()
        )
        await bob.call("101")
        await office.until(lambda: bool(office.of(CallAnswered)))
        with pytest.raises(CallRefused) as refused:
            await carol.call("101")
        assert refused.value.status == 486
        assert alice.called == ["101"]


async def test_a_group_rings_at_once(tmp_path: Path) -> None:
    group = {"number": "500", "name": "Sales", "members": ("101", "102")}
    async with open_office(tmp_path, group=(group,)) as office:
        alice, bob, carol = await desks(
            office,
            x101=Phone(quiet, ring_seconds=NEVER),
            x102=Phone(plays(tone(1, BOB)), ring_seconds=0.5),
            x103=caller(),
        )
        await carol.call("500")
        await connected(carol, BOB)
        assert (len(alice.called), len(bob.called)) == (1, 1)
        assert [one.peer for one in office.of(LegAnswered)][:1] == ["102"]


async def test_a_call_sent_on_says_so_to_the_carrier(tmp_path: Path) -> None:
    """What comes back to us with that was here before."""
    async with open_office(tmp_path) as office:
        network = await telephone_network(office, Phone(quiet, ring_seconds=NEVER))
        await wishes(office, to=MOBILE)
        (carol,) = await desks(office, x103=caller())
        dialling = asyncio.ensure_future(carol.call("101"))
        await office.until(lambda: bool(network.called))
        (call_id,) = office.app.exchange.calls
        sent = [line.text for line in office.app.exchange.trace(call_id) if line.sent]
        invite = next(text for text in sent if text.startswith(f"INVITE sip:{NUMBER}"))
        assert "Diversion: <sip:+12025550100@encryptotel.local>" in invite
        dialling.cancel()


@pytest.mark.parametrize(
    ("redirect", "id"),
    [
        (Redirect(to=Party(extension="101")), "redirect.self"),
        (Redirect(to=Party(name="nobody")), "party.unknown_name"),
        (Redirect(to=Party(extension="777")), "party.no_such_extension"),
        (Redirect(to=Party(name="voicemail"), also=(MOBILE,)), "redirect.answerphone"),
        (Redirect(to=MOBILE, also=(MOBILE,) * 10), "redirect.targets"),
        (Redirect(on=False), "redirect.none"),
    ],
)
async def test_what_cannot_be_wished_is_said(tmp_path: Path, redirect: Redirect, id: str) -> None:
    async with open_office(tmp_path) as office:
        with pytest.raises(OperatorError) as refused:
            await office.app.operator.handling.redirect(office.app.person, redirect)
        assert refused.value.id == id
        assert not office.of(CallEnded)


async def test_wishes_outlast_a_restart_and_circles_are_refused(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await wishes(office, to=Party(extension="102"), condition="busy")
        handling, person = office.app.operator.handling, office.app.person
        (rule,) = handling.redirections(person)
        assert await handling.pause(person, rule.id, on=True)
        await handling.treat(person, anonymous=True, unknown=False, how="refuse")
        bobs = handling._row(person, Redirect(to=Party(extension="103")))
        bobs.targets, bobs.extension = ["101"], "102"
        await office.app.wishes.add_rule(bobs)
        with pytest.raises(OperatorError, match="go round"):
            await wishes(office, to=Party(extension="102"))
    async with open_office(tmp_path) as office:
        handling, person = office.app.operator.handling, office.app.person
        (rule,) = handling.redirections(person)
        assert (rule.what, rule.paused) == ("Calls go to Bob (102) when you are busy", True)
        assert office.app.wishes.of("101").rules == ()
        assert "Callers without a number are refused." in handling.settings(person)
        assert await handling.pause(person, rule.id, on=False)
        assert len(office.app.wishes.of("101").rules) == 1
        said = await handling.redirect(person, Redirect(on=False))
        assert said == "No longer: Calls go to Bob (102) when you are busy."
        assert handling.redirections(person) == []
