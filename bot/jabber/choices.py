"""Digits in the place of buttons, for people who can only type.

A digit must mean what the person saw beside it. So what is offered keeps its digits until they
say something, however often a call's message changes meanwhile; what comes on top of it is
numbered on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.bounded import Bounded
from bot.replies import Button

MAX_NUMBER = 999
"A person who never answers is offered no higher number: it begins with 1 again."


@dataclass
class _Group:
    """Buttons shown together: from `first` on, in the message about the call `about`."""

    first: int
    buttons: tuple[Button, ...]
    about: str

    @property
    def end(self) -> int:
        return self.first + len(self.buttons)


@dataclass
class _Offered:
    groups: list[_Group] = field(default_factory=list)
    answered: bool = False
    "Whether the person said something since."


class Choices:
    """What each of at most `most` addresses was offered."""

    def __init__(self, most: int) -> None:
        self._offered: Bounded[str, _Offered] = Bounded(most)

    def offer(self, address: str, buttons: tuple[Button, ...], about: str = "") -> str:
        """The line that shows some buttons; empty for none. What was offered `about` the same
        call before is replaced."""
        buttons = tuple(button for button in buttons if button.says)
        now = self._offered.get(address) or _Offered()
        self._offered[address] = now
        before = next((g for g in now.groups if about and g.about == about), None)
        if not buttons:
            if before is not None:
                now.groups.remove(before)
            return ""
        if now.answered:
            now.groups, now.answered = [], False
            before = None
        if before is not None and (before is now.groups[-1] or len(buttons) <= len(before.buttons)):
            before.buttons = buttons
            return _line(before)
        if before is not None:
            now.groups.remove(before)
        first = max((group.end for group in now.groups), default=1)
        if first + len(buttons) > MAX_NUMBER:
            now.groups, first = [], 1
        now.groups.append(_Group(first, buttons, about))
        return _line(now.groups[-1])

    def meant(self, address: str, text: str) -> str:
        """What somebody says who typed `text`: a digit stands for what was offered with it. A
        question is answered once, what can be done with a call is there as long as the call."""
        now = self._offered.get(address)
        if now is None:
            return text
        now.answered = True
        digits = text.strip()[: len(str(MAX_NUMBER)) + 1]
        number = int(digits) if digits.isdecimal() else 0
        for group in now.groups:
            if group.first <= number < group.end:
                if not group.about:
                    now.groups.remove(group)
                return group.buttons[number - group.first].says
        return text


def _line(group: _Group) -> str:
    options = (f"{n} {button.label}" for n, button in enumerate(group.buttons, group.first))
    return f"[ {' · '.join(options)} ]"
