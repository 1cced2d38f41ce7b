"""Text messages, kept until they are where they belong.

A message inside reaches the chats of its recipient at once and their phones when one is there.
Of several programs the one sees to it that is its recipient's.
One to the telephone network leaves through an SMS gateway or a trunk; it is sent again only when
it is certain that it did not arrive, for each costs money and a doubled one confuses.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, func, select, update

from pbx.ports import CallRefused
from pbx.texts import Delivery, Text
from store.database import Database
from store.newest import keep_newest
from store.tables import TextRow

log = logging.getLogger(__name__)

KEEP = timedelta(days=7)
"How long a message waits for its phone, or for a line that is down."
MAX_WAITING = 100
"Messages that wait for one recipient; the oldest go."
PAUSES = (5.0, 30.0, 120.0, 600.0)
"Seconds until a message that did not leave is sent again; the last for ever."


class Ways(Protocol):
    """How messages leave this program."""

    def admit(self, text: Text) -> None:
        """Raises `CallRefused` where somebody may not write to somebody, or not so much."""

    def holding(self, text: Text) -> AbstractContextManager[None]:
        """While it is paid for, its price pays for nothing else."""

    async def charge(self, session: AsyncSession, text: Text) -> Callable[[], None] | None:
        """Take its price with what keeps it; what to do then, or None when it was paid for before.
        Raises `CallRefused` where its sender cannot pay."""

    async def give_back(self, text: Text) -> None:
        """It came to nothing, and costs nothing."""

    async def to_phones(self, text: Text) -> Sequence[Delivery]:
        """Send to all phones of an extension."""

    async def outside(self, text: Text) -> Delivery:
        """Send to +E.164."""

    async def to_chats(self, session: AsyncSession, text: Text) -> Callable[[], None]:
        """Keep for the chats of whose extension it is for; what shows it there."""

    def failed(self, text: Text, reason: str) -> None:
        """Tell its sender that it did not arrive, or that nobody knows."""


class Texts:
    """All messages on their way."""

    def __init__(self, database: Database, ways: Ways, node: str = "") -> None:
        self._database, self._node = database, node
        self._ways = ways
        self.looks_after: Callable[[str], str] = lambda _: node
        "The name of the program that looks after an extension's messages."
        self._waiting: set[str] = set()
        "Extensions whose phones do not have everything."
        self._taken: set[str] = set()
        "Messages that this run sees to."
        self._handing: dict[str, bool] = {}
        "Extensions whose phones are being given theirs, and whether there is more since."
        self._jobs: set[asyncio.Task[object]] = set()

    @property
    def sending(self) -> int:
        """Messages that are being sent, or wait for their line."""
        return len(self._jobs)

    @property
    def waiting(self) -> int:
        """Extensions whose phones do not have everything."""
        return len(self._waiting)

    async def start(self) -> None:
        """Go on with what the last run left."""
        await self.forget_old()
        await self.look()

    async def look(self, recipients: Collection[str] = ()) -> None:
        """See to what is ours by now, for some or for all."""
        ours = select(TextRow).where(col(TextRow.node) == self._node)
        if recipients:
            ours = ours.where(col(TextRow.recipient).in_(recipients))
        async with self._database.reading() as session:
            rows = (await session.execute(ours.order_by(col(TextRow.at)))).scalars().all()
        self._go_on(rows)

    async def adopt(self) -> None:
        """Go on with what programs that are no more had taken, or let those who look after it."""

        async def take(session: AsyncSession) -> list[TextRow]:
            orphans = select(TextRow).where(col(TextRow.node) == "").order_by(col(TextRow.at))
            found = await session.execute(orphans.with_for_update(skip_locked=True))
            rows = list(found.scalars())
            for row in rows:
                row.node = self._whose(row.recipient)
            return rows

        rows = await self._database.together(take)
        self._go_on([row for row in rows if row.node == self._node])

    async def pass_on(self) -> None:
        """Leave what waits to those who look after it by now."""
        for recipient in [one for one in self._waiting if self._whose(one) != self._node]:
            if recipient in self._handing:
                continue  # later
            given = partial(_give, recipient, self._node, self._whose(recipient))
            self._waiting.discard(recipient)
            try:
                self._taken -= await self._database.together(given)
            except BaseException:
                self._waiting.add(recipient)
                raise

    def _whose(self, recipient: str) -> str:
        return self._node if recipient.startswith("+") else self.looks_after(recipient)

    def _go_on(self, rows: Sequence[TextRow]) -> None:
        inside: dict[str, list[TextRow]] = {}
        for row in rows:
            if row.id in self._taken:
                continue
            self._taken.add(row.id)
            if row.recipient.startswith("+"):
                self._spawn(self._left_over(_text(row), row))
            else:
                inside.setdefault(row.recipient, []).append(row)
        for recipient, theirs in inside.items():
            self._spawn(self._deliver(recipient, [_text(row) for row in theirs if not row.told]))

    async def _deliver(self, recipient: str, untold: Sequence[Text]) -> None:
        """What was kept for somebody by another run."""
        try:
            for text in untold:
                await self._show(text)
        except BaseException:
            self._taken.difference_update(text.id for text in untold)  # to be looked at again
            raise
        self._hand_over(recipient)

    async def _show(self, text: Text) -> None:
        """Leave it to the chats of its recipient, if it is still ours."""

        async def show(session: AsyncSession) -> Callable[[], None] | None:
            row = await session.get(TextRow, text.id)
            if row is None or row.node != self._node:
                return None
            row.told = True
            return await self._ways.to_chats(session, text)

        tell = await self._database.together(show)
        if tell is not None:
            tell()

    async def close(self) -> None:
        """Stop; what is not sent stays kept."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def take(self, text: Text) -> None:
        """Keep a message, show it to its recipient and send it on its way. Raises
        `CallRefused`, and DBAPIError when it cannot be kept."""
        self._ways.admit(text)
        self._taken.add(text.id)
        try:
            if text.recipient.startswith("+"):
                if await self._keep_paid(text):
                    self._spawn(self._send_out(text, tries=0))
            else:
                await self._take_inside(text)
        except BaseException:
            self._taken.discard(text.id)
            raise

    async def _take_inside(self, text: Text) -> None:
        node = self.looks_after(text.recipient)
        if node != self._node:  # the database tells them
            self._taken.discard(text.id)

        async def keep(session: AsyncSession) -> Callable[[], None] | None:
            row = _row(text, node)
            if not await _keep(session, row) or node != self._node:
                return None
            row.told = True
            return await self._ways.to_chats(session, text)

        tell = await self._database.together(keep)
        if tell is not None:
            tell()
            self._hand_over(text.recipient)

    async def say(self, sender: str, sender_name: str, recipient: str, words: str) -> None:
        """Send what somebody said in a chat. Raises like `take`."""
        text = Text(
            id=secrets.token_hex(12),
            sender=sender,
            sender_name=sender_name,
            recipient=recipient,
            words=words,
        )
        await self.take(text)

    def phone_is_there(self, extension: str) -> None:
        """A phone registered: it gets what waited for it."""
        if extension in self._waiting or extension in self._handing:
            self._hand_over(extension)

    async def forget(self, extension: str) -> None:
        """Forget what is for or from an extension."""

        async def forget(session: AsyncSession) -> None:
            mine = (col(TextRow.recipient) == extension) | (col(TextRow.sender) == extension)
            await session.execute(delete(TextRow).where(mine))

        await self._database.together(forget)

    # ── inside ──────────────────────────────────────────────────────────────────────────
    def _hand_over(self, recipient: str) -> None:
        """Give somebody's phones what there is for them, in order."""
        idle = recipient not in self._handing
        self._handing[recipient] = True
        if idle:
            self._spawn(self._handed_over(recipient))

    async def _handed_over(self, recipient: str) -> None:
        try:
            while self._handing[recipient]:
                self._handing[recipient] = False
                self._waiting.discard(recipient)
                await self._to_phones(recipient)
        except BaseException:
            self._waiting.add(recipient)
            raise
        finally:
            del self._handing[recipient]

    async def _to_phones(self, recipient: str) -> None:
        """Of several phones one that takes a message is enough."""
        ours = (col(TextRow.recipient) == recipient) & (col(TextRow.node) == self._node)
        shown = select(TextRow).where(ours, col(TextRow.told)).order_by(col(TextRow.at))
        async with self._database.reading() as session:
            texts = [_text(row) for row in (await session.execute(shown)).scalars()]
        for text in texts:
            deliveries = await self._ways.to_phones(text)
            if any(_settled(one) for one in deliveries):
                await self._drop(text)
                continue
            self._waiting.add(recipient)
            if not deliveries:
                return

    # ── outside ─────────────────────────────────────────────────────────────────────────
    async def _send_out(self, text: Text, tries: int) -> None:
        """Send to the telephone network, again and again while it certainly did not arrive."""
        until = datetime.now(UTC) + KEEP
        while datetime.now(UTC) < until:
            if not await self._change(text, sending=True, tries=tries):
                return  # its sender was forgotten
            delivery = await self._ways.outside(text)
            if not delivery.unseen:
                if not delivery.good:
                    await self._lost(text, _why(delivery))
                await self._drop(text)
                return
            await self._change(text, sending=False, tries=tries)
            if tries == 0:
                self._ways.failed(text, f"{_why(delivery)}; I keep trying")
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1
        await self._lost(text, "the line was down all the time")
        await self._drop(text)

    async def _left_over(self, text: Text, row: TextRow) -> None:
        if not row.sending:
            await self._send_out(text, row.tries)
            return
        await self._lost(text, "I was restarted while sending it, so it may have arrived or not")
        await self._drop(text)

    async def _lost(self, text: Text, reason: str) -> None:
        await self._ways.give_back(text)
        self._ways.failed(text, reason)

    async def _keep_paid(self, text: Text) -> bool:
        """Keep a message to outside and take its price, both or neither; False if it came before.
        Raises `CallRefused`."""
        waiting = select(func.count()).where(col(TextRow.recipient) == text.recipient)
        with self._ways.holding(text):
            async with self._database.writing() as session:
                if await session.get(TextRow, text.id) is not None:
                    return False
                if (await session.execute(waiting)).scalar_one() >= MAX_WAITING:
                    raise CallRefused(503, "too many messages wait for that number")
                done = await self._ways.charge(session, text)
                if done is None:
                    return False
                session.add(_row(text, self._node))
            done()
        return True

    # ── parts ───────────────────────────────────────────────────────────────────────────
    async def _change(self, text: Text, **changes: object) -> bool:
        """Note something of a message; False if it is gone, or not ours any more."""

        async def change(session: AsyncSession) -> bool:
            row = await session.get(TextRow, text.id)
            if row is None or row.node != self._node:
                return False
            for name, value in changes.items():
                setattr(row, name, value)
            return True

        return await self._database.together(change)

    async def _drop(self, text: Text) -> None:
        async def drop(session: AsyncSession) -> None:
            await session.execute(delete(TextRow).where(col(TextRow.id) == text.id))

        await self._database.together(drop)
        self._taken.discard(text.id)

    async def forget_old(self) -> None:
        """Give up what waited for long enough."""
        old = datetime.now(UTC) - KEEP
        mine = col(TextRow.node) == self._node
        outside = mine & col(TextRow.recipient).startswith("+")
        async with self._database.reading() as session:
            query = select(TextRow).where(col(TextRow.at) < old, outside)
            lost = [_text(row) for row in (await session.execute(query)).scalars()]
        for text in lost:
            await self._lost(text, "the line was down all the time")

        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(TextRow).where(col(TextRow.at) < old, mine))

        await self._database.together(forget)

    def _spawn(self, job: Awaitable[object]) -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(_guarded(job))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


