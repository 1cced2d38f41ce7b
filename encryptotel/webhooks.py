"""Webhooks: what happens to people is told to their programs, in order, and again and again for a
day while they do not answer.

What is to be told is written down first; an event reaches its receiver at least once, always under
the same id.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, func, select, update

from bot.ports import OperatorError, Person, Progress, Step, kind_of
from encryptotel.followers import Followers
from encryptotel.introductions import LOOKUP
from encryptotel.outbound import Forbidden, Why
from encryptotel.receivers import SECRET, Receivers, in_ascii
from store.database import Database
from store.tables import DeliveryRow, WebhookRow
from web.ports import Delivery, Program, Webhook

log = logging.getLogger(__name__)

MOST = 10
"Webhooks of one person."
MAX_WAITING = 10_000
"Events that wait for one receiver; what comes then is not told."
KEPT = timedelta(days=7)
"How long what was told can be told again."
GIVE_UP = timedelta(days=1)
PAUSES = (2, 5, 15, 60, 300, 900, 1_800, 3_600)
"Seconds until an event is told again; the last for the rest of the day."
IN_ALL = 10.0
"Seconds for one try, whatever comes meanwhile."
AT_ONCE = 3
"Receivers of one person that are told at the same time."
LISTED = 100
TEST = "test"
_WORDS = {
    Why.NO_ADDRESS: "that is no address of a program; it begins with https://",
    Why.NOT_HTTPS: "a webhook must be reached by https, unless the owner sets "
    "private_webhooks = true in [web]",
    Why.UNKNOWN: "that server cannot be found",
    Why.PRIVATE: "that is in a private network; the owner can allow those: private_webhooks = true "
    "in [web]",
}


class Webhooks:
    """Implements `web.ports.Webhooks`. `person_of` gives the person of an extension; with `private`
    receivers may be in a private network."""

    def __init__(
        self,
        database: Database,
        followers: Followers,
        person_of: Callable[[str], Awaitable[Person]],
        key_holds: Callable[[str], bool] = lambda key: True,
        *,
        private: bool,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database, self._followers, self._person_of = database, followers, person_of
        self._now, self._key_holds = now, key_holds
        self._changing = asyncio.Lock()
        self._places: dict[str, asyncio.Semaphore] = {}
        "How many receivers of one person are told at the same time."
        self._hooks: dict[str, WebhookRow] = {}
        self._followed: dict[str, Callable[[], None]] = {}
        "By extension, how to hear no more."
        self._heard: asyncio.Queue[tuple[str, Progress]] = asyncio.Queue(MAX_WAITING)
        self._news: dict[str, asyncio.Event] = {}
        "By webhook: there is something to tell."
        self._tasks: dict[str, asyncio.Task[None]] = {}
        "By webhook what tells it; under nothing what writes events down."
        self.receivers = Receivers(private=private, now=now)
        self.tries: Counter[str] = Counter()
        "How often something was told since the start, by what became of it: done, waiting, dead."
        self._behind: set[str] = set()
        "Those whose last try failed."

    async def start(self) -> None:
        """Tell from now on, first what the last run left."""
        self._tasks[""] = asyncio.ensure_future(self._write())
        await self.load()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._hooks)

    @property
    def failing(self) -> int:
        """How many did not take what they were told last."""
        return len(self._behind)

    async def load(self) -> None:
        """Tell those that there are, and whose keys open something still; end the others."""
        async with self._changing:
            async with self._database.reading() as session:
                found = (await session.execute(select(WebhookRow))).scalars()
                rows = {row.id: row for row in found}
            for id in [id for id in self._hooks if id not in rows]:
                await self._end(id)
            for row in rows.values():
                if not self._key_holds(row.key):
                    await self._dropped(row)
                elif row.id not in self._hooks:
                    await self._begin(row)

    async def stop(self) -> None:
        """Tell no more; the next start goes on."""
        for stop_following in self._followed.values():
            stop_following()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self.receivers.close()

    # ── for programs ────────────────────────────────────────────────────────────────────
    async def add(self, program: Program, url: str, kinds: Sequence[str]) -> Webhook:
        """Tell a program at an address, of some kinds of events or of all, for as long as its key
        holds. Raises `OperatorError`."""
        known = {LOOKUP, *map(kind_of, Step)}
        if LOOKUP in kinds and not program.may(LOOKUP):
            raise OperatorError("key.scope", "that key is not for lookup")
        if unknown := [kind for kind in kinds if kind not in known]:
            raise OperatorError("webhook.kind", f"there is no kind {unknown[0]}")
        try:
            there = in_ascii(url)
            await self.receivers.addresses(there, program.person.extension)
        except Forbidden as error:
            raise OperatorError("webhook.address", _WORDS[error.why]) from None
        row = WebhookRow(
            id=secrets.token_hex(6),
            extension=program.person.extension,
            key=program.key,
            url=there,
            secret=SECRET + base64.b64encode(secrets.token_bytes(24)).decode(),
            kinds=" ".join(sorted(set(kinds))),
            made=self._now(),
        )

        async def add(session: AsyncSession) -> None:
            session.add(WebhookRow(**row.model_dump()))

        async with self._changing:
            if len(self.of(program.person)) >= MOST:
                raise OperatorError("webhook.too_many", f"{MOST} webhooks are the most")
            await self._database.together(add)
            await self._begin(row)
        return _shown(row)

    def rows(self) -> Sequence[WebhookRow]:
        """All webhooks whose keys open something, the oldest first."""
        found = [row for row in self._hooks.values() if self._key_holds(row.key)]
        return sorted(found, key=lambda row: row.made)

    def of(self, person: Person) -> Sequence[Webhook]:
        """Somebody's webhooks, the oldest first."""
        mine = [row for row in self._hooks.values() if row.extension == person.extension]
        return [_shown(row) for row in sorted(mine, key=lambda row: row.made)]

    async def remove(self, person: Person, id: str) -> None:
        """Tell one nothing more. Raises `OperatorError`."""
        async with self._changing:
            await self._dropped(self._mine(person, id))

    async def _dropped(self, row: WebhookRow) -> None:
        if row.id in self._hooks:
            await self._end(row.id)

        async def remove(session: AsyncSession) -> None:
            await session.execute(delete(WebhookRow).where(col(WebhookRow.id) == row.id))
            await session.execute(delete(DeliveryRow).where(col(DeliveryRow.webhook) == row.id))

        await self._database.together(remove)

    async def forget(self, person: Person) -> None:
        """Tell nothing more of somebody."""
        for hook in self.of(person):
            await self.remove(person, hook.id)

    async def test(self, person: Person, id: str) -> None:
        """Tell something harmless, to see whether it arrives. Raises `OperatorError`."""
        row = self._mine(person, id)
        await self._keep([(row.id, TEST, Progress(call_id="", step=Step.NOTICE, text="a test"))])

    async def deliveries(self, person: Person, id: str) -> Sequence[Delivery]:
        """What was told lately or is to be told, newest first. Raises `OperatorError`."""
        row = self._mine(person, id)
        query = select(DeliveryRow).where(col(DeliveryRow.webhook) == row.id)
        async with self._database.reading() as session:
            newest = query.order_by(col(DeliveryRow.id).desc()).limit(LISTED)
            found = (await session.execute(newest)).scalars()
            return [
                Delivery(
                    id=one.message,
                    kind=one.kind,
                    at=one.made,
                    state=one.state,
                    tries=one.tries,
                    status=one.status,
                )
                for one in found
            ]

    async def replay(self, person: Person, id: str, message: str) -> None:
        """Tell something again, under its own id. Raises `OperatorError`."""
        row = self._mine(person, id)
        now = self._now()
        async with self._database.writing() as session:
            mine = (col(DeliveryRow.webhook) == row.id) & (col(DeliveryRow.message) == message)
            again = {"state": "waiting", "due": now, "made": now, "tries": 0}
            done = await session.execute(update(DeliveryRow).where(mine).values(**again))
        if not getattr(done, "rowcount", 0):
            raise OperatorError("delivery.unknown", "there is no such event any more")
        self._news[row.id].set()

    def _mine(self, person: Person, id: str) -> WebhookRow:
        row = self._hooks.get(id)
        if row is None or row.extension != person.extension:
            raise OperatorError("webhook.unknown", "there is no such webhook")
        return row

    # ── hearing ─────────────────────────────────────────────────────────────────────────
    async def _begin(self, row: WebhookRow) -> None:
        self._hooks[row.id], self._news[row.id] = row, asyncio.Event()
        self._news[row.id].set()
        self._tasks[row.id] = asyncio.ensure_future(self._tell_all(row))
        if row.extension not in self._followed:
            person = await self._person_of(row.extension)
            self._places.setdefault(row.extension, asyncio.Semaphore(AT_ONCE))

            def hear(progress: Progress, extension: str = row.extension) -> None:
                if self._heard.full():
                    log.error("more happens to %s than can be told to programs", extension)
                    return
                self._heard.put_nowait((extension, progress))

            self._followed[row.extension] = self._followers.follow_for_program(person, hear)

    async def _end(self, id: str) -> None:
        row = self._hooks.pop(id)
        self._behind.discard(id)
        task = self._tasks.pop(id)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if all(one.extension != row.extension for one in self._hooks.values()):
            self._followed.pop(row.extension)()

    async def _write(self) -> None:
        """Write down what happens, in its order, all that waits at once."""
        while True:
            heard = [await self._heard.get()]
            while not self._heard.empty():
                heard.append(self._heard.get_nowait())
            events = [
                (row.id, kind_of(progress.step), progress)
                for extension, progress in heard
                for row in self._hooks.values()
                if row.extension == extension
            ]
            wanted = [one for one in events if self._wants(one[0], one[1])]
            try:
                await self._keep(wanted)
            except DBAPIError as error:
                log.error("%d events are not told, the database fails: %s", len(wanted), error.orig)
            except Exception:
                log.exception("%d events are not told", len(wanted))

    def _wants(self, id: str, kind: str) -> bool:
        kinds = self._hooks[id].kinds
        return not kinds or kind in kinds.split()

    async def _keep(self, events: Sequence[tuple[str, str, Progress]]) -> None:
        now = self._now()

        async def keep(session: AsyncSession) -> None:
            for webhook, kind, progress in events:
                waiting = select(func.count()).where(
                    col(DeliveryRow.webhook) == webhook, col(DeliveryRow.state) == "waiting"
                )
                if (await session.execute(waiting)).scalar_one() < MAX_WAITING:
                    session.add(
                        DeliveryRow(
                            webhook=webhook,
                            message=f"msg_{secrets.token_hex(12)}",
                            kind=kind,
                            body=_body(kind, progress, now),
                            made=now,
                            due=now,
                        )
                    )

        await self._database.together(keep)
        for webhook, _, _ in events:
            if webhook in self._news:
                self._news[webhook].set()

    # ── telling ─────────────────────────────────────────────────────────────────────────
    async def _tell_all(self, row: WebhookRow) -> None:
        """Tell one receiver everything, one after the other."""
        news = self._news[row.id]
        while True:
            news.clear()
            try:
                wait = await self._tell_next(row)
            except DBAPIError as error:
                log.error("webhooks wait, the database fails: %s", error.orig)
                wait = float(PAUSES[0])
            except Exception:
                log.exception("a webhook could not be served")
                wait = float(PAUSES[-1])
            if wait != 0:  # something new may be for now
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await news.wait()

    async def _tell_next(self, row: WebhookRow) -> float | None:
        """Tell what waits longest, if it is due; seconds until there is more to do, None when
        nothing waits. Others wait behind it: order is kept."""
        query = (
            select(DeliveryRow)
            .where(col(DeliveryRow.webhook) == row.id, col(DeliveryRow.state) == "waiting")
            .order_by(col(DeliveryRow.id))
            .limit(1)
        )
        async with self._database.reading() as session:
            one = (await session.execute(query)).scalar_one_or_none()
        if one is None:
            return None
        now = self._now()
        if one.due > now:
            return (one.due - now).total_seconds()
        if not self._key_holds(row.key):
            return None  # it has expired
        async with self._places[row.extension]:
            status, _ = await self.receivers.tell(
                row.url,
                row.secret,
                one.message,
                one.body.encode(),
                within=IN_ALL,
                whose=row.extension,
            )
        good = 200 <= status < 300
        late = self._now() - one.made > GIVE_UP
        self.tries["done" if good else "dead" if late else "waiting"] += 1
        (self._behind.discard if good else self._behind.add)(row.id)
        pause = PAUSES[min(one.tries, len(PAUSES) - 1)]
        state = "done" if good else "dead" if late else "waiting"

        async def note(session: AsyncSession) -> bool | None:
            kept = await session.get(DeliveryRow, one.id)
            if kept is None:
                return None
            kept.tries, kept.status, kept.state = one.tries + 1, status or None, state
            kept.due = self._now() + timedelta(seconds=pause)
            hook = await session.get(WebhookRow, row.id)
            told = hook is not None and not hook.failing and state == "dead"
            if hook is not None:
                hook.failing = state == "dead" or (hook.failing and not good)
                row.failing = hook.failing
            return told

        # A removal ends this task: what is being written then must not be cut in two, which would
        # keep the database from everybody else.
        told = await self._database.together(note)
        if told is None:
            return 0.0
        if told:
            host = urlsplit(row.url).hostname
            text = f"Your webhook at {host} has not answered for a day; what waited for it is lost."
            self._followers.announce(row.extension, text)
        return 0.0 if state != "waiting" else float(pause)

    async def forget_old(self) -> None:
        """Forget what was told long ago."""
        old = (col(DeliveryRow.made) < self._now() - KEPT) & (col(DeliveryRow.state) != "waiting")

        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(DeliveryRow).where(old))

        await self._database.together(forget)


def _body(kind: str, progress: Progress, at: datetime) -> str:
    data = {
        "call": progress.call_id,
        "peer": progress.peer,
        "text": progress.text,
        "seconds": progress.seconds,
        "back": progress.back,
        "about": progress.about,
    }
    event = {"type": kind, "timestamp": at.isoformat(), "data": data}
    return json.dumps(event, ensure_ascii=False)


def _shown(row: WebhookRow) -> Webhook:
    return Webhook(
        id=row.id,
        url=row.url,
        kinds=tuple(row.kinds.split()),
        secret=row.secret,
        failing=row.failing,
    )
