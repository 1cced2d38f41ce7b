"""Scenarios: people call a number, key their PIN, and something is done for them."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, select

from bot.ports import OperatorError, Person, ScenarioShown
from encryptotel.directory import Directory
from encryptotel.followers import Followers
from encryptotel.wallets import Wallets
from nlp import commands
from nlp.commands import Command, Scenario, SendMoney, command_from_json, command_to_json
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg, LegOver
from pbx.calls.router import HIDE, SHOW, Refuse, route_from_extension
from pbx.calls.services import Service, Visit
from pbx.ports import CallRefused
from store.database import Database
from store.tables import ScenarioRow

MOST = 20
"Scenarios of one person."
FREE = tuple(f"*8{digit}" for digit in "013456789")
"Numbers given to scenarios without one."
_NUMBER = re.compile(r"\*\d{2,8}")
MAX_ACTION = 4_000
"Characters of an action, as JSON."
_AFTERWARDS = (commands.Call, commands.Conference)
"What rings the person, and so is done when they have hung up."
ACTIONS = (
    SendMoney,
    commands.Message,
    commands.Redirect,
    commands.DoNotDisturb,
    commands.HideNumber,
    commands.Block,
    commands.Unblock,
    commands.Record,
    *_AFTERWARDS,
)

Act = Callable[[Person, Command], Awaitable[str]]
"Does a command for somebody; what came of it, for people. Raises `OperatorError`."


class Scenarios:
    """Implements `bot.ports.Scenarios`. `person_of` gives the person of an extension, `later` does
    something on the side."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        region: Callable[[], str],
        wallets: Wallets,
        followers: Followers,
        person_of: Callable[[str], Awaitable[Person]],
        act: Act,
        later: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        self._database, self._directory = database, directory
        self._services = directory.services
        self._region, self._wallets, self._followers = region, wallets, followers
        self._person_of, self._act, self._later = person_of, act, later
        self._changing = asyncio.Lock()
        self._rows: dict[tuple[str, str], ScenarioRow] = {}
        "By extension and number."

    async def load(self) -> None:
        """Answer all numbers of scenarios, and no others."""
        async with self._changing:
            async with self._database.reading() as session:
                rows = list((await session.execute(select(ScenarioRow))).scalars())
            for row in self._rows.values():
                self._services.remove(row.trigger, self._visit)
            self._rows.clear()
            for row in rows:
                self._answer(row)

    # ── by chat ─────────────────────────────────────────────────────────────────────────
    async def add(self, person: Person, command: Scenario) -> ScenarioShown:
        """Have a scenario from now on, instead of one with that name or number. Raises
        `OperatorError`."""
        action = command.action
        if action is None:
            raise OperatorError("scenario.what", "say what shall be done then")
        if not isinstance(action, ACTIONS):
            raise OperatorError("scenario.action", "that cannot be done by a scenario")
        lacks = any(getattr(action, slot, None) in (None, ()) for slot in action.asks)
        if lacks and getattr(action, "on", True):
            raise OperatorError("scenario.what", "say in one sentence all that shall be done then")
        written = json.dumps(command_to_json(action), ensure_ascii=False)
        if len(written) > MAX_ACTION:
            raise OperatorError("scenario.long", "that is too long for a scenario")
        if '"at"' in written:
            raise OperatorError(
                "scenario.when", "a scenario runs whenever you call it: say it without a time"
            )
        if isinstance(action, SendMoney):
            await self._wallets.sum_of(action)
        async with self._changing:
            return await self._added(person, command, written)

    async def _added(self, person: Person, command: Scenario, written: str) -> ScenarioShown:
        name = (command.name or "").strip()[:40]
        trigger = self._number(person, command.trigger, name)
        row = ScenarioRow(
            id=secrets.token_hex(6),
            extension=person.extension,
            trigger=trigger,
            name=name or trigger,
            action=written,
            made=datetime.now(UTC),
        )
        same = [
            known
            for known in self._of(person.extension)
            if known.trigger == trigger or known.name.casefold() == row.name.casefold()
        ]
        if len(self._of(person.extension)) - len(same) >= MOST:
            raise OperatorError("scenario.too_many", f"{MOST} scenarios are the most I keep")
        await self._replace(same, row)
        return _shown(row)

    def of(self, person: Person) -> Sequence[ScenarioShown]:
        """Somebody's scenarios, by their numbers."""
        return [_shown(row) for row in self._of(person.extension)]

    async def pause(self, person: Person, which: str, *, on: bool) -> ScenarioShown:
        """Let one rest, or run again. Raises `OperatorError`."""
        async with self._changing:
            row = self._find(person, which)
            changed = ScenarioRow(**{**row.model_dump(), "paused": on})
            await self._replace([row], changed)
            return _shown(changed)

    async def remove(self, person: Person, which: str) -> ScenarioShown:
        """Have one no more. Raises `OperatorError`."""
        async with self._changing:
            row = self._find(person, which)
            await self._replace([row])
            return _shown(row)

    async def forget(self, extension: str) -> None:
        """Have none of an extension's any more."""
        async with self._changing:
            await self._replace(self._of(extension))

    def _of(self, extension: str) -> list[ScenarioRow]:
        found = [row for (owner, _), row in self._rows.items() if owner == extension]
        return sorted(found, key=lambda row: row.trigger)

    def _find(self, person: Person, which: str) -> ScenarioRow:
        wanted = which.strip().casefold()
        for row in self._of(person.extension):
            if wanted in (row.name.casefold(), row.trigger):
                return row
        known = ", ".join(row.name for row in self._of(person.extension)) or "none yet"
        raise OperatorError("scenario.unknown", f"you have no scenario {which}; there is {known}")

    def _number(self, person: Person, wanted: str | None, name: str) -> str:
        """A number that can be a scenario's: the one wanted, or a free one. Raises
        `OperatorError`."""
        if wanted is not None:
            trigger = re.sub(r"[\s()-]", "", wanted)
            if not _NUMBER.fullmatch(trigger):
                raise OperatorError(
                    "scenario.number", f"{wanted} cannot be its number; take one like *77"
                )
            if not self._is_free(person.extension, trigger):
                raise OperatorError("scenario.taken", f"{trigger} is taken; take another, like *77")
            return trigger
        for row in self._of(person.extension):
            if row.name.casefold() == name.casefold():
                return row.trigger
        mine = {row.trigger for row in self._of(person.extension)}
        for trigger in FREE:
            if trigger not in mine and self._is_free(person.extension, trigger):
                return trigger
        raise OperatorError("scenario.number", "say which number shall run it, such as *770")

    def _is_free(self, extension: str, trigger: str) -> bool:
        """Whether nothing else answers a number."""
        if (extension, trigger) in self._rows:
            return True
        for code in (HIDE, SHOW):
            if trigger.startswith(code):
                return False
        found = self._services.find(trigger)
        if found is not None:
            return found[0].app == self._visit
        plan = route_from_extension(trigger, self._directory, self._region())
        return isinstance(plan, Refuse) and plan.status == 404

    async def _replace(self, rows: Sequence[ScenarioRow], by: ScenarioRow | None = None) -> None:
        """Put a scenario in the place of others."""

        async def replace(session: AsyncSession) -> None:
            for row in rows:
                await session.execute(delete(ScenarioRow).where(col(ScenarioRow.id) == row.id))
            if by is not None:
                await session.flush()
                session.add(ScenarioRow(**by.model_dump()))

        await self._database.together(replace)
        for row in rows:
            del self._rows[row.extension, row.trigger]
            if not any(trigger == row.trigger for _, trigger in self._rows):
                self._services.remove(row.trigger, self._visit)
        if by is not None:
            self._answer(by)

    def _answer(self, row: ScenarioRow) -> None:
        self._rows[row.extension, row.trigger] = row
        says = "runs a scenario of those who have one there, with their PIN"
        service = Service(number=row.trigger, says=says, app=self._visit, outside=False)
        if self._services.find(row.trigger) is None:
            self._services.add(service)

    # ── by phone ────────────────────────────────────────────────────────────────────────
    async def _visit(self, visit: Visit) -> Ending:
        """Somebody called a number of scenarios."""
        leg, extension = visit.leg, visit.call.user
        row = self._rows.get((extension, visit.dialled))
        if row is None:
            raise CallRefused(404, f"you have no scenario at {visit.dialled}")
        await leg.answer()
        visit.call.answered()
        try:
            account = await self._wallets.opened(leg, extension)
            if account is not None:
                action = command_from_json(json.loads(row.action))
                if not self._holds(row):
                    await self._wallets.say(leg, "This scenario is paused, or is no more.")
                elif isinstance(action, SendMoney):
                    holds = partial(self._holds, row)
                    await self._wallets.pay(leg, extension, account, action, holds)
                else:
                    await self._run(leg, row, action)
        except LegOver as over:
            return over.ending
        return await self._wallets.goodbye(leg)

    def _holds(self, row: ScenarioRow) -> bool:
        """Whether somebody has it still, as it was when they called."""
        now = self._rows.get((row.extension, row.trigger))
        return now is not None and not now.paused and now.action == row.action

    async def _run(self, leg: Leg, row: ScenarioRow, action: Command) -> None:
        if isinstance(action, _AFTERWARDS):
            self._later(self._afterwards(leg, row, action))
            await self._wallets.say(leg, "Please hang up. I call you then.")
            return
        await self._wallets.say(leg, await self._done(row, action))

    async def _afterwards(self, leg: Leg, row: ScenarioRow, action: Command) -> None:
        await leg.ended()
        await self._done(row, action)

    async def _done(self, row: ScenarioRow, action: Command) -> str:
        """Do it, and tell the chat; what came of it."""
        person = await self._person_of(row.extension)
        try:
            text = await self._act(person, action)
        except OperatorError as error:
            text = f"{error.message[:1].upper()}{error.message[1:]}."
        self._followers.announce(row.extension, f"{row.name} ({row.trigger}): {text}")
        return text


def _shown(row: ScenarioRow) -> ScenarioShown:
    return ScenarioShown(
        name=row.name,
        trigger=row.trigger,
        action=command_from_json(json.loads(row.action)),
        paused=row.paused,
    )
