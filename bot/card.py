"""A call as one message that changes: who with whom, how far it is, and what can be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from bot.ports import Progress, Step
from bot.replies import Button

MAX_NOTICES = 3


@dataclass
class Card:
    """What is known of a call so far. `clock` gives the person's time of day."""

    call_id: str
    title: str
    clock: Callable[[], datetime]
    over: bool = False
    _state: str = "Dialling …"
    _notices: list[str] = field(default_factory=list)

    def take(self, progress: Progress) -> None:
        """The next step of the call."""
        match progress.step:
            case Step.RINGING | Step.ANSWERED:
                self._state = told(progress)
            case Step.JOINED:
                self._state = f"Connected since {self.clock():%H:%M}."
            case Step.NOTICE | Step.QUESTION:
                self._notices = [*self._notices, progress.text][-MAX_NOTICES:]
            case Step.ENDED:
                self.over, self._state = True, told(progress)

    @property
    def text(self) -> str:
        """The whole message."""
        return "\n".join([self.title, self._state, *self._notices])

    @property
    def buttons(self) -> tuple[Button, ...]:
        """What can be done with the call now."""
        return () if self.over else (Button(label="Hang up", says=f"hang up #{self.call_id}"),)


def told(progress: Progress) -> str:
    """One step in words."""
    match progress.step:
        case Step.RINGING:
            return f"{progress.peer} is ringing …"
        case Step.ANSWERED:
            return f"{progress.peer} answered."
        case Step.JOINED:
            return "You are connected."
        case Step.NOTICE | Step.QUESTION:
            return progress.text
        case Step.MISSED:
            return f"You missed a call from {progress.peer}."
        case Step.ENDED:
            if progress.seconds or progress.text in ("hung up", "hung up by command"):
                return f"The call ended: {progress.text}, {clock(progress.seconds)}."
            return f"The call did not come about: {progress.text}."
    return ""


def clock(seconds: int) -> str:
    """A duration as people write it: 3:10."""
    return f"{seconds // 60}:{seconds % 60:02d}"
