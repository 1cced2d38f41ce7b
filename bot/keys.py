"""Keys for programs, in the chat."""

from __future__ import annotations

import re

from bot.moments import moment
from bot.ports import Operator, Person, only_in_chats
from bot.replies import Button, Reply

USUAL = ("calls", "contacts", "messages")
_MAKE = re.compile(
    r"(?:make|create|give me|i need|new) an? api[ -]?key (?:for|called|named)"
    r" (?:my |the )?(?P<name>[\w .-]{1,40}?)"
    r"(?: (?:that|which) (?:can|may) (?P<scopes>[\w:, ]{2,200}))?",
    re.I,
)
_LIST = re.compile(r"(?:(?:show|list)(?: me)? )?(?:my )?api[ -]?keys", re.I)
_REVOKE = re.compile(
    r"(?:revoke|delete|remove) (?:the |my )?(?:api[ -]?key (?:for |of )?(?P<a>[\w .-]{1,40})"
    r"|(?P<b>[\w .-]{1,40}?) api[ -]?key)",
    re.I,
)


async def about_keys(operator: Operator, person: Person, text: str) -> Reply | None:
    """What set phrases about keys do; None for anything else. Raises `OperatorError`, also where a
    program makes a key."""
    words = " ".join(text.split()).rstrip(".!?")
    if found := _MAKE.fullmatch(words):
        only_in_chats()
        said = re.split(r",? and |[, ]+", found["scopes"] or "")
        scopes = [scope.lower() for scope in said if scope] or list(USUAL)
        token = await operator.make_key(person, found["name"], scopes)
        return Reply(
            text=f"This key lets a program act for you ({', '.join(sorted(scopes))}). I show it "
            f"once, so keep it where nobody else looks, and delete this message:\n{token}",
            private=True,
        )
    if _LIST.fullmatch(words):
        return _listed(operator, person)
    if found := _REVOKE.fullmatch(words):
        name = await operator.keys.revoke(person.extension, found["a"] or found["b"])
        return Reply(text=f"The key {name} opens nothing any more.")
    return None


def _listed(operator: Operator, person: Person) -> Reply:
    found = operator.keys.of(person.extension)
    if not found:
        return Reply(text="No program has a key of yours. Say: make an API key for my CRM.")
    lines, buttons = [], []
    for one in found:
        used = f"used {moment(one.used, person)}" if one.used else "never used"
        until = moment(one.expires, person)
        lines.append(f"  {one.name}: {', '.join(one.scopes)}; {used}; good until {until}")
        buttons.append(Button(label=f"Revoke {one.name}", says=f"revoke the API key {one.name}"))
    return Reply(text="\n".join(["Your keys:", *lines]), buttons=tuple(buttons[:8]), private=True)
