"""Rooms that one dials into: who hears whom is told apart by tone, what is said by correlation."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bot.ports import OperatorError
from encryptotel.config import Config
from encryptotel.demo.phone import Phone, plays
from nlp.commands import Conference, Party
from pbx.calls.apps import room as rooms
from pbx.calls.conference import JOINED, LEFT, MAX_PARTIES
from pbx.calls.leg import Leg
from pbx.events import CallEnded, ConferenceChanged, PinsGuessed, RoomEntered, SpeakerChanged
from pbx.media.codecs import G722, OPUS, PCMA, PCMU
from pbx.media.keys import FRAMES
from pbx.media.music import hold_music
from pbx.media.tones import tone
from pbx.sip.digest import Credentials
from tests.calls.test_callback import telephone_network
from tests.calls.test_transfer import SECONDS, TONES, desk, hears
from tests.hearing import holds, match, pieces
from tests.office import Office, open_office, quiet

PIN, MODERATOR = "246810", "135791"


def room(**options: Any) -> dict[str, Any]:
    return {"room": ({"number": "800", "name": "Team", "owner": "101", **options},)}


def keys(leg: Leg, pressed: str) -> None:
    for key in pressed:
        leg.audio.send_digit(key)


async def said(office: Office, phone: Phone, words: str, *, seconds: float = 30.0) -> None:
    """Wait until a phone has heard a sentence."""
    await sounded(phone, await office.app.exchange.speaker.say(words), seconds=seconds)


async def sounded(phone: Phone, sound: bytes, *, seconds: float = 30.0) -> None:
    """Wait until a phone has heard a sound, piece by piece."""
    wanted, looks = pieces(sound), count()

    def heard(there: bytearray) -> bool:
        """Looks at the end eight times a second."""
        if phone.legs and next(looks) % 2:
            return False
        return holds(bytes(there[-len(sound) - 2 * SECONDS :]), wanted)

    async with asyncio.timeout(seconds):
        await phone.until_heard(heard)
    phone.heard.clear()


async def inside(office: Office, people: int) -> None:
    """Wait until so many have come into the room."""
    await office.until(lambda: len(office.of(RoomEntered)) >= people)


async def ended(leg: Leg, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        await leg.ended()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "SLOW", 0.2)


async def test_the_first_hears_music_then_everybody_hears_all_others(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room()) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        await alice.call("800")
        await said(office, alice, "Welcome to Team. You are the first one here. Please wait.")
        music = hold_music() * 2
        async with asyncio.timeout(10):
            await alice.until_heard(
                lambda heard: len(heard) > SECONDS and match(music, bytes(heard[-SECONDS:])) > 0.8
            )
        await bob.call("800")
        await carol.call("800")
        await inside(office, 3)
        await hears(alice, "102", "103")
        await hears(bob, "101", "103")
        await hears(carol, "101", "102")
        (first,) = [event for event in office.of(RoomEntered) if event.peer == "101"]
        assert first.room == "Team"


async def test_who_comes_and_goes_is_heard(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room()) as office:
        alice, bob = [await office.phone(number, Phone(quiet)) for number in ("101", "102")]
        await alice.call("800")
        music = hold_music() * 2
        async with asyncio.timeout(20):  # the welcome is over
            await alice.until_heard(
                lambda heard: len(heard) > SECONDS and match(music, bytes(heard[-SECONDS:])) > 0.8
            )
        leg = await bob.call("800")
        await sounded(alice, JOINED)
        leg.hang_up()
        await sounded(alice, LEFT)


async def test_a_pin_lets_in_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room(pin=PIN)) as office:
        alice, bob = await desk(office, "101", "102")
        await alice.call("800")  # the owner's own phone needs none
        await inside(office, 1)
        leg = await bob.call("800")
        await said(office, bob, "Please enter the PIN of this room, and then the hash key.")
        keys(leg, "111111#")
        await said(office, bob, "That PIN is wrong.")
        keys(leg, "99*" + PIN + "#")  # a star begins anew, and nobody need wait
        await inside(office, 2)
        await hears(alice, "102")
        assert moderators(office) == {"101"}


def moderators(office: Office) -> set[str]:
    changed: ConferenceChanged = office.of(ConferenceChanged)[-1]
    return set(changed.moderators)


async def test_guessing_is_slow_and_ends(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room(pin=PIN)) as office:
        bob, carol = [await office.phone(number, Phone(quiet)) for number in ("102", "103")]
        loop = asyncio.get_running_loop()
        for _ in range(3):  # three tries each: the tenth is the last that counts
            began = loop.time()
            leg = await bob.call("800")
            for wrong in ("111111#", "222222#", "333333#"):
                keys(leg, wrong)
            await said(office, bob, "That PIN is wrong. Goodbye.")
            await ended(leg)
            assert loop.time() - began > rooms.SLOW * 3
        assert office.of(PinsGuessed) == []
        leg = await bob.call("800")
        keys(leg, "444444#")
        await said(office, bob, "Too many wrong PINs. Please try again later. Goodbye.")
        await ended(leg)
        (guessed,) = office.of(PinsGuessed)
        assert (guessed.room, guessed.source) == ("800", "102")
        assert any("wrong PINs for the room 800" in news for news in office.app.news)
        leg = await bob.call("800")
        keys(leg, PIN + "#")  # the right one comes too late
        await said(office, bob, "Too many wrong PINs. Please try again later. Goodbye.")
        await ended(leg)
        assert office.of(RoomEntered) == []
        leg = await carol.call("800")  # somebody else is not locked out by that
        keys(leg, PIN + "#")
        await inside(office, 1)


async def test_a_flood_of_keys_at_the_door_is_a_few_wrong_pins(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room(pin=PIN)) as office:
        alice, bob = [await office.phone(number, Phone(quiet)) for number in ("101", "102")]
        await alice.call("800")
        calling = asyncio.ensure_future(bob.call("800"))
        await office.until(lambda: any(call.caller == "102" for call in _calls(office)))
        call = next(call for call in _calls(office) if call.caller == "102")
        await calling
        for _ in range(10_000):
            call.legs[0].on_digit("1")
        await ended(bob.legs[0])
        assert len(office.app.rooms.named("800")._wrong["102"]) == rooms.TRIES
        assert len(office.of(RoomEntered)) == 1


def _calls(office: Office) -> list[Any]:
    return list(office.app.exchange.calls.values())


async def test_the_pin_of_the_moderator_makes_one(tmp_path: Path) -> None:
    plan = room(owner="103", moderator_pin=MODERATOR)
    async with open_office(tmp_path, **plan) as office:
        alice, bob = await desk(office, "101", "102")
        leg = await alice.call("800")
        keys(leg, MODERATOR + "#")
        await inside(office, 1)
        guest = await bob.call("800")
        keys(guest, "#")  # others need none
        await inside(office, 2)
        await hears(alice, "102")
        keys(guest, "*2")
        await said(office, bob, "Only a moderator can do that.")
        keys(leg, "*2")
        await said(office, alice, "The room is locked.")
        assert office.of(ConferenceChanged)[-1].locked


async def test_keys_mute_count_lock_and_send_away(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room()) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        owner = await alice.call("800")
        guest = await bob.call("800")
        await hears(alice, "102")
        await hears(bob, "101")
        keys(guest, "*1")
        await said(office, bob, "You are muted.")
        assert office.of(ConferenceChanged)[-1].muted == ("102",)
        keys(guest, "*1")
        await said(office, bob, "You can be heard again.")
        await hears(alice, "102")
        keys(owner, "*4")
        await said(office, alice, "There are two people here.")
        keys(owner, "*2")
        await said(office, alice, "The room is locked.")
        late = await carol.call("800")
        await said(office, carol, "This room is locked. Goodbye.")
        await ended(late)
        keys(guest, "*0")
        await said(office, bob, rooms._KEYS, seconds=60)
        keys(owner, "*3")
        await said(office, bob, "You were removed from this room. Goodbye.")
        await ended(guest)
        assert office.of(ConferenceChanged)[-1].parties == ("101",)
        keys(owner, "*2")
        await said(office, alice, "The room is open.")
        again = await bob.call("800")  # not for whoever was sent away
        await ended(again)
        assert office.of(ConferenceChanged)[-1].parties == ("101",)


async def test_a_flood_of_keys_inside_is_answered_once(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room()) as office:
        alice, bob = await desk(office, "101", "102")
        await alice.call("800")
        await bob.call("800")
        await hears(bob, "101")
        mixed = office.app.rooms.named("800").conference
        assert mixed is not None
        leg = next(leg for leg in mixed.legs if leg.peer == "102")
        for _ in range(10_000):
            leg.on_digit("*")
            leg.on_digit("4")
        answer = "There are two people here."
        await said(office, bob, answer)
        one = len(await office.app.exchange.speaker.say(answer)) / (SECONDS // FRAMES)
        assert len(leg.audio_at(mixed._rate)._queue) <= one  # its rest, or it once more
        await hears(bob, "101")


async def test_a_full_room_takes_nobody_else(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room(max=2)) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        await alice.call("800")
        await bob.call("800")
        await hears(alice, "102")
        leg = await carol.call("800")
        await said(office, carol, "This room is full. Please try again later. Goodbye.")
        await ended(leg)
        await hears(alice, "102")


async def test_the_fifty_first_is_refused(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room()) as office:
        bob, carol = [await office.phone(number, Phone(quiet)) for number in ("102", "103")]
        for _ in range(MAX_PARTIES):
            await bob.call("800")
        await inside(office, MAX_PARTIES)
        leg = await carol.call("800")
        await ended(leg, 60)
        assert len(office.of(RoomEntered)) == MAX_PARTIES
        assert office.of(CallEnded)[-1].status == 486
        assert len(bob.legs) == MAX_PARTIES


async def test_whoever_called_a_conference_together_moderates_it(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        operator, person = office.app.operator, office.app.person
        office.dialogue()
        parties = (Party(extension="102"), Party(extension="103"))
        placed = await operator.conference(person, Conference(participants=parties))
        await hears(alice, "102", "103")
        operator.lock(person, placed.call_id, on=True)
        operator.mute_other(person, placed.call_id, "Bob", on=True)
        await hears(alice, "103")
        assert operator.kick(person, placed.call_id, "Carol") == "Carol (103)"
        await office.until(lambda: office.of(ConferenceChanged)[-1].parties == ("101", "102"))
        await operator.conference(person, _with("103"))
        await office.until(lambda: any("the conference is locked" in t for t in office.told))
        await hears(bob, "101")
        await office.until(lambda: not carol.legs)


async def test_callers_from_outside_come_in_by_a_route(tmp_path: Path) -> None:
    route = {"route": ({"number": "*", "to": "800"},)}
    async with open_office(tmp_path, **room(pin=PIN), **route) as office:
        (alice,) = await desk(office, "101")
        await alice.call("800")
        await inside(office, 1)
        network = await telephone_network(office, Phone(plays(tone(1, TONES["103"]))))
        leg = await _from_outside(office, network)
        keys(leg, PIN + "#")
        await inside(office, 2)
        await hears(alice, "103")
        assert office.of(RoomEntered)[-1].peer == "+12025550143"
        assert moderators(office) == {"101"}


async def _from_outside(office: Office, network: Phone) -> Leg:
    """A call from the telephone network to our number."""
    host, port = office.app.addresses["udp"].rsplit(":", 1)
    network._server, network._domain = (host, int(port)), host
    network._number = "+12025550143"
    network._account = Credentials(username=network._number, secret="none")
    return await network.call("+12025550100")


async def test_mixed_codecs_and_rates_meet(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room()) as office:
        (alice,) = await desk(office, "101", codecs=(PCMA,))
        (bob,) = await desk(office, "102", codecs=(G722,))
        (carol,) = await desk(office, "103", codecs=(OPUS,))
        for phone in (alice, bob, carol):
            await phone.call("800")
        await hears(alice, "102", "103")
        await hears(bob, "101", "103")
        await hears(carol, "101", "102")


async def test_who_speaks_is_known_and_does_not_flicker(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room()) as office:
        alice = await office.phone("101", Phone(quiet))
        (bob,) = await desk(office, "102", codecs=(PCMU,))
        await alice.call("800")
        await bob.call("800")
        await office.until(lambda: len(office.of(SpeakerChanged)) >= 2)
        assert {event.peer for event in office.of(SpeakerChanged)} == {"102"}
        await hears(alice, "102")
        assert len(office.of(SpeakerChanged)) == 2  # once for each call in the room


async def test_moderators_lock_mute_kick_and_add_by_command(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room()) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        operator, person = office.app.operator, office.app.person
        office.dialogue()
        await alice.call("800")
        await bob.call("800")
        await hears(alice, "102")
        await office.until(lambda: any("In the conference: you, Bob" in t for t in office.told))
        (call,) = operator.active_calls(person)
        assert call.conference
        assert operator.mute_other(person, call.call_id, "Bob", on=True) == "Bob (102)"
        assert office.of(ConferenceChanged)[-1].muted == ("102",)
        operator.mute_other(person, call.call_id, "102", on=False)
        operator.lock(person, call.call_id, on=True)
        placed = await operator.conference(person, _with("103"))  # whom she calls comes in
        assert placed.call_id == call.call_id
        await hears(alice, "102", "103")
        await hears(carol, "101", "102")
        with pytest.raises(OperatorError, match="no Dan in that conference"):
            operator.kick(person, call.call_id, "Dan")
        with pytest.raises(OperatorError, match="that is you"):
            operator.kick(person, call.call_id, "101")
        assert operator.kick(person, call.call_id, "Bob") == "Bob (102)"
        await hears(alice, "103")
        await hears(carol, "101")
        for leg in list(alice.legs):
            leg.hang_up()
        await office.until(lambda: len(office.of(CallEnded)) >= 2)
        assert len(carol.legs) == 1  # the room goes on without her


def _with(number: str) -> Conference:
    return Conference(participants=(Party(extension=number),))


async def test_who_does_not_come_into_the_room_is_told_of(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"ring_timeout": 1}, **room()) as office:
        (alice,) = await desk(office, "101")
        await office.phone("103", Phone(quiet, ring_seconds=60))
        office.dialogue()
        await alice.call("800")
        await inside(office, 1)
        await office.app.operator.conference(office.app.person, _with("103"))
        await office.until(lambda: "103: no answer." in office.told)


async def test_one_is_called_into_a_room(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room(pin=PIN)) as office:
        alice, bob = await desk(office, "101", "102")
        assert office.app.operator.enter_room(office.app.person, "team") == "Team"
        await inside(office, 1)
        leg = await bob.call("800")
        keys(leg, PIN + "#")
        await hears(alice, "102")
        assert moderators(office) == {"101"}
        with pytest.raises(OperatorError, match="I know no room Sales; there is Team"):
            office.app.operator.enter_room(office.app.person, "Sales")


async def test_whoever_is_no_moderator_moderates_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room(owner="102")) as office:
        alice, bob = await desk(office, "101", "102")
        office.dialogue()
        await alice.call("800")
        await bob.call("800")
        await hears(alice, "102")
        operator, person = office.app.operator, office.app.person
        (call,) = operator.active_calls(person)
        with pytest.raises(OperatorError, match="only a moderator"):
            operator.kick(person, call.call_id, "Bob")
        with pytest.raises(OperatorError, match="only a moderator"):
            operator.lock(person, call.call_id, on=True)


@pytest.mark.parametrize(
    ("wanted", "wrong"),
    [
        (({"number": "600"},), "of a room is taken"),
        (({"number": "101"},), "of a room is taken"),
        (({"number": "800"}, {"number": "800"}), "of a room is taken"),
        (({"number": "800", "pin": "123"},), "match pattern"),
        (({"number": "800", "pin": "1234", "moderator_pin": "1234"},), "must differ"),
        (({"number": "800", "max": 51},), "less than or equal to 50"),
    ],
)
def test_what_cannot_be_a_room_is_refused(wanted: Any, wrong: str) -> None:
    extension = ({"number": "101", "secret": "x"},)
    with pytest.raises(ValueError, match=wrong):
        Config.model_validate({"extension": extension, "room": wanted})


async def test_a_reload_adds_and_removes_rooms(tmp_path: Path) -> None:
    async with open_office(tmp_path, **room()) as office:
        app = office.app
        (alice,) = await desk(office, "101")
        await alice.call("800")
        await inside(office, 1)
        other = Config.model_validate({"room": ({"number": "801", "name": "Sales"},)})
        app.rooms.load(app.config.model_copy(update={"room": other.room}))
        assert app.directory.service("800") is None
        assert app.directory.service("801") is not None
        assert len(alice.legs) == 1  # who is in it stays
