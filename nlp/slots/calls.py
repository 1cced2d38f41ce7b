"""Conferences, and giving a call away."""

import re

from nlp.commands import Conference, Transfer
from nlp.frame import build_call
from nlp.slots.built import Built
from nlp.view import View

_TO = re.compile(
    r"\b(?:to|with|onto|let|have|make|transfer)\s+(?:the\s+|my\s+|our\s+)?(?P<who>.+?)"
    r"(?=\s*(?:$|[.,;!?]|\b(?:please|now|and\s+then|and\s+hang|instead|right\s+away|asap|immediately|take|"
    r"handle|will\s+you|would\s+you|for\s+me|when|if|because|thanks|thank)\b))"
)
_NEW_GUEST = re.compile(
    r"\b(?:add|bring|get|join|include|loop|patch|pull|conference|invite)\s+(?:in\s+)?(?P<who>.+?)\s*"
    r"(?:\b(?:to|in|into|on|onto|in\s+on)\s+(?:the|this|my|our|a)\b|\b(?:in|too|as\s+well|please)\b|$)"
)
_LISTED = re.compile(r"\s*(?:,\s*and|,|\band\b|&|\bplus\b|\balong\s+with\b)\s*")


def conference(view: View) -> Built:
    """Everybody named takes part, wherever they stand in the sentence."""
    framed = build_call(view.masked, view.roles, view.start, view.end, view.context)
    guests = [party for party in framed.call.to if not party.me]
    for _, _, party in view.parties():
        if party not in guests and not any(_same(party, one) for one in guests):
            guests.append(party)
    if not guests and (found := _NEW_GUEST.search(view.text)):
        start = found.start("who")
        for piece in [*_LISTED.finditer(found["who"]), None]:
            end = found.start("who") + piece.start() if piece else found.end("who")
            guest = view.party(start, end)
            if guest is not None:
                guests.append(guest)
            start = found.start("who") + piece.end() if piece else end
    unclear = tuple(slot.removeprefix("call.") for slot in framed.missing if slot != "call.to")
    command = Conference(participants=tuple(guests), line=framed.call.line, at=framed.call.at)
    return Built(command, tuple(slot for slot in unclear if slot in ("line", "at")))


def _same(one: object, two: object) -> bool:
    names = [(getattr(party, "name", None) or "").lower() for party in (one, two)]
    return bool(names[0]) and (names[0] in names[1] or names[1] in names[0])


def transfer(view: View) -> Built:
    """To whom: the last one named after "to"."""
    found = list(_TO.finditer(view.text))
    for match in reversed(found):
        party = view.party(*match.span("who"))
        if party is not None:
            return Built(Transfer(to=party))
    exact = view.parties()
    return Built(Transfer(to=exact[-1][2] if exact else None))
