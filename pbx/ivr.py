"""Callers among menus: what they key or say, and where that leads them.

Keys count at once, also while a prompt is played, and also those keyed ahead. A word counts for
little: it is read back, and only a key or a yes takes it. Numbers are never taken by voice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pbx.calls.apps.excuse import MOMENT
from pbx.calls.cause import Ending
from pbx.calls.leg import LegOver
from pbx.calls.menus import Choice, Goal, Kind, Menu, Menus
from pbx.calls.services import Visit
from pbx.media.hearing import Ear, Utterances
from pbx.onward import Onward
from pbx.ports import CallRefused

log = logging.getLogger(__name__)

MAX_STEPS = 60
"Questions in one call; whoever needs more plays with the keys."
MAX_SECONDS = 900.0
"In menus, in one call."
MAX_TIMES = 5
"That one call comes to the menus."
CONFIRM_WAIT = 5.0
"Seconds for a yes after the read-back."
YES, NO = "yes", "no"
_ECHO = 0.25
"Part of the loudest sound being played that comes back at most: an echo is 12 dB down."
MAX_FAILURES = 3
"Goals that could not be reached, after which the caller is let go."


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What came of a question: a key, or one of the words; `unclear` for speech that was neither.
    Nothing at all is a caller who says nothing."""

    key: str = ""
    word: str = ""
    unclear: bool = False


class Ivr:
    """Leads callers through menus. `ear` may be taken away or given at any time."""

    def __init__(self, onward: Onward, ear: Ear | None) -> None:
        self.onward = onward
        self.ear = ear
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._times: dict[str, int] = {}
        "How often each call came to the menus, of those that are there."

    async def take(self, visit: Visit, menus: Menus, first: str) -> Ending:
        """Answer a call with a menu, and do what is chosen. Raises `CallRefused` for one that
        comes back too often, by what those want done with their calls to whom it was led."""
        call = visit.call
        times = self._times[call.id] = self._times.get(call.id, 0) + 1
        try:
            if times > MAX_TIMES:
                raise CallRefused(482, "the call came back to the menus again and again")
            await visit.leg.answer()
            call.answered()
            await visit.leg.play(MOMENT)
            return await _Course(self, visit, menus, first).run()
        finally:
            if times == 1:
                del self._times[call.id]


