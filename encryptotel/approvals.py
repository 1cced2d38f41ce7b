"""A second yes: asked by chat with buttons, or by phone with a key, of whoever it concerns.

Programs ask people whether they are signing in; and people have us ask themselves before what is
dangerous is done in their name. Programs cannot answer, nor hear what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from bot.bounded import Bounded
from bot.ports import Availability, OperatorError, Person, Progress, Step
from encryptotel.followers import Followers
from encryptotel.presence import Presence
from encryptotel.wishes import WishBook
from pbx.calls.apps.keyed import keyed
from pbx.calls.leg import Leg, LegOver
from pbx.media.speech import Voice
from pbx.orders import Orders
from pbx.ports import CallRefused

log = logging.getLogger(__name__)

MAX_OPEN = 10_000
"Questions that are known at the same time."
GRANTED = 300.0
"Seconds within which what was approved may be done, once."
TIMES = 3
"So often a question is said on the phone."
SAID = "{about}. To approve, press 1. To refuse, press 2."


class By(StrEnum):
    """How somebody is asked."""

    CALL = "call"
    CHAT = "chat"


@dataclass
class _Question:
    extension: str
    about: str
    decided: Callable[[bool], None]
    "Told at most once."


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
        self._open: Bounded[str, _Question] = Bounded(MAX_OPEN)
        self._granted: Bounded[tuple[str, str], float] = Bounded(MAX_OPEN)
        "Until when somebody may do something that they approved."
        self._ringing: set[str] = set()
        "Extensions whose phones are rung for one: not for several at once."

    # ── asking ──────────────────────────────────────────────────────────────────────────
    def write(self, extension: str, about: str, decided: Callable[[bool], None]) -> str:
        """Ask somebody in their chats; `decided` is told their answer, unless there is none. The
        question's id."""
        id = self._opened(extension, about, decided)
        news = Progress(call_id="", step=Step.APPROVE, text=about, about=id)
        self._followers.spread(extension, news)
        return id

    async def ring(
        self, number: str, about: str, decided: Callable[[bool], None], *, payer: str
    ) -> None:
        """Ask somebody on their phone, at the expense of `payer`. Raises `CallRefused` when nobody
        answers."""
        id = self._opened(number, about, decided)
        words = await self._voice.say(SAID.format(about=about))

        async def talk(leg: Leg) -> str:
            with contextlib.suppress(LegOver):
                for _ in range(TIMES):
                    pressed = (await keyed(leg, words, 0))[:1]
                    if pressed in ("1", "2"):
                        self._decide(id, number, yes=pressed == "1")
                        thanks = "Approved." if pressed == "1" else "Refused."
                        await leg.play(await self._voice.say(thanks))
                        break
            return ""

        try:
            await self._orders.announce(number, user=payer, shown=payer, talk=talk)
        finally:
            self._open.pop(id, None)

    def _opened(self, extension: str, about: str, decided: Callable[[bool], None]) -> str:
        id = secrets.token_hex(8)
        self._open[id] = _Question(extension, about, decided)
        return id

    def _decide(self, id: str, extension: str, *, yes: bool) -> str | None:
        question = self._open.get(id)
        if question is None or question.extension != extension:
            return None
        del self._open[id]
        question.decided(yes)
        return question.about

    # ── for people ──────────────────────────────────────────────────────────────────────
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
        if not by:
            self.require(person, "asking me before dangerous commands to end")
        self._book.note(person)
        await self._book.change(person.extension, approval=by)
        if not by:
            return "I ask you no more before dangerous commands."
        how = "ring your phone" if by == By.CALL else "ask you in your chats"
        return (
            f"Before a new phone, a key for a program or a way into the console I {how}, and do it "
            "when you have approved."
        )

    def require(self, person: Person, what: str, *, always: bool = False) -> None:
        """Go on if somebody has approved something just now, or does not need to; else ask, and
        raise `OperatorError`. With `always` it needs an approval in any case."""
        by = self.wanted_by(person)
        if not by and not always:
            return
        if not by:
            by = By.CALL if self._has_phone(person.extension) else By.CHAT
        this = person.extension, what
        if self._granted.pop(this, 0.0) > asyncio.get_running_loop().time():
            return
        if by == By.CHAT and not self._followers.has(person.extension):
            raise OperatorError(
                "approval.nowhere", "that needs your approval, and there is no way to ask you"
            )
        self._ask_once(this, By(by))
        where = "I ring your phone: press 1 there" if by == By.CALL else "approve it in your chat"
        raise OperatorError(
            "approval.asked", f"that needs your approval; {where}, then say it again"
        )

    def _ask_once(self, this: tuple[str, str], by: By) -> None:
        """Ask somebody whether they want something."""
        extension, what = this

        def decided(yes: bool) -> None:
            if yes:
                self._granted[this] = asyncio.get_running_loop().time() + GRANTED
                text = f"Approved: {what}. Say it again within five minutes, and it is done."
                self._followers.announce(extension, text)

        about = f"Somebody wants {what} in your name"
        if by is By.CHAT:
            self.write(extension, about, decided)
        elif extension not in self._ringing:
            self._ringing.add(extension)
            self._later(self._ring(extension, about, decided))

    async def _ring(self, extension: str, about: str, decided: Callable[[bool], None]) -> None:
        try:
            await self.ring(extension, about, decided, payer=extension)
        except CallRefused as refused:
            self._followers.announce(extension, f"Nobody approved: your phone rang, {refused}.")
        finally:
            self._ringing.discard(extension)

    def _has_phone(self, extension: str) -> bool:
        return self._presence.of(extension) is not Availability.OFF
