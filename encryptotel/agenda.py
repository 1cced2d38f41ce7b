"""What people want done later: calls, placed when their time has come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.ports import OperatorError, Person, Placed, Planned, Progress, Step
from encryptotel.followers import Followers
from encryptotel.parties import named, party_of
from encryptotel.people import PeopleOfExchange
from nlp.commands import Call, Party, command_from_json, command_to_json
from scheduler.alarm import Alarm
from scheduler.plans import MAX_PLANS, Plans, TooManyPlans
from store.database import Database
from store.tables import PlanRow

LATE = timedelta(minutes=10)
"After that a planned call is not placed any more."
FARTHEST = timedelta(days=366)


class Agenda:
    """`check` says whom a call would reach, or raises `OperatorError`; `place` places it."""

    def __init__(
        self,
        database: Database,
        alarm: Alarm,
        people: PeopleOfExchange,
        followers: Followers,
        check: Callable[[Person, Call], tuple[str, str]],
        place: Callable[[Person, Call], Awaitable[Placed]],
    ) -> None:
        self._plans = Plans(database, alarm, self.carry_out, self.interrupted)
        self._people = people
        self._followers = followers
        self._check = check
        self._place = place

    async def start(self) -> None:
        """Go on with what the last run left."""
        await self._plans.start()

    async def stop(self) -> None:
        """Finish what is begun; the alarm must have been stopped."""
        await self._plans.stop()

    async def forget(self, extension: str) -> None:
        """Cancel all that somebody planned."""
        await self._plans.forget(extension)

    async def plan(self, person: Person, command: Call) -> Planned:
        """Place a call at its time. Raises `OperatorError`."""
        number, back = self._check(person, command)
        when = command.at
        if when is None or when.rrule:
            raise OperatorError("call.repeats", "I can place a call for later once, not repeatedly")
        if when.at > datetime.now(UTC) + FARTHEST:
            raise OperatorError("call.too_far", "that is more than a year ahead")
        # By number: contacts may be renamed, and are others' in other languages.
        exact = replace(
            command,
            to=(party_of(command.to[0].name, number),),
            callback=command.callback and party_of(command.callback.name, back),
        )
        try:
            row = await self._plans.add(person.extension, when.at, command_to_json(exact))
        except TooManyPlans as error:
            raise OperatorError("call.too_many_plans", f"{MAX_PLANS} plans are the most") from error
        return self._planned(row)

    async def plans(self, person: Person) -> Sequence[Planned]:
        """What the person has planned, the next first."""
        return [self._planned(row) for row in await self._plans.of(person.extension)]

    async def drop_plan(self, person: Person, id: str) -> bool:
        """Do not do what was planned; False if that is too late."""
        mine = {row.id for row in await self._plans.of(person.extension)}
        return id in mine and await self._plans.cancel(id)

    async def carry_out(self, plan: PlanRow) -> None:
        """Do what was planned, when its time has come; tells the person."""
        person = await self._people.with_extension(plan.extension)
        if person is None:
            return
        planned, command = self._planned(plan), self._command(plan)
        try:
            if datetime.now(UTC) - plan.at > LATE:
                raise OperatorError("plan.missed", "I was off then")
            placed = await self._place(person, command)
        except OperatorError as error:
            self._sorry(planned, plan, error.message)
        else:
            self._followers.placed(person.extension, placed, "as planned")

    def interrupted(self, plan: PlanRow) -> None:
        """Tell somebody that we stopped while doing what they had planned."""
        self._sorry(self._planned(plan), plan, "I was restarted just then")

    def _sorry(self, planned: Planned, plan: PlanRow, reason: str) -> None:
        number = self._resolved(self._command(plan).to[0])
        text = f"I did not {planned.what}, as planned: {reason}."
        step = Progress(call_id="", step=Step.NOTICE, text=text, back=number)
        self._followers.spread(plan.extension, step)

    def _planned(self, plan: PlanRow) -> Planned:
        command = self._command(plan)
        to = command.to[0]
        back = command.callback
        by = f", then call {named(back, self._resolved(back))} back" if back else ""
        line = f" over the {command.line} line" if command.line else ""
        what = f"call {named(to, self._resolved(to))}{line}{by}"
        return Planned(id=plan.id, at=plan.at, what=what)

    def _command(self, plan: PlanRow) -> Call:
        command = command_from_json(plan.command)
        assert isinstance(command, Call)
        return replace(command, at=None)

    def _resolved(self, party: Party) -> str:
        return party.number or party.extension or party.name or "you"
