"""Rooms: conferences that one dials into, with a PIN, a moderator, and keys to press in them."""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pbx.calls.apps.callback import Party
from pbx.calls.apps.keyed import keyed
from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.conference import MAX_PARTIES, Conference
from pbx.calls.leg import Leg
from pbx.calls.services import Visit
from pbx.events import PinsGuessed, RoomEntered
from pbx.media.codecs import RATE
from pbx.media.music import hold_music
from pbx.media.speech import Speaker
from pbx.ports import CallRefused

TRIES = 3
"PINs that may be entered in one call."
SLOW = 2.0
"Seconds after a wrong PIN until the next may be entered; twice as many after each."
MAX_WRONG = 10
"PINs that may be wrong from one extension, or from all callers of one trunk, within `WINDOW`."
WINDOW = 3600.0
AGAIN = 0.3
"Seconds between two things that keys do in a room."
LONGEST = 12
"Digits of a PIN."
_PAUSE = bytes(2 * RATE * 3 // 10)
"Silence in which phones get ready to listen, and in which they play what they still have."
_ENTER = "Please enter the PIN of this room, and then the hash key."
_ENTER_OR_HASH = "Please press hash, or enter your PIN and then the hash key."
_WRONG = "That PIN is wrong."
_GOODBYE = "That PIN is wrong. Goodbye."
_TOO_MANY = "Too many wrong PINs. Please try again later. Goodbye."
_FULL = "This room is full. Please try again later. Goodbye."
_LOCKED = "This room is locked. Goodbye."
_SENT_AWAY = "You were removed from this room. Goodbye."
_MUTED = "You are muted."
_UNMUTED = "You can be heard again."
_IS_LOCKED = "The room is locked."
_IS_OPEN = "The room is open."
_REMOVED = "Removed."
_NOBODY = "There is nobody to remove."
_NOT_YOU = "Only a moderator can do that."
_NO_SUCH = "There is no such key. Press star zero to hear which there are."
_KEYS = (
    "Star one mutes you, and again lets you be heard. Star four tells how many are here. "
    "Star zero tells this."
)
_MORE_KEYS = "Star two locks the room, or opens it. Star three removes who came last."
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, kw_only=True)
class RoomPlan:
    """How a room is set up. With `moderator_pin` alone anybody else comes in without one. The
    extension `owner` is let in without a PIN, as a moderator."""

    number: str
    name: str = ""
    pin: str = field(default="", repr=False)
    moderator_pin: str = field(default="", repr=False)
    owner: str = ""
    most: int = MAX_PARTIES
    locked: bool = False


