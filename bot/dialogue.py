"""The conversation with one person: what was asked, what is being asked back, what happens.

Front ends give it what was said and show what it answers; it acts through the operator only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from bot.ports import (
    ActiveCall,
    Operator,
    OperatorError,
    Person,
    Progress,
    State,
    Step,
    Talk,
    Understand,
)
from bot.questions import cannot_yet, question_for
from bot.replies import Button, Reply
from nlp import commands
from nlp.context import MAX_CHARACTERS

MAX_HISTORY = 8
"Commands that “him”, “again” and “the other one” may mean."
MAX_MESSAGE = MAX_CHARACTERS
"Characters of one message; longer ones are not read."

HELP = """\
I place calls for you. For example:
  Call +1 202 555 0143 from the USA line, then call me back on 101
  Call 102
  Hang up
  Status"""
NOT_UNDERSTOOD = "I did not understand that as a command. Say “help” for what I can do."
NOTHING_DONE = "All right, nothing done."
NO_QUESTION = "There is nothing waiting for a yes."
YES_OR_NO = (Button(label="Yes", says="yes"), Button(label="No", says="no"))


class Dialogue:
    """One person's conversation. `push` is called with what happens later, unasked."""

    def __init__(
        self,
        person: Person,
        operator: Operator,
        understand: Understand,
        push: Callable[[Reply], None],
        learn: Callable[[str, str, str], None] | None = None,
    ) -> None:
        self.person = person
        self._operator = operator
        self._understand = understand
        self._push = push
        self._history: tuple[commands.Command, ...] = ()
        self._learn = learn
        self._asked_by = ""
        "The message that made us ask."
        self._asked = ""
        "The slot a question of ours is about, as `intent.slot`: of the last command."
        self._unasked = deque[tuple[commands.Command, str]]()
        "Commands that lack something as well, to be asked about one after another."
        self._choices: Sequence[ActiveCall] = ()
        self._stop_following = operator.follow(person, self._on_progress)

    def close(self) -> None:
        """Stop telling of calls."""
        self._stop_following()

    async def hear(self, text: str) -> list[Reply]:
        """Answer one message."""
        text = text.strip()
        if not text:
            return []
        if len(text) > MAX_MESSAGE:
            return [Reply(text=f"That is too long for me: {MAX_MESSAGE} characters at most.")]
        chosen = self._choice(text)
        if chosen is not None:
            return await self._hang_up(chosen.call_id)
        talk = Talk(history=self._history, asked=self._asked)
        understood = await self._understand(text, self.person, talk)
        self._choices = ()
        if not understood.commands:
            return [Reply(text=NOT_UNDERSTOOD, buttons=(Button(label="Help", says="help"),))]
        if talk.asked:
            lesson = (self._asked_by, talk.asked, text)
            # Answered or given up: “again” must not find half a command.
            self._asked, self._history = "", self._history[:-1]
            if not _gives(talk.asked, understood.commands):
                self._unasked.clear()
            elif self._learn:
                self._learn(*lesson)
        replies: list[Reply] = []
        incomplete: list[tuple[commands.Command, str]] = []
        for command, lacks in zip(understood.commands, understood.lacks, strict=True):
            if lacks:
                incomplete.append((command, lacks[0]))
            else:
                self._remember(command)
                replies += await self._do(command)
        self._unasked.extendleft(reversed(incomplete))
        if self._unasked:
            command, self._asked = self._unasked.popleft()
            self._asked_by = text
            self._remember(command)
            replies.append(Reply(text=question_for(self._asked)))
        return replies

    def _remember(self, command: commands.Command) -> None:
        self._history = (*self._history, command)[-MAX_HISTORY:]

    async def _do(self, command: commands.Command) -> list[Reply]:
        try:
            match command:
                case commands.Call():
                    return await self._call(command)
                case commands.Hangup():
                    return await self._hang_up_any()
                case commands.Status():
                    return [Reply(text=describe(self._operator.state(self.person)))]
                case commands.Help():
                    return [Reply(text=HELP)]
                case commands.Cancel():
                    return [Reply(text=NOTHING_DONE)]
                case commands.No():
                    return [
                        Reply(text=self._operator.answer(self.person, yes=False) or NOTHING_DONE)
                    ]
                case commands.Yes():
                    return [Reply(text=self._operator.answer(self.person, yes=True) or NO_QUESTION)]
                case _:
                    return [Reply(text=cannot_yet(command))]
        except OperatorError as error:
            return [Reply(text=_sentence(error.message))]

    async def _call(self, command: commands.Call) -> list[Reply]:
        placed = await self._operator.call(self.person, command)
        line = f" from the {placed.line} line" if placed.line else ""
        text = f"Calling {placed.to}{line}, then calling back {placed.back}."
        return [
            Reply(
                text=text,
                call_id=placed.call_id,
                buttons=(Button(label="Hang up", says="hang up"),),
            )
        ]

    async def _hang_up_any(self) -> list[Reply]:
        calls = self._operator.active_calls(self.person)
        if not calls:
            return [Reply(text="There is no call of yours to hang up.")]
        if len(calls) == 1:
            return await self._hang_up(calls[0].call_id)
        self._choices = calls
        lines = [f"  {n}. {_pair(c)}, {_clock(c.seconds)}" for n, c in enumerate(calls, 1)]
        buttons = tuple(Button(label=str(n), says=str(n)) for n in range(1, len(calls) + 1))
        return [Reply(text="Which one?\n" + "\n".join(lines), buttons=buttons)]

    async def _hang_up(self, call_id: str) -> list[Reply]:
        self._choices = ()
        try:
            await self._operator.hang_up(self.person, call_id)
        except OperatorError as error:
            return [Reply(text=_sentence(error.message))]
        return [Reply(text="Hanging up.", call_id=call_id)]

    def _choice(self, text: str) -> ActiveCall | None:
        """The call meant by a bare number, while one is being asked for."""
        if text.isdigit() and len(text) < 4 and 1 <= int(text) <= len(self._choices):
            return self._choices[int(text) - 1]
        return None

    def _on_progress(self, progress: Progress) -> None:
        text = _told(progress)
        if text:
            buttons = YES_OR_NO if progress.step is Step.QUESTION else ()
            self._push(Reply(text=text, buttons=buttons, call_id=progress.call_id))


