"""Monthly plans: paid in advance, with minutes to some places, renewed until they are cancelled.

What a plan includes is credit as well: seconds, in an asset of their own, spent before money. They
end with the month. A plan that cannot be paid for waits some days, without its minutes, and then
ends; nobody comes to owe anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from store.database import Database
from store.tables import SubscriptionRow
from wallet.ledger import Entry, Move, balance, credit_of, post
from wallet.money import Asset
from wallet.purse import REDUCED, Purse
from wallet.tariff import Plan

log = logging.getLogger(__name__)

PLANS = "income/plans"
NOTICE = timedelta(days=3)
"Before a renewal that cannot be paid for as things are."
GRACE = timedelta(days=3)
"After one, until the plan ends."
EVERY = 60.0
"Seconds between looks at what is due."


class PlanError(Exception):
    """Something about plans that cannot be done; the text is for the person."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What became of somebody's plan: begun, renewed, warned (it will not be paid for), waiting
    (it was not), changed (afterwards), kept, cancelled or ended."""

    extension: str
    what: str
    plan: Plan
    until: datetime


class Subscriptions:
    """Who has which plan. `told` hears of each turn, after which balances are others; what is set
    `aside` for calls that go on pays for no plan."""

    def __init__(
        self,
        database: Database,
        unit: Asset,
        plans: Sequence[Plan],
        percent: int,
        told: Callable[[Turn], Awaitable[None]],
        aside: Callable[[str], int] = lambda extension: 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        holding: Callable[[str, int], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.plans = {plan.name.casefold(): plan for plan in plans}
        self.unit, self._percent = unit, percent
        self._database, self._told, self._now = database, told, now
        self._aside, self._holding = aside, holding
        self._task: asyncio.Task[None] | None = None
        self._active: dict[str, str] = {}
        "The plan of each extension that is paid for."

    async def open(self) -> None:
        """Know who has what."""
        async with self._database.reading() as session:
            paid = select(SubscriptionRow).where(col(SubscriptionRow.state) == "active")
            rows = (await session.execute(paid)).scalars()
            self._active = {row.extension: row.plan.casefold() for row in rows}

    def active(self, extension: str) -> Plan | None:
        """The plan of somebody, if it is paid for."""
        return self.plans.get(self._active.get(extension, ""))

    def start(self) -> None:
        """Renew what is due from now on."""
        self._task = asyncio.ensure_future(self._look_after())

    async def stop(self) -> None:
        """Renew no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def of(self, extension: str) -> SubscriptionRow | None:
        """What somebody has."""
        async with self._database.reading() as session:
            return await session.get(SubscriptionRow, extension)

    async def choose(self, extension: str, name: str) -> Turn:
        """Have a plan: at once if there was none, else when the present one has run. Raises
        `PlanError`."""
        plan = self.plans.get(name.casefold())
        if plan is None:
            known = ", ".join(one.name for one in self.plans.values())
            raise PlanError(f"there is no plan {name}; there are: {known}")
        with self._hold(extension, plan.price):
            turn = await self._chosen(extension, plan)
            await self._tell(turn)
        return turn

    async def _chosen(self, extension: str, plan: Plan) -> Turn:
        now = self._now()
        async with self._database.writing() as session:
            row = await session.get(SubscriptionRow, extension, with_for_update=True)
            if row is not None and row.until > now:
                row.following = plan.name
                what = "changed" if row.plan != plan.name else "kept"
                turn = Turn(extension=extension, what=what, plan=plan, until=row.until)
            else:
                row = row or SubscriptionRow(extension=extension, plan="", since=now, until=now)
                row.until = now
                if not await self._paid(session, row, plan):
                    price = self.unit.text(plan.price)
                    raise PlanError(f"{plan.name} costs {price}, which is more than you have")
                await session.merge(row)
                turn = Turn(extension=extension, what="begun", plan=plan, until=row.until)
        return turn

    async def cancel(self, extension: str) -> Turn:
        """Let a plan end when what was paid for has run. Raises `PlanError`."""
        async with self._database.writing() as session:
            row = await session.get(SubscriptionRow, extension, with_for_update=True)
            plan = self.plans.get(row.plan.casefold()) if row is not None else None
            if row is None or plan is None:
                raise PlanError("you have no plan")
            row.following = ""
            turn = Turn(extension=extension, what="cancelled", plan=plan, until=row.until)
        await self._tell(turn)
        return turn

    async def look(self) -> None:
        """Renew, warn of and end what is due."""
        now = self._now()
        async with self._database.reading() as session:
            rows = list((await session.execute(select(SubscriptionRow))).scalars())
        for row in rows:
            if row.until - NOTICE <= now:
                await self._due(row.extension, now)

    async def _look_after(self) -> None:
        while True:
            try:
                await self.look()
            except DBAPIError as error:
                log.error("plans wait, the database fails: %s", error.orig)
            except Exception:
                log.exception("plans could not be looked at")
            await asyncio.sleep(EVERY)

    async def _tell(self, turn: Turn) -> None:
        await self.open()
        await self._told(turn)

    async def _due(self, extension: str, now: datetime) -> None:
        async with self._database.reading() as session:
            row = await session.get(SubscriptionRow, extension)
        plan = self.plans.get((row.following or row.plan).casefold()) if row else None
        with self._hold(extension, plan.price if plan else 0):
            async with self._database.writing() as session:
                row = await session.get(SubscriptionRow, extension, with_for_update=True)
                turn = await self._turned(session, row, now) if row is not None else None
            if turn is not None:
                await self._tell(turn)

    async def _turned(
        self, session: AsyncSession, row: SubscriptionRow, now: datetime
    ) -> Turn | None:
        """What is to be done about one now; done."""
        plan = self.plans.get((row.following or row.plan).casefold())
        known = plan or Plan(name=row.plan, price=0, days=1)

        def turn(what: str) -> Turn:
            return Turn(extension=row.extension, what=what, plan=known, until=row.until)

        if row.until > now:
            purse = await self._purse(session, row.extension)
            if row.warned or not row.following or plan is None or self._enough(purse, row, plan):
                return None
            row.warned = True
            return turn("warned")
        if not row.following or plan is None or row.until + GRACE <= now:
            await self._take_minutes(session, row)
            await session.delete(row)
            return turn("ended")
        if await self._paid(session, row, plan):
            return turn("renewed")
        if row.state == "waiting":
            return None
        await self._take_minutes(session, row)
        row.state = "waiting"
        return turn("waiting")

    async def _paid(self, session: AsyncSession, row: SubscriptionRow, plan: Plan) -> bool:
        """Take the price of a plan for its next days and give what it includes; False if there is
        not enough."""
        purse = await self._purse(session, row.extension)
        if not self._enough(purse, row, plan):
            return False
        parts = purse.pay(plan.price)
        mine, begin = credit_of(row.extension), max(row.until, self._now() - GRACE)
        moves = [Move(account=mine + p, asset=self.unit.id, amount=-n) for p, n in parts.items()]
        moves.append(Move(account=PLANS, asset=self.unit.id, amount=sum(parts.values())))
        moves += await self._minutes(session, row, plan)
        entry = Entry(
            key=f"plan:{row.extension}:{begin:%Y%m%dT%H%M%S.%f}",
            kind="plan",
            at=self._now(),
            moves=[move for move in moves if move.amount],
            text=f"{plan.name}, {plan.days} days",
        )
        if entry.moves:
            await post(session, entry)
        row.plan = row.following = plan.name
        row.until = begin + timedelta(days=plan.days)
        row.state, row.warned = "active", False
        return True

    def _enough(self, purse: Purse, row: SubscriptionRow, plan: Plan) -> bool:
        held = plan.price if self._holding is not None else 0  # which is set aside for itself
        return purse.worth - self._aside(row.extension) + held >= plan.price

    def _hold(self, extension: str, price: int) -> AbstractContextManager[None]:
        """No call is given the price of a plan while that is paid for."""
        return self._holding(extension, price) if self._holding is not None else nullcontext()

    async def _take_minutes(self, session: AsyncSession, row: SubscriptionRow) -> None:
        """What was included is over."""
        moves = await self._minutes(session, row, Plan(name="", price=0, days=1))
        if moves:
            key = f"over:{row.extension}:{row.until:%Y%m%dT%H%M%S.%f}"
            await post(session, Entry(key=key, kind="plan", at=self._now(), moves=moves))

    async def _minutes(self, session: AsyncSession, row: SubscriptionRow, plan: Plan) -> list[Move]:
        """The moves after which somebody has just what a plan includes."""
        wanted = {one.asset: one.seconds for one in plan.included}
        assets = {one.asset for each in self.plans.values() for one in each.included}
        mine, moves = credit_of(row.extension), []
        for asset in sorted(assets | wanted.keys()):
            more = wanted.get(asset, 0) - await balance(session, mine, asset)
            if more:
                moves += [
                    Move(account=mine, asset=asset, amount=more),
                    Move(account=PLANS, asset=asset, amount=-more),
                ]
        return moves

    async def _purse(self, session: AsyncSession, extension: str) -> Purse:
        mine = credit_of(extension)
        return Purse(
            plain=await balance(session, mine, self.unit.id),
            reduced=await balance(session, mine + REDUCED, self.unit.id),
            percent=self._percent,
        )