class _Course:
    """One caller's way."""

    def __init__(self, ivr: Ivr, visit: Visit, menus: Menus, first: str) -> None:
        self._ivr, self._visit, self._menus, self._first = ivr, visit, menus, first
        self._leg = visit.leg
        self._steps = self._failures = 0
        self._until = asyncio.get_running_loop().time() + MAX_SECONDS

    async def run(self) -> Ending:
        """From the first menu to the end of the call."""
        menu = self._menus[self._first]
        while True:
            goal = await self._choose(menu)
            log.info("menu %s leads to %s", menu.name, goal)
            match goal.kind:
                case Kind.MENU:
                    menu = self._menus[goal.to]
                case Kind.REPEAT:
                    pass
                case Kind.HANG_UP:
                    await self._leg.play(menu.phrases.goodbye + MOMENT)
                    return Ending(status=200, reason="the menu ended it")
                case _:
                    try:
                        return await self._ivr.onward.lead(self._visit, goal)
                    except CallRefused as refused:
                        await self._excuse(menu, goal, refused)

    async def _excuse(self, menu: Menu, goal: Goal, refused: CallRefused) -> None:
        """Tell the caller that it failed; they can choose again, but not for ever."""
        log.info("%s: %s", goal, refused.reason)
        self._failures += 1
        await self._leg.play(menu.phrases.unreachable + MOMENT)
        if self._failures >= MAX_FAILURES:
            raise refused

    async def _choose(self, menu: Menu) -> Goal:
        """Ask until something is chosen, or the caller was asked often enough."""
        moment = self._ivr.now()
        if menu.hours is not None and not menu.hours.open_at(moment):
            self._step()
            return menu.closed
        if not menu.prompt:
            self._step()
            return menu.default
        offered = menu.offered(moment)
        by_word = {word: choice for choice in offered.values() for word in choice.words}
        sorry = b""
        for _ in range(menu.tries):
            self._step()
            heard = await self._ask(sorry + menu.prompt, tuple(by_word), menu.wait)
            if heard.word:
                heard = await self._confirm(by_word[heard.word])
            if heard.key in offered:
                return offered[heard.key].goal
            unclear = heard.key or heard.unclear
            sorry = menu.phrases.sorry if unclear else b""
        return menu.default

    def _step(self) -> None:
        """One more question; raises `CallRefused` for the caller who plays."""
        self._steps += 1
        if self._steps > MAX_STEPS or asyncio.get_running_loop().time() > self._until:
            raise CallRefused(480, "too long in the menus")

    async def _confirm(self, choice: Choice) -> Heard:
        """Read a choice back: its key, or yes, takes it; any other key is as good as ever."""
        heard = await self._ask(choice.asks, (YES, NO), CONFIRM_WAIT, barge_in=False)
        if heard.word == YES:
            return Heard(key=choice.key)
        return heard if heard.key else Heard(unclear=True)

    # ── asking ──────────────────────────────────────────────────────────────────────────
    async def _ask(
        self, sound: bytes, words: Sequence[str], wait: float, *, barge_in: bool = True
    ) -> Heard:
        """Play something and take the first key or word, until `wait` after it was played.
        Without `barge_in` words count only once it was played; keys always do."""
        audio = self._leg.audio
        audio.stop()
        audio.play(sound)
        ear = self._ivr.ear if words else None
        echo = await asyncio.to_thread(_loudest, sound) * _ECHO if barge_in else 0.0
        listening = _Listening(ear, words, echo)
        played = asyncio.ensure_future(audio.played())
        key = asyncio.ensure_future(self._leg.digits(1, within=MAX_SECONDS))
        word = asyncio.ensure_future(listening.word())
        waits: tuple[asyncio.Future[Any], ...] = (key, word, self._leg.over)
        try:
            if barge_in:
                audio.on_frame = listening.hear
            await asyncio.wait((played, *waits), return_when=asyncio.FIRST_COMPLETED)
            if played.done():
                listening.all_counts()
                audio.on_frame = listening.hear
                await asyncio.wait(waits, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                if listening.busy and not any(one.done() for one in waits):
                    rest = asyncio.ensure_future(listening.idle.wait())
                    await asyncio.wait((rest, *waits), return_when=asyncio.FIRST_COMPLETED)
                    rest.cancel()
            if self._leg.ending is not None:
                raise LegOver(self._leg.ending)
            audio.stop()
            if key.done():
                return Heard(key=key.result())
            return Heard(word=word.result() if word.done() else "", unclear=listening.unclear)
        finally:
            for task in (played, key, word):
                task.cancel()
            listening.stop()
            if self._leg.ending is None:
                audio.on_frame = _ignore


class _Listening:
    """What a caller says while they are asked: utterances, one after the other, to the ear."""

    def __init__(self, ear: Ear | None, words: Sequence[str], over: float) -> None:
        self.unclear = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._ear, self._words = ear, words
        self._cut = Utterances()
        self._cut.over = over
        self._over = False
        self._found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether somebody speaks, or it is being found out what they said."""
        return not self.idle.is_set()

    def all_counts(self) -> None:
        """Nothing is played any more: quiet callers are heard too, and what is none of the words
        is an answer as well."""
        self._cut.over, self._over = 0.0, True

    async def word(self) -> str:
        """The first word that is one of those wanted; empty for an answer that was none."""
        return await asyncio.shield(self._found)

    def hear(self, frame: bytes) -> None:
        if self._ear is None or self._task is not None or self._found.done():
            return
        said = self._cut.feed(frame)
        if said:
            self._task = asyncio.ensure_future(self._recognise(self._ear, said))
        if self._cut.speaking or self._task is not None:
            self.idle.clear()
        else:
            self.idle.set()

    async def _recognise(self, ear: Ear, said: bytes) -> None:
        try:
            word = await ear.hear(said, self._words)
            self.unclear = word not in self._words
            if (self._over or not self.unclear) and not self._found.done():
                self._found.set_result("" if self.unclear else word)
        finally:
            self._task = None
            self.idle.set()

    def stop(self) -> None:
        """Nobody wants to know any more."""
        if self._task is not None:
            self._task.cancel()
        self._found.cancel()


def _loudest(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, "<i2")
    return float(np.max(np.abs(samples.astype(np.int32)))) if samples.size else 0.0


def _ignore(_: bytes) -> None:
    """Nothing is asked just now."""