async def _keep(session: AsyncSession, row: TextRow) -> bool:
    """Keep a message; False if it came before."""
    if await session.get(TextRow, row.id) is not None:
        return False
    session.add(row)
    await keep_newest(session, TextRow, col(TextRow.recipient) == row.recipient, MAX_WAITING)
    return True


async def _give(recipient: str, giver: str, to: str, session: AsyncSession) -> set[str]:
    """Leave a recipient's messages to another program; their ids."""
    theirs = (col(TextRow.recipient) == recipient) & (col(TextRow.node) == giver)
    rows = update(TextRow).where(theirs).values(node=to)
    return set((await session.execute(rows.returning(col(TextRow.id)))).scalars())


async def _guarded(job: Awaitable[object]) -> None:
    try:
        await job
    except DBAPIError as error:  # it is kept, and goes on at the next start
        log.error("a text message waits, the database fails: %s", error.orig)
    except Exception:
        log.exception("a text message is stuck until the next start")


def _row(text: Text, node: str) -> TextRow:
    return TextRow(
        node=node,
        id=text.id,
        at=datetime.now(UTC),
        sender=text.sender,
        sender_name=text.sender_name,
        recipient=text.recipient,
        words=text.words,
    )


def _text(row: TextRow) -> Text:
    return Text(
        id=row.id,
        sender=row.sender,
        sender_name=row.sender_name,
        recipient=row.recipient,
        words=row.words,
    )


def _settled(delivery: Delivery) -> bool:
    """Whether a phone has it, or will never: one that cannot show text does not learn it."""
    return delivery.good or (400 <= delivery.status < 500 and delivery.status not in (408, 480))


def _why(delivery: Delivery) -> str:
    if delivery.status == 408:
        return "the line does not say whether it took it, so it may have arrived or not"
    if delivery.status:
        return f"the line says: {delivery.reason} ({delivery.status})"
    return delivery.reason
