"""Callers among menus: they key and say things, and hear the right prompts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.ports import Progress, Step
from encryptotel.demo.phone import Phone
from encryptotel.ivr.desk import MenuDesk
from pbx import ivr
from pbx.calls.leg import Leg
from pbx.calls.menus import Menu
from pbx.calls.wishes import Condition, Rule, Wishes
from pbx.events import CallEnded, LegAnswered, LegStarted, MessageLeft
from pbx.media.codecs import RATE
from pbx.media.speech import Speaker
from pbx.media.tones import share_of, tone
from pbx.ports import CallRefused
from tests.hearing import beeped, match
from tests.office import Office, open_office, quiet

MENUS = """\
[hours.office]
zone = "Europe/Berlin"
open = ["mo-fr 09:00-17:00"]

[menu.main]
number = "800"
prompt = "Welcome. For sales, press 1. For support, press 2."
hours = "office"
closed = "menu night"
default = "extension 103"
tries = 2
wait = 1

[[menu.main.choice]]
key = "1"
words = ["sales", "orders"]
to = "extension 102"

[[menu.main.choice]]
key = "2"
words = ["support"]
to = "menu support"

[[menu.main.choice]]
key = "3"
to = "number +12025550143 for 101"

[[menu.main.choice]]
key = "*"
to = "repeat"

[menu.support]
prompt = "Support. For a machine, press 1. To leave a message, press 2. To go back, press 9."
default = "hang up"
tries = 1
wait = 1

[[menu.support.choice]]
key = "1"
to = "extension 102"

[[menu.support.choice]]
key = "2"
to = "answerphone 102"

[[menu.support.choice]]
key = "9"
to = "menu main"

[menu.night]
prompt = "We are closed now."
default = "hang up"
tries = 1
wait = 1
"""
OPEN = datetime(2026, 11, 27, 10, 0, tzinfo=UTC)
SHUT = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)
TONE = 620.0


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    (tmp_path / "menus.toml").write_text(MENUS)
    async with open_office(
        tmp_path,
        menus={"file": "menus.toml"},
        calls={"ring_timeout": 2},
        demo={"carrier": True},
        route=({"number": "+12025550100", "to": "800"},),
    ) as opened:
        desk(opened).ivr.now = lambda: OPEN
        yield opened


def desk(office: Office) -> MenuDesk:
    found = office.app.menus
    assert found is not None
    return found


def menu(office: Office, name: str) -> Menu:
    return desk(office).book.menus[name]


def hears(phone: Phone, sound: bytes, since: int = 0) -> bool:
    """Whether the phone heard all of a sound, after so many bytes."""
    return match(bytes(phone.heard[since:]), sound) > 0.9


async def until_heard(phone: Phone, sound: bytes, since: int = 0, seconds: float = 40) -> int:
    """Wait until all of a sound was heard; how much the phone has heard then."""
    looked = 0

    def enough(heard: bytearray) -> bool:
        nonlocal looked
        if len(heard) - looked < RATE:
            return False
        looked = len(heard)
        lately = max(since, len(heard) - len(sound) - 3 * RATE)
        return match(bytes(heard[lately:]), sound) > 0.9

    async with asyncio.timeout(seconds):
        await phone.until_heard(enough)
    return len(phone.heard)


Script = Callable[[Phone, Leg], Awaitable[None]]


def keys(office: Office, *steps: tuple[str, str]) -> Script:
    """Wait for the prompt of a menu, then press a key; and so on."""

    async def behave(phone: Phone, leg: Leg) -> None:
        since = 0
        for name, key in steps:
            since = await until_heard(phone, menu(office, name).prompt, since)
            if key:
                leg.audio.send_digit(key)
        await leg.ended()

    return behave


async def caller(office: Office, behave: Script, number: str = "800") -> Phone:
    phone = await office.phone("101", Phone(behave, ring_seconds=0.1))
    await phone.call(number)
    return phone


async def callee(office: Office, number: str = "102") -> Phone:
    async def speaks(phone: Phone, leg: Leg) -> None:
        with leg.looping(tone(1.0, TONE)):
            await leg.ended()

    return await office.phone(number, Phone(speaks, ring_seconds=0.1))


async def over(office: Office) -> CallEnded:
    """Wait for the end of the first call."""
    await office.until(lambda: bool(office.of(CallEnded)), 120)
    first: CallEnded = office.of(CallEnded)[0]
    return first


async def answered_by(office: Office, number: str) -> None:
    await office.until(lambda: any(one.peer == number for one in office.of(LegAnswered)), 90)


async def talks(phone: Phone) -> None:
    """Wait until the phone hears somebody's tone."""
    async with asyncio.timeout(10):
        await phone.until_heard(lambda heard: share_of(bytes(heard[-8000:]), TONE) > 0.9)


