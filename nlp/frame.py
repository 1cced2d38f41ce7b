"""One order to call: its slots put together, and what must still be asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from nlp import roles
from nlp.commands import Call, Party, When
from nlp.contacts import named
from nlp.context import Context
from nlp.flags import flags_of
from nlp.roles import Judged, Role
from nlp.spans import Kind, Masked
from nlp.times import moment

_ME = re.compile(r"\b(?:call|ring|phone|buzz|telephone|dial)\s+me\b(?P<back>\s+back)?")
_LIST = re.compile(r"\s*(?:,|and|&|,\s*and|plus|with)\s*")
_ADDRESS_OF = re.compile(
    r"(?:'s)?\s*[,:]?\s*(?:on|at|under|number|phone|mobile|cell|extension|ext)\s+"
    r"(?:(?:number|phone|mobile|cell|extension|ext|the|his|her|their|is)\s+)*"
)


@dataclass(frozen=True)
class Framed:
    """The call, the slots to ask for, and how sure the roles are."""

    call: Call
    missing: tuple[str, ...]
    confidence: float


def build_call(
    masked: Masked,
    model_roles: tuple[tuple[int, int, str], ...],
    start: int,
    end: int,
    context: Context,
) -> Framed:
    """The call that ``masked.text[start:end]`` orders."""
    contacts, region, now = context.contacts, context.region, context.local_now()
    judged = roles.judge(masked, model_roles, start, end)
    text = masked.text[start:end]
    missing: list[str] = []
    sure = [1.0]

    judged = _without_strays(masked.text, judged)
    to: list[Party] = []
    callbacks: list[Party] = []
    unclear = any(
        item.role is Role.UNCLEAR and item.place.span is not None for item in judged
    ) or _two_readings(masked.text, judged)
    named: tuple[str, int] | None = None
    for item in judged:
        party = _party(masked, item, contacts, region)
        if party is None or item.role is Role.UNCLEAR:
            continue
        address = named and _ADDRESS_OF.fullmatch(masked.text, named[1], item.place.start)
        role = item.role
        if named and address and party.name is None:
            # "Bob on +1 …": one party, and the number just said is the one to dial.
            to.pop()
            role = Role.TO
            party = Party(name=named[0], number=party.number, extension=party.extension)
        known = to if role is Role.TO else callbacks
        if party not in known:
            known.append(party)
            sure.append(item.confidence)
        is_name = role is Role.TO and party.name is not None
        named = (party.name or "", item.place.end) if is_name else None
    if _clash(to, callbacks):
        unclear = True
    if unclear:
        # Two addresses and a doubt: neither is dialled before the person says who is who.
        to, callbacks = [], []
        sure.append(0.4)

    me = _ME.search(text)
    if not to and not unclear and me and not (me["back"] and callbacks):
        to.append(Party(me=True))
    if not to:
        missing.append("call.to")
    if len(callbacks) > 1:
        callbacks = []
        missing.append("call.callback")

    said_lines = roles.lines(masked, model_roles, start, end)
    line = None
    if len({code for code, _ in said_lines}) > 1:
        missing.append("call.line")
    elif said_lines:
        line = said_lines[0][0]
        sure.append(max(confidence for _, confidence in said_lines))

    at = _when(masked, start, end, missing, now)
    flags = flags_of(text)
    call = Call(
        to=tuple(to),
        line=line,
        callback=callbacks[0] if callbacks else None,
        at=at,
        hide_number=flags.hide_number,
        record=flags.record,
        video=flags.video,
    )
    return Framed(call, tuple(missing), min(sure))


def _clash(to: list[Party], callbacks: list[Party]) -> bool:
    """Whether somebody would be called back on the phone they call."""
    return any(party in callbacks for party in to)


def _without_strays(text: str, judged: list[Judged]) -> list[Judged]:
    """Beside an address to call, a mere name counts only in one list or phrase with it."""
    if not any(item.role is Role.TO and item.place.span for item in judged):
        return judged
    kept: list[Judged] = []
    for i, item in enumerate(judged):
        neighbours = judged[max(i - 1, 0) : i] + judged[i + 1 : i + 2]
        gaps = [
            text[min(item.place.end, other.place.end) : max(item.place.start, other.place.start)]
            for other in neighbours
        ]
        if item.place.span or any(_LIST.fullmatch(g) or _ADDRESS_OF.fullmatch(g) for g in gaps):
            kept.append(item)
    return kept


def _two_readings(text: str, judged: list[Judged]) -> bool:
    """ "Call NUMBER over the trunk and ring EXTENSION": is the extension mine, or called too?"""
    parties = [item for item in judged if item.place.span is not None]
    if len(parties) != 2 or any(item.role is not Role.TO for item in parties):
        return False
    kinds = {item.place.span.kind for item in parties if item.place.span}
    between = text[parties[0].place.end : parties[1].place.start]
    return kinds == {Kind.NUMBER, Kind.EXTENSION} and len(between.split()) > 2


def _party(masked: Masked, item: Judged, contacts: Mapping[str, str], region: str) -> Party | None:
    place = item.place
    if place.span is not None and isinstance(place.span.value, Party):
        return place.span.value
    return named(masked.words(place.start, place.end), contacts, region)


def _when(masked: Masked, start: int, end: int, missing: list[str], now: datetime) -> When | None:
    times = [span for _, _, span in masked.inside(start, end) if span.kind is Kind.TIME]
    if not times:
        return None
    value = moment(times, now)
    if value is None:
        missing.append("call.at")
    return value
