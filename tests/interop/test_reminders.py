"""Reminders and calendars ring a phone that we did not write, which hears them and keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.calendars.shapes import event
from tests.peers.exchange import Config, Exchange
from tests.peers.radicale import PASSWORD, USER, radicale

from .common import LOW, heard_by, phone, plain

pytestmark = pytest.mark.interop
NEEDS = ("baresip",)


async def test_a_reminder_speaks_and_obeys_the_keys() -> None:
    async with (
        Exchange(Config(plain("101", "102"))) as exchange,
        phone(exchange, "101", LOW) as alice,
    ):
        await exchange.say("status")  # the language loads meanwhile
        said = await exchange.say("remind me by phone in 4 seconds to water my plants")
        assert "I shall call you today at" in said
        await alice.wait("CALL_ESTABLISHED", within=20)
        await heard_by(alice, "Reminder: water your plants.")
        await alice.digits("3")
        await heard_by(alice, "Reminder: water your plants.")
        await alice.digits("2")
        await alice.closed()
        listed = await exchange.say("done")
        assert "Done: water my plants." in listed


async def test_what_is_on_in_a_calendar_is_spoken(tmp_path: Path) -> None:
    """A real CalDAV server, an event in another zone with an alarm of its own, a real phone."""
    private = {"calendars": {"private": True}}
    async with (
        radicale(tmp_path) as dav,
        Exchange(Config(plain("101", "102"), extra=private)) as exchange,
        phone(exchange, "101", LOW) as alice,
    ):
        await dav.calendar("Music")
        await exchange.say("status")
        at = (datetime.now(UTC) + timedelta(seconds=25, hours=9)).strftime("%Y%m%dT%H%M%S")
        alarm = ("BEGIN:VALARM", "ACTION:AUDIO", "TRIGGER:PT0S", "END:VALARM")
        await dav.put(
            "music", "1", event("UID:1", f"DTSTART;TZID=Asia/Tokyo:{at}", "SUMMARY:Choir", *alarm)
        )
        said = await exchange.say(f"sync my calendar {dav.url} user {USER} password {PASSWORD}")
        assert "I follow your calendar Music: 1 thing" in said
        await exchange.say("call me 2 minutes before every meeting")  # by phone from now on
        await alice.wait("CALL_ESTABLISHED", within=40)
        await heard_by(alice, "Reminder: Choir.")
        await alice.digits("1")
        await alice.closed()
        assert "Nothing is planned." in await exchange.say("my reminders")
