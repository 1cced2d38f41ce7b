"""What phones that we did not write see and do every day: lamps that show who talks and whether
messages wait, messages left and heard, recordings, calls taken from another's phone or sent on to a
telephone that takes them with a key, parked calls, calls without a number."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pyrage
import pytest

from tests.calls.test_recording import share, sides
from tests.peers import sipp
from tests.peers.baresip import Baresip
from tests.peers.exchange import Config, Exchange, Trunk
from tests.peers.sipp import Message, Sipp

from .common import HIGH, LOW, OUTSIDE, SECRET, US, heard_by, phone, plain

pytestmark = pytest.mark.interop
NEEDS = ("age", "baresip", "sipp")


def watcher(exchange: Exchange, watched: str, event: str, number: str = "103") -> Sipp:
    """A desk phone's subscription."""
    return Sipp(
        "subscribe",
        exchange.udp,
        number=number,
        to=watched,
        password=SECRET[number],
        keys={"event": event, "expires": 300},
        within=60,
    )


async def told(phone: Sipp, *words: str, since: int = 0) -> Message:
    """A NOTIFY with all these words."""
    return await phone.messages.wait(
        lambda m: m.received and m.method == "NOTIFY" and all(word in m.text for word in words),
        15,
        since,
        what=f"a NOTIFY with {words}",
    )


async def test_a_lamp_shows_ringing_talking_and_free_again() -> None:
    async with (
        Exchange(Config([*plain("101", "102", "103")])) as exchange,
        phone(exchange, "101", LOW) as alice,
        phone(exchange, "102", HIGH, auto_answer=False) as bob,
        watcher(exchange, "102", "dialog") as lamp,
        watcher(exchange, "102", "presence") as eyes,
    ):
        first = await told(lamp, "sip:102@", 'state="full"', 'version="0"')
        assert "<dialog " not in first.text
        assert first.header("Subscription-State").startswith("active;expires=")
        await told(eyes, "<basic>open</basic>")
        await alice.dial("102")
        await bob.wait("CALL_INCOMING")
        await told(lamp, "<state>early</state>", 'direction="recipient"')
        await bob.accept()
        await told(lamp, "<state>confirmed</state>")
        await told(eyes, "<rpid:on-the-phone/>")
        seen = len(lamp.messages.items)
        await alice.hangup()
        last = await told(lamp, "dialog-info", since=seen)
        while "<dialog " in last.text:
            seen += 1
            last = await told(lamp, "dialog-info", since=seen)
        assert "101" not in last.text.partition("\r\n\r\n")[2]  # whom they talk to is not told


async def test_a_lamp_shows_that_a_call_is_parked_and_takes_it() -> None:
    """A transfer to a place parks; dialling it takes the call. All by the phones themselves."""
    async with (
        Exchange(Config([*plain("101", "102", "103", "104")])) as exchange,
        phone(exchange, "101", LOW) as alice,
        phone(exchange, "102", HIGH) as bob,
        phone(exchange, "104", 880) as dan,
        watcher(exchange, "*702", "dialog") as lamp,
    ):
        await told(lamp, "dialog-info")
        await alice.dial("102")
        await alice.hears(HIGH)
        await alice.command("transfer", f"sip:*702@{exchange.udp[0]}:{exchange.udp[1]}")
        await alice.closed()
        await told(lamp, 'id="parked"', "<state>confirmed</state>")
        seen = len(lamp.messages.items)
        await dan.dial("*702")
        await dan.hears(HIGH)
        await bob.hears(880)
        last = await told(lamp, "dialog-info", since=seen)
        assert "parked" not in last.text


async def test_the_light_for_messages() -> None:
    async with (
        Exchange(Config([*plain("101", "102", "103")])) as exchange,
        watcher(exchange, "103", "message-summary") as light,
    ):
        await told(light, "Messages-Waiting: no", "Message-Account: sip:*97@", "Voice-Message: 0/0")


async def test_a_message_is_left_shown_and_heard() -> None:
    """One baresip leaves a message, a desk phone's light goes on, another baresip listens."""
    config = Config(plain("101", "102", "103"), ring_timeout=1)
    async with (
        Exchange(config) as exchange,
        phone(exchange, "102", LOW) as bob,
        phone(exchange, "101", HIGH, auto_answer=False) as alice,
        watcher(exchange, "101", "message-summary", number="101") as light,
    ):
        await told(light, "Messages-Waiting: no")
        await exchange.say("status")  # the answerphone is for people who chat
        await bob.dial("101")
        await bob.established(within=20)
        await heard_by(bob, "Extension 101 cannot take your call now.")
        await asyncio.sleep(8)  # the rest of the greeting, and some seconds of what is to be said
        await bob.hangup()
        await told(light, "Messages-Waiting: yes", "Voice-Message: 1/0")
        since = len(light.messages.items)
        await alice.dial("*97")
        await heard_by(alice, "You have 1 new message and no old messages.")
        await alice.digits("1")
        await alice.hears(LOW, seconds=1, within=20)
        await told(light, "Voice-Message: 0/1", since=since)
        await alice.digits("3")
        await told(light, "Voice-Message: 0/0", since=since)


