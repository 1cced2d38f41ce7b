"""Reminders as people order, list and change them, and answer what rings."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bot.ports import OperatorError, Person, Reminder, Ringing, Role
from encryptotel.followers import Followers
from encryptotel.habits import Habits
from encryptotel.journeys import Journeys
from encryptotel.parties import Parties
from encryptotel.people import PeopleOfExchange
from encryptotel.ringing import Ringer
from nlp.commands import Remind, When
from pbx.calls.router import Refuse, dial_out
from pbx.ports import Directory
from scheduler.alarm import Alarm
from scheduler.recurrence import RuleError
from scheduler.reminders import MAX_REMINDERS, Reminders, TooManyReminders
from store.database import Database
from store.tables import ReminderRow

MAX_TEXT = 300
FARTHEST = timedelta(days=3660)
MAX_SNOOZE = timedelta(days=7)
MAX_LATE = 24 * 60


class Reminding:
    """Implements `bot.ports.Reminding`."""

    def __init__(
        self,
        database: Database,
        alarm: Alarm,
        directory: Directory,
        people: PeopleOfExchange,
        parties: Parties,
        followers: Followers,
        habits: Habits,
        ringer: Ringer,
    ) -> None:
        self.reminders = Reminders(database, alarm, ringer.deliver, habits.now)
        self.journeys = Journeys(alarm, people, followers, habits, self.reminders)
        self._directory, self._people, self._parties = directory, people, parties
        self._followers, self._habits, self._ringer = followers, habits, ringer

    async def start(self) -> None:
        """Go on with what the last run left."""
        await self._habits.load()
        await self.reminders.start()

    async def stop(self) -> None:
        """Finish what is begun; the alarm must have been stopped."""
        await self.journeys.stop()
        await self.reminders.stop()

    async def forget(self, extension: str) -> None:
        """Forget all that concerns somebody."""
        await self.reminders.forget(extension)
        await self._habits.forget(extension)

    # ── what people order ───────────────────────────────────────────────────────────────
    async def remind(
        self, person: Person, command: Remind, leads: Sequence[int] = (0,)
    ) -> Reminder:
        """Remind somebody of something. Raises `OperatorError`."""
        assert command.when is not None
        to = self._parties.resolve(command.to, person) if command.to else ""
        to = "" if to == person.extension else to
        if to.startswith("+"):
            self._check_way(person, to)
        if to and self._habits.consent(person.extension, to) is False:
            who = self._followers.who(to, person)
            raise OperatorError("remind.refused", f"{who} does not want to be reminded by you")
        row = ReminderRow(
            id=secrets.token_hex(4),
            extension=person.extension,
            text=(command.text or "").strip()[:MAX_TEXT],
            by=command.by,
            to=to,
            zone=person.timezone,
            leads=sorted(set(leads), reverse=True),
            **_times(command.when),
        )
        try:
            kept = await self.reminders.add(row)
        except (RuleError, ValueError) as error:
            raise OperatorError("remind.when", str(error)) from error
        except TooManyReminders as error:
            raise OperatorError(
                "remind.too_many", f"{MAX_REMINDERS} reminders are the most; cancel some first"
            ) from error
        unasked = self._habits.consent(person.extension, to) is None
        if to and self._directory.extension(to) and unasked:
            self._ringer.ask_consent(person, to)
        return self._shown(kept, person)

    async def of(self, person: Person) -> Sequence[Reminder]:
        """What the person is reminded of, the next first."""
        return [self._shown(row, person) for row in await self.reminders.of(person.extension)]

    async def on_day(self, person: Person, day: date) -> Sequence[tuple[datetime, str]]:
        """What there is to think of on a day of the person's."""
        zone = ZoneInfo(person.timezone)
        begin = datetime.combine(day, time(), zone)
        end = datetime.combine(day + timedelta(days=1), time(), zone)
        return await self.reminders.between(person.extension, begin, end)

    async def change(
        self, person: Person, id: str, when: When | None = None, text: str | None = None
    ) -> Reminder:
        """Another time, or other words. Raises `OperatorError`."""
        row = await self._mine(person, id)
        changes: dict[str, Any] = {"text": text[:MAX_TEXT]} if text else {}
        if when is not None:
            changes |= _times(self._kept_rule(row, when))
            changes["zone"] = person.timezone
        try:
            return self._shown(await self.reminders.change(row, **changes), person)
        except (RuleError, ValueError) as error:
            raise OperatorError("remind.when", str(error)) from error

    async def pause(self, person: Person, id: str, *, on: bool) -> Reminder:
        """Let one rest, or ring again. Raises `OperatorError`."""
        await self.reminders.pause(await self._mine(person, id), on=on)
        return self._shown(await self._mine(person, id), person)

    async def cancel(self, person: Person, id: str) -> bool:
        """Ring for one no more; False if it is gone."""
        try:
            return await self.reminders.cancel((await self._mine(person, id)).id)
        except OperatorError:
            return False

    async def rang(self, person: Person, id: str = "") -> Ringing:
        """One that rang, or the latest that waits for an answer. Raises `OperatorError`."""
        ring = await (self.reminders.ring(id) if id else self.reminders.latest(person.extension))
        if ring is None or person.extension not in (ring.extension, ring.to):
            raise OperatorError("remind.gone", "there is no reminder waiting for that")
        by = ring.extension if ring.extension != person.extension else ""
        return Ringing(id=ring.id, text=ring.text, repeats=ring.repeats, by=by)

    async def done(self, person: Person, id: str) -> None:
        """It was done; whoever wanted it done is told. Raises `OperatorError`."""
        ring = await self.rang(person, id)
        await self.reminders.settle(ring.id, "done")
        if ring.by:
            who = self._followers.who(person.extension, await self._people.with_extension(ring.by))
            self._followers.announce(ring.by, f"{who} says that it is done: “{ring.text}”.")

    async def snooze(self, person: Person, id: str, after: timedelta) -> None:
        """Remind again after a time. Raises `OperatorError`."""
        ring = await self.rang(person, id)
        if not timedelta(0) < after <= MAX_SNOOZE:
            raise OperatorError("remind.snooze", "for up to a week")
        await self.reminders.settle(ring.id, "open", after)

    async def stop_series(self, person: Person, id: str) -> None:
        """Never remind of it again. Raises `OperatorError`."""
        ring = await self.rang(person, id)
        found = await self.reminders.ring(ring.id)
        assert found is not None
        await self.reminders.cancel(found.reminder)
        await self.reminders.settle(ring.id, "done")

    async def consent(self, person: Person, by: str, *, given: bool) -> str:
        """Let somebody's reminders through, or not; who that is."""
        await self._habits.note_consent(by, person.extension, given=given)
        return self._followers.who(by, person)

    async def travel(self, person: Person, zone: str, until: datetime | None) -> Person:
        """The person is in another zone, until a time if that is known."""
        return await self.journeys.travel(person, zone, until)

    async def come_home(self, person: Person) -> Person:
        """The person is back. Raises `OperatorError`."""
        return await self.journeys.come_home(person)

    async def be_late(self, person: Person, minutes: int) -> None:
        """How late a reminder still rings. Raises `OperatorError`."""
        if not 0 <= minutes <= MAX_LATE:
            raise OperatorError("remind.late", "that is up to a day")
        await self._habits.change(person.extension, late=minutes)

    async def be_quiet(self, person: Person, begin: str, end: str) -> None:
        """Between which clocks nobody's phone rings for what was not set for just then."""
        await self._habits.change(person.extension, quiet_from=begin, quiet_to=end)

    # ── parts ───────────────────────────────────────────────────────────────────────────────
    def _check_way(self, person: Person, number: str) -> None:
        """Raises `OperatorError` for a telephone that the person cannot have called."""
        if person.role is Role.GUEST:
            raise OperatorError("role.guest", "guests can call inside the exchange only")
        way = dial_out(number, self._directory.trunks(), None)
        if isinstance(way, Refuse):
            raise OperatorError("remind.no_way", way.reason)

    async def _mine(self, person: Person, id: str) -> ReminderRow:
        rows = await self.reminders.of(person.extension)
        found = next((row for row in rows if row.id == id), None)
        if found is None:
            raise OperatorError("remind.gone", "there is no such reminder any more")
        return found

    def _kept_rule(self, row: ReminderRow, when: When) -> When:
        """“Make it 9 instead” of something that repeats means each time."""
        if when.rrule or not row.rule:
            return when
        zone = ZoneInfo(row.zone)
        clock = when.at.astimezone(zone).time()
        first = row.occurrence.astimezone(zone).replace(hour=clock.hour, minute=clock.minute)
        return When(at=first, rrule=row.rule)

    def _shown(self, row: ReminderRow, person: Person) -> Reminder:
        return Reminder(
            id=row.id,
            at=row.occurrence,
            text=row.text,
            by=row.by,
            to=self._followers.who(row.to, person) if row.to else "",
            rule=row.rule,
            leads=tuple(lead for lead in row.leads if lead),
            paused=row.due is None,
        )


def _times(when: When) -> dict[str, Any]:
    if when.at > datetime.now(UTC) + FARTHEST:
        raise OperatorError("remind.too_far", "that is more than ten years ahead")
    return {"start": when.at, "rule": when.rrule or "", "occurrence": when.at}
