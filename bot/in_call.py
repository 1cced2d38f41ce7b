"""What can be done with calls going on: by a word, by a button, and by choosing among several."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.card import clock, pair
from bot.planned import planned
from bot.ports import ActiveCall, Control, Operator, Person
from bot.replies import Button, Reply
from nlp.commands import Party

# What buttons say that are about one certain call.
_PRESSED = re.compile(
    r"(hang up|hold|resume|mute|unmute|answer|reject|mailbox|later|keypad|transfer|add|record"
    r"|stop recording|park|press [0-9*#])"
    r" #([0-9a-f]{6,16})"
)
_KEYS = re.compile(r"press\s+((?:[0-9*#]\s*){1,32})", re.IGNORECASE)
_PARK = re.compile(r"park(?: (?:this|the|him|her|them|it|my))?(?: call)?", re.IGNORECASE)
_DONE = {
    "hold": "They are on hold and hear music.",
    "resume": "You hear each other again.",
    "mute": "They do not hear you now.",
    "unmute": "They hear you again.",
    "answer": "Your phone takes the call.",
    "reject": "Rejected.",
    "mailbox": "They can leave a message now.",
    "press": "Pressed.",
    "record": "Recording.",
    "stop recording": "I record no more.",
}
_ASKS = {"transfer": "transfer.to", "add": "conference.participants"}
"What buttons have to ask before anything can be done."
_NO_KEYS = "There is no call to press keys in."
_NOTHING_RINGS = "Nothing is ringing just now."


def _of_two(call: ActiveCall) -> bool:
    return call.joined and not call.conference


_FITS: Mapping[str, tuple[Callable[[ActiveCall], bool], str]] = {
    "hang up": (lambda call: True, "There is no call of yours to hang up."),
    "hold": (lambda call: _of_two(call) and not call.held, "There is no call to put on hold."),
    "resume": (lambda call: call.held, "No call is on hold."),
    "park": (_of_two, "There is no call to park."),
    "transfer": (_of_two, "There is no call to transfer."),
    "mute": (lambda call: call.joined and not call.muted, "There is no call to mute."),
    "unmute": (lambda call: call.muted, "No call is muted."),
    "record": (lambda call: call.joined and not call.recording, "There is no call to record."),
    "stop recording": (lambda call: call.recording, "No call is being recorded."),
    "answer": (lambda call: call.incoming, _NOTHING_RINGS),
    "reject": (lambda call: call.incoming, _NOTHING_RINGS),
    "mailbox": (lambda call: call.incoming, _NOTHING_RINGS),
    "later": (lambda call: call.incoming, _NOTHING_RINGS),
    "press": (lambda call: call.joined, _NO_KEYS),
    "keypad": (lambda call: call.joined, _NO_KEYS),
}


@dataclass(frozen=True)
class Answered:
    """That a message was about a call; a button's effect may need no words."""

    replies: list[Reply]


class InCall:
    """Remembers which calls a person was asked to choose from."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._what, self._choices = "", tuple[ActiveCall, ...]()
        self.asking = ""
        "The slot that a button wants to know, for the dialogue to ask."
        self._to = Party()
        "Whom to transfer a call to."

    async def heard(self, person: Person, text: str) -> Answered | None:
        """What a button, keys, or the number of a call does; None for anything else. Raises
        `OperatorError`."""
        if pressed := _PRESSED.fullmatch(text):
            what, call_id = pressed.groups()
            if what in _ASKS:
                self.asking = _ASKS[what]
                return Answered([])
            replies = await self._act(person, what, call_id)
            done = Reply(text=_DONE.get(_verb(what), ""))
            return Answered([] if replies == [done] else replies)  # the call's message shows it
        if keys := _KEYS.fullmatch(text):
            return Answered(await self.do(person, "press " + "".join(keys[1].split())))
        if _PARK.fullmatch(text):
            return Answered(await self.do(person, "park"))
        if text.lower() in ("keypad", "mailbox", "later"):
            return Answered(await self.do(person, text.lower()))
        if text.isdecimal() and len(text) < 4 and 1 <= int(text) <= len(self._choices):
            return Answered(
                await self._act(person, self._what, self._choices[int(text) - 1].call_id)
            )
        return None

    def forget_choice(self) -> None:
        """The person talks of something else: a number is no choice any more."""
        self._what, self._choices = "", ()

    async def do(self, person: Person, what: str) -> list[Reply]:
        """Do something with the call it can be done with; ask which where there are several."""
        fits, none = _FITS[_verb(what)]
        calls = tuple(call for call in self._operator.active_calls(person) if fits(call))
        if not calls:
            return [Reply(text=none)]
        if len(calls) == 1:
            return await self._act(person, what, calls[0].call_id)
        self._what, self._choices = what, calls
        return [_which(calls)]

    async def transfer(self, person: Person, to: Party) -> list[Reply]:
        """Give one's place in the call to somebody; ask which call where there are several."""
        self._to = to
        return await self.do(person, "transfer on")

    async def _act(self, person: Person, what: str, call_id: str) -> list[Reply]:
        """Do something with a certain call."""
        self.forget_choice()
        verb = _verb(what)
        keys = what[len(verb) + 1 :]
        match verb:
            case "hang up":
                await self._operator.hang_up(person, call_id)
                return [Reply(text="Hanging up.", call_id=call_id)]
            case "press":
                self._operator.press(person, call_id, keys)
            case "transfer" if keys:
                who = await self._operator.transfer(person, call_id, self._to)
                return [Reply(text=f"Transferring to {who} …", call_id=call_id)]
            case "park":
                place = self._operator.park(person, call_id)
                text = f"Parked: dial {place} from any of our phones to take it."
                return [Reply(text=text, call_id=call_id)]
            case "later":
                return [planned(await self._operator.call_back_later(person, call_id), person)]
            case "keypad":
                return [_keypad(call_id)]
            case _:
                await self._operator.control(person, call_id, Control(verb))
        return [Reply(text=_DONE[verb])]


def _verb(what: str) -> str:
    """What is to be done, without the keys that may follow."""
    return what if what in _FITS else what.partition(" ")[0]


def _which(calls: Sequence[ActiveCall]) -> Reply:
    lines = [f"  {n}. {pair(call)}, {clock(call.seconds)}" for n, call in enumerate(calls, 1)]
    buttons = tuple(Button(label=str(n), says=str(n)) for n in range(1, len(calls) + 1))
    return Reply(text="Which one?\n" + "\n".join(lines), buttons=buttons)


def _keypad(call_id: str) -> Reply:
    keys = tuple(Button(label=key, says=f"press {key} #{call_id}") for key in "123456789*0#")
    return Reply(text="Tap keys, or type for instance “press 123#”.", buttons=keys, keypad=True)