# ── keys ────────────────────────────────────────────────────────────────────────────────────
async def test_keys_lead_through_nested_menus_to_an_extension(office: Office) -> None:
    await callee(office)
    steps = [("main", "2"), ("support", "9"), ("main", "2"), ("support", "1")]
    phone = await caller(office, keys(office, *steps))
    await answered_by(office, "102")
    await talks(phone)
    prompts = [menu(office, name).prompt for name in ("main", "support")]
    assert all(hears(phone, prompt) for prompt in prompts)


async def test_a_key_cuts_the_prompt_short_and_keys_ahead_count(office: Office) -> None:
    await callee(office)

    async def ahead(phone: Phone, leg: Leg) -> None:
        await phone.until_heard(lambda heard: len(heard) > 2 * RATE)
        leg.audio.send_digit("2")
        leg.audio.send_digit("1")
        await leg.ended()

    phone = await caller(office, ahead)
    await answered_by(office, "102")
    await talks(phone)
    assert not hears(phone, menu(office, "main").prompt)
    assert not hears(phone, menu(office, "support").prompt)


async def test_a_wrong_key_is_excused_and_asked_again(office: Office) -> None:
    await callee(office)
    phone = await caller(office, keys(office, ("main", "7"), ("main", "1")))
    await answered_by(office, "102")
    assert hears(phone, menu(office, "main").phrases.sorry)


async def test_who_chooses_nothing_goes_to_the_default(office: Office) -> None:
    await callee(office, "103")
    phone = await caller(office, quiet)
    await answered_by(office, "103")
    prompt = menu(office, "main").prompt
    assert not hears(phone, menu(office, "main").phrases.sorry)
    heard = bytes(phone.heard)
    first = heard[: len(prompt) + 2 * RATE]
    assert match(first, prompt) > 0.9
    assert match(heard[len(prompt) :], prompt) > 0.9, "it was asked twice"


async def test_closed_hours_lead_elsewhere(office: Office) -> None:
    desk(office).ivr.now = lambda: SHUT
    phone = await caller(office, quiet)
    ended = await over(office)
    assert ended.cause == "the menu ended it"
    assert hears(phone, menu(office, "night").prompt)
    assert hears(phone, menu(office, "night").phrases.goodbye)
    assert not hears(phone, menu(office, "main").prompt)


async def test_star_repeats_the_prompt(office: Office) -> None:
    await callee(office)
    await caller(office, keys(office, ("main", "*"), ("main", "*"), ("main", "*"), ("main", "1")))
    await answered_by(office, "102")  # though there are two tries only


async def test_a_message_is_left_on_the_answerphone(office: Office) -> None:
    async def leaves(phone: Phone, leg: Leg) -> None:
        since = await until_heard(phone, menu(office, "main").prompt)
        leg.audio.send_digit("2")
        await until_heard(phone, menu(office, "support").prompt, since)
        leg.audio.send_digit("2")
        await phone.until_heard(beeped)
        await leg.play(bytes(RATE) + tone(3.0, TONE) + bytes(RATE))
        leg.hang_up()

    await caller(office, leaves)
    await office.until(lambda: bool(office.of(MessageLeft)), 30)
    assert office.of(MessageLeft)[0].extension == "102"


async def test_nobody_there_is_said_and_the_menu_goes_on(office: Office) -> None:
    phone = await caller(office, keys(office, ("main", "1"), ("main", "2"), ("support", "")))
    await over(office)
    assert hears(phone, menu(office, "main").phrases.unreachable)
    assert hears(phone, menu(office, "support").prompt)


async def test_a_phone_number_is_reached_at_the_payers_expense(office: Office) -> None:
    phone = await caller(office, keys(office, ("main", "3")))
    await office.until(lambda: any(one.trunk for one in office.of(LegStarted)), 20)
    await answered_by(office, "+12025550143")
    keeper = office.app.gatekeeper
    assert keeper._at_once["101"] == 1
    phone.legs[0].hang_up()
    await over(office)
    assert keeper._at_once.get("101", 0) == 0


