"""Who watches what: asked with set phrases."""

from __future__ import annotations

import re

from bot.ports import Operator, Person, Shown
from bot.replies import Reply

_WHO = re.compile(
    r"who(?: is|'s|’s|s)? (?:watching|watches)(?: (?:the )?(?:broadcast|camera|me))?"
    r"|(?:show )?(?:my |the )?broadcasts?|/broadcasts",
    re.IGNORECASE,
)
MAX_NAMED = 30
"Names of those who watch told at once."
NONE = (
    "There is no broadcast. Add a [[broadcast]] to the configuration: one phone shows, all others "
    "that call its number watch."
)


def who_watches(operator: Operator, person: Person, text: str) -> Reply | None:
    """The answer; None when the text is about something else."""
    if not _WHO.fullmatch(" ".join(text.split()).rstrip("?.!")):
        return None
    shown = operator.broadcasts(person)
    return Reply(text="\n".join(_line(one) for one in shown) or NONE)


def _line(one: Shown) -> str:
    names = ", ".join(one.watching[:MAX_NAMED]) or "nobody"
    more = len(one.watching) - MAX_NAMED
    rest = f" and {more} more" if more > 0 else ""
    state = f"shown by {one.sender}" if one.live else "nothing to see just now"
    return f"{one.name} ({one.number}): {state}. Watching: {names}{rest}."
