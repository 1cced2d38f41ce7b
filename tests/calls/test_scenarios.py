"""What people do by calling a number and keying their PIN: send coins, write, redirect, call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.ports import OperatorError
from encryptotel.demo.phone import Phone
from nlp.commands import (
    Call,
    Command,
    DoNotDisturb,
    Message,
    Money,
    Party,
    Redirect,
    Scenario,
    SendMoney,
    When,
)
from pbx.calls.leg import Leg
from pbx.events import CallAnswered, CallEnded, CallTraced
from pbx.media.keys import DTMF_RELAY
from pbx.media.srtp import SrtpPolicy
from pbx.ports import CallRefused
from tests.calls.test_rooms import ended, keys, said
from tests.office import Office, open_office, quiet
from tests.peers.waves_js import READY, waves_js
from tests.peers.waves_node import Chain, WavesNode, waves_node
from wallet.chain import DEEP
from wallet.money import WAVES
from wallet.signing import account

pytestmark = pytest.mark.skipif(not READY, reason="npm packages are not installed")

ONE = 100_000_000
PIN = "271828"
TO = account("somebody", "T").address
SEND = SendMoney(money=Money(amount="5", asset="WAVES"), to_address=TO)
CHOOSE = "You have no PIN for your wallet yet. Choose one of 6 to 12 digits, and then press hash."
ENTER = "Please enter your PIN, and then the hash key."


@asynccontextmanager
async def bank(folder: Path) -> AsyncIterator[tuple[Office, WavesNode, Phone]]:
    """An office before a node, with Alice's phone."""
    async with waves_js() as js, waves_node(Chain(), js) as node:
        waves = {"chain": "T", "node": node.url, "every": 0.1}
        async with open_office(folder, waves=waves) as office:
            office.dialogue()
            yield office, node, await office.phone("101", Phone(quiet))


async def has_wallet(office: Office, node: WavesNode, pin: str = PIN) -> str:
    """Alice has a wallet with 100 WAVES; its address."""
    address = await office.app.wallets._vaults.make("101", pin)
    node.chain.given[address, WAVES] = 100 * ONE
    return address


async def scenario(office: Office, action: Command, trigger: str = "*77") -> None:
    await office.app.scenarios.add(
        office.app.person, Scenario(name="rent", action=action, trigger=trigger)
    )


async def told(office: Office, text: str) -> None:
    await office.until(lambda: any(text in one for one in office.told))


async def confirms(office: Office, phone: Phone, leg: Leg, key: str = "1") -> None:
    """Hear what is to be sent, and answer with a key."""
    end = ", ".join(TO[-4:])
    await said(office, phone, f"5 waves, to the address that ends in: {end}. To send that, "
               "press 1. To hear it again, press 3. To send nothing, press 2.")  # fmt: skip
    keys(leg, key)


async def test_the_first_call_chooses_a_pin_and_the_next_one_pays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with bank(tmp_path) as (office, node, alice):
        await scenario(office, SEND)
        leg = await alice.call("*77")
        await said(office, alice, CHOOSE)
        keys(leg, f"{PIN}#")
        await said(office, alice, "Once more, please.")
        keys(leg, f"{PIN}#")
        await said(office, alice, "Thank you. This is your PIN now.")
        await confirms(office, alice, leg)
        await said(office, alice, "Nothing was sent: there are 0 WAVES in the wallet, and it "
                   "takes the fee of 0.001 WAVES too.")  # fmt: skip
        await ended(leg)
        await told(office, "You have a wallet now: 3")
        state = await office.app.wallets._vaults.state("101")
        assert state is not None
        node.chain.given[state.address, WAVES] = 100 * ONE
        leg = await alice.call("*77")
        await said(office, alice, ENTER)
        keys(leg, f"{PIN}#")
        await confirms(office, alice, leg)
        await said(office, alice, "It is sent.")
        await ended(leg)
        (tx,) = node.chain.mempool
        assert (tx["recipient"], tx["amount"]) == (TO, 5 * ONE)
        await told(office, f"Sent 5 WAVES to {TO}: transaction {tx['id']}")
        node.chain.forge(DEEP + 1)
        await told(office, f"The chain has your payment of 5 WAVES to {TO}.")
        opened = await office.app.wallets._vaults.open("101", PIN)
        for secret in (PIN, opened.seed):
            assert secret not in caplog.text
            assert all(secret not in repr(event) for event in office.events)
            assert all(secret not in one for one in office.told)


