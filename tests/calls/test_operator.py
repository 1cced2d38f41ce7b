"""What the operator does, and refuses, for a person in the chat."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.ports import OperatorError
from encryptotel.demo.phone import Phone, plays
from nlp.commands import Call, Party
from pbx.events import LegStarted
from pbx.media.tones import share_of, tone
from tests.office import open_office, quiet

ME = Party(extension="101")


@pytest.mark.parametrize(
    ("command", "id", "words"),
    [
        (Call(to=(Party(extension="777"),)), "party.no_such_extension", "no extension 777"),
        (
            Call(to=(Party(number="+12025550143"),), callback=Party(extension="1010")),
            "party.no_such_extension",
            "no extension 1010",
        ),
        (Call(to=(Party(extension="911"),)), "party.emergency", "cannot be called"),
        (Call(to=(Party(extension="700"),)), "party.script", "is a script"),
        (Call(to=(Party(name="Zoe"),)), "party.unknown_name", "no number for Zoe"),
        (Call(to=(Party(extension="103"),)), "call.refused", "no phone is registered for 103"),
        (Call(to=(ME,)), "call.same_party", "calling itself"),
        (Call(to=(Party(number="+12025550143"),), line="FR"), "call.refused", "no FR line"),
        (Call(to=(Party(number="+33142685300"),)), "call.refused", "FR are not allowed"),
        (Call(to=(Party(extension="102"), ME)), "call.one_at_a_time", "one party at a time"),
    ],
)
async def test_what_cannot_be_done_is_said_and_nobody_is_called(
    tmp_path: Path, command: Call, id: str, words: str
) -> None:
    extensions = (
        *({"number": n, "secret": f"secret-{n}"} for n in ("101", "102", "103")),
        {"number": "700", "script": "os:getcwd"},
    )
    async with open_office(tmp_path, extension=extensions, demo={"carrier": True}) as office:
        await office.phone("101", Phone(quiet))
        await office.phone("102", Phone(quiet))
        with pytest.raises(OperatorError) as refused:
            await office.app.operator.call(office.app.person, command)
        assert refused.value.id == id
        assert words in refused.value.message
        assert office.of(LegStarted) == []


async def test_the_echo_test_can_be_had_from_the_chat(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        command = Call(to=(Party(extension="600"),))
        await office.app.operator.call(office.app.person, command)
        await alice.until_heard(
            lambda heard: len(heard) > 16_000 and share_of(bytes(heard[-16_000:]), 440.0) > 0.9
        )


async def test_people_are_called_by_the_names_of_their_extensions(tmp_path: Path) -> None:
    async with open_office(tmp_path, language=True) as office:
        await office.phone("101", Phone(quiet, ring_seconds=0.1))
        bob = await office.phone("102", Phone(quiet, ring_seconds=0.1))
        (reply,) = await office.dialogue().hear("call bob")
        assert reply.text == "Calling Bob (102), then calling back 101."
        await office.until(lambda: "You are connected." in office.told)
        assert len(bob.called) == 1


async def test_the_built_in_phone_is_there_again_after_the_real_one_left(tmp_path: Path) -> None:
    async with open_office(tmp_path, demo={"phones": ("101",)}) as office:
        registrar = office.app.exchange.registrar
        real = await office.phone("101", Phone(quiet))
        await office.until(lambda: office.app.demo_phones == {})
        await real.unregister()
        stand_in = ["EncryptoTel demo phone"]
        await office.until(lambda: [b.user_agent for b in registrar.bindings("101")] == stand_in)
