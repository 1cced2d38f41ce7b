"""What people have and what calls cost them, in words."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from bot.ports import AccountLine, OperatorError, Person
from encryptotel.metering import Metering
from encryptotel.parties import Parties, named
from encryptotel.tariffs import NONE, Tariffs
from nlp.commands import Party
from store.database import Database
from wallet.ledger import (
    GIVEN,
    Entry,
    balance,
    close_account,
    credit_of,
    post,
    statement,
    transfer,
)
from wallet.money import Asset
from wallet.purse import REDUCED
from wallet.rates import MICRO, Rate

FREE = "Outside calls cost you nothing here."
INSIDE = "Calls inside the exchange cost nothing."
MAX_LINES = 20
MAX_RATES = 5
TWO_MINUTES = 120


class Accounts:
    """Implements `bot.ports.Accounts`; without a metering nobody pays for anything."""

    def __init__(
        self,
        database: Database,
        metering: Metering | None,
        tariffs: Tariffs | None,
        parties: Parties,
    ) -> None:
        self._database, self._metering, self._parties = database, metering, parties
        self._tariffs = tariffs

    def pays(self, person: Person) -> bool:
        """Whether outside calls cost somebody anything."""
        return self._metering is not None and not self._metering.is_free(person.extension)

    def balance(self, person: Person) -> str:
        """What somebody has, in a sentence or two."""
        metering = self._metering
        if metering is None or metering.is_free(person.extension):
            return f"{FREE} {INSIDE}"
        charging, unit = metering.charging, metering.charging.unit
        purse = charging.purse(person.extension)
        said = f"You have {unit.text(purse.sum)}"
        if purse.reduced and purse.percent:
            cheaper = unit.text(purse.reduced)
            said += f"; {cheaper} of it came in as ETT and pays for calls at {purse.percent} % off"
        if aside := purse.worth - charging.free(person.extension):
            said += f"; {unit.text(aside)} is set aside for what goes on"
        return f"{said}."

    async def plans(self, person: Person) -> str:
        """What monthly plans there are, and which somebody has."""
        if self._tariffs is None or not self.pays(person):
            return NONE
        return f"{await self._tariffs.mine(person)}\n{self._tariffs.listed()}"

    async def choose(self, person: Person, plan: str) -> str:
        """Have a plan. Raises `OperatorError`."""
        if self._tariffs is None or not self.pays(person):
            raise OperatorError("plan.none", NONE[0].lower() + NONE[1:].rstrip("."))
        return await self._tariffs.choose(person, plan)

    async def cancel_plan(self, person: Person) -> str:
        """Let a plan end. Raises `OperatorError`."""
        if self._tariffs is None:
            raise OperatorError("plan.none", "you have no plan")
        return await self._tariffs.cancel(person)

    async def lines(self, person: Person) -> Sequence[AccountLine]:
        """The latest of somebody's account, newest first."""
        metering = self._metering
        if metering is None or metering.is_free(person.extension):
            raise OperatorError("money.free", FREE)
        unit = metering.charging.unit
        await metering.charging.caught_up()
        mine = credit_of(person.extension)
        found = await statement(self._database, mine, mine + REDUCED, limit=MAX_LINES)
        return [
            AccountLine(at=at, amount=unit.text(amount), what=text or kind)
            for at, kind, asset, amount, text in found
            if asset == unit.id
        ]

    def price(self, person: Person, party: Party) -> str:
        """What calling somebody costs, and for how long the money lasts. Raises
        `OperatorError`."""
        number = self._parties.resolve(party, person)
        who = named(party, number)
        if not number.startswith("+"):
            return f"Calls to {who} cost nothing, like all inside the exchange."
        metering = self._metering
        if metering is None or metering.is_free(person.extension):
            return FREE
        charging = metering.charging
        rate = charging.deck.of(number)
        if rate is None:
            raise OperatorError(
                "money.no_price", f"I have no price for calls to {who}, so I cannot place them"
            )
        lasts = rate.lasts(charging.free(person.extension), charging.unit.decimals)
        return f"{_said(rate, charging.unit.name, who)} You can talk {_long(lasts)}."

    def prices(self, person: Person, place: str) -> str:
        """The rates of somewhere by its name in the deck; empty when there is none such."""
        metering = self._metering
        if metering is None or metering.is_free(person.extension):
            return ""
        wanted = place.casefold()
        found = [one for one in metering.charging.deck if wanted in one.name.casefold()]
        found.sort(key=lambda one: (len(one.name), one.name, one.prefix))
        names = dict.fromkeys(one.name for one in found)
        first = [next(one for one in found if one.name == name) for name in names][:MAX_RATES]
        unit = metering.charging.unit.name
        more = f"\nand {len(names) - MAX_RATES} places more" if len(names) > MAX_RATES else ""
        return "\n".join(_said(one, unit, one.name) for one in first) + more

    def allows(self, extension: str, feature: str, used: int = 0) -> bool:
        """Whether somebody may use a feature of plans, given how much of it is `used`."""
        return self._tariffs is None or self._tariffs.allows(extension, feature, used)

    async def forget(self, extension: str) -> None:
        """What somebody leaves behind goes back to the host."""
        async with self._database.writing() as session:
            await close_account(session, extension, datetime.now(UTC))
        if self._metering is not None:
            await self._metering.charging.reload()

    def require(self, person: Person, feature: str, used: int = 0) -> None:
        """Raises `OperatorError` where somebody's plan does not include a feature."""
        if not self.allows(person.extension, feature, used):
            raise OperatorError(
                "plan.needed", "your plan does not include that; ask “what plans are there?”"
            )

    def text_quoted(self, person: Person, pages: int) -> str:
        """What a text to outside costs, behind a question; empty for nothing."""
        if self._metering is None or not (each := self._metering.text_price(person.extension)):
            return ""
        return f" It costs {self._metering.charging.unit.text(pages * each)}."

    def quoted(self, person: Person, *numbers: str) -> str:
        """What the sides of a call cost together, behind a question; empty for nothing. Raises
        `OperatorError` when there is not enough for them."""
        metering = self._metering
        if metering is None or metering.is_free(person.extension):
            return ""
        rates = [metering.charging.deck.of(n) for n in numbers if n.startswith("+")]
        known = [rate for rate in rates if rate is not None]
        if len(known) < len(rates) or not known:
            return ""  # it will be said why not
        charging = metering.charging
        least = sum(rate.cost(1, charging.unit.decimals) for rate in known)
        if least > charging.free(person.extension):
            has = charging.unit.text(charging.free(person.extension))
            raise OperatorError(
                "money.spent",
                f"that call costs at least {charging.unit.text(least)}, and you have {has} left",
            )
        unit = charging.unit.name
        price = _decimal(sum(rate.price for rate in known))
        fee = sum(rate.fee for rate in known)
        more = f" and {_decimal(fee)} {unit} at the start" if fee else ""
        return f" It costs {price} {unit} a minute{more}."