async def test_the_payers_limits_count(tmp_path: Path) -> None:
    (tmp_path / "menus.toml").write_text(MENUS)
    async with open_office(
        tmp_path,
        menus={"file": "menus.toml"},
        demo={"carrier": True},
        limits={"trunk_calls_at_once": 0},
    ) as office:
        desk(office).ivr.now = lambda: OPEN
        phone = await caller(office, keys(office, ("main", "3"), ("main", "2"), ("support", "")))
        await over(office)
        assert not any(one.trunk for one in office.of(LegStarted))
        assert hears(phone, menu(office, "main").phrases.unreachable)


# ── words ───────────────────────────────────────────────────────────────────────────────────
async def edit(office: Office, *changes: tuple[str, str]) -> None:
    """Change the file of menus."""
    text = MENUS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    book = desk(office).book
    book.file.write_text(text)
    await book.refresh()


async def says(phone: Phone, leg: Leg, office: Office, index: int) -> int:
    """Say the word of a choice of the first menu when its prompt was heard, and once more when it
    comes again, as people do; how much was heard until all of the read-back was."""
    main = menu(office, "main")
    choice = main.choices[index]
    word, since = await Speaker("en-us").say(choice.words[0]), 0
    while True:
        since = await until_heard(phone, main.prompt, since)
        await leg.play(word)
        with contextlib.suppress(TimeoutError):
            return await until_heard(phone, choice.asks, since, seconds=8)


