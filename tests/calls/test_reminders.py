"""Reminders that ring: said in words, answered with a key, tried again, told in the chat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.replies import Reply
from encryptotel.demo.phone import Phone
from nlp.commands import CancelReminder, DoNotDisturb, EditReminder, Party, Remind, Reminders, When
from pbx.calls.leg import Leg
from pbx.events import CallAnswered, CallStarted
from pbx.media.codecs import RATE
from store.tables import RingRow
from tests.calls.test_callback import NUMBER, telephone_network
from tests.calls.test_texts import carrier
from tests.calls.writers import Writer
from tests.hearing import at_length
from tests.office import BusyPhone, Office, open_office, quiet

TEXT = "water my plants"
SPOKEN = "Reminder: water your plants."


def soon(seconds: float = 0.3, rule: str | None = None) -> When:
    return When(at=datetime.now(UTC) + timedelta(seconds=seconds), rrule=rule)


def keys(sequence: str) -> Any:
    """A phone that waits for words before each key."""

    async def behave(phone: Phone, leg: Leg) -> None:
        for key in sequence:
            assert phone.office is not None  # type: ignore[attr-defined]
            words = await phone.office.app.exchange.speaker.say(SPOKEN)  # type: ignore[attr-defined]
            await phone.until_heard(at_length(words))
            phone.heard.clear()
            leg.audio.send_digit(key)
        await leg.ended()

    return behave


class Told:
    """The owner's chat."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.replies: list[Reply] = []
        office.dialogue()._push = self.take

    def take(self, reply: Reply) -> None:
        self.replies.append(reply)
        self.office._hear(reply)

    async def sees(self, *words: str, seconds: float = 60) -> Reply:
        def found() -> list[Reply]:
            return [one for one in self.replies if all(word in one.text for word in words)]

        await self.office.until(lambda: bool(found()), seconds)
        return found()[-1]

    async def says(self, text: str, *commands: Any) -> Reply:
        if commands:
            self.office.understands(*commands)
        (reply,) = await self.office.dialogue().hear(text)
        return reply


@asynccontextmanager
async def reminded(
    folder: Path, behave: Any = quiet, **sections: Any
) -> AsyncIterator[tuple[Office, Told, Phone]]:
    async with open_office(folder, **sections) as office:
        phone = Phone(behave)
        phone.office = office  # type: ignore[attr-defined]
        await office.phone("101", phone)
        yield office, Told(office), phone


async def rings(office: Office) -> list[RingRow]:
    async with office.app.database.reading() as session:
        from sqlmodel import select

        return list((await session.execute(select(RingRow))).scalars().all())


async def test_a_call_says_it_and_a_key_means_done(tmp_path: Path) -> None:
    async with reminded(tmp_path, keys("1")) as (office, chat, _):
        reply = await chat.says("…", Remind(when=soon(), text=TEXT, by="call"))
        assert reply.text.startswith("I shall call you today at ")
        assert reply.text.endswith(f"“{TEXT}”.")
        await chat.sees(f"I called you: “{TEXT}” is done.")
        ended = await office.ended()
        assert ended.status == 200
        (started,) = office.of(CallStarted)
        assert (started.caller, started.callee, started.kind) == ("*34", "101", "reminder")
        assert [ring.state for ring in await rings(office)] == ["done"]
        assert await office.app.operator.past.calls(office.app.person) == []
        assert (await chat.says("…", Reminders())).text == "Nothing is planned."


async def test_a_key_repeats_it_and_another_wants_it_later(tmp_path: Path) -> None:
    async with reminded(tmp_path, keys("32")) as (office, chat, _):
        await chat.says("…", Remind(when=soon(), text=TEXT, by="call"))
        await chat.sees("I called you, and call again at ", TEXT)
        (ring,) = await rings(office)
        assert ring.due is not None
        assert timedelta(minutes=9) < ring.due - datetime.now(UTC) < timedelta(minutes=10)
        assert (await chat.says("done")).text == f"Done: {TEXT}."
        (ring,) = await rings(office)
        assert (ring.state, ring.due) == ("done", None)


async def test_a_key_stops_a_series(tmp_path: Path) -> None:
    async with reminded(tmp_path, keys("9")) as (office, chat, _):
        reply = await chat.says("…", Remind(when=soon(0.3, "FREQ=DAILY"), text=TEXT, by="call"))
        assert "every day, first today at" in reply.text
        await chat.sees("I remind you no more", TEXT)
        assert (await chat.says("…", Reminders())).text == "Nothing is planned."
        assert await office.app.operator.reminding.of(office.app.person) == []


