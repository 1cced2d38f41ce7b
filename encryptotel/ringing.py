"""What reaches people when it is time to remind them: a call that takes a key, or a message."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.exc import DBAPIError

from bot.moments import minutes
from bot.ports import Availability, Person, Progress, Step
from encryptotel.config import RemindersSection
from encryptotel.followers import Followers
from encryptotel.habits import Habits
from encryptotel.people import PeopleOfExchange
from encryptotel.presence import Presence
from encryptotel.texts import Texts
from encryptotel.unread import Unread
from pbx.calls.apps.excuse import MOMENT
from pbx.calls.apps.tell import tell
from pbx.calls.leg import Leg, LegOver
from pbx.media.speech import Voice
from pbx.orders import Orders
from pbx.ports import CallRefused
from scheduler.reminders import Keep, Result
from store.tables import RingRow

AGENDA = "*34"
"Who calls: dialled, it says what is planned today."
NOBODY_LISTENS = timedelta(minutes=1)
"Until somebody is tried again who cannot be told anything."
AWAY = timedelta(seconds=5)
"Until somebody is tried again who could not be looked up, for the database was away."
NO_ROOM = timedelta(seconds=20)
"Until a call is tried again for which all lines were taken."
DONE, SNOOZE, REPEAT, STOP = "1", "2", "3", "9"
WAKING = ("wake up", "alarm")
_NO_ROOM = frozenset((429, 503))


class Ringer:
    """Makes one try after the other."""

    def __init__(
        self,
        section: RemindersSection,
        people: PeopleOfExchange,
        followers: Followers,
        habits: Habits,
        orders: Orders,
        texts: Texts,
        presence: Presence,
        voice: Voice,
        unread: Unread,
    ) -> None:
        self._section, self._people, self._followers = section, people, followers
        self._habits, self._orders, self._texts = habits, orders, texts
        self._presence, self._voice, self._unread = presence, voice, unread
        self._calls = asyncio.Semaphore(section.calls_at_once)

    async def deliver(self, ring: RingRow) -> Result:
        """One try to remind somebody."""
        try:
            person = await self._people.with_extension(ring.extension)
        except DBAPIError:
            return Result(again=AWAY, counts=False)
        if person is None:
            return Result(state="missed")
        late = self._habits.now() - ring.at
        if ring.tries == 1 and late > timedelta(minutes=self._habits.of(ring.extension).late):
            return self._missed(ring, person)
        if ring.to and self._habits.consent(ring.extension, ring.to) is not True:
            return await self._with_consent(ring, person)
        if ring.by == "call" and not await self._habits.is_quiet(ring.to):
            return await self._call(ring, person)
        return await self._write(ring, person)

    def _missed(self, ring: RingRow, person: Person) -> Result:
        at = ring.at.astimezone(ZoneInfo(person.timezone))
        more = f" ({ring.skipped + 1} times)" if ring.skipped else ""
        text = f"I was off on {at:%a} {at.day} {at:%b} at {at:%H:%M}{more} and did not remind you"
        return self._shown_to(person.extension, ring, f"{text}: {ring.text}.", state="missed")

    async def _with_consent(self, ring: RingRow, person: Person) -> Result:
        """Somebody else is to be reminded, who was not asked yet, or said no."""
        who = self._followers.who(ring.to, person)
        consent = self._habits.consent(ring.extension, ring.to)
        if consent is None and ring.to.startswith("+"):
            return await self._call(ring, person, ask=True)
        why = "has not allowed it yet" if consent is None else "does not want that"
        if consent is None:
            self.ask_consent(person, ring.to)
        text = f"I did not remind {who} of “{ring.text}”: {who} {why}."
        return self._announced(ring, text, state="missed")

    async def _write(self, ring: RingRow, person: Person) -> Result:
        """In the chat; to others as well by text, to their phones or by SMS."""
        to = ring.to or ring.extension
        words = self._words(ring, person)
        if to.startswith("+") or (ring.to and not self._followers.has(to)):
            try:
                await self._texts.say(ring.extension, person.name, to, words)
            except CallRefused as refused:
                return self._failed(ring, person, refused.reason)
            return Result(state="done")
        if not self._followers.has(to):
            return Result(again=NOBODY_LISTENS, counts=False)
        return self._shown_to(to, ring, words)

    async def _call(self, ring: RingRow, person: Person, *, ask: bool = False) -> Result:
        """By phone: what is said is answered with a key."""
        keyed: list[str] = []

        async def talk(leg: Leg) -> str:
            try:
                keyed.append(await self._talk(leg, ring, person, ask=ask))
            except LegOver:
                keyed.append("")
            return ring.dial if keyed[0] == DONE else ""

        async with self._calls:
            try:
                await self._orders.announce(
                    ring.to or ring.extension, user=ring.extension, shown=AGENDA, talk=talk
                )
            except CallRefused as refused:
                if refused.status in _NO_ROOM:
                    return Result(again=NO_ROOM, counts=False)
                return self._unreached(ring, person, refused.reason)
        if not keyed:
            return self._unreached(ring, person, "the call was ended")
        return await self._answered(ring, person, keyed[0])

    async def _talk(self, leg: Leg, ring: RingRow, person: Person, *, ask: bool) -> str:
        """Say it, and what becomes of it; the key."""
        if ask:
            question = (
                f"{person.name} asked me to remind you of something by phone. To hear it, press "
                "1. To be called for that never again, press 9."
            )
            answer = await tell(leg, await self._voice.say(question), DONE + STOP)
            if answer:
                await self._habits.note_consent(ring.extension, ring.to, given=answer == DONE)
            if answer != DONE:
                return ""
        done = "To join the conference" if ring.dial else "For done"
        offer = f"{done}, press 1. To be called again in {self._section.snooze} minutes, press 2."
        offer += " To hear it again, press 3."
        if ring.repeats:
            offer += " To be reminded of this no more, press 9."
        words = [await self._voice.say(text) for text in (self._words(ring, person), offer)]
        keys = DONE + SNOOZE + (STOP if ring.repeats else "")
        key = await tell(leg, MOMENT.join(words), keys, REPEAT)
        if key and leg.ending is None:
            said = {
                DONE: "You are being connected." if ring.dial else "All right. Goodbye.",
                SNOOZE: f"I call again in {self._section.snooze} minutes. Goodbye.",
                STOP: "I remind you of this no more. Goodbye.",
            }
            await leg.play(await self._voice.say(said[key]) + MOMENT)
        return key

    async def _answered(self, ring: RingRow, person: Person, key: str) -> Result:
        """Tell the chat, and do what the key says."""
        to = ring.to or ring.extension
        who = "you" if not ring.to else self._followers.who(ring.to, person)
        text = ring.text
        if key == DONE:
            came = "I called you and put you through" if ring.dial else f"I called {who}"
            done = f"{came}: “{text}”{'' if ring.dial else ' is done'}."
            return self._announced(ring, done, state="done")
        if key == SNOOZE:
            again = timedelta(minutes=self._section.snooze)
            at = f"{(self._habits.now() + again).astimezone(ZoneInfo(person.timezone)):%H:%M}"
            said = f"I called {who}, and call again at {at}: “{text}”."
            return self._announced(ring, said, state="snoozed", again=again)
        if key == STOP:
            return self._announced(ring, f"I remind {who} no more: “{text}”.", state="stopped")
        if self._habits.consent(ring.extension, to) is False:
            said = f"{who} does not want to be reminded by you: “{text}”."
            return self._announced(ring, said, state="missed")
        said = f"I called {who}, and no key was pressed: {text}."
        return self._shown_to(ring.extension, ring, said)

    def _unreached(self, ring: RingRow, person: Person, reason: str) -> Result:
        """Try again later, or say so; at once where no phone is."""
        off = self._presence.of(ring.to or ring.extension) is Availability.OFF
        if ring.tries < self._section.tries and not off:
            return Result(again=timedelta(minutes=self._section.every))
        return self._failed(ring, person, reason)

    def _failed(self, ring: RingRow, person: Person, reason: str) -> Result:
        who = "you" if not ring.to else self._followers.who(ring.to, person)
        times = f" {ring.tries} times" if ring.tries > 1 else ""
        text = f"I could not reach {who}{times} ({reason}): {ring.text}."
        return self._shown_to(ring.extension, ring, text)

    def _announced(self, ring: RingRow, text: str, **result: Any) -> Result:
        """Told whoever ordered it, with nothing left to answer."""
        news = Progress(call_id="", step=Step.NOTICE, text=text)
        return Result(keep=self._kept(ring.extension, news), **result)

    def _shown_to(self, extension: str, ring: RingRow, text: str, state: str = "open") -> Result:
        """In the chats of somebody, with buttons."""
        step = Step.REMINDER_AGAIN if ring.repeats else Step.REMINDER
        news = Progress(call_id="", step=step, text=text, about=ring.id)
        return Result(state=state, keep=self._kept(extension, news))

    def _kept(self, extension: str, news: Progress) -> Keep:
        return lambda session: self._unread.keep(session, extension, news)

    def ask_consent(self, person: Person, to: str) -> None:
        """Ask somebody of ours in their chat whether another may remind them."""
        text = f"{person.name} wants me to remind you of something. Shall I, now and in future?"
        step = Progress(call_id="", step=Step.CONSENT, text=text, about=person.extension)
        self._followers.spread(to, step)

    # ── words ───────────────────────────────────────────────────────────────────────────────
    def _words(self, ring: RingRow, person: Person) -> str:
        """What is said or written, in one sentence."""
        if ring.text.casefold() in WAKING and not ring.to:
            at = ring.occurrence.astimezone(ZoneInfo(person.timezone))
            return f"Good morning. It is {at:%H:%M}. This is your wake-up call."
        what = to_you(ring.text) if not ring.to else ring.text
        by = f"{person.name} reminds you" if ring.to else "Reminder"
        if ring.lead > 0:
            return f"{by}, in {minutes(ring.lead)}: {what}."
        return f"{by}: {what}."


_YOU = {
    "my": "your", "me": "you", "mine": "yours", "myself": "yourself", "i": "you", "i'm": "you're",
}  # fmt: skip
_MINE = re.compile(r"\b(my|mine|myself|me|i'm|i)\b", re.I)


def to_you(text: str) -> str:
    """What somebody said of themselves, said to them: “take my pills”, “take your pills”."""
    return _MINE.sub(lambda found: _YOU[found[0].lower()], text)
