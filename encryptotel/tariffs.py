"""Monthly plans for people: what there is, and what becomes of theirs, in words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from bot.ports import OperatorError, Person
from encryptotel.metering import Metering
from store.database import Database
from wallet.subscriptions import PlanError, Subscriptions, Turn
from wallet.tariff import Plan

PAY_AS_YOU_GO = ("pay as you go", "pay-as-you-go", "payg", "prepaid", "pre-paid")
MONTHLY = "monthly"
NONE = "There are no monthly plans here: calls are paid for as they are made."


class Tariffs:
    """Plans on a metering. `tell` says something to a person; `day` writes a moment as theirs."""

    def __init__(
        self,
        database: Database,
        metering: Metering,
        plans: Sequence[Plan],
        tell: Callable[[str, str], None],
        day: Callable[[str, datetime], str],
    ) -> None:
        self._metering, self._tell, self._day = metering, tell, day
        self.keep_numbers: Callable[[str, int], Awaitable[None]] = _keep_all
        "Gives back all numbers of an extension but so many."
        charging = metering.charging
        charging.zones = {
            prefix: one.asset for plan in plans for one in plan.included for prefix in one.prefixes
        }
        self.subscriptions = Subscriptions(
            database,
            charging.unit,
            plans,
            charging.percent,
            self._turned,
            charging.aside,
            holding=charging.holding,
        )

    def allows(self, extension: str, feature: str, used: int = 0) -> bool:
        """Whether somebody may use a feature, given how much of it is `used`."""
        metering = self._metering
        if metering.is_free(extension) or feature not in metering.only_with_plan:
            return True
        plan = self.subscriptions.active(extension)
        if plan is None or feature not in plan.features:
            return False
        return feature != "numbers" or used < plan.numbers

    def listed(self) -> str:
        """What there is."""
        return "\n".join(["Monthly plans:", *map(self._line, self.subscriptions.plans.values())])

    async def mine(self, person: Person) -> str:
        """What somebody has."""
        row = await self.subscriptions.of(person.extension)
        if row is None:
            return "You have no monthly plan."
        until = self._day(person.extension, row.until)
        if row.state == "waiting":
            return f"Your plan {row.plan} waits to be paid for; its minutes are off meanwhile."
        after = {row.plan: "is renewed then", "": "ends then"}.get(
            row.following, f"becomes {row.following} then"
        )
        left = [
            f"{seconds // 60} minutes to {asset.partition('/')[2]}"
            for asset in dict.fromkeys(self._metering.charging.zones.values())
            if (seconds := self._metering.charging.included(person.extension, asset))
        ]
        minutes = f" It has {' and '.join(left)} left." if left else ""
        return f"Your plan {row.plan} is paid until {until} and {after}.{minutes}"

    async def choose(self, person: Person, name: str) -> str:
        """Have a plan. Raises `OperatorError`."""
        if name.casefold() in PAY_AS_YOU_GO:
            return await self.cancel(person)
        plans = self.subscriptions.plans
        if name.casefold() == MONTHLY and len(plans) == 1:
            name = next(iter(plans))
        try:
            return self._said(await self.subscriptions.choose(person.extension, name))
        except PlanError as error:
            raise OperatorError("plan.cannot", str(error)) from error

    async def cancel(self, person: Person) -> str:
        """Let a plan end. Raises `OperatorError`."""
        try:
            return self._said(await self.subscriptions.cancel(person.extension))
        except PlanError as error:
            raise OperatorError("plan.none", str(error)) from error

    async def _turned(self, turn: Turn) -> None:
        await self._metering.charging.reload()
        metering = self._metering
        if "numbers" in metering.only_with_plan and not metering.is_free(turn.extension):
            plan = self.subscriptions.active(turn.extension)
            if plan is not None or turn.what == "ended":
                await self.keep_numbers(turn.extension, plan.numbers if plan else 0)
        if turn.what in ("renewed", "warned", "waiting", "ended"):  # others are answers
            self._tell(turn.extension, self._said(turn))

    def _said(self, turn: Turn) -> str:
        plan, until = turn.plan, self._day(turn.extension, turn.until)
        price = self._metering.charging.unit.text(plan.price)
        has = self._metering.charging.unit.text(self._metering.charging.has(turn.extension))
        more = self._metering.more
        mine = f"Your plan {plan.name}"
        return {
            "begun": f"You have {plan.name} until {until}. You have {has} left.",
            "kept": f"You keep {plan.name}; it is renewed on {until}.",
            "changed": f"From {until} on you have {plan.name}, for {price}.",
            "cancelled": f"{plan.name} ends on {until}, and is not renewed.",
            "renewed": f"{mine} is renewed until {until} for {price}. You have {has}.",
            "warned": f"{mine} is renewed on {until} for {price}; you have {has}. {more}",
            "waiting": f"{mine} could not be renewed: it costs {price}, and you have {has}. Its "
            f"minutes are off; it ends in three days. {more}",
            "ended": f"{mine} has ended, and what it included with it. Calls are paid for as "
            "they are made.",
        }[turn.what]

    def _line(self, plan: Plan) -> str:
        price = self._metering.charging.unit.text(plan.price)
        minutes = [f"{one.seconds // 60} minutes to {one.name}" for one in plan.included]
        features = sorted(plan.features - {"numbers"})
        several = "" if plan.numbers == 1 else "s"
        numbers = [f"{plan.numbers} number{several} of your own"] if plan.numbers else []
        included = [*minutes, *features, *numbers]
        has = f" with {', '.join(included)}" if included else ""
        return f"  {plan.name}: {price} for {plan.days} days{has}"


async def _keep_all(extension: str, most: int) -> None:
    """Where numbers are nobody's."""
