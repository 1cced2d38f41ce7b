"""Everybody who writes comes through here: who they are, and which conversation it belongs to.

One person has one conversation, whatever they write from; what happens later is told on all
their accounts. Strangers get one polite line a day and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bot.bounded import Bounded, Hourly
from bot.dialogue import Dialogue
from bot.heard import Heard
from bot.ports import Account, People, Person, Role, Sent
from bot.replies import Reply

log = logging.getLogger(__name__)

MAX_STRANGERS = 10_000
"Strangers remembered; the longest silent goes first."
STRANGERS_AN_HOUR = 600
"Lines said to strangers, all together."
TRIES = 5
"Codes a stranger may try in a day."
DAY = 86_400.0
MAX_WAITING = 20
"Messages of one account that wait for the one being answered."

STRANGER = (
    "Hello. This is somebody's private telephone exchange, and we have not met. "
    "If you were invited, send me the code you were given."
)
WELCOME = (
    "Welcome, {name}. Your extension is {extension}.\n"
    "Try: “set up my phone”, “call 600” (the echo test), “status” or “help”."
)
OWNED = "This is your telephone exchange now."
BUSY = "One moment, please: I am still at what you wrote before. Say the rest again then."
INTERRUPTED = (
    "I was restarted while I was at your last message. It may not have been done: "
    "“status” shows what is going on; please say it again if it is not."
)
TROUBLE = "Something went wrong here, and I noted it as {id}. Please try again."
_CODE = re.compile(r"(?:/start\s+|code:?\s+)?([A-Za-z0-9_-]{16})")

Send = Callable[[str, Reply], Sent]
"To an address of a front end; it never blocks and never raises."


@dataclass
class _Room:
    """One person's conversation and who is in it."""

    dialogue: Dialogue
    accounts: list[Account]
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class _Queue:
    """The messages of one account that are not answered yet."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    told_busy: bool = False


@dataclass
class _Stranger:
    since: float
    told: bool = False
    tries: int = 0


class Reception:
    """`converse` opens a person's conversation, given what to call with news."""

    def __init__(
        self,
        people: People,
        converse: Callable[[Person, Callable[[Reply], Sent]], Dialogue],
        *,
        confirm: bool = True,
    ) -> None:
        self._people = people
        self._converse = converse
        self._confirm = confirm
        self._rooms: dict[str, _Room] = {}
        self._known: set[Account] = set()
        self._queues: dict[Account, _Queue] = {}
        self._finishing: set[asyncio.Task[None]] = set()
        self._channels: dict[str, Send] = {}
        self._strangers: Bounded[Account, _Stranger] = Bounded(MAX_STRANGERS)
        self._lines = Hourly(STRANGERS_AN_HOUR)

    def open_channel(self, channel: str, send: Send) -> None:
        """A front end is there: what is to be told to its people goes to `send`."""
        self._channels[channel] = send

    async def start(self) -> None:
        """Open the conversations of everybody, and tell those who were cut off."""
        for person, accounts in await self._people.everybody():
            await self._room(person, accounts)
        for account in await self._people.unfinished():
            self._send(account, Reply(text=INTERRUPTED))

    async def close(self) -> None:
        """Stop telling anybody anything; what was answered is marked so."""
        await asyncio.gather(*self._finishing, return_exceptions=True)
        for room in self._rooms.values():
            room.dialogue.close()

    async def note(self, account: Account, message_id: str) -> bool:
        """Write down that a message is about to be heard, before its network is told that it
        arrived; False if that was done before. Raises when it cannot be written."""
        if not message_id or await self._people.person_of(account) is None:
            return True
        return await self._people.take(account, message_id)

    async def hear(
        self,
        account: Account,
        heard: Heard,
        *,
        message_id: str = "",
        name: str = "",
        answer_to: str = "",
    ) -> None:
        """Answer a message that was noted, by its `message_id`; answers are sent to the account,
        or to another address of its network, such as a group. Never raises."""
        to = Account(account.channel, answer_to or account.address)
        queue = self._queues.setdefault(account, _Queue())
        if queue.waiting >= MAX_WAITING:
            if account in self._known and not queue.told_busy:
                queue.told_busy = True
                self._finish(account, message_id, [self._send(to, Reply(text=BUSY))])
            return
        queue.waiting += 1
        try:
            async with queue.turn:  # before anything else: what was written first is done first
                sent = await self._hear(account, heard, name, to)
        except Exception:
            trouble = f"{time.time_ns() // 1_000_000 % 10**9:09d}"
            log.exception("trouble %s with a message on %s", trouble, account.channel)
            sent = [self._send(to, Reply(text=TROUBLE.format(id=trouble)))]
        finally:
            queue.waiting -= 1
            if not queue.waiting:
                self._queues.pop(account, None)
        self._finish(account, message_id, sent)

    async def decline(self, account: Account, reply: Reply, message_id: str) -> None:
        """Answer somebody of ours whose message cannot be heard, without any thought."""
        if await self.knows(account):
            self._finish(account, message_id, [self._send(account, reply)])

    async def _hear(self, account: Account, heard: Heard, name: str, to: Account) -> list[Sent]:
        person = await self._people.person_of(account)
        if person is not None:
            return await self._hear_person(person, account, heard, to)
        if to == account and isinstance(heard, str):
            return await self._hear_stranger(account, heard, name)
        return []

    def _finish(self, account: Account, message_id: str, sent: Sequence[Sent]) -> None:
        """A message is finished once its answers are sent; the next need not wait for that."""
        if message_id and account in self._known:
            finishing = asyncio.ensure_future(self._finish_when(account, message_id, sent))
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)

    async def _finish_when(self, account: Account, message_id: str, sent: Sequence[Sent]) -> None:
        under_way = [one for one in sent if one is not None]
        results = await asyncio.gather(*under_way, return_exceptions=True)
        if any(isinstance(result, BaseException) for result in results):
            return  # we stopped before the answer was sent, and say so at the next start
        try:
            await self._people.finish(account, message_id)
        except Exception:  # at worst they are told once too often that they were interrupted
            log.exception("a message could not be marked as answered")

    async def person_of(self, account: Account) -> Person | None:
        """Whose account that is; None for a stranger's."""
        return await self._people.person_of(account)

    async def knows(self, account: Account) -> bool:
        """Whether that is somebody's account."""
        return await self._people.person_of(account) is not None

    def finish(self, account: Account, message_id: str) -> None:
        """A message that was noted is dealt with, and nobody had to hear it."""
        self._finish(account, message_id, ())

    async def _hear_person(
        self, person: Person, account: Account, heard: Heard, to: Account
    ) -> list[Sent]:
        room = await self._room(person, (account,))
        async with room.turn:
            replies = await room.dialogue.hear(heard, confirm=self._confirm)
            sent = [self._send(account if reply.private else to, reply) for reply in replies]
            await self._people.remember(person, room.dialogue.talk())
        if await self._people.person_of(account) is None:  # they asked to be forgotten
            self._known.difference_update(room.accounts)
            del self._rooms[person.id]
            room.dialogue.close()
        return sent

    async def _room(self, person: Person, accounts: Sequence[Account]) -> _Room:
        room = self._rooms.get(person.id)
        if room is None:
            talk = await self._people.recall(person)
            room = self._rooms.get(person.id)  # somebody may have been faster
            if room is None:
                room = _Room(self._converse(person, lambda r: self._tell(person.id, r)), [])
                room.dialogue.resume(talk)
                self._rooms[person.id] = room
        self._known.update(accounts)
        room.accounts += [account for account in accounts if account not in room.accounts]
        return room

    def _tell(self, person_id: str, reply: Reply) -> Sent:
        sent = [self._send(account, reply) for account in self._rooms[person_id].accounts]
        under_way = [asyncio.ensure_future(one) for one in sent if one is not None]
        return asyncio.gather(*under_way) if under_way else None

    def _send(self, account: Account, reply: Reply) -> Sent:
        send = self._channels.get(account.channel)
        return send(account.address, reply) if send is not None else None

    # ── strangers ───────────────────────────────────────────────────────────────────────
    async def _hear_stranger(self, account: Account, text: str, name: str) -> list[Sent]:
        stranger = self._stranger(account)
        code = _CODE.fullmatch(text.strip())
        if code is not None and stranger.tries < TRIES:
            stranger.tries += 1
            person = await self._people.join(code[1], account, name)
            if person is not None:
                del self._strangers[account]
                await self._room(person, (account,))
                log.info("%s joined on %s", person.id, account.channel)
                welcome = WELCOME.format(name=person.name, extension=person.extension)
                if person.role is Role.OWNER:
                    welcome = f"{welcome}\n{OWNED}"
                return [self._send(account, Reply(text=welcome))]
        if stranger.told or not self._lines.spend():
            return []
        stranger.told = True
        return [self._send(account, Reply(text=STRANGER))]

    def _stranger(self, account: Account) -> _Stranger:
        now = time.monotonic()
        known = self._strangers.get(account)
        if known is None or now - known.since > DAY:
            known = _Stranger(now)
        self._strangers[account] = known
        return known