async def test_what_is_not_confirmed_is_not_sent(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, node, alice):
        await has_wallet(office, node)
        await scenario(office, SEND)
        leg = await alice.call("*77")
        keys(leg, f"{PIN}#")
        await confirms(office, alice, leg, "3")
        await confirms(office, alice, leg, "2")
        await said(office, alice, "Nothing was sent.")
        await ended(leg)
        leg = await alice.call("*77")
        keys(leg, f"{PIN}#")
        await said(office, alice, f"5 waves, to the address that ends in: {', '.join(TO[-4:])}.")
        leg.hang_up()
        await office.ended(2)
        assert node.chain.mempool == []


async def test_three_wrong_pins_lock_and_the_chat_unlocks(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, node, alice):
        await has_wallet(office, node)
        await scenario(office, SEND)
        leg = await alice.call("*77")
        for wrong in ("111111#", "222222#", "333333#"):
            keys(leg, wrong)
        locked = "Your wallet is locked. Write in your chat: unlock my wallet."
        await said(office, alice, f"That PIN is wrong. {locked}")
        await ended(leg)
        await told(office, "Three wrong PINs have locked your wallet.")
        leg = await alice.call("*77")
        keys(leg, f"{PIN}#")
        await said(office, alice, f"That PIN is wrong. {locked}")
        await ended(leg)
        (reply,) = await office.dialogue().hear("unlock my wallet")
        assert reply.text == "Your wallet takes your PIN again."
        leg = await alice.call("*77")
        keys(leg, f"{PIN}#")
        await confirms(office, alice, leg)
        await said(office, alice, "It is sent.")


async def test_pins_are_not_written_into_traces(tmp_path: Path) -> None:
    """Phones that key by INFO, in both ways there are."""
    async with bank(tmp_path) as (office, node, alice):
        await has_wallet(office, node)
        await scenario(office, SEND)
        leg = await alice.call("*77")
        await said(office, alice, ENTER)
        assert leg.session is not None
        for number, key in enumerate(f"{PIN}#"):
            if number % 2:
                leg.session.inform(DTMF_RELAY, f"Signal={key}\r\nDuration=160\r\n".encode())
            else:
                leg.session.inform("application/dtmf", f"{key}\r\n".encode())
        await confirms(office, alice, leg)
        await said(office, alice, "It is sent.")
        await ended(leg)
        await office.until(lambda: bool(office.of(CallTraced)))
        (trace,) = office.of(CallTraced)
        sent = [line.text for line in trace.lines if "application/dtmf" in line.text]
        assert len(sent) == len(PIN) + 1
        for text in sent:
            body = text.partition("\r\n\r\n")[2]
            assert not any(key in body.replace("160", "") for key in "0123456789#"), text


async def test_a_payment_by_chat_rings_for_the_pin(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, node, alice):
        person, wallets = office.app.person, office.app.wallets
        with pytest.raises(OperatorError, match=r"Dial \*75"):
            await wallets.send(person, SEND)
        await has_wallet(office, node)
        text = await wallets.send(person, SEND)
        assert text == f"To send 5 WAVES to {TO} I ring your phones now: key your PIN there."
        with pytest.raises(OperatorError, match="ringing you"):
            await wallets.send(person, SEND)
        await office.until(lambda: bool(office.of(CallAnswered)))
        (leg,) = alice.legs
        keys(leg, f"{PIN}#")
        await confirms(office, alice, leg)
        await told(office, "Sent 5 WAVES")
        await office.ended()
        (tx,) = node.chain.mempool
        assert tx["amount"] == 5 * ONE


async def test_the_wallet_by_phone_tells_and_changes_its_pin(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, node, alice):
        await has_wallet(office, node)
        leg = await alice.call("*75")
        keys(leg, f"{PIN}#")
        await said(office, alice, "There are 100 waves and 0 E, T, T in your wallet. To change "
                   "your PIN, press 1. To end, press star.")  # fmt: skip
        keys(leg, "1")
        await said(office, alice, "Enter your new PIN of 6 to 12 digits, and then press hash.")
        keys(leg, "123456#")
        await said(office, alice, "that one is guessed first; choose a less regular PIN.")
        keys(leg, "314159#314158#")
        await said(office, alice, "Those were not the same.")
        keys(leg, "314159#314159#")
        await said(office, alice, "Your PIN is changed.")
        await ended(leg)
        await office.app.wallets._vaults.open("101", "314159")