async def test_who_presses_no_key_finds_it_in_the_chat(tmp_path: Path) -> None:
    async def listens(phone: Phone, leg: Leg) -> None:
        words = await phone.office.app.exchange.speaker.say(SPOKEN)  # type: ignore[attr-defined]
        await phone.until_heard(at_length(words))
        leg.hang_up()

    async with reminded(tmp_path, listens) as (office, chat, _):
        await chat.says("…", Remind(when=soon(), text=TEXT, by="call"))
        reply = await chat.sees("I called you, and no key was pressed", TEXT)
        assert [button.label for button in reply.buttons] == ["Done", "In 10 min", "In an hour"]
        snoozed = await chat.says(reply.buttons[2].says)
        assert snoozed.text == f"Again in 1 hour: {TEXT}."
        (ring,) = await rings(office)
        assert ring.due is not None
        assert ring.due - datetime.now(UTC) > timedelta(minutes=59)


async def test_a_busy_phone_is_tried_three_times_then_the_chat(tmp_path: Path) -> None:
    """The spacing is minutes; each next try is moved up by the test."""
    async with open_office(tmp_path) as office:
        await office.phone("101", BusyPhone(quiet))
        chat = Told(office)
        await chat.says("…", Remind(when=soon(), text=TEXT, by="call"))
        for number in (1, 2):
            await office.ended(number)
            await waits(office)
            reminders = office.app.operator.reminding.reminders
            later = timedelta(minutes=6 * number)
            reminders.now = lambda later=later: datetime.now(UTC) + later
            assert await reminders.look() == 1
        await chat.sees("I could not reach you 3 times (busy)", TEXT)
        assert len(office.of(CallStarted)) == 3
        assert not office.of(CallAnswered)


