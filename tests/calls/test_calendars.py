"""Calendars elsewhere that ring here: followed by chat, told in words, joined with a key."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.heard import CalendarFile
from encryptotel.demo.phone import Phone
from nlp.commands import Calendar, Remind, When
from pbx.calls.leg import Leg
from pbx.events import CallStarted
from tests.calendars.shapes import event
from tests.calendars.test_sources import server
from tests.calls.test_callback import telephone_network
from tests.calls.test_reminders import Told
from tests.hearing import at_length
from tests.office import Office, open_office, quiet
from tests.peers.radicale import PASSWORD, USER, radicale

PRIVATE = {"calendars": {"private": True}}


def soon(minutes: float, title: str, *more: str, uid: str = "1") -> str:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    return event(f"UID:{uid}", f"DTSTART:{at:%Y%m%dT%H%M%S}Z", f"SUMMARY:{title}", *more)


def tomorrow(title: str, uid: str = "2") -> str:
    """At noon, whatever the time is now."""
    day = datetime.now(UTC) + timedelta(days=1)
    return event(f"UID:{uid}", f"DTSTART:{day:%Y%m%d}T120000Z", f"SUMMARY:{title}")


def file(*parts: str, name: str = "Work") -> bytes:
    body = f"BEGIN:VCALENDAR\nVERSION:2.0\nX-WR-CALNAME:{name}\n{''.join(parts)}END:VCALENDAR\n"
    return body.replace("\n", "\r\n").encode()


class Feed:
    """A calendar by http that the test changes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.status, self.asked = content, 200, 0

    async def __call__(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(status=self.status, body=self.content)


async def looks(office: Office) -> None:
    """Have all calendars looked at, as if their time had come."""
    calendars = office.app.operator.calendars
    person = office.app.person
    for row in await calendars._rows(person.extension):
        await calendars._sync(row, person)


async def test_a_feed_rings_before_what_is_on(tmp_path: Path) -> None:
    feed = Feed(file(soon(15.15, "Dentist"), tomorrow("Holiday")))
    async with open_office(tmp_path, **PRIVATE) as office, server(feed) as url:
        chat = Told(office)
        none = await chat.says("call me 15 minutes before every meeting")
        assert none.text.startswith("I follow no calendar of yours")
        followed = await chat.says("…", Calendar(url=url))
        assert followed.text.startswith(
            "I follow your calendar Work: 2 things in the next five weeks."
        )
        rings = await chat.says("remind me 15 minutes before every meeting")
        assert rings.text == "I shall remind you 15 minutes before everything in your calendars."
        await chat.sees("Reminder, in 15 minutes: Dentist.")
        listed = await chat.says("my calendars")
        assert "1. Work, message 15 minutes before everything, looked at today at" in listed.text
        one = await chat.says("call me 2 hours before every meeting in my work calendar with Bob")
        assert (
            one.text
            == "I shall call you 2 hours before everything in your calendar Work with “Bob” in it."
        )
        none = await chat.says("call me 2 hours before every meeting in my choir calendar")
        assert none.text.startswith(
            "Your calendars:\n  1. Work, call 2 hours before everything with “Bob”"
        )
        later = await chat.says("what's on tomorrow?")
        assert "Holiday." in later.text
        assert "Dentist." in (await chat.says("what's on today?")).text + later.text  # by midnight
        left = await chat.says(followed.buttons[0].says)
        assert left.text == "I follow Work no more."
        assert (await chat.says("what's on tomorrow?")).text == "Tomorrow nothing is planned."


async def test_a_server_that_thinks_is_not_waited_for_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encryptotel.calendars.syncing.SLOW", 0.1)
    async with open_office(tmp_path, **PRIVATE) as office:
        chat = Told(office)

        async def thinks(_: web.Request) -> web.Response:
            await chat.sees("I am reading your calendar; that may take a minute.")
            return web.Response(body=file(tomorrow("Holiday")))

        async with server(thinks) as url:
            followed = await chat.says("…", Calendar(url=url))
        assert followed.text.startswith("I follow your calendar Work: 1 thing in")


async def test_what_moves_or_goes_rings_anew_or_not_at_all(tmp_path: Path) -> None:
    feed = Feed(file(soon(60, "Moves", uid="m"), soon(60, "Goes", uid="g")))
    async with open_office(tmp_path, **PRIVATE) as office, server(feed) as url:
        chat = Told(office)
        await chat.says("…", Calendar(url=url))
        await chat.says("remind me 15 minutes before every event")
        feed.content = file(soon(15.15, "Moves", uid="m"))
        await looks(office)
        await chat.sees("Reminder, in 15 minutes: Moves.")
        today = await chat.says("what's on today?")
        tomorrow = await chat.says("what's on tomorrow?")
        assert "Goes" not in today.text + tomorrow.text
        count = len(chat.replies)
        feed.content = file(soon(15.15, "Moves", uid="m"))  # some seconds later than it was
        await looks(office)
        assert len(chat.replies) == count


async def test_a_server_that_fails_is_told_once_and_what_is_known_rings(tmp_path: Path) -> None:
    feed = Feed(
        file(soon(0.25, "Tea", "BEGIN:VALARM", "TRIGGER:PT0S", "ACTION:AUDIO", "END:VALARM"))
    )
    async with open_office(tmp_path, **PRIVATE) as office, server(feed) as url:
        chat = Told(office)
        await chat.says("…", Calendar(url=url))
        for status, content in ((500, b""), (200, b"<html>sign in</html>"), (302, b""), (500, b"")):
            feed.status, feed.content = status, content
            await looks(office)
        told = [one.text for one in chat.replies if "cannot read" in one.text]
        assert told == [
            "I cannot read your calendar Work: the calendar's server says 500. What I know of it "
            "still rings, and I go on trying."
        ]
        listed = await chat.says("show my calendars")
        assert "; it cannot be read: the calendar's server says 500" in listed.text
        await chat.sees("Reminder: Tea.")
        feed.status, feed.content = 200, file(soon(60, "More"))
        await looks(office)
        await chat.sees("I can read your calendar Work again.")
        await looks(office)
        assert sum("again." in one.text for one in chat.replies) == 1


async def test_a_file_is_kept_and_a_bad_one_refused(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        content = file(
            soon(60, "Flight"), event("UID:x", "DTSTART:20269999T000000Z", "SUMMARY:Bad")
        )
        (reply,) = await office.dialogue().hear(CalendarFile(content=content))
        assert "Work: 1 thing in the next five weeks. Left out: “Bad” is not written" in reply.text
        (bad,) = await office.dialogue().hear(CalendarFile(content=b"PK\x03\x04"))
        assert bad.text == "That is no calendar (iCalendar, .ics)."
        await looks(office)
        assert len((await chat.says("my calendars")).text.split("\n")) == 2
        (gone,) = await office.dialogue().hear("leave the Work calendar")
        assert gone.text == "I follow Work no more."


async def test_private_networks_and_no_addresses_are_refused(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        refused = await chat.says("…", Calendar(url="https://127.0.0.1:1/cal.ics"))
        assert refused.text.startswith("That calendar is in a private network; the owner can")
        refused = await chat.says("…", Calendar(url="ftp://example.com/"))
        assert refused.text == "That is no address of a calendar; it begins with https://."


async def test_an_account_is_followed_and_written_to(tmp_path: Path) -> None:
    """Radicale; the password is in no reply, and gone from the disk when the calendar is left."""
    (tmp_path / "radicale").mkdir()
    async with open_office(tmp_path, **PRIVATE) as office, radicale(tmp_path / "radicale") as dav:
        chat = Told(office)
        await dav.calendar("Work")
        await dav.put("work", "1", soon(15.15, "Review"))
        order = f"sync my calendar {dav.url} user {USER} password {PASSWORD}"
        followed = await chat.says(order)
        assert followed.text.startswith(
            "I follow your calendar Work: 1 thing in the next five weeks"
        )
        assert followed.text.endswith("Please delete your message with the password.")
        wrong = await chat.says(f"sync my calendar {dav.url} user {USER} password wrong")
        assert wrong.text == "The calendar wants a user and a password, or others than these."
        assert PASSWORD not in str(chat.replies)
        await chat.says("remind me 15 minutes before all my meetings")
        await chat.sees("Reminder, in 15 minutes: Review.")
        noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(
            days=1
        )
        office.understands(Remind(when=When(at=noon), text="lunch with Bob"))
        put = await chat.says("put lunch with Bob tomorrow at noon on my calendar")
        assert put.text == "“lunch with Bob” is on your calendar Work, tomorrow at 12:00."
        assert "SUMMARY:Lunch with Bob" in await dav.objects("work")
        assert "12:00 Lunch with Bob." in (await chat.says("what's on tomorrow?")).text


async def test_a_feed_cannot_be_written_to(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        noon = datetime.now(UTC) + timedelta(days=1)
        office.understands(Remind(when=When(at=noon), text="lunch"))
        refused = await chat.says("put lunch tomorrow on my calendar")
        assert refused.text.startswith("None of your calendars lets me write")


async def test_a_key_joins_the_conference_of_an_event(tmp_path: Path) -> None:
    """The phone is told, 1 is pressed, the number is dialled and the code keyed there."""
    keys: list[str] = []

    async def conference(phone: Phone, leg: Leg) -> None:
        while leg.ending is None:
            keys.append(await leg.digit())

    async def joins(phone: Phone, leg: Leg) -> None:
        speaker = phone.office.app.exchange.speaker  # type: ignore[attr-defined]
        await phone.until_heard(at_length(await speaker.say("Reminder, in 15 minutes: Board.")))
        leg.audio.send_digit("1")
        await leg.ended()

    where = "DESCRIPTION:Dial in: +1 202 555 0143\\, PIN 4711#"
    async with open_office(tmp_path) as office:
        await telephone_network(office, Phone(conference))
        alice: Any = Phone(joins)
        alice.office = office
        await office.phone("101", alice)
        chat = Told(office)
        await office.dialogue().hear(CalendarFile(content=file(soon(15.15, "Board", where))))
        await chat.says("call me 15 minutes before every meeting")
        await chat.sees("I called you and put you through: “Board”.")
        async with asyncio.timeout(20):
            while "".join(keys) != "4711#":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        (started,) = office.of(CallStarted)
        assert (started.kind, started.callee) == ("reminder", "101")
        (call,) = office.app.exchange.calls.values()
        assert sorted(leg.peer for leg in call.legs) == ["+12025550143", "101"]


async def test_only_what_has_the_words_rings(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        chat = Told(office)
        both = file(soon(15.15, "Lunch", "ORGANIZER;CN=Bob Miller:mailto:bob@example.com", uid="b"),
                    soon(15.15, "Yoga", uid="y"))  # fmt: skip
        await office.phone("101", Phone(quiet))
        await office.dialogue().hear(CalendarFile(content=both))
        said = await chat.says("remind me 15 minutes before every meeting with Bob")
        assert said.text.endswith("everything in your calendars with “Bob” in it.")
        await chat.sees("Reminder, in 15 minutes: Lunch.")
        assert not any("Yoga" in one.text for one in chat.replies)
        quiet_now = await chat.says("stop reminding me before my meetings")
        assert quiet_now.text.startswith("I remind you of nothing in your calendars")