async def test_another_phone_takes_a_call_that_rings() -> None:
    async with (
        Exchange(Config(plain("101", "102", "103"))) as exchange,
        phone(exchange, "101", LOW) as alice,
        phone(exchange, "102", HIGH, auto_answer=False) as bob,
        phone(exchange, "103", 880) as carol,
    ):
        await alice.dial("102")
        await bob.wait("CALL_INCOMING")
        await carol.dial("*1102")
        await carol.hears(LOW)
        await alice.hears(880)
        await bob.closed()
        await alice.hangup()
        await carol.closed()
        await bob.dial("*69")  # who called last
        await alice.hears(HIGH)
        await bob.hears(LOW)


async def test_a_recording_opens_with_the_program_age(tmp_path: Path) -> None:
    """Ordered in the chat; each phone is alone on its side of the sound."""
    secret = pyrage.x25519.Identity.generate()
    key = tmp_path / "key.txt"
    key.write_text(f"{secret}\n")
    config = Config(
        plain("101", "102"),
        extra={"recording": {"key": str(secret.to_public()), "notice": False}},
    )
    async with Exchange(config) as exchange:
        async with phone(exchange, "101", LOW) as alice, phone(exchange, "102", HIGH) as bob:
            assert "record your next call" in await exchange.say("record my next call")
            await alice.dial("102")
            await alice.hears(HIGH, seconds=3)
            await bob.hears(LOW)
            await alice.hangup()
            await bob.closed()
        await exchange.ended_call()
        (sealed,) = (exchange.data / "recordings").glob("*.age")
        sound = await asyncio.to_thread(
            subprocess.check_output, ["age", "--decrypt", "--identity", key, sealed]
        )
    channels, rate = sides(sound)
    for channel, hz in zip(channels, (LOW, HIGH), strict=True):
        assert share(channel[rate:-rate], rate, hz) > 0.9


@pytest.mark.parametrize("key", ["1", ""])
async def test_a_telephone_elsewhere_takes_a_call_with_a_key(key: str) -> None:
    """The carrier is SIPp; who does not press a key is as good as a mailbox."""
    async with sipp.callee(OUTSIDE, tone=HIGH, talk=40) as carrier:
        trunk = Trunk("us", carrier.host, carrier.port, [US])
        config = Config([*plain("101", "102")], [trunk], ring_timeout=3)
        async with (
            Exchange(config) as exchange,
            phone(exchange, "102", LOW) as bob,
            phone(exchange, "101", 880) as alice,
        ):
            await alice.dial(f"*72{OUTSIDE}")  # all calls of 101 go there
            await alice.closed(within=20)
            await bob.dial("101")
            await carrier.received("INVITE")
            await carrier.answered()
            if key:
                carrier.media.send_digits(key)
                await bob.hears(HIGH, within=20)
            else:
                await bob.closed(within=40)
                assert not await heard(bob, HIGH)


async def heard(phone: Baresip, hz: float) -> bool:
    """Whether a phone heard a tone at all."""
    try:
        await phone.hears(hz, within=2)
    except (AssertionError, TimeoutError):
        return False
    return True


@pytest.mark.parametrize("code", ["", "*67"])
async def test_a_number_that_is_not_shown(code: str) -> None:
    async with sipp.callee(OUTSIDE, tone=HIGH) as carrier:
        trunk = Trunk("us", carrier.host, carrier.port, [US])
        async with (
            Exchange(Config([*plain("101")], [trunk])) as exchange,
            phone(exchange, "101", LOW) as alice,
        ):
            await alice.dial(f"{code}{OUTSIDE}")
            invite = await carrier.received("INVITE")
            await alice.hears(HIGH)
            private = "Privacy: id" in invite.text
            assert private == bool(code)
            assert ("sip:anonymous@anonymous.invalid" in invite.header("From")) == bool(code)
            assert (US in invite.text) != bool(code)
            await alice.hangup()
            await asyncio.wait_for(carrier.finish(check=False), 20)