async def test_who_reads_no_chat_is_not_called_for_ever(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.phone("101", BusyPhone(quiet))
        command = Remind(when=soon(), text=TEXT, by="call")
        await office.app.operator.reminding.remind(office.app.person, command)
        reminders = office.app.operator.reminding.reminders
        for number in (1, 2, 3):
            await office.ended(number)
            await waits(office)
            later = timedelta(minutes=6 * number)
            reminders.now = lambda later=later: datetime.now(UTC) + later
            assert await reminders.look() == (1 if number < 3 else 0)
        (ring,) = await rings(office)
        assert (ring.due, ring.tries) == (None, 3)


async def test_who_has_no_phone_there_is_told_in_the_chat(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        await chat.says("…", Remind(when=soon(), text=TEXT, by="call"))
        await chat.sees("I could not reach you (no phone is registered for 101)", TEXT)


async def test_by_message_with_buttons(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        await chat.says("…", Remind(when=soon(0.3, "FREQ=DAILY"), text=TEXT))
        reply = await chat.sees(SPOKEN)
        assert [b.label for b in reply.buttons] == [
            "Done",
            "In 10 min",
            "In an hour",
            "Stop series",
        ]
        assert (await chat.says(reply.buttons[0].says)).text == f"Done: {TEXT}."
        listed = await chat.says("…", Reminders())
        assert "tomorrow at" in listed.text
        assert f", every day, by message: {TEXT}" in listed.text
        assert (await chat.says(reply.buttons[3].says)).text == f"I remind you no more: {TEXT}."
        assert (await chat.says("…", Reminders())).text == "Nothing is planned."
        assert (await chat.says(reply.buttons[1].says)).text == f"Again in 10 minutes: {TEXT}."
        assert (
            await chat.says("done #000000000000")
        ).text == "There is no reminder waiting for that."


async def test_changed_paused_and_cancelled_by_words(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        tomorrow = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(
            days=1
        )
        await chat.says(
            "…", Remind(when=When(at=tomorrow, rrule="FREQ=DAILY"), text="take my pills")
        )
        dentist = "15 minutes and one day before the dentist"
        later = await chat.says(
            "…", Remind(when=When(at=tomorrow + timedelta(days=3)), text=dentist)
        )
        assert "and 1 day and 15 minutes before: “the dentist”" in later.text
        nine = EditReminder(which="pills", when=When(at=tomorrow + timedelta(hours=1)))
        assert (
            await chat.says("…", nine)
        ).text == "Changed: tomorrow at 09:00, every day, by message: take my pills."
        assert (await chat.says("pause the pills reminder")).text == "Paused: take my pills."
        listed = (await chat.says("…", Reminders())).text.split("\n")
        assert listed[2].endswith("take my pills (paused)")
        assert (await chat.says("resume my pills reminder")).text.startswith(
            "It rings again: tomorrow at 09:00"
        )
        which = await chat.says("…", CancelReminder(which="at"))
        assert which.text.startswith("Which one?")
        assert (
            await chat.says("…", CancelReminder(which="dentist"))
        ).text == "Cancelled: the dentist."
        assert (await chat.says(which.buttons[0].says)).text == "Cancelled: take my pills."
        assert (await chat.says(which.buttons[0].says)).text == "That is no longer planned."


async def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        past = When(at=datetime.now(UTC) - timedelta(minutes=1))
        assert (await chat.says("…", Remind(when=past, text=TEXT))).text == "That is over."
        often = soon(60, "FREQ=MINUTELY")
        assert (await chat.says("…", Remind(when=often, text=TEXT))).text == (
            "I remind you every five minutes at most."
        )
        far = When(at=datetime.now(UTC) + timedelta(days=5000))
        assert "ten years" in (await chat.says("…", Remind(when=far, text=TEXT))).text
        nobody = Remind(when=soon(60), text=TEXT, to=Party(number=NUMBER), by="call")
        assert "network" in (await chat.says("…", nobody)).text


async def test_an_outside_number_is_asked_once_and_pays_by_the_one_who_ordered(
    tmp_path: Path,
) -> None:
    async def hears_and_agrees(phone: Phone, leg: Leg) -> None:
        speaker = phone.office.app.exchange.speaker  # type: ignore[attr-defined]
        asked = await speaker.say(
            "Owner asked me to remind you of something by phone. To hear it, press 1. To be "
            "called for that never again, press 9."
        )
        await phone.until_heard(at_length(asked[: 3 * 2 * RATE]))
        leg.audio.send_digit(phone.answer)  # type: ignore[attr-defined]
        if phone.answer == "1":  # type: ignore[attr-defined]
            words = await speaker.say("Owner reminds you: bring the keys.")
            await phone.until_heard(at_length(words))
            leg.audio.send_digit("1")
        await leg.ended()

    async with open_office(tmp_path) as office:
        outside = Phone(hears_and_agrees)
        outside.office, outside.answer = office, "1"  # type: ignore[attr-defined]
        await telephone_network(office, outside)
        chat = Told(office)
        order = Remind(when=soon(), text="bring the keys", to=Party(number=NUMBER), by="call")
        await chat.says("…", order)
        await chat.sees("I called +1 202-555-0143: “bring the keys” is done.")
        habits = office.app.operator.reminding._habits
        assert habits._consents == {("101", NUMBER): True}
        habits._consents.clear()
        outside.answer = "9"  # type: ignore[attr-defined]
        await chat.says("…", Remind(when=soon(), text="again", to=Party(number=NUMBER), by="call"))
        await chat.sees("does not want to be reminded by you", "again")
        refused = await chat.says("…", order)
        assert refused.text == "+1 202-555-0143 does not want to be reminded by you."


async def test_a_number_that_agreed_is_written_to(tmp_path: Path) -> None:
    """Through the trunk, as every message to a telephone."""
    async with open_office(tmp_path) as office:
        network = Writer()
        await carrier(office, network)
        chat = Told(office)
        habits = office.app.operator.reminding._habits
        await habits.note_consent("101", NUMBER, given=True)
        order = Remind(when=soon(), text="bring the keys", to=Party(number=NUMBER))
        await chat.says("…", order)
        await network.reads("+12025550100", "Owner reminds you: bring the keys.")
        await waits(office)
        assert [ring.state for ring in await rings(office)] == ["done"]


async def test_what_costs_money_waits_for_a_yes(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await telephone_network(office, Phone(quiet))
        office.understands(Remind(when=soon(60), text="go", to=Party(number=NUMBER), by="call"))
        (asked,) = await office.dialogue().hear("…", confirm=True)
        assert asked.text == "Remind +1 202-555-0143 of “go”?"
        (done,) = await office.dialogue().hear(asked.buttons[0].says)
        assert done.text.startswith("I shall call +1 202-555-0143 today at")


async def test_somebody_of_ours_is_asked_in_their_chat(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        bob: list[Any] = []
        from dataclasses import replace

        person = replace(office.app.person, id="bob", name="Bob", extension="102")
        office.app.people.with_extension = with_bob(office, person)  # type: ignore[method-assign]
        dialogue = office.app._converse(person, lambda reply: (bob.append(reply), office._wake()))
        order = Remind(when=soon(60), text="bring the keys", to=Party(extension="102"))
        made = await chat.says("…", order)
        assert made.text.startswith("I shall remind Bob (102) ")
        (asked,) = bob
        assert (
            asked.text == "Owner wants me to remind you of something. Shall I, now and in future?"
        )
        (yes,) = await dialogue.hear(asked.buttons[0].says)
        assert yes.text == "Alice (101) can have me remind you."
        await chat.says("…", replace(order, when=soon()))
        await office.until(lambda: len(bob) > 1)
        assert bob[1].text == "Owner reminds you: bring the keys."
        (done,) = await dialogue.hear("done")
        assert done.text == "Done: bring the keys."
        await chat.sees("Bob (102) says that it is done: “bring the keys”.")
        dialogue.close()


async def test_after_a_time_off_it_says_what_was_missed(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        assert (await chat.says("remind me up to 30 minutes late")).text.startswith(
            "After I was off"
        )
        ring = RingRow(
            id="0123456789ab", reminder="x", extension="101", text=TEXT, by="call",
            occurrence=datetime.now(UTC), at=datetime.now(UTC) - timedelta(minutes=31),
            due=datetime.now(UTC), skipped=2,
        )  # fmt: skip
        async with office.app.database.writing() as session:
            session.add(ring)
        await office.app.operator.reminding.reminders.look()
        reply = await chat.sees("I was off on ", "(3 times) and did not remind you", TEXT)
        assert reply.buttons[0].label == "Done"
        assert not office.of(CallStarted)


async def test_reminders_outlast_a_restart(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await Told(office).says("…", Remind(when=soon(2), text=TEXT))
    await asyncio.sleep(0)
    async with open_office(tmp_path) as office:
        await Told(office).sees(SPOKEN)


async def waits(office: Office) -> None:
    """Until what came of a try is noted."""
    async with asyncio.timeout(10):
        while any(ring.by_whom for ring in await rings(office)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def with_bob(office: Office, bob: Any) -> Any:
    known = office.app.people.with_extension

    async def with_extension(extension: str) -> Any:
        return bob if extension == "102" else await known(extension)

    return with_extension


@pytest.mark.parametrize(
    "words", ["quiet hours 22:00 to 7", "my quiet hours are from 22 until 7:00"]
)
async def test_quiet_hours_are_for_what_others_want(tmp_path: Path, words: str) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        assert (await chat.says(words)).text.startswith("Between 22:00 and 07:00 others'")
        habits = office.app.operator.reminding._habits
        for clock, wanted in (("23:30", True), ("06:59", True), ("07:00", False), ("12:00", False)):
            habits.now = lambda clock=clock: datetime.fromisoformat(f"2026-01-01T{clock}+00:00")
            assert await habits.is_quiet("101") is wanted
            assert await habits.is_quiet("") is False
        assert (await chat.says("no quiet hours")).text == "You have no quiet hours."
        assert await habits.is_quiet("101") is False


async def test_a_journey_moves_what_comes_again_and_ends_by_itself(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        await chat.says("my time zone is Europe/Berlin")
        zone = ZoneInfo("Europe/Berlin")
        eight = datetime.now(zone).replace(hour=8, minute=0, second=0, microsecond=0)
        daily = Remind(when=When(at=eight + timedelta(days=1), rrule="FREQ=DAILY"), text="pills")
        assert "first tomorrow at 08:00" in (await chat.says("…", daily)).text
        once = Remind(when=When(at=eight + timedelta(days=2)), text="dentist")
        await chat.says("…", once)
        friday = DoNotDisturb(until=soon(1.5))
        office.understands(friday)
        away = await chat.says("I'm in Tokyo until Friday")
        assert away.text.startswith("Your clock is Asia/Tokyo until today at ")
        reminders = {
            row.text: row for row in await office.app.operator.reminding.reminders.of("101")
        }
        there = ZoneInfo("Asia/Tokyo")
        assert f"{reminders['pills'].occurrence.astimezone(there):%H:%M}" == "08:00"
        assert f"{reminders['dentist'].occurrence.astimezone(zone):%H:%M}" == "08:00"
        await chat.sees("You are back: your clock is Europe/Berlin again.")
        (row,) = [r for r in await office.app.operator.reminding.reminders.of("101") if r.rule]
        assert f"{row.occurrence.astimezone(zone):%H:%M}" == "08:00"
        listed = await chat.says("…", Reminders())
        assert " at 08:00, every day, by message: pills" in listed.text
        assert (await chat.says("I'm back")).text == "I thought you were at home."
        assert (await chat.says("I'm in New York")).text.startswith(
            "Your clock is America/New_York; say"
        )
        home = await chat.says("I'm home again")
        assert home.text == "Welcome back. Your clock is Europe/Berlin again."