async def give(database: Database, unit: Asset, extension: str, amount: int, note: str) -> int:
    """Give somebody credit (or take some, below nothing), as often as it is called; what they have
    then. Raises `LedgerError`."""
    moves = transfer(GIVEN, credit_of(extension), unit.id, amount)
    key, at = f"given:{secrets.token_hex(8)}", datetime.now(UTC)
    async with database.writing() as session:
        await post(session, Entry(key=key, kind="given", at=at, moves=moves, text=note))
        return await balance(session, credit_of(extension), unit.id)


def _said(rate: Rate, unit: str, who: str) -> str:
    """A rate in a sentence."""
    if rate.price == 0:
        cost = f"{_decimal(rate.fee)} {unit} each, however long" if rate.fee else "nothing"
        return f"Calls to {who} cost {cost}."
    fee = f", and {_decimal(rate.fee)} {unit} for the connection" if rate.fee else ""
    where = "" if rate.name == who else f" ({rate.name})"
    return f"Calls to {who}{where} cost {_decimal(rate.price)} {unit} a minute{fee}, {_step(rate)}."


def _long(seconds: float) -> str:
    """How long somebody can talk with what they have."""
    if seconds == float("inf"):
        return "as long as you like"
    if seconds < TWO_MINUTES:
        return f"{int(seconds)} seconds with what you have"
    return f"{int(seconds // 60)} minutes with what you have"


def _step(rate: Rate) -> str:
    if rate.first == rate.step:
        every = {1: "by the second", 60: "by the minute"}
        return every.get(rate.step, f"by {rate.step} seconds")
    return f"the first {rate.first} seconds in any case, then by {rate.step}"


def _decimal(micro: int) -> str:
    """Millionths of the unit as people read them: at least two decimals, no idle zeros."""
    text = f"{Decimal(micro).scaleb(-MICRO):f}"
    whole, _, part = text.partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"