def _gives(slot: str, found: Sequence[commands.Command]) -> bool:
    """Whether an answer gave the slot that was asked for."""
    intent, _, name = slot.partition(".")
    return any(c.intent == intent and getattr(c, name, None) for c in found)


def describe(state: State) -> str:
    """How the exchange is doing, for people."""
    lines = ["The exchange is up."]
    for line in state.lines:
        condition = "up" if line.up else f"DOWN ({line.detail})"
        numbers = f" {', '.join(line.numbers)}" if line.numbers else ""
        lines.append(f"  line {line.zone}{numbers}: {condition}")
    if not state.lines:
        lines.append("  no line to the telephone network; see [[trunk]] in the configuration")
    for phone in state.phones:
        devices = {0: "no phone", 1: "1 phone"}.get(phone.devices, f"{phone.devices} phones")
        lines.append(f"  {phone.extension} {phone.name}: {devices}")
    for call in state.calls:
        lines.append(f"  call {_pair(call)}, {_clock(call.seconds)}")
    if not state.calls:
        lines.append("  no calls")
    return "\n".join(lines)


def _told(progress: Progress) -> str:
    match progress.step:
        case Step.RINGING:
            return f"{progress.peer} is ringing …"
        case Step.ANSWERED:
            return f"{progress.peer} answered."
        case Step.JOINED:
            return "You are connected."
        case Step.NOTICE | Step.QUESTION:
            return progress.text
        case Step.ENDED:
            if progress.seconds or progress.text in ("hung up", "hung up by command"):
                return f"The call ended: {progress.text}, {_clock(progress.seconds)}."
            return f"The call did not come about: {progress.text}."
    return ""


def _pair(call: ActiveCall) -> str:
    return f"{call.caller} ↔ {call.callee}"


def _clock(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02d}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
