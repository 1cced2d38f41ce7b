"""Calls that are paid for: a sum is set aside before each, more of it while it goes on, and what it
cost is taken at its end.

Several calls of one person share what they have; because each only talks as long as it has set
aside money for, none of it is spent twice. A call that a crash cut off is paid for until then.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select, update

from store.database import Database
from store.tables import ChargeRow, EntryRow
from store.upsert import insert_new
from wallet.ledger import (
    CALLS,
    CREDIT,
    Entry,
    LedgerError,
    Move,
    balance,
    balances_in,
    credit_of,
    post,
    reverse,
)
from wallet.money import MOST, Asset
from wallet.purse import REDUCED, Purse
from wallet.rates import Rate, RateDeck

log = logging.getLogger(__name__)

AT_FIRST = 120.0
"Seconds that money is set aside for before a call, if there is so much."
MORE = 60.0
"Seconds that are added at a time."
RETRY = 2.0
"Seconds until what the database did not take is written again."
CLOSING = 5.0
MAX_BATCH = 500

Job = Callable[[AsyncSession], Awaitable[Callable[[], None]]]
"What is to be written in a transaction, and what there is to do once it is."


class NotPaid(Exception):
    """A call that cannot be paid for; the text is for the person."""


@dataclass(eq=False)
class Meter:
    """What runs with one side of a call. It may go on for `covers` seconds."""

    extension: str
    number: str
    rate: Rate
    zone: str = ""
    "The asset of included seconds that are spent before money …"
    included: int = 0
    "… and how many of them are set aside."
    reserved: int = 0
    covers: float = 0.0
    leg: str = ""
    call: str = ""
    answered_at: datetime | None = field(default=None)


class Charging:
    """`told` hears of each sum that was taken, from whom, with what is left."""

    def __init__(
        self,
        database: Database,
        deck: RateDeck,
        unit: Asset,
        percent: int = 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        node: str = "",
    ) -> None:
        self.deck, self.unit, self.percent = deck, unit, percent
        self._database, self.now, self._node = database, now, node
        self.told: Callable[[str, int, int], None] = lambda extension, cost, left: None
        self.zones: Mapping[str, str] = {}
        "The asset of included seconds for each prefix of numbers."
        self._purses: dict[str, Purse] = {}
        self._seconds: dict[tuple[str, str], int] = {}
        "Included seconds by extension and asset."
        self._running: dict[str, set[Meter]] = {}
        self._held = Counter[str]()
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._saving = 0
        self.failures = 0
        "How often what waits could not be written since the start."

    async def open(self, alive: datetime | None = None) -> None:
        """Take up what everybody has; the calls of a run that ended unexpectedly are paid until it
        was last `alive`."""
        await self.reload()

        async def settle(session: AsyncSession) -> Callable[[], None]:
            return await self.settle(session, alive, {"", self._node})

        await self._save([settle])
        self._writer = asyncio.ensure_future(self._write())

    async def settle(
        self, session: AsyncSession, alive: datetime | None, nodes: Collection[str]
    ) -> Callable[[], None]:
        """Take what calls cost that were cut off, of these of several programs; what to do once
        that is committed."""
        cut_off = col(ChargeRow.seconds).is_(None) & col(ChargeRow.node).in_(nodes)
        done: list[Callable[[], None]] = []
        for row in (await session.execute(select(ChargeRow).where(cut_off))).scalars().all():
            end = min(alive or row.answered_at, self.now())
            seconds = math.ceil(max(0.0, (end - row.answered_at).total_seconds()))
            job = self._settling(row.leg, row.extension, seconds, _rate_of(row), row.zone)
            done.append(await job(session))

        def settled() -> None:
            for one in done:
                one()

        return settled

    @property
    def waiting(self) -> int:
        """What calls brought about and is not written yet."""
        return self._jobs.qsize() + self._saving

    async def reload(self) -> None:
        """Read what everybody has, which the command line may have changed."""
        async with self._database.writing() as session:  # no charge is written meanwhile
            found = await balances_in(session, CREDIT)
            parts = {
                account.removeprefix(CREDIT): amount
                for (account, asset), amount in found.items()
                if asset == self.unit.id
            }
            self._purses = {
                extension: self._purse(parts.get(extension, 0), parts.get(extension + REDUCED, 0))
                for extension in {name.removesuffix(REDUCED) for name in parts}
            }
            self._seconds = {
                (account.removeprefix(CREDIT), asset): amount
                for (account, asset), amount in found.items()
                if asset in set(self.zones.values())
            }

    def _purse(self, plain: int, reduced: int) -> Purse:
        return Purse(plain=plain, reduced=reduced, percent=self.percent)

    async def caught_up(self) -> bool:
        """Wait until what calls have cost is written, for a while; whether it is."""
        try:
            async with asyncio.timeout(CLOSING):
                await self._jobs.join()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            if not await self.caught_up():
                log.error(
                    "%d charges could not be written; the next start settles them",
                    self._jobs.qsize(),
                )
            self._writer.cancel()
            await asyncio.wait((self._writer,))

    @contextmanager
    def holding(self, extension: str, cost: int) -> Iterator[None]:
        """So much is set aside until something else than a call is paid for."""
        self._held[extension] += cost
        try:
            yield
        finally:
            self._held[extension] -= cost

    async def pay(
        self, session: AsyncSession, extension: str, cost: int, key: str, text: str
    ) -> Callable[[], None] | None:
        """Take what something costs that is no call, in the transaction of what it is for, while it
        is held; what to do once that is committed, or None when it was paid before. Raises
        `NotPaid`: what is set aside for calls pays for nothing else."""
        mine = credit_of(extension)
        plain = await balance(session, mine, self.unit.id)
        reduced = await balance(session, mine + REDUCED, self.unit.id)
        purse = self._purse(plain, reduced)
        known = select(EntryRow.id).where(col(EntryRow.key) == key)
        if (await session.execute(known)).scalar() is not None:
            return None
        free = purse.worth - self.aside(extension) + cost  # which is held already
        if cost > free:
            raise NotPaid(
                f"that costs {self.unit.text(cost)}, and you have "
                f"{self.unit.text(max(0, free))} left"
            )
        parts = purse.pay(cost)
        moves = [
            *(Move(account=mine + p, asset=self.unit.id, amount=-n) for p, n in parts.items()),
            Move(account=CALLS, asset=self.unit.id, amount=sum(parts.values())),
        ]
        await post(session, Entry(key=key, kind="text", at=self.now(), moves=moves, text=text))
        left = self._purse(plain - parts.get("", 0), reduced - parts.get(REDUCED, 0))

        def paid() -> None:
            self._purses[extension] = left
            self.told(extension, sum(parts.values()), left.sum)

        return paid

    async def give_back(self, key: str) -> None:
        """Undo a payment for what came to nothing, if there was one."""
        async with self._database.writing() as session:
            query = select(EntryRow.id).where(col(EntryRow.key) == key)
            if (await session.execute(query)).scalar() is None:
                return
            await reverse(session, key, self.now())
        await self.reload()

    # ── before and during a call; nothing here waits ────────────────────────────────────
    def has(self, extension: str) -> int:
        """What somebody has, with what is set aside for calls that go on."""
        return self.purse(extension).sum

    def purse(self, extension: str) -> Purse:
        """The same, in its parts."""
        return self._purses.get(extension) or self._purse(0, 0)

    def free(self, extension: str) -> int:
        """What it pays for at the prices of the deck, without what is set aside."""
        return self.purse(extension).worth - self.aside(extension)

    def aside(self, extension: str) -> int:
        """What is set aside for calls that go on, and for what is just being paid."""
        return self._held[extension] + sum(
            meter.reserved for meter in self._running.get(extension, ())
        )

    def reserve(self, extension: str, number: str) -> Meter:
        """Set money aside for a call. Raises `NotPaid`."""
        rate = self.deck.of(number)
        if rate is None:
            raise NotPaid(f"I have no price for calls to {number}, so I cannot place them")
        meter = Meter(extension=extension, number=number, rate=rate)
        meter.zone = self._zone(extension, number)
        if not self.extend(meter, AT_FIRST):
            least = self.unit.text(rate.cost(1, self.unit.decimals))
            raise NotPaid(
                f"a call to {rate.name} costs at least {least}, and you have "
                f"{self.unit.text(self.free(extension))} left"
            )
        self._running.setdefault(extension, set()).add(meter)
        return meter

    def extend(self, meter: Meter, seconds: float = MORE) -> bool:
        """Set money aside for more seconds of a call, or as many as there is money for; False if
        there is none."""
        rate, decimals = meter.rate, self.unit.decimals
        wanted = math.ceil(meter.covers + seconds)
        included = min(wanted, self.included(meter.extension, meter.zone) + meter.included)
        paid = 0.0
        if wanted > included:
            lasts = rate.lasts(self.free(meter.extension) + meter.reserved, decimals)
            paid = min(rate.charged(wanted - included), lasts)
        if included + paid <= meter.covers:
            return False
        meter.covers, meter.included = included + paid, included
        meter.reserved = rate.cost(math.ceil(paid), decimals)
        return True

    def included(self, extension: str, zone: str) -> int:
        """Seconds that somebody's plan includes and no call has set aside."""
        aside = sum(m.included for m in self._running.get(extension, ()) if m.zone == zone)
        return self._seconds.get((extension, zone), 0) - aside

    def _zone(self, extension: str, number: str) -> str:
        """The asset of the seconds that a call may spend; empty if there are none."""
        digits = number.removeprefix("+")
        for end in range(len(digits), 0, -1):
            zone = self.zones.get(digits[:end])
            if zone is not None and self.included(extension, zone) > 0:
                return zone
        return ""

    def begin(self, meter: Meter, call: str, leg: str, at: datetime) -> None:
        """The call is answered: from now on it costs."""
        meter.call, meter.leg, meter.answered_at = call, leg, at
        rate = meter.rate
        row = ChargeRow(
            leg=leg,
            call=call,
            extension=meter.extension,
            number=meter.number[:80],
            name=rate.name,
            price=rate.price,
            fee=rate.fee,
            first=rate.first,
            step=rate.step,
            answered_at=at,
            zone=meter.zone,
            node=self._node,
        )

        async def note(session: AsyncSession) -> Callable[[], None]:
            connection = await session.connection()
            there = insert_new(connection.dialect.name, ChargeRow)  # others may have settled it
            await session.execute(there, row.model_dump())
            return lambda: None

        self._jobs.put_nowait(note)

    def end(self, meter: Meter, at: datetime) -> None:
        """The call is over, or came to nothing. What is set aside for it is so until what it cost
        is written."""
        if meter.answered_at is None:
            self._running.get(meter.extension, set()).discard(meter)
            return
        talked = max(0.0, (at - meter.answered_at).total_seconds())
        seconds = math.ceil(min(talked, meter.covers))

        settle = self._settling(
            meter.leg, meter.extension, seconds, meter.rate, meter.zone, meter.included
        )

        async def take(session: AsyncSession) -> Callable[[], None]:
            settled = await settle(session)

            def done() -> None:
                settled()
                self._running.get(meter.extension, set()).discard(meter)

            return done

        self._jobs.put_nowait(take)

    # ── writing ─────────────────────────────────────────────────────────────────────────
    def _settling(
        self,
        leg: str,
        extension: str,
        seconds: int,
        rate: Rate,
        zone: str,
        most_included: int = MOST,
    ) -> Job:
        """Take what a call cost, once: what is included first, and never more than there is."""

        async def settle(session: AsyncSession) -> Callable[[], None]:
            mine = credit_of(extension)
            there = await balance(session, mine, zone) if zone else 0
            included = min(seconds, there, most_included)
            plain = await balance(session, mine, self.unit.id)
            reduced = await balance(session, mine + REDUCED, self.unit.id)
            parts = self._purse(plain, reduced).pay(
                rate.cost(seconds - included, self.unit.decimals)
            )
            taken = sum(parts.values())
            open_ = (col(ChargeRow.leg) == leg) & col(ChargeRow.seconds).is_(None)
            values = {"seconds": seconds, "cost": taken, "included": included}
            closed: Any = await session.execute(update(ChargeRow).where(open_).values(**values))
            if not closed.rowcount:  # others have, who took us for dead
                return lambda: None
            moves = [
                *(Move(account=mine + p, asset=self.unit.id, amount=-n) for p, n in parts.items()),
                Move(account=CALLS, asset=self.unit.id, amount=taken),
                Move(account=mine, asset=zone, amount=-included),
                Move(account=CALLS, asset=zone, amount=included),
            ]
            entry = Entry(
                key=f"call:{leg}",
                kind="call",
                at=self.now(),
                moves=[move for move in moves if move.amount],
                text=f"{rate.name}, {seconds} s",
            )
            if not entry.moves or not await post(session, entry):
                return lambda: None
            left = self._purse(plain - parts.get("", 0), reduced - parts.get(REDUCED, 0))

            def settled() -> None:
                self._purses[extension] = left
                if included:
                    self._seconds[extension, zone] = there - included
                if taken:
                    self.told(extension, taken, left.sum)

            return settled

        return settle

    async def _write(self) -> None:
        """Write what calls bring about, all that waits in one transaction."""
        while True:
            jobs = [await self._jobs.get()]
            while not self._jobs.empty() and len(jobs) < MAX_BATCH:
                jobs.append(self._jobs.get_nowait())
            self._saving = len(jobs)
            await self._save(jobs)
            self._saving = 0
            for _ in jobs:
                self._jobs.task_done()

    async def _save(self, jobs: Sequence[Job]) -> None:
        """Write jobs, again and again until that works."""
        while True:
            try:
                async with self._database.writing() as session:
                    done = [await job(session) for job in jobs]
            except (DBAPIError, OSError, LedgerError) as error:
                self.failures += 1
                log.error("charges wait: %s", getattr(error, "orig", error))
                await asyncio.sleep(RETRY)
            else:
                for one in done:
                    one()
                return


def _rate_of(row: ChargeRow) -> Rate:
    return Rate(
        prefix="", name=row.name, price=row.price, fee=row.fee, first=row.first, step=row.step
    )