async def test_other_actions(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, node, alice):
        await has_wallet(office, node)
        await scenario(office, Redirect(to=Party(extension="102", name="Bob")))
        leg = await alice.call("*77")
        keys(leg, f"{PIN}#")
        await said(office, alice, "Calls go to Bob (102).")
        await ended(leg)
        assert [rule.to for rule in office.app.wishes.of("101").rules] == [("102",)]
        await told(office, "rent (*77): Calls go to Bob (102).")
        await scenario(office, Message(to=Party(extension="999"), text="hi"))
        leg = await alice.call("*77")
        keys(leg, f"{PIN}#")
        await told(office, "rent (*77): ")
        await ended(leg)


async def test_a_call_is_placed_when_the_person_has_hung_up(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, node, alice):
        await has_wallet(office, node)
        bob = await office.phone("102", Phone(quiet))
        await scenario(office, Call(to=(Party(extension="102"),)))
        leg = await alice.call("*77")
        keys(leg, f"{PIN}#")
        await said(office, alice, "Please hang up. I call you then.")
        await ended(leg)
        async with asyncio.timeout(20):
            await office.until(lambda: bool(bob.legs) and len(office.of(CallEnded)) == 1)
        await told(office, "rent (*77): Calling")


async def test_whose_a_scenario_is(tmp_path: Path) -> None:
    """Two people have one under the same number, and a third has none."""
    async with bank(tmp_path) as (office, node, alice):
        await has_wallet(office, node)
        await scenario(office, DoNotDisturb())
        bob = await office.phone("102", Phone(quiet))
        carol = await office.phone("103", Phone(quiet))
        person = await office.app._person_of("102")
        await office.app.scenarios.add(
            person, Scenario(name="mine", action=Redirect(on=False), trigger="*77")
        )
        await office.app.wallets._vaults.make("102", "161803")
        with pytest.raises(CallRefused):
            await carol.call("*77")
        leg = await bob.call("*77")
        keys(leg, f"{PIN}#")  # Alice's
        await said(office, bob, f"That PIN is wrong. {ENTER}")
        leg.hang_up()
        await office.app.scenarios.remove(office.app.person, "rent")
        with pytest.raises(CallRefused):
            await alice.call("*77")
        leg = await bob.call("*77")
        leg.hang_up()
        await office.app.scenarios.forget("102")
        with pytest.raises(CallRefused):
            await bob.call("*77")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (Scenario(name="x", trigger="*77"), "what shall be done"),
        (Scenario(name="x", action=SEND, trigger="102"), "cannot be its number"),
        (Scenario(name="x", action=SEND, trigger="*72"), "taken"),
        (Scenario(name="x", action=SEND, trigger="*721"), "taken"),
        (Scenario(name="x", action=SEND, trigger="*671"), "taken"),
        (Scenario(name="x", action=SEND, trigger="600"), "cannot be its number"),
        (Scenario(name="x", action=SEND, trigger="+12025550143"), "cannot be its number"),
        (Scenario(name="x", action=SEND, trigger="*"), "cannot be its number"),
        (Scenario(name="x", action=Scenario(name="y"), trigger="*77"), "cannot be done"),
        (
            Scenario(name="x", action=SendMoney(money=Money(amount="5", asset="DOGE"),
                                                to_address=TO)), "WAVES or ETT"),
        (
            Scenario(name="x", action=SendMoney(money=Money(amount="11", asset="WAVES"),
                                                to_address=TO)), "at once is 10 WAVES"),
        (
            Scenario(name="x", action=SendMoney(money=Money(amount="5", asset="WAVES"),
                                                to_address=TO[:-1] + "1")), "no Waves address"),
    ],
)  # fmt: skip
async def test_what_cannot_be_a_scenario(tmp_path: Path, command: Scenario, why: str) -> None:
    async with bank(tmp_path) as (office, _, _):
        with pytest.raises(OperatorError, match=why):
            await office.app.scenarios.add(office.app.person, command)


