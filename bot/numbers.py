"""What people say about numbers of theirs: those for advertisements, and those in the place of
people. Set phrases; asking for a number and for statistics comes through the dialogue."""

from __future__ import annotations

import re

from bot.ports import Operator, Person
from bot.replies import Reply
from bot.wishes import party_said

_MINE = re.compile(r"(?:show |list |what are )?(?:me )?(?:my |the |all )?tracking numbers", re.I)
_SEND = re.compile(
    r"(?:send|route|forward)(?: calls for)? (?:the |my )?(?P<label>.{1,60}?) number to (?P<who>.{1,60})",
    re.I,
)
_BACK = re.compile(
    r"(?:give back|release|return|drop) (?:the |my )?(?P<label>.{1,60}?) number", re.I
)
_RELAY = re.compile(
    r"(?:a |give me a |make a |create a |set up a )?relay(?: number)? (?:between|for|connecting) "
    r"(?P<one>.{1,60}?) and (?P<other>.{1,60})|"
    r"connect (?P<a>.{1,60}?) and (?P<b>.{1,60}?) by (?:a )?relay(?: number)?",
    re.I,
)
_RELAYS = re.compile(
    r"(?:show |list |what are )?(?:me )?(?:my |the |all )?relay(?: number)?s", re.I
)
_END = re.compile(
    r"(?:end|remove|delete|stop|drop) (?:the )?relay(?: number)? (?P<number>\d{4,8})", re.I
)


async def about_numbers(operator: Operator, person: Person, text: str) -> list[Reply] | None:
    """What set phrases about numbers do; None for anything else. Raises `OperatorError`."""
    words = " ".join(text.split()).rstrip(".!?")
    tracking, relays = operator.tracking, operator.relays
    said = ""
    if _MINE.fullmatch(words):
        said = tracking.listed(person)
    elif (found := _SEND.fullmatch(words)) and tracking.knows(person, found["label"]):
        said = await tracking.send(person, found["label"], party_said(found["who"]))
    elif (found := _BACK.fullmatch(words)) and tracking.knows(person, found["label"]):
        said = await tracking.give_back(person, found["label"])
    elif _RELAYS.fullmatch(words):
        said = relays.listed(person)
    elif found := _END.fullmatch(words):
        said = await relays.end(person, found["number"])
    elif found := _RELAY.fullmatch(words):
        one, other = found["one"] or found["a"], found["other"] or found["b"]
        said = await relays.connect(person, party_said(one), party_said(other))
    return [Reply(text=said)] if said else None
