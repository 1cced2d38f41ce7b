"""Calls that cost money, with real phones: what they cost, the warning, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select, update

from bot.ports import OperatorError
from encryptotel.accounts import give
from encryptotel.demo.phone import Phone, plays
from encryptotel.postman import pages_of
from nlp.commands import Balance, Call, Conference, Message, Party, Tariff, TrackingNumber
from pbx.events import LegAnswered, LegEnded, LegStarted
from pbx.media.tones import share_of, tone
from pbx.ports import CallRefused
from pbx.texts import Text
from store.tables import ChargeRow, TextRow
from tests.calls.test_callback import telephone_network
from tests.calls.test_texts import carrier, say, until_none_left
from tests.calls.writers import Writer
from tests.office import BusyPhone, Office, open_office, quiet
from wallet.charging import NotPaid
from wallet.ledger import CALLS, balances, verify

DECK = """prefix,name,price,fee,increments
1,USA,0.60,0,1/1
1900,USA special,5,1,60/60
49,Germany,0.0123,0.05,30/6
44,United Kingdom,0.02,,60/60
4477,United Kingdom mobile,0.1,,
"""
NUMBER = "+12025550143"


@asynccontextmanager
async def paying(
    folder: Path, cents: int, money_more: Mapping[str, Any] | None = None, **more: Any
) -> AsyncIterator[Office]:
    """An office in which outside calls cost a cent a second, and Alice has so many."""
    (folder / "rates.csv").write_text(DECK)
    money = {"rates": "rates.csv", "free": (), "low": "0.02", **(money_more or {})}
    async with open_office(folder, money=money, **more) as office:
        if cents:
            unit = office.app.config.money.asset
            await give(office.app.database, unit, "101", cents, "a present")
            await metering(office).charging.reload()
        yield office


def metering(office: Office) -> Any:
    assert office.app.metering is not None
    return office.app.metering


async def settled(office: Office) -> list[ChargeRow]:
    """The charges once all is written; and the books are right."""
    await metering(office).charging._jobs.join()
    assert not metering(office)._running
    proof = await verify(office.app.database)
    assert proof.faults == []
    async with office.app.database.reading() as session:
        return list((await session.execute(select(ChargeRow))).scalars())


async def test_a_phones_call_is_warned_of_and_ended_when_the_money_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encryptotel.metering.WARNING_SECONDS", 2.0)
    async with paying(tmp_path, 5) as office:
        await telephone_network(office, Phone(plays(tone(1, 620.0))))
        alice = Phone(quiet)
        await office.phone("101", alice)
        office.dialogue()
        loop = asyncio.get_running_loop()
        leg = await alice.call(NUMBER)
        began = loop.time()
        async with asyncio.timeout(20):
            await alice.until_heard(lambda heard: share_of(bytes(heard[-3200:]), 1400.0) > 0.5)
            warned = loop.time() - began
            await leg.ended()
            ended = loop.time() - began
        assert 2.7 < warned < 4.5
        assert 4.7 < ended < 6.5
        assert (await office.ended()).cause == "your balance is used up"
        (charge,) = await settled(office)
        assert (charge.seconds, charge.cost, charge.extension, charge.name) == (5, 5, "101", "USA")
        assert metering(office).charging.has("101") == 0
        await office.until(lambda: any("0.00 EUR left" in text for text in office.told))
        with pytest.raises(CallRefused, match="402"):
            await alice.call(NUMBER)


async def test_both_sides_of_a_callback_are_paid_for(tmp_path: Path) -> None:
    async with paying(tmp_path, 500) as office:
        network = await telephone_network(office, Phone(plays(tone(1, 620.0))))
        other = "+12025550199"
        order = Call(to=(Party(number=NUMBER),), line="US", callback=Party(number=other))
        quoted = office.app.operator.quote(office.app.person, order)
        assert quoted.endswith("call +1 202-555-0199 back? It costs 1.20 EUR a minute.")
        office.understands(order)
        await office.dialogue().hear("the order")
        async with asyncio.timeout(20):
            await network.until_heard(lambda heard: len(heard) > 8_000)
        (call,) = office.app.exchange.calls.values()
        assert metering(office).charging.free("101") == 500 - 240
        call.hang_up()
        await office.ended()
        charges = await settled(office)
        assert {one.number for one in charges} == {NUMBER, other}
        assert all(one.seconds == one.cost for one in charges)
        left = 500 - sum(one.cost for one in charges)
        assert metering(office).charging.free("101") == left
        assert (await balances(office.app.database))[CALLS, "EUR"] == 500 - left


async def test_what_nobody_answers_costs_nothing(tmp_path: Path) -> None:
    async with paying(tmp_path, 500, calls={"ring_timeout": 1}) as office:
        await telephone_network(office, BusyPhone(quiet))
        alice = Phone(quiet)
        await office.phone("101", alice)
        with pytest.raises(CallRefused, match="busy"):
            await alice.call(NUMBER)
        await office.ended()
        assert await settled(office) == []
        assert metering(office).charging.free("101") == 500


async def test_calls_inside_cost_nothing_and_need_nothing(tmp_path: Path) -> None:
    async with paying(tmp_path, 0) as office:
        alice = Phone(quiet)
        await office.phone("101", alice)
        await office.phone("102", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        leg = await alice.call("102")
        async with asyncio.timeout(20):
            await alice.until_heard(lambda heard: share_of(bytes(heard[-3200:]), 440.0) > 0.5)
        leg.hang_up()
        await office.ended()
        assert await settled(office) == []


async def test_who_calls_at_the_hosts_expense_is_not_charged(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text(DECK)
    async with open_office(tmp_path, money={"rates": "rates.csv"}) as office:
        await telephone_network(office, Phone(plays(tone(1, 620.0))))
        alice = Phone(quiet)
        await office.phone("101", alice)
        leg = await alice.call(NUMBER)
        leg.hang_up()
        await office.ended()
        assert await settled(office) == []
        office.understands(Balance())
        (reply,) = await office.dialogue().hear("how much do I have left")
        assert reply.text.startswith("Outside calls cost you nothing here.")


async def test_an_outside_number_that_callers_are_sent_to_is_paid_by_whose_it_is(
    tmp_path: Path,
) -> None:
    """Bob calls Alice inside; she has her calls sent outside, at her expense."""
    async with paying(tmp_path, 500) as office:
        await telephone_network(office, Phone(plays(tone(1, 620.0))))
        chat = office.dialogue()
        await chat.hear(f"forward my calls to {NUMBER}")
        bob = Phone(quiet)
        await office.phone("102", bob)
        with pytest.raises(CallRefused, match="402"):  # Bob has nothing
            await bob.call(NUMBER)
        leg = await bob.call("101")
        leg.hang_up()
        await office.ended(2)
        (charge,) = await settled(office)
        assert charge.extension == "101"


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("what does a call to +49 30 123456 cost?",
         "Calls to +49 30 123456 (Germany) cost 0.0123 EUR a minute, and 0.05 EUR for the "
         "connection, the first 30 seconds in any case, then by 6. You can talk 402 minutes"),
        ("How much does it cost to call Germany", "Calls to Germany cost 0.0123 EUR a minute,"),
        ("what do calls to the united kingdom cost",
         "Calls to United Kingdom cost 0.02 EUR a minute, by the minute.\n"
         "Calls to United Kingdom mobile cost 0.10 EUR a minute, by the minute."),
        ("what's the price of a call to Bob", "Calls to Bob (102) cost nothing, like all inside"),
        ("what does a call to +1 202 555 0143 cost?",
         "Calls to +1 202-555-0143 (USA) cost 0.60 EUR a minute, by the second. You can talk 8 "),
        ("rates for Atlantis", "I have no price for “Atlantis”; ask for a number, or a country"),
        ("what does a call to +86 138 0013 8000 cost", "I have no price for calls to +86"),
    ],
)  # fmt: skip
async def test_what_a_call_costs_is_told(tmp_path: Path, said: str, answer: str) -> None:
    async with paying(tmp_path, 500) as office:
        (reply,) = await office.dialogue().hear(said)
        assert reply.text.startswith(answer)


async def test_the_account_is_told(tmp_path: Path) -> None:
    async with paying(tmp_path, 500) as office:
        chat = office.dialogue()
        office.understands(Balance())
        (reply,) = await chat.hear("how much do I have left")
        assert reply.text == "You have 5.00 EUR."
        (lines,) = await chat.hear(reply.buttons[0].says)
        assert "5.00 EUR, a present" in lines.text
        office.understands(Tariff(plan="monthly"))
        (plans,) = await chat.hear("move me to the monthly plan")
        assert plans.text.startswith("There are no monthly plans here")


TARIFF = (
    {
        "name": "Basic",
        "price": "3",
        "minutes": ({"name": "America", "prefixes": ("1",), "minutes": 10},),
    },
)


async def test_a_plan_by_chat_and_a_call_that_it_includes(tmp_path: Path) -> None:
    async with paying(tmp_path, 500, tariff=TARIFF) as office:
        chat = office.dialogue()
        (plans,) = await chat.hear("what plans are there?")
        assert plans.text == (
            "You have no monthly plan.\nMonthly plans:\n"
            "  Basic: 3.00 EUR for 30 days with 10 minutes to America"
        )
        (refused,) = await chat.hear("I want the Golden plan")
        assert refused.text == "There is no plan Golden; there are: Basic."
        office.understands(Tariff(plan="monthly"))
        (begun,) = await chat.hear("move me to the monthly plan")
        assert begun.text.endswith("You have 2.00 EUR left.")
        await telephone_network(office, Phone(plays(tone(1, 620.0))))
        alice = Phone(quiet)
        await office.phone("101", alice)
        leg = await alice.call(NUMBER)
        leg.hang_up()
        await office.ended()
        (charge,) = await settled(office)
        assert (charge.cost, charge.included) == (0, charge.seconds)
        assert metering(office).charging.has("101") == 200
        (mine,) = await chat.hear("my plan")
        assert "and is renewed then. It has 9 minutes to America left." in mine.text
        (ends,) = await chat.hear("cancel my plan")
        assert ends.text.endswith("and is not renewed.")
        (again,) = await chat.hear("I want the basic plan")
        assert again.text.startswith("You keep Basic; it is renewed on")


async def test_prices_change_without_a_restart_and_wrong_ones_do_not(tmp_path: Path) -> None:
    async with paying(tmp_path, 500) as office:
        person, accounts = office.app.person, office.app.operator.accounts
        (tmp_path / "rates.csv").write_text("prefix,name,price\n1,USA,0.3\n")
        await office.app.reload()
        assert "0.30 EUR a minute" in accounts.price(person, Party(number=NUMBER))
        (tmp_path / "rates.csv").write_text("prefix,name,price\n1,USA,lots\n")
        with pytest.raises(Exception, match="line 2: “lots” is no price"):
            await office.app.reload()
        assert "0.30 EUR a minute" in accounts.price(person, Party(number=NUMBER))
        with pytest.raises(OperatorError, match="no price"):
            accounts.price(person, Party(number="+4930123456"))


async def test_a_side_that_was_transferred_goes_on_costing_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encryptotel.metering.WARNING_SECONDS", 1.0)
    async with paying(tmp_path, 8) as office:
        await telephone_network(office, Phone(plays(tone(1, 620.0))))
        await office.phone("101", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        bob = Phone(quiet, ring_seconds=0.1)
        await office.phone("102", bob)
        operator, person = office.app.operator, office.app.person
        office.dialogue()
        order = Call(to=(Party(number=NUMBER),), line="US")
        placed = await operator.call(person, order)
        await office.until(lambda: "You are connected." in office.told)
        await operator.transfer(person, placed.call_id, Party(extension="102"))
        async with asyncio.timeout(20):
            await bob.until_heard(lambda heard: share_of(bytes(heard[-3200:]), 1400.0) > 0.5)
            while bob.legs:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await office.ended()).cause == "your balance is used up"
        (charge,) = await settled(office)
        assert (charge.cost, charge.extension) == (8, "101")


async def test_in_a_conference_only_the_side_that_costs_ends(tmp_path: Path) -> None:
    async with paying(tmp_path, 6) as office:
        network = Phone(plays(tone(1, 620.0)))
        await telephone_network(office, network)
        await office.phone("101", Phone(quiet, ring_seconds=0.1))
        bob = Phone(quiet, ring_seconds=0.1)
        await office.phone("102", bob)
        parties = (Party(number=NUMBER), Party(extension="102"))
        await office.app.operator.conference(office.app.person, Conference(participants=parties))
        async with asyncio.timeout(30):
            await bob.until_heard(lambda heard: share_of(bytes(heard[-3200:]), 620.0) > 0.5)
            while network.legs:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        (call,) = office.app.exchange.calls.values()
        assert call.conference is not None
        assert bob.legs
        call.hang_up()
        await office.ended()
        (charge,) = await settled(office)
        assert charge.cost == 6


async def test_texts_to_outside_have_a_price_and_what_does_not_arrive_costs_nothing(
    tmp_path: Path,
) -> None:
    async with paying(tmp_path, 7, money_more={"text": "0.03"}) as office:
        network = Writer()
        await carrier(office, network)
        asked = await say(office, Message(to=Party(number=NUMBER), text="hello"), confirm=True)
        assert asked == "Send “hello” to +1 202-555-0143? It costs 0.03 EUR."
        await say(office, Message(to=Party(number=NUMBER), text="x" * 161))
        await until_none_left(office.app)
        assert metering(office).charging.has("101") == 1
        refused = await say(office, Message(to=Party(number=NUMBER), text="hello"))
        assert "costs 0.03 EUR, and you have 0.01 EUR left" in refused
        assert len(network.read.items) == 1
        bob = await office.phone("102", Writer())
        assert (await bob.write("102", "inside")).status == 202  # which costs nothing
        unit = office.app.config.money.asset
        await give(office.app.database, unit, "102", 5, "a present")
        await metering(office).charging.reload()
        network.answer = 404
        assert (await bob.write(NUMBER, "hello")).status == 202
        await until_none_left(office.app)
        await office.until(lambda: metering(office).charging.has("102") == 5)
        lines = await office.app.operator.accounts.lines(office.app.person)
        assert (lines[0].amount, lines[0].what) == (
            "-0.06 EUR", "text to +1 202-555-0143",
        )  # fmt: skip
        assert (await verify(office.app.database)).faults == []
        await network.stop()


FEATURES = (
    {"name": "Basic", "price": "1"},
    {"name": "Full", "price": "2", "answerphone": True, "menus": True, "numbers": 1},
)


async def test_a_plan_includes_the_answerphone_menus_and_numbers(tmp_path: Path) -> None:
    only = {"only_with_plan": ("answerphone", "menus", "numbers")}
    async with paying(tmp_path, 500, tariff=FEATURES, money_more=only) as office:
        chat, app = office.dialogue(), office.app
        await telephone_network(office, Phone(quiet), numbers=("+12025550100", "+12025550101"))
        needed = "Your plan does not include that; ask “what plans are there?”."
        assert await say(office, TrackingNumber(label="Facebook")) == needed
        assert not app.wishes.of("101").answerphone
        await chat.hear("I want the Basic plan")
        assert not app.wishes.of("101").answerphone
        await chat.hear("I want the Full plan")  # which begins when Basic has run
        assert not app.wishes.of("101").answerphone
        assert app.tariffs is not None
        subscriptions = app.tariffs.subscriptions
        later = datetime.now(UTC) + timedelta(days=30, minutes=1)
        subscriptions._now = lambda: later
        await subscriptions.look()
        assert app.wishes.of("101").answerphone
        assert "is the number for “Facebook”" in await say(office, TrackingNumber(label="Facebook"))
        assert await say(office, TrackingNumber(label="Another")) == needed  # it has one
        (plans,) = await chat.hear("what plans are there?")
        assert "Full: 2.00 EUR for 30 days with answerphone, menus, 1 number of your own" in (
            plans.text
        )
        await chat.hear("cancel my plan")
        subscriptions._now = lambda: later + timedelta(days=31)
        await subscriptions.look()
        assert not app.wishes.of("101").answerphone
        assert app.directory.tracked() == []
        await office.until(lambda: any("Full has ended, and what it" in one for one in office.told))


async def test_whoever_calls_at_the_hosts_expense_needs_no_plan(tmp_path: Path) -> None:
    only = {"only_with_plan": ("answerphone",), "free": ("101",)}
    async with paying(tmp_path, 0, tariff=FEATURES, money_more=only) as office:
        office.dialogue()
        assert office.app.wishes.of("101").answerphone


async def test_a_side_that_ends_after_its_permit_was_given_back(tmp_path: Path) -> None:
    async with paying(tmp_path, 500) as office:
        it = metering(office)
        it.reserve("permit", "101", NUMBER)
        at = datetime.now(UTC)
        it.take(LegStarted(call_id="c", at=at, leg_id="l", peer=NUMBER, trunk="us",
                           direction="out", permit="permit"))  # fmt: skip
        it.release("permit")
        it.take(LegAnswered(call_id="c", at=at, leg_id="l", peer=NUMBER, codec="PCMU",
                            srtp=False))  # fmt: skip
        it.take(LegEnded(call_id="c", at=at, leg_id="l", peer=NUMBER, status=487,
                         cause=""))  # fmt: skip
        assert await settled(office) == []
        assert it.charging.free("101") == 500


@pytest.mark.parametrize(
    ("words", "pages"),
    [
        ("x" * 160, 1), ("x" * 161, 2), ("x" * 306, 2), ("x" * 307, 3), ("€" * 80, 1),
        ("€" * 81, 2), ("ж" * 70, 1), ("ж" * 71, 2), ("ж" * 134, 2), ("ж" * 135, 3), ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)  # fmt: skip
def test_pages_are_those_that_a_carrier_counts(words: str, pages: int) -> None:
    assert pages_of(words) == pages


async def test_a_text_that_comes_again_is_neither_paid_nor_sent_again(tmp_path: Path) -> None:
    """A phone chooses what it calls a message: the same name for other words is another."""
    async with paying(tmp_path, 9, money_more={"text": "0.03"}) as office:
        network = Writer()
        await carrier(office, network)
        texts = office.app.texts
        for words in ("one", "one", "two", "one"):
            await texts.take(Text(id="chosen", sender="101", recipient=NUMBER, words=words))
            await until_none_left(office.app)
        assert [words for _, words in network.read.items] == ["one", "two"]
        assert metering(office).charging.has("101") == 3
        assert (await verify(office.app.database)).faults == []
        await network.stop()


async def test_what_waited_too_long_is_told_of_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encryptotel.texts.PAUSES", (60.0,))
    monkeypatch.setattr("encryptotel.texts.MAX_WAITING", 2)
    async with paying(tmp_path, 9, money_more={"text": "0.03"}) as office:
        office.dialogue()
        network = Writer(answer=503)
        await carrier(office, network)
        for words in ("one", "two"):
            await office.app.texts.say("101", "Alice", NUMBER, words)
        with pytest.raises(CallRefused, match="too many messages wait"):
            await office.app.texts.say("101", "Alice", NUMBER, "three")
        assert metering(office).charging.has("101") == 3
        async with office.app.database.writing() as session:
            await session.execute(update(TextRow).values(at=datetime.now(UTC) - timedelta(days=8)))
        await office.app.texts.forget_old()
        assert metering(office).charging.has("101") == 9
        await office.until(lambda: any("down all the time" in text for text in office.told))
        assert (await verify(office.app.database)).faults == []
        await network.stop()


async def test_a_text_and_a_call_do_not_spend_the_same_money(tmp_path: Path) -> None:
    async with paying(tmp_path, 3, money_more={"text": "0.03"}) as office:
        network = Writer()
        await carrier(office, network)
        charging = metering(office).charging
        sending = asyncio.ensure_future(office.app.texts.say("101", "Alice", NUMBER, "hello"))
        while charging.aside("101") == 0 and not sending.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        with pytest.raises(NotPaid):
            charging.reserve("101", NUMBER)
        await sending
        assert (charging.has("101"), charging.aside("101")) == (0, 0)
        await network.stop()


async def test_a_smaller_plan_keeps_fewer_numbers(tmp_path: Path) -> None:
    only = {"only_with_plan": ("numbers",)}
    several = (
        {"name": "Two", "price": "1", "numbers": 2}, {"name": "One", "price": "1", "numbers": 1},
    )  # fmt: skip
    async with paying(tmp_path, 500, tariff=several, money_more=only) as office:
        chat, app = office.dialogue(), office.app
        numbers = ("+12025550100", "+12025550101", "+12025550102")
        await telephone_network(office, Phone(quiet), numbers=numbers)
        await chat.hear("I want the Two plan")
        for label in ("Facebook", "Radio"):
            assert "is the number for" in await say(office, TrackingNumber(label=label))
        await chat.hear("I want the One plan")
        assert app.tariffs is not None
        later = datetime.now(UTC) + timedelta(days=30, minutes=1)
        app.tariffs.subscriptions._now = lambda: later
        await app.tariffs.subscriptions.look()
        assert [row.label for row in app.directory.tracked()] == ["Facebook"]


async def test_texts_that_cost_nothing_may_go_out_at_once(tmp_path: Path) -> None:
    """What is held for each ends by itself, also where that is nothing."""
    async with paying(tmp_path, 0) as office:
        network = Writer()
        await carrier(office, network)
        say_ = office.app.texts.say
        await asyncio.gather(*(say_("101", "Alice", NUMBER, f"text {n}") for n in range(3)))
        await until_none_left(office.app)
        assert len(network.read.items) == 3
        assert metering(office).charging.aside("101") == 0
        await network.stop()