async def test_scenarios_outlast_a_restart(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, node, _):
        await has_wallet(office, node)
        await scenario(office, DoNotDisturb())
        await office.app.scenarios.pause(office.app.person, "RENT", on=True)
    async with bank(tmp_path) as (office, _, alice):
        (one,) = office.app.scenarios.of(office.app.person)
        assert (one.name, one.trigger, one.paused) == ("rent", "*77", True)
        leg = await alice.call("*77")
        keys(leg, f"{PIN}#")
        await said(office, alice, "This scenario is paused, or is no more.")
        await ended(leg)


async def test_a_moment_is_none_of_a_scenario(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, _, _):
        person = office.app.person
        until = When(at=datetime(2026, 12, 1, 9, tzinfo=UTC))
        with pytest.raises(OperatorError, match="without a time"):
            await office.app.scenarios.add(
                person, Scenario(name="x", action=DoNotDisturb(until=until), trigger="*77")
            )


async def test_nobody_is_forgotten_with_money_in_their_wallet(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, node, _):
        address = await has_wallet(office, node)
        dialogue = office.dialogue()
        (reply,) = await dialogue.hear("forget me for good")
        assert f"Your wallet {address} holds 100 WAVES; send that away first." in reply.text
        node.status = 503
        (reply,) = await dialogue.hear("delete my wallet")
        assert "nobody can tell now" in reply.text
        node.status = 200
        node.chain.given.clear()
        (reply,) = await dialogue.hear("delete my wallet")
        assert reply.text == "Your wallet is gone; it was empty."
        assert await office.app.wallets._vaults.state("101") is None


async def test_what_is_deleted_while_the_pin_is_keyed_does_nothing(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, node, alice):
        await has_wallet(office, node)
        await scenario(office, SEND)
        leg = await alice.call("*77")
        await said(office, alice, ENTER)
        await office.app.scenarios.remove(office.app.person, "rent")
        keys(leg, f"{PIN}#")
        await said(office, alice, "This scenario is paused, or is no more.")
        await ended(leg)
        await scenario(office, SEND)
        leg = await alice.call("*77")
        keys(leg, f"{PIN}#")
        await said(office, alice, f"5 waves, to the address that ends in: {', '.join(TO[-4:])}.")
        await office.app.scenarios.pause(office.app.person, "rent", on=True)
        keys(leg, "1")
        await said(office, alice, "Nothing was sent.")
        assert node.chain.mempool == []


async def test_changes_at_once_leave_what_is_on_the_disk(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, _, _):
        person, book = office.app.person, office.app.scenarios
        await scenario(office, DoNotDisturb())
        await asyncio.gather(
            book.remove(person, "rent"), book.pause(person, "rent", on=True),
            *(scenario(office, DoNotDisturb(), "*80") for _ in range(3)),
            return_exceptions=True,
        )  # fmt: skip
        before = book.of(person)
        await book.load()
        assert book.of(person) == before
        assert [one.trigger for one in before] == ["*80"]


async def test_an_extension_of_somebody_else_later_has_nothing_of_theirs(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, _, _):
        app = office.app
        await app.directory.add_extension("105", "Dave", SrtpPolicy.OFF)
        dave = await app._person_of("105")
        await app.wallets._vaults.make("105", PIN)
        await app.scenarios.add(dave, Scenario(name="x", action=DoNotDisturb(), trigger="*77"))
        await app.api_keys.make("105", "CRM", ["calls"])
        await app.directory.remove_extension("105")
        await app.reload()
        await app.directory.add_extension("105", "Erin", SrtpPolicy.OFF)
        erin = await app._person_of("105")
        assert app.scenarios.of(erin) == []
        assert app.api_keys.of("105") == []
        assert await app.wallets._vaults.state("105") is None


async def test_dust_keeps_nobody(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, node, _):
        address = await has_wallet(office, node)
        node.chain.given[address, WAVES] = 999_999
        (reply,) = await office.dialogue().hear("delete my wallet")
        assert reply.text == "Your wallet is gone; it was empty."


async def test_two_phones_choose_a_pin_at_once(tmp_path: Path) -> None:
    async with bank(tmp_path) as (office, _, alice):
        await scenario(office, DoNotDisturb())
        other = await office.phone("101", Phone(quiet))
        first, second = await alice.call("*75"), await other.call("*75")
        keys(first, f"{PIN}#{PIN}#")
        await said(office, alice, "Thank you. This is your PIN now.")
        keys(second, "314159#314159#")
        await said(office, other, "You have a PIN already, which was chosen just now.")
        await office.app.wallets._vaults.open("101", PIN)
