"""A second yes, in the chat: what buttons say, and how people have themselves asked."""

from __future__ import annotations

import re

from bot.ports import Operator, Person, only_in_chats
from bot.replies import Button, Reply

_ANSWER = re.compile(r"(approve|refuse) #([0-9a-f]{16})")
_WANT = re.compile(
    r"(?:ask me|require my approval|require approval|ask)(?: by (?P<by>phone|call|chat|message))?"
    r" (?:before|for) dangerous (?:commands|things)(?: by (?P<later>phone|call|chat|message))?",
    re.I,
)
_NO_MORE = re.compile(
    r"(?:do not|don't|stop) ask(?:ing)? me(?: by (?:phone|call|chat))?(?: any ?more)?"
    r" before dangerous (?:commands|things)(?: any ?more)?",
    re.I,
)
_BY = {"phone": "call", "call": "call", "chat": "chat", "message": "chat"}


def choices(id: str) -> tuple[Button, ...]:
    """What can be said to a question."""
    return (
        Button(label="Approve", says=f"approve #{id}"),
        Button(label="Refuse", says=f"refuse #{id}"),
    )


async def about_approvals(operator: Operator, person: Person, text: str) -> Reply | None:
    """What buttons and set phrases about approvals do; None for anything else. Raises
    `OperatorError`, also where it is a program that answers."""
    words = " ".join(text.split()).rstrip(".!?").replace("’", "'")
    if found := _ANSWER.fullmatch(words):
        only_in_chats()
        yes = found[1] == "approve"
        about = operator.approvals.answer(person, found[2], yes=yes)
        return Reply(text=f"{'Approved' if yes else 'Refused'}: {about}.")
    if found := _WANT.fullmatch(words):
        only_in_chats()
        by = _BY[(found["by"] or found["later"] or "phone").lower()]
        return Reply(text=await operator.approvals.want(person, by))
    if _NO_MORE.fullmatch(words):
        only_in_chats()
        return Reply(text=await operator.approvals.want(person, ""))
    return None