async def test_a_word_is_read_back_and_a_yes_takes_it(office: Office) -> None:
    await edit(office, ("tries = 2", "tries = 8"))
    await callee(office)

    async def behave(phone: Phone, leg: Leg) -> None:
        while leg.ending is None:
            await says(phone, leg, office, 0)
            await leg.play(await Speaker("en-us").say("yes"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(8):
                    await leg.ended()

    phone = await caller(office, behave)
    await answered_by(office, "102")
    await talks(phone)


async def test_after_the_read_back_its_key_takes_it(office: Office) -> None:
    await edit(office, ("tries = 2", "tries = 8"))
    await callee(office)

    async def behave(phone: Phone, leg: Leg) -> None:
        since = await says(phone, leg, office, 1)
        leg.audio.send_digit("2")
        await until_heard(phone, menu(office, "support").prompt, since)
        leg.audio.send_digit("1")
        await leg.ended()

    await caller(office, behave)
    await answered_by(office, "102")


@pytest.mark.parametrize("answer", ["no", "", "banana"])
async def test_without_a_yes_nothing_is_taken(office: Office, answer: str) -> None:
    await edit(office, ("tries = 2", "tries = 8"))
    main = menu(office, "main")

    async def behave(phone: Phone, leg: Leg) -> None:
        since = await says(phone, leg, office, 0)
        if answer:
            await leg.play(await Speaker("en-us").say(answer))
        await until_heard(phone, main.phrases.sorry, since)
        leg.hang_up()

    await caller(office, behave)
    await over(office)
    assert not any(one.peer == "102" for one in office.of(LegStarted))


async def test_a_word_cuts_the_prompt_short(office: Office) -> None:
    await edit(office, ("For sales, press 1. ", "For sales, press 1. " * 15))
    main = menu(office, "main")

    async def behave(phone: Phone, leg: Leg) -> None:
        await phone.until_heard(lambda heard: len(heard) > RATE)
        word = await Speaker("en-us").say("support")
        since = 0
        while leg.ending is None:
            await leg.play(word)
            with contextlib.suppress(TimeoutError):
                since = await until_heard(phone, main.choices[1].asks, since, seconds=4)
                leg.hang_up()

    phone = await caller(office, behave)
    await over(office)
    assert len(main.prompt) > 2 * RATE * 20
    assert len(phone.heard) < len(main.prompt)


async def test_without_a_recogniser_keys_are_enough(office: Office) -> None:
    desk(office).ivr.ear = None
    await callee(office)

    async def behave(phone: Phone, leg: Leg) -> None:
        await until_heard(phone, menu(office, "main").prompt)
        await leg.play(await Speaker("en-us").say("support"))
        leg.audio.send_digit("1")
        await leg.ended()

    phone = await caller(office, behave)
    await answered_by(office, "102")
    assert not hears(phone, menu(office, "main").choices[1].asks)


# ── the called ──────────────────────────────────────────────────────────────────────────────
async def test_the_called_are_told_in_their_chat(office: Office) -> None:
    told: list[Step] = []

    def hear(progress: Progress) -> None:
        told.append(progress.step)
        office._wake()

    office.app.operator.follow(office.app.person, hear)
    await edit(office, ('to = "extension 102"', 'to = "extension 101"'))
    await callee(office, "101")
    phone = await office.phone("103", Phone(keys(office, ("main", "1")), ring_seconds=0.1))
    leg = await phone.call("800")
    await office.until(lambda: Step.JOINED in told, 30)
    leg.hang_up()
    await over(office)
    await office.until(lambda: Step.ENDED in told)
    assert told == [Step.INCOMING, Step.JOINED, Step.ENDED]


async def test_a_call_that_comes_back_for_ever_is_ended(office: Office) -> None:
    """The menu leads to somebody who sends all their calls to the menu."""
    await edit(office, ('to = "extension 102"', 'to = "extension 101"'))
    rule = Rule(id="1", condition=Condition.ALWAYS, to=("800",))
    office.app.directory.wishes_of = lambda number: Wishes(rules=(rule,))
    phone = await office.phone("103", Phone(quiet, ring_seconds=0.1))
    leg = await phone.call("800")
    for _ in range(20):
        leg.audio.send_digit("1")
    await over(office)
    assert office.app.exchange.calls == {}
    assert desk(office).ivr._times == {}


# ── callers who play ────────────────────────────────────────────────────────────────────────
async def test_who_floods_keys_is_let_go(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivr, "MAX_STEPS", 20)

    async def floods(phone: Phone, leg: Leg) -> None:
        for _ in range(400):
            leg.audio.send_digit("*")
        await leg.ended()

    await caller(office, floods)
    assert (await over(office)).cause == "too long in the menus"
    assert office.app.exchange.calls == {}


async def test_who_never_keys_and_never_speaks_is_let_go(office: Office) -> None:
    await caller(office, quiet)  # the default is an extension that is not there
    await over(office)
    assert office.app.exchange.calls == {}


async def test_who_hangs_up_in_a_menu_leaves_nothing_behind(office: Office) -> None:
    async def leaves(phone: Phone, leg: Leg) -> None:
        await phone.until_heard(lambda heard: len(heard) > RATE)
        leg.hang_up()

    await caller(office, leaves)
    await over(office)
    assert office.app.exchange.calls == {}
    assert not [task for task in asyncio.all_tasks() if "digits" in repr(task)]


# ── edits ───────────────────────────────────────────────────────────────────────────────────
async def test_an_edit_holds_from_the_next_call_on(office: Office) -> None:
    book = desk(office).book
    before = menu(office, "main").prompt
    phone = await caller(office, quiet)
    book.file.write_text(MENUS.replace("Welcome. For sales", "Hello again. For sales"))
    other = await office.phone("103", Phone(quiet, ring_seconds=0.1))
    await other.call("800")
    after = menu(office, "main").prompt
    assert before != after
    await until_heard(other, after)
    await until_heard(phone, before)


async def test_a_new_number_is_answered_soon(office: Office) -> None:
    book = desk(office).book
    book.file.write_text(MENUS.replace('"800"', '"801"'))
    await book.refresh()
    phone = await caller(office, quiet, "801")
    await until_heard(phone, menu(office, "main").prompt)
    with pytest.raises(CallRefused):
        await phone.call("800")


async def test_a_broken_edit_changes_nothing_and_is_told_once(office: Office) -> None:
    book = desk(office).book
    before = book.menus
    book.file.write_text(MENUS.replace("menu support", "menu suport"))
    for _ in range(3):
        await book.refresh()
    assert book.menus is before
    news = [one for one in office.app.news if "menus" in one]
    assert len(news) == 1
    assert "the menus stay as they were" in news[0]
    assert "line 22, [menu.main] choice 2 to: there is no [menu.suport]" in news[0]
    phone = await caller(office, quiet)
    await until_heard(phone, menu(office, "main").prompt)
    book.file.write_text(MENUS)
    await book.refresh()
    assert office.app.news[-1] == "The file of menus is good again."


async def test_a_missing_file_is_told_and_does_not_stop_the_start(tmp_path: Path) -> None:
    async with open_office(tmp_path, menus={"file": "menus.toml"}) as office:
        assert "there are no menus until then" in office.app.news[0]
        (tmp_path / "menus.toml").write_text(MENUS)
        await desk(office).book.refresh()
        assert office.app.directory.service("800") is not None
