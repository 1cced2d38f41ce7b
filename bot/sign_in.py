"""The way from the chat to the console page."""

from __future__ import annotations

import re

from bot.ports import Operator, Person, only_in_chats
from bot.replies import Reply

_OPEN = re.compile(
    r"(?:(?:open|show)(?: me)? )?(?:the |my )?(?:console|web page|control panel|dashboard)"
    r"(?: page| link)?|(?:log|sign) (?:me )?in(?: (?:to|on) (?:the |my )?(?:console|web page))?",
    re.I,
)
_LINK = """\
Your console page, for this once and within {minutes} minutes:
{url}
Whoever has the link first is you: do not pass it on."""


async def about_console(operator: Operator, person: Person, text: str) -> Reply | None:
    """A link into the console page; None for anything else. Raises `OperatorError`, also where it
    is a program that says so."""
    if not _OPEN.fullmatch(" ".join(text.split()).rstrip(".!?")):
        return None
    only_in_chats()
    link = await operator.open_console(person)
    return Reply(text=_LINK.format(url=link.url, minutes=link.minutes), private=True)
