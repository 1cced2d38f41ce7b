"""People who are elsewhere for a time: what comes again rings at the same hours there."""

from __future__ import annotations

import asyncio
from datetime import datetime

from bot.ports import OperatorError, Person, Progress, Step
from encryptotel.followers import Followers
from encryptotel.habits import Habits
from encryptotel.people import PeopleOfExchange
from scheduler.alarm import Alarm
from scheduler.reminders import Reminders

HOME = "home"
"What the alarm knows ends of journeys as."


class Journeys:
    """Each ends when the alarm rings, or when the person says so."""

    def __init__(
        self,
        alarm: Alarm,
        people: PeopleOfExchange,
        followers: Followers,
        habits: Habits,
        reminders: Reminders,
    ) -> None:
        self._alarm, self._people, self._followers = alarm, people, followers
        self._habits, self._reminders = habits, reminders
        self._coming: set[asyncio.Task[None]] = set()
        alarm.on(HOME, self._back)

    async def stop(self) -> None:
        """Finish what is begun; the alarm must have been stopped."""
        await asyncio.gather(*self._coming, return_exceptions=True)

    async def travel(self, person: Person, zone: str, until: datetime | None) -> Person:
        """The person is in another zone, until a time if that is known: what comes again rings at
        the same hours there."""
        home = self._habits.of(person.extension).home or person.timezone
        if zone == home:
            return await self.come_home(person)
        moved = await self._move(person, zone)
        await self._habits.change(person.extension, home=home, away_until=until)
        if until is not None:
            await self._alarm.set(HOME, person.extension, until)
        return moved

    async def come_home(self, person: Person) -> Person:
        """The person is back. Raises `OperatorError` for one who was nowhere."""
        home = self._habits.of(person.extension).home
        if not home:
            raise OperatorError("travel.home", "I thought you were at home")
        moved = await self._move(person, home)
        await self._habits.change(person.extension, home="", away_until=None)
        return moved

    async def _move(self, person: Person, zone: str) -> Person:
        moved = await self._people.set_timezone(person, zone)
        await self._reminders.move(person.extension, zone)
        step = Progress(call_id="", step=Step.MOVED, about=zone)
        self._followers.spread(person.extension, step)
        return moved

    def _back(self, extension: str) -> None:
        """The alarm rang: somebody's journey is over."""
        task = asyncio.ensure_future(self._back_now(extension))
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)

    async def _back_now(self, extension: str) -> None:
        person, habit = await self._people.with_extension(extension), self._habits.of(extension)
        if person is None or habit.away_until is None or habit.away_until > self._habits.now():
            return
        moved = await self.come_home(person)
        self._followers.announce(extension, f"You are back: your clock is {moved.timezone} again.")
