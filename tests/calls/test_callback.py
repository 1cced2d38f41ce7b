"""The main job: call one party, call another back, join them, and never leave anybody in
silence."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from encryptotel.demo.phone import Phone, plays
from nlp.commands import Call, Hangup, Party
from pbx.events import LegAnswered, LegStarted
from pbx.media.codecs import PCMA, PCMU
from pbx.media.tones import share_of, tone
from pbx.ports import Trunk
from tests.hearing import match
from tests.office import NEVER, BusyPhone, Office, open_office, quiet

NUMBER = "+12025550143"
ORDER = Call(to=(Party(number=NUMBER),), line="US", callback=Party(extension="101"))
SECONDS = 2 * 8000
"Bytes of a second of PCM."


async def telephone_network(office: Office, network: Phone, **options: Any) -> Phone:
    """A carrier that answers as `network` does, as the US line."""
    address = await network.listen()
    for each in (*office.beside, office):
        each.app.directory.demo_trunks = [
            Trunk(
                name="us",
                zone="US",
                host=address[0],
                port=address[1],
                **{"numbers": ("+12025550100", "+12025550101"), **options},
            )
        ]
        await each.app.directory.load()
        each.app.exchange.refresh()
        await each.until(lambda each=each: each.app.exchange.trunks["us"].up is True)
    return network


async def place(office: Office) -> str:
    """Give the order by chat; the call's id."""
    office.understands(ORDER)
    (reply,) = await office.dialogue().hear("the order")
    assert reply.call_id, reply.text
    return reply.call_id


async def sorry(office: Office) -> bytes:
    return await office.app.exchange.speaker.say("Sorry. The other person did not answer. Goodbye.")


def steady(phone: Phone, hz: float) -> bool:
    return share_of(bytes(phone.heard[-SECONDS:]), hz) >= 0.9 and len(phone.heard) >= SECONDS


async def test_both_sides_hear_each_other_and_hang_up_ends_both(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        network = await telephone_network(office, Phone(plays(tone(1, 620.0))))
        alice = await office.phone("101", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        await place(office)
        async with asyncio.timeout(20):
            await alice.until_heard(lambda _: steady(alice, 620.0))
            await network.until_heard(lambda _: steady(network, 440.0))
        legs = [*network.legs, *alice.legs]
        office.understands(Hangup())
        (reply,) = await office.dialogue().hear("hang up")
        assert reply.text == "Hanging up."
        ended = await office.ended()
        assert ended.status == 200
        for leg in legs:
            assert (await leg.ended()).status == 200
        assert network.called == [NUMBER]
        assert office.told[:2] == ["+1 202-555-0143 is ringing …", "101 is ringing …"]
        assert "You are connected." in office.told
        await network.stop()


async def test_when_the_one_called_back_does_not_answer_the_other_hears_so(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 3}) as office:
        network = await telephone_network(office, Phone(quiet, ring_seconds=0.1))
        await office.phone("101", Phone(quiet, ring_seconds=NEVER))
        await place(office)
        ended = await office.ended()
        assert ended.cause == "101: no answer"
        assert match(bytes(network.heard), await sorry(office)) > 0.9
        await network.stop()


async def test_when_the_number_does_not_answer_the_one_called_back_hears_so(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 3}) as office:
        network = await telephone_network(office, Phone(quiet, ring_seconds=NEVER))
        alice = await office.phone("101", Phone(quiet, ring_seconds=0.1))
        await place(office)
        ended = await office.ended()
        assert ended.cause == "+1 202-555-0143: no answer"
        assert match(bytes(alice.heard), await sorry(office)) > 0.9
        await network.stop()


async def test_a_busy_number_rings_nobody_else(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        network = await telephone_network(office, BusyPhone(quiet))
        await office.phone("101", Phone(quiet))
        call_id = await place(office)
        ended = await office.ended()
        assert ended.cause == "+1 202-555-0143: busy"
        assert [leg.peer for leg in office.of(LegStarted, call_id)] == [NUMBER]
        assert "The call did not come about: +1 202-555-0143: busy." in office.told
        await network.stop()


async def test_the_number_hanging_up_while_it_waits_stops_the_ringing(tmp_path: Path) -> None:
    async def impatient(phone: Phone, leg: object) -> None:
        await phone.until_heard(lambda heard: len(heard) > SECONDS)
        phone.legs[0].hang_up()

    async with open_office(tmp_path) as office:
        network = await telephone_network(office, Phone(impatient, ring_seconds=0.1))
        alice = await office.phone("101", Phone(quiet, ring_seconds=NEVER))
        await place(office)
        ended = await office.ended()
        assert ended.status == 487
        assert "hung up before 101 answered" in ended.cause
        await asyncio.gather(*(leg.ended() for leg in alice.legs))
        await network.stop()


async def test_legs_without_a_codec_in_common_are_transcoded(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        network = await telephone_network(
            office, Phone(plays(tone(1, 620.0)), codecs=(PCMA,), ring_seconds=0.1)
        )
        alice = await office.phone(
            "101", Phone(plays(tone(1, 440.0)), codecs=(PCMU,), ring_seconds=0.1)
        )
        await place(office)
        async with asyncio.timeout(20):
            await alice.until_heard(lambda _: steady(alice, 620.0))
            await network.until_heard(lambda _: steady(network, 440.0))
        codecs = {leg.codec for leg in office.of(LegAnswered)}
        assert codecs == {"PCMU/8000", "PCMA/8000"}
        await network.stop()


async def test_several_calls_at_once_and_the_chat_asks_which_to_end(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        network = await telephone_network(office, Phone(quiet, ring_seconds=0.1))
        await office.phone("101", Phone(quiet, ring_seconds=0.1))
        await place(office)
        await place(office)
        await office.until(lambda: office.told.count("You are connected.") >= 2)
        office.understands(Hangup())
        dialogue = office.dialogue()
        (question,) = await dialogue.hear("hang up")
        assert question.text.startswith("Which one?")
        assert [button.says for button in question.buttons] == ["1", "2"]
        await dialogue.hear("1")
        await office.ended(1)
        assert len(office.app.exchange.calls) == 1
        (answer,) = await dialogue.hear("hang up")
        assert answer.text == "Hanging up."
        await office.ended(2)
        await network.stop()


def paraphrases() -> list[str]:
    file = Path(__file__).parents[1] / "nlp" / "sentences" / "whitepaper_paraphrases.txt"
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


async def test_the_white_papers_sentence_and_its_paraphrases_place_the_same_two_calls(
    tmp_path: Path,
) -> None:
    sentences = paraphrases()
    assert len(sentences) >= 31
    limits = {"trunk_calls_per_hour": 1000}
    async with open_office(tmp_path, language=True, limits=limits) as office:
        network = await telephone_network(office, Phone(quiet, ring_seconds=0.0))
        alice = await office.phone("101", Phone(quiet, ring_seconds=0.0))
        dialogue = office.dialogue()
        for count, sentence in enumerate(sentences, 1):
            replies = await dialogue.hear(sentence)
            assert [bool(reply.call_id) for reply in replies] == [True], (sentence, replies)
            call_id = replies[0].call_id
            await office.until(lambda: office.told.count("You are connected.") >= count)  # noqa: B023
            legs = [(leg.peer, leg.trunk) for leg in office.of(LegStarted, call_id)]
            assert legs == [(NUMBER, "us"), ("101", "")], sentence
            office.app.exchange.hang_up(call_id)
            await office.ended(count)
        assert network.called == [NUMBER] * len(sentences)
        assert len(alice.called) == len(sentences)
        await network.stop()


@pytest.fixture(autouse=True)
def _app_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR")