class Room:
    """A room with whoever is in it; `plan` may change meanwhile."""

    def __init__(
        self, plan: RoomPlan, speaker: Callable[[], Speaker], now: Callable[[], datetime]
    ) -> None:
        self.plan = plan
        self.conference: Conference | None = None
        "While somebody is in it."
        self._speaker = speaker
        self._now = now
        self._moderating: set[Leg] = set()
        self._sent_away: set[str] = set()
        "Who may not come back while the others are there."
        self._wrong: dict[str, deque[float]] = {}
        "When PINs were wrong, by where they came from; as many as extensions and trunks."

    # ── coming in ───────────────────────────────────────────────────────────────────────
    async def visit(self, visit: Visit) -> Ending:
        """The app of the room: let a caller in, if they may, until they hang up."""
        call, leg = visit.call, visit.leg
        await leg.answer()
        call.answered()
        leg.audio.play(_PAUSE)
        try:
            moderator = await self._admitted(call, leg)
            conference = await self._open(leg)
            self._enter(conference, call, leg, moderator=moderator, invited=moderator)
        except CallRefused as refused:
            await leg.play(await self.say(_words_for(refused)) + _PAUSE)
            return Ending(status=refused.status, reason=refused.reason)
        return await self._stay(conference, leg)

    async def fetch(self, call: Call, party: Party, *, asker: Call | None, invited: bool) -> Ending:
        """Ring somebody and let them in as they answer; `asker` is the call of whoever wanted
        that, and hears if they do not come. Raises `CallRefused`."""
        try:
            leg = await party.ring(call)
            moderator = self._is_owner(leg)
            if leg.peer in self._sent_away and not (invited or moderator):
                raise CallRefused(403, "removed from the room before")
            conference = await self._open(leg)
            self._enter(conference, call, leg, moderator=moderator, invited=invited or moderator)
        except CallRefused as refused:
            if asker is not None and asker.ending is None:
                asker.notice(f"{party.label}: {refused.reason}.")
            raise
        call.answered()
        return await self._stay(conference, leg)

    def _is_owner(self, leg: Leg) -> bool:
        return not leg.trunk and leg.peer == self.plan.owner

    async def _admitted(self, call: Call, leg: Leg) -> bool:
        """Whether a caller comes in as a moderator. Raises `CallRefused` if not at all."""
        if self._is_owner(leg):
            return True
        if leg.peer in self._sent_away:
            raise CallRefused(403, "removed from the room before")
        plan = self.plan
        if not (plan.pin or plan.moderator_pin):
            return False
        source = leg.trunk or leg.peer
        words = _ENTER if plan.pin else _ENTER_OR_HASH
        for number in range(1, TRIES + 1):
            self._check_guesses(source)
            pin = await keyed(leg, await self.say(words), LONGEST)
            self._check_guesses(source)  # others may have guessed meanwhile
            if _same(pin, plan.moderator_pin):
                return True
            if _same(pin, plan.pin) or not (pin or plan.pin):
                return False
            if pin:  # who keys nothing guesses nothing
                self._note_wrong(call, source)
            if number < TRIES:
                leg.audio.play(await self.say(_WRONG))
                await leg.until_over(asyncio.sleep(SLOW * 2 ** (number - 1)))
        raise CallRefused(403, "wrong PIN")

    # ── guessing ────────────────────────────────────────────────────────────────────────
    def _check_guesses(self, source: str) -> None:
        """Raises `CallRefused` when too many PINs from there were wrong lately: then not even
        the right one is listened to, or guessing would only be slow."""
        wrong = self._wrong.get(source)
        until = asyncio.get_running_loop().time() - WINDOW
        while wrong and wrong[0] < until:
            wrong.popleft()
        if wrong is not None and len(wrong) >= MAX_WRONG:
            raise CallRefused(403, "too many wrong PINs")

    def _note_wrong(self, call: Call, source: str) -> None:
        wrong = self._wrong.setdefault(source, deque(maxlen=MAX_WRONG))
        wrong.append(asyncio.get_running_loop().time())
        if len(wrong) == MAX_WRONG:
            number = self.plan.number
            call.emit(PinsGuessed(call_id=call.id, at=self._now(), room=number, source=source))

    # ── being in it ─────────────────────────────────────────────────────────────────────
    async def _open(self, leg: Leg) -> Conference:
        """The conference, begun if nobody is in it; all words that it needs are spoken."""
        farewell = await self.say(_SENT_AWAY) + _PAUSE
        music = await asyncio.to_thread(hold_music)  # made once
        if self.conference is None or not self.conference.legs:
            conference = Conference(leg.clock, most=self.plan.most, music=music)
            conference.locked, conference.farewell = self.plan.locked, farewell
            conference.on_kicked = self._note_kicked
            conference.watchers.append(self._look)
            self.conference = conference
        return self.conference

    def _enter(
        self, conference: Conference, call: Call, leg: Leg, *, moderator: bool, invited: bool
    ) -> None:
        """Raises `CallRefused` when it is full or locked."""
        conference.add(leg, invited=invited)
        if moderator:
            self._moderating.add(leg)
            if not leg.trunk:
                conference.moderators.add(leg.peer)
        if self._sent_away and invited:
            self._sent_away.discard(leg.peer)
        leg.on_digit = _Keys(self, conference, leg).pressed
        call.enter(conference)
        name = self.plan.name or self.plan.number
        call.emit(RoomEntered(call_id=call.id, at=self._now(), peer=leg.peer, room=name))
        conference.tell()

    async def _stay(self, conference: Conference, leg: Leg) -> Ending:
        others = len(conference.legs) - 1
        here = "You are the first one here. Please wait." if not others else _count(others, "other")
        welcome = f"Welcome to {self.plan.name}. {here}" if self.plan.name else here
        conference.whisper(leg, await self.say(welcome))
        ending = await leg.ended()
        return Ending(status=200, reason=ending.reason if not ending.by_peer else "")

    def _look(self) -> None:
        """Somebody came or left."""
        conference = self.conference
        if conference is None:
            return
        self._moderating.intersection_update(conference.legs)
        conference.moderators &= {leg.peer for leg in self._moderating}
        if not conference.legs:
            self.conference = None
            self._sent_away.clear()

    def _note_kicked(self, leg: Leg) -> None:
        """Who is sent away stays away, if one can tell who they are."""
        if self.conference is not None and leg.peer.lstrip("+").isdecimal():
            self._sent_away.add(leg.peer)

    def moderates(self, leg: Leg) -> bool:
        """Whether somebody may lock the room and send others away."""
        return leg in self._moderating

    async def say(self, words: str) -> bytes:
        """Words as sound, in the exchange's voice."""
        return await self._speaker().say(words)


