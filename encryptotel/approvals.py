"""A second yes: asked by chat with buttons, or by phone with a key, of whoever it concerns.

Programs ask people whether they are signing in; and people have us ask themselves before what is
dangerous is done in their name. Programs cannot answer, nor hear what is asked. What was approved
is for who asked, once; nobody is asked again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from bot.bounded import Bounded, Hourly
from bot.card import stopped
from bot.ports import Availability, OperatorError, Person, Progress, Step, asking_program
from encryptotel.followers import Followers
from encryptotel.presence import Presence
from encryptotel.wishes import WishBook
from pbx.calls.apps.keyed import keyed
from pbx.calls.leg import Leg, LegOver
from pbx.media.speech import Voice
from pbx.orders import Orders
from pbx.ports import CallRefused
from pbx.text import printable

PEOPLE, MAX_OPEN = 10_000, 20
"People whose questions are known, and how many of each are open at the same time."
GOOD_FOR = 600.0
"Seconds a question of ours is open."
GRANTED = 300.0
"Seconds within which what was approved may be done, once."
REST = 60.0
AN_HOUR = 6
"""Seconds between a question that was refused, or not answered, and the next; and questions an hour
before what is dangerous."""
TIMES = 3
"So often a question is said on the phone."
MAX_ABOUT = 320
TOO_LATE = "That is no longer asked."
SAID = "{about} To approve, press 1. To refuse, press 2."

What = tuple[str, str]
"Something that is wanted, and by whom: a program's name, or nothing for the person's own chat."


class By(StrEnum):
    """How somebody is asked."""

    CALL = "call"
    CHAT = "chat"


@dataclass
class _Question:
    about: str
    decided: Callable[[bool], None]
    "Told at most once."
    holds: Callable[[], bool]
    "Whether it is still asked."


class _Asker:
    """How often somebody was asked for a program, or for themselves."""

    def __init__(self) -> None:
        self.hourly = Hourly(AN_HOUR)
        self.rest_until = 0.0
        "Nobody is asked again at once who has just refused, or did not answer."


class _Person:
    """What somebody is asked, and has approved."""

    def __init__(self) -> None:
        self.open: Bounded[str, _Question] = Bounded(MAX_OPEN)
        self.asked: Bounded[What, str] = Bounded(MAX_OPEN)
        "The question that is open about something."
        self.granted: Bounded[What, float] = Bounded(MAX_OPEN)
        "Until when something that was approved may be done."
        self.askers: Bounded[str, _Asker] = Bounded(MAX_OPEN)

    def asker(self, program: str) -> _Asker:
        """What is known of who asks: a program cannot use up what the person themselves may ask."""
        known = self.askers.get(program)
        if known is None:
            known = self.askers[program] = _Asker()
        return known

    def is_asked(self, this: What) -> bool:
        """Whether somebody is being asked about something, or another is being asked by phone."""
        if _RINGING in self.asked.values():
            return True
        question = self.open.get(self.asked.get(this, ""))
        return question is not None and question.holds()


class Approvals:
    """Implements `bot.ports.Approvals`, and asks on phones."""

    def __init__(
        self,
        book: WishBook,
        followers: Followers,
        presence: Presence,
        orders: Orders,
        voice: Voice,
        later: Callable[..., None],
    ) -> None:
        self._book, self._followers, self._presence = book, followers, presence
        self._orders, self._voice, self._later = orders, voice, later
        self._people: Bounded[str, _Person] = Bounded(PEOPLE)

    # ── asking ──────────────────────────────────────────────────────────────────────────
    def write(
        self,
        extension: str,
        about: str,
        decided: Callable[[bool], None],
        holds: Callable[[], bool] | None = None,
    ) -> str:
        """Ask somebody in their chats; `decided` is told their answer, unless there is none while
        it `holds`. The question's id."""
        id = self._opened(extension, about, decided, holds)
        asked = self._people[extension].open[id].about
        news = Progress(call_id="", step=Step.APPROVE, text=asked, about=id)
        self._followers.spread(extension, news)
        return id

    async def ring(
        self, number: str, about: str, decided: Callable[[bool], None], *, payer: str
    ) -> bool:
        """Ask somebody on their phone, at the expense of `payer`; whether they pressed a key.
        Raises `CallRefused` when nobody answers."""
        words = await self._voice.say(SAID.format(about=stopped(one_line(about))))
        id, answered = self._opened(number, about, decided, None), False

        async def talk(leg: Leg) -> str:
            nonlocal answered
            with contextlib.suppress(LegOver):
                for _ in range(TIMES):
                    pressed = (await keyed(leg, words, 0))[:1]
                    if pressed in ("1", "2"):
                        answered = self._decide(id, number, yes=pressed == "1") is not None
                        thanks = "Approved." if pressed == "1" else "Refused."
                        await leg.play(await self._voice.say(thanks if answered else TOO_LATE))
                        break
            return ""

        try:
            await self._orders.announce(number, user=payer, shown=payer, talk=talk)
        finally:
            self._of(number).open.pop(id, None)
        return answered

    def _opened(
        self,
        extension: str,
        about: str,
        decided: Callable[[bool], None],
        holds: Callable[[], bool] | None,
    ) -> str:
        id, until = secrets.token_hex(8), _now() + GOOD_FOR
        question = _Question(one_line(about), decided, holds or (lambda: _now() < until))
        self._of(extension).open[id] = question
        return id

    def _decide(self, id: str, extension: str, *, yes: bool) -> str | None:
        question = self._of(extension).open.pop(id, None)
        if question is None or not question.holds():
            return None
        question.decided(yes)
        return question.about

    def _of(self, extension: str) -> _Person:
        known = self._people.get(extension)
        if known is None:
            known = self._people[extension] = _Person()
        return known

    # ── for people ──────────────────────────────────────────────────────────────────────
    def forget(self, extension: str) -> None:
        """Nobody has that extension any more: neither what they were asked, nor approved."""
        self._people.pop(extension, None)

    def answer(self, person: Person, id: str, *, yes: bool) -> str:
        """Somebody's word on what they were asked; what that was. Raises `OperatorError`."""
        about = self._decide(id, person.extension, yes=yes)
        if about is None:
            raise OperatorError("approval.over", "that is no longer asked")
        return about

    def wanted_by(self, person: Person) -> str:
        """How somebody is asked before what is dangerous; empty if they are not."""
        return self._book.rest(person.extension).approval

    async def want(self, person: Person, by: str) -> str:
        """Be asked before what is dangerous, by call or chat, or with nothing no more; what that
        means. Raises `OperatorError`."""
        if by == By.CALL and not self._has_phone(person.extension):
            raise OperatorError("approval.no_phone", "connect a phone first: that is what I ring")
        if by != self.wanted_by(person):
            self.require(person, "to be asked otherwise before dangerous commands")
        self._book.note(person)
        await self._book.change(person.extension, approval=by)
        if not by:
            return "I ask you no more before dangerous commands."
        how = "ring your phone" if by == By.CALL else "ask you in your chats"
        return (
            f"Before a new phone or chat, a key for a program or a way into the console I {how}. "
            "“Don't ask me before dangerous commands” ends it, when you have approved that as well."
        )

    def require(self, person: Person, what: str, *, always: bool = False) -> None:
        """Go on if somebody has approved something just now, or does not need to; else ask, and
        raise `OperatorError`. With `always` it needs an approval in any case."""
        by = self.wanted_by(person)
        if not by and not always:
            return
        by_chat = by == By.CHAT or not self._has_phone(person.extension)  # which may be lost
        this, mine = (what, asking_program.get()), self._of(person.extension)
        if mine.granted.pop(this, 0.0) > _now():
            return
        if by_chat and not self._followers.has(person.extension):
            raise OperatorError(
                "approval.nowhere", "that needs your approval, and there is no way to ask you"
            )
        if not mine.is_asked(this):
            asker = mine.asker(this[1])
            if asker.rest_until > _now() or not asker.hourly.spend():
                raise OperatorError(
                    "approval.too_often", "you were asked a moment ago; wait, and say it again"
                )
            self._ask(person.extension, this, By.CHAT if by_chat else By.CALL)
        rings = _RINGING in mine.asked.values()
        where = "I ring your phone: press 1 there" if rings else "approve it in your chat"
        raise OperatorError(
            "approval.asked", f"that needs your approval; {where}, then say it again"
        )

    def _ask(self, extension: str, this: What, by: By) -> None:
        """Ask somebody whether they want something."""
        what, program = this
        mine = self._of(extension)

        def decided(yes: bool) -> None:
            mine.asker(program).rest_until = 0.0 if yes else _now() + REST
            if yes:
                mine.granted[this] = _now() + GRANTED
                text = f"Approved: {what}. Say it again within five minutes, and it is done."
                self._followers.announce(extension, text)

        who = f"Your program {program}" if program else "Somebody"
        about = f"{who} wants {what} in your name"
        if by is By.CHAT:
            mine.asked[this] = self.write(extension, about, decided)
        else:
            mine.asked[this] = _RINGING
            self._later(self._ring(extension, program, about, decided))

    async def _ring(
        self, extension: str, program: str, about: str, decided: Callable[[bool], None]
    ) -> None:
        asker = self._of(extension).asker(program)
        asker.rest_until = _now() + REST  # until they have said yes
        try:
            if not await self.ring(extension, about, decided, payer=extension):
                text = "Nobody approved: your phone was answered, and no key was pressed."
                self._followers.announce(extension, text)
        except CallRefused as refused:
            self._followers.announce(extension, f"Nobody approved: your phone rang, {refused}.")
        finally:
            mine = self._of(extension)
            for this in [this for this, id in mine.asked.items() if id == _RINGING]:
                del mine.asked[this]

    def _has_phone(self, extension: str) -> bool:
        return self._presence.of(extension) is not Availability.OFF


_RINGING = "ringing"
"In the place of an id: the phone is rung for one question at a time."


def one_line(text: str) -> str:
    """What somebody else wrote, as one line that looks like nothing of ours."""
    return " ".join(printable(text, MAX_ABOUT).split())


def _now() -> float:
    return asyncio.get_running_loop().time()