class _Keys:
    """The keys of somebody in a room: a star, and what is to be done."""

    def __init__(self, room: Room, conference: Conference, leg: Leg) -> None:
        self._room = room
        self._conference = conference
        self._leg = leg
        self._starred = False
        self._again = 0.0
        self._answering: asyncio.Task[None] | None = None

    def pressed(self, key: str) -> None:
        """A key of a pair; the answer to the one before is cut off. Of a flood most are passed
        over: each may concern everybody in the room."""
        starred, self._starred = self._starred, key == "*"
        now = asyncio.get_running_loop().time()
        if not starred or key == "*" or now < self._again:
            return
        self._again = now + AGAIN
        if self._answering is not None:
            self._answering.cancel()
        self._answering = asyncio.ensure_future(self._answer(self._do(key)))

    def _do(self, key: str) -> str:
        room, conference, leg = self._room, self._conference, self._leg
        if key in "23" and not room.moderates(leg):
            return _NOT_YOU
        match key:
            case "1":
                on = leg not in conference.muted
                conference.mute(leg, on=on)
                return _MUTED if on else _UNMUTED
            case "2":
                conference.lock(on=not conference.locked)
                return _IS_LOCKED if conference.locked else _IS_OPEN
            case "3":
                last = next((one for one in reversed(conference.legs) if one is not leg), None)
                if last is None:
                    return _NOBODY
                conference.kick(last)
                return _REMOVED
            case "4":
                return _count(len(conference.legs))
            case "0":
                return f"{_KEYS} {_MORE_KEYS}" if room.moderates(leg) else _KEYS
        return _NO_SUCH

    async def _answer(self, words: str) -> None:
        pcm = await self._room.say(words)
        self._conference.hush(self._leg)
        self._conference.whisper(self._leg, pcm)


def _same(given: str, wanted: str) -> bool:
    """Whether that is the PIN, in the same time for any wrong one; none is never it."""
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def _count(people: int, what: str = "") -> str:
    """How many are there, as it is spoken."""
    if not what and people == 1:
        return "You are alone in this room."
    number = _NUMBERS[people] if people < len(_NUMBERS) else str(people)
    if people == 1:
        return f"There is {number} {what} here."
    return f"There are {number} {f'{what}s' if what else 'people'} here."


def _words_for(refused: CallRefused) -> str:
    """What a caller hears who is not let in."""
    if refused.status == 486:
        return _FULL
    if "PINs" in refused.reason:
        return _TOO_MANY
    return _GOODBYE if "PIN" in refused.reason else _LOCKED
