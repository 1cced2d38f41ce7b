"""Who is who in an order to call: the model's opinion and that of cue words, compared.

The **callback** is where the person who writes is reached; **to** is who they want to speak with.
Where cues and model contradict each other and no cue is decisive, the party stays unresolved, and
the operator asks.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from nlp import labels
from nlp.clauses import split
from nlp.commands import Party
from nlp.spans import Kind, Masked, Span
from nlp.zones import LINE_NOUN


class Role(StrEnum):
    """What a party is to the call."""

    TO = "TO"
    CALLBACK = "CALLBACK"
    UNCLEAR = "UNCLEAR"


@dataclass(frozen=True)
class Placed:
    """A party at ``start:end`` of the masked text: found exactly, or a name the model marked."""

    start: int
    end: int
    span: Span | None


@dataclass(frozen=True)
class Judged:
    """A party with its role and how sure that is."""

    place: Placed
    role: Role
    confidence: float


_MY = (
    r"(?:\s*(?:\b(?:the|my|our|this|that|number|no|phone|extension|ext|mobile|cell|cellphone|desk|"
    r"office|line|handset|landline|home|work|own|telephone|please|is|be|desktop|softphone|on)\b|"
    r"[.:=(,]|'s))*\s*$"
)
_OUR_VERB = (
    r"(?:call|ring|phone|reach|buzz|contact|dial|telephone|try|catch|find|get\s+back\s+to|return)"
)
_JOIN_VERB = r"(?:connect|put|get|hook|link|patch|give|bring|join|transfer|have|bridge|route|tie)"
_CALLBACK_BEFORE = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b{_OUR_VERB}(?:ing|ed)?\s+me(?:\s+(?:back|up|please|then|later|afterwards|first|here|there))*"
        rf"\s*,?\s*(?:on|at|to|via|over|using|with|through|by|under|from)?{_MY}",
        rf"\b{_JOIN_VERB}\s+me\s*,?\s*(?:up\s+)?(?:on|at|from|over|by){_MY}",
        rf"\bme\s*,\s*(?:on|at){_MY}",
        rf"\b(?:call(?:ing)?|ring|phone)[\s-]?back(?:\s+(?:number|phone))?\s*(?:on|at|to|is|via|for)\b{_MY}",
        rf"\bcall-?backs?(?:\s+number)?\s*(?:on|at|to|is|via|for|should\s+be|goes\s+to)?\b{_MY}",
        rf"\b(?:me\s+)?ba(?:ck|k)\s+(?:on|at|to|via|with|over){_MY}",
        rf"\breturn\s+(?:the\s+|my\s+)?call\s+(?:to\s+me\s+)?(?:on|at|to){_MY}",
        rf"\bcall(?:ed)?\s+to\s+me\s+(?:on|at){_MY}|\bme\s+called\s+(?:on|at){_MY}",
        r"\b(?:i'm|i\s+am|im|i'll\s+be|i\s+will\s+be|i\s+sit|me|reachable|reached|available|waiting|"
        rf"sitting)\s+(?:\w+\s+){{0,2}}?(?:on|at|by|under|near|from){_MY}",
        rf"\bi'm{_MY}",
        r"\bmy\s+(?:\w+\s+){0,2}?(?:phone|extension|ext|number|mobile|cell|cellphone|desk|handset|"
        r"landline|softphone|telephone)(?:\s+number)?(?:'s|\s+is|\s*[:=,])?\s*(?:the\s+number\s+)?$",
    )
)
_MY_ADDRESS = re.compile(r"\bmy\s+$")
_CALLBACK_AFTER = re.compile(
    r"^\s*[,(-]?\s*(?:is|=|that's|that\s+is|which\s+is|this\s+is|being)\s+(?:me\b|my\b|mine\b|where\s+i|"
    r"where\s+you\s+(?:can\s+)?reach\s+me)|^\s*\((?:me|my|mine)\b"
)
_FROM = re.compile(rf"\bfrom{_MY}")
_CALL_BACK_BARE = re.compile(rf"\b(?:call|ring|phone)\s+back{_MY}")
_THE = (
    r"(?:\s*(?:\b(?:the|this|that|number|no|phone|extension|ext|following|up|client|please|a|my|on|at|"
    r"one|is|to|line|with|of|for|customer|our)\b|[.:=(]))*\s*$"
)
_TO_BEFORE = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?:get|give|find|bring|fetch|gimme)\s+(?:me\s+)?(?:through\s+to\s+)?{_THE}",
        r"\b(?:connect|put|patch|hook|link|get|join|bridge|transfer|route)(?:ed)?\s+(?:me|us)?\s*"
        rf"(?:up\s+|through\s+|over\s+)*(?:to|with|onto){_THE}",
        rf"\b(?:speak|talk|chat|speaking|talking|word|touch|hold|conversation)\s+(?:to|with|of){_THE}",
        rf"\b(?:call|ring|connection|line|through|buzz|shout|bell)\s+(?:to|with|for){_THE}",
        rf"\b(?:call|cal|dial|dail|ring|phone|telephone|reach|contact|try|calling|dial+ing|ringing|"
        rf"phoning|reaching|got|raise|need|want){_THE}",
    )
)
_JOINING = re.compile(
    r"\b(?:connect|join|bridge|link|patch|couple|hook\s+up|tie)(?:ing)?\s+(?!me\b|us\b)"
)
_MINE = re.compile(r"\b(?:my|mine|me|i'm)\b[^,;.]{0,25}$")
_LIST_GOES_ON = re.compile(
    r"\s*(?:,\s*and|,|and|&)\s+(?!(?:call|ring|phone|dial|then|please|hang|record|tape|hide|use|take|"
    r"tell|say|ask|reach|get|put|connect|text|message|send|remind|turn|video|also|now|thanks|thank|"
    r"i|me|it|them|then|after|with|on|via|from|through|over|the line|do|don't|make|let|see|my|will|"
    r"would|can|could|is|for|right|asap|urgent|quickly|so|that|if|when|not)\b)"
    r"([a-z][a-z'-]*(?:\s+(?!on\b|via\b|using\b|at\b|from\b|through\b|over\b|please\b|with\b|by\b|now\b)"
    r"[a-z][a-z'-]*)?)(?=\s*$|\s*[.,!?]|\s+(?:on|via|using|at|from|through|over|please|with|by|now)\b)"
)
_LINE_AFTER = re.compile(rf"^(?:[\s-]+zone)?[\s-]+{LINE_NOUN}\b")
_LINE_BEFORE = re.compile(
    r"\b(?:via|through|thru|over|using|use|out\s+of|by\s+way\s+of|go(?:ing)?\s+(?:out\s+)?through)\s*:?\s*"
    r"(?:the\s+|my\s+|our\s+|a\s+|an\s+)?$|\b(?:from|with|on|by)\s+(?:the\s+)?$"
    r"|\b(?:line|trunk|zone|number|gateway|route)(?:\s+is|\s*[:=])?\s+(?:of\s+|in\s+|for\s+|from\s+)?"
    r"(?:the\s+)?$"
)


def judge(
    masked: Masked, model: tuple[tuple[int, int, str], ...], start: int, end: int
) -> list[Judged]:
    """All parties within ``start:end``, each with its role."""
    places = _places(masked, model, start, end)
    joined = _joined(masked.text, places)
    judged = [joined.get(place) or _judge(masked.text, model, place) for place in places]
    return _reconsidered(masked.text, judged)


def lines(
    masked: Masked, model: tuple[tuple[int, int, str], ...], start: int, end: int
) -> list[tuple[str, float]]:
    """The zones that are said to be the line, each with how sure that is."""
    found: list[tuple[str, float]] = []
    for a, b, span in masked.inside(start, end):
        if span.kind is not Kind.ZONE or not isinstance(span.value, str):
            continue
        if _role_at(model, a, b) == labels.TO:
            continue  # "the German embassy" is called, not called through
        cued = bool(_LINE_AFTER.search(masked.text[b:]) or _LINE_BEFORE.search(masked.text[:a]))
        marked = _role_at(model, a, b) == labels.LINE
        if cued or marked:
            found.append((span.value, 1.0 if cued and marked else 0.9 if cued else 0.8))
    return found


def _places(
    masked: Masked, model: tuple[tuple[int, int, str], ...], start: int, end: int
) -> list[Placed]:
    exact = [
        Placed(a, b, span)
        for a, b, span in masked.inside(start, end)
        if isinstance(span.value, Party)
    ]
    named: list[Placed] = []
    for a, b, role in model:
        if not start <= a < b <= end or role in (labels.LINE, labels.TEXT):
            continue
        covered = [place for place in exact if a <= place.start and place.end <= b]
        if not covered:
            if not masked.inside(a, b) or role == labels.TO:
                named.append(Placed(a, b, None))
        elif _says_more(masked.text, a, b, covered):
            # "Bob Smith" is not the contact "Bob".
            exact = [place for place in exact if place not in covered]
            named.append(Placed(a, b, None))
    named = [_whole_name(masked, place) for place in named]
    places = _adjacent_joined(masked.text, sorted([*exact, *named], key=lambda place: place.start))
    return _with_rest_of_list(masked.text, end, places)


def _whole_name(masked: Masked, place: Placed) -> Placed:
    """ "Zebulon Quist" where the model marked the first word only: capitals tell."""
    end = place.end
    while not masked.original.isupper():
        word = re.compile(r"\s+([a-z][a-z'-]+)").match(masked.text, end)
        if not word or masked.inside(word.start(1), word.end(1)):
            break
        if not masked.original[masked.offsets[word.start(1)]].isupper():
            break
        end = word.end()
    return Placed(place.start, end, None)


def _adjacent_joined(text: str, places: list[Placed]) -> list[Placed]:
    """ "Bob Smith" marked as two parties is one, and not the contact "Bob"."""
    joined: list[Placed] = []
    for place in places:
        last = joined[-1] if joined else None
        names = last is not None and all(
            p.span is None or p.span.kind is Kind.CONTACT for p in (last, place)
        )
        if last is not None and names and text[last.end : place.start].strip(" '") == "":
            joined[-1] = Placed(last.start, place.end, None)
        else:
            joined.append(place)
    return joined


def _with_rest_of_list(text: str, end: int, places: list[Placed]) -> list[Placed]:
    """ "Call mum and dad": where the model stopped after the first name, the list goes on."""
    last = places[-1] if places else None
    if last is None or (last.span is not None and last.span.kind is not Kind.CONTACT):
        return places
    more = _LIST_GOES_ON.match(text, last.end, end)
    return [*places, Placed(more.start(1), more.end(1), None)] if more else places


def _says_more(text: str, start: int, end: int, covered: list[Placed]) -> bool:
    contacts = [p for p in covered if p.span is not None and p.span.kind is Kind.CONTACT]
    if len(covered) != 1 or not contacts:
        return False
    rest = text[start : covered[0].start] + text[covered[0].end : end]
    rest = re.sub(r"\b(?:my|our|the|number|phone|mobile|cell|please|'s)\b|'s|\W", "", rest)
    return bool(rest)


def _role_at(model: tuple[tuple[int, int, str], ...], start: int, end: int) -> str | None:
    return next((role for a, b, role in model if a < end and start < b), None)


def _judge(text: str, model: tuple[tuple[int, int, str], ...], place: Placed) -> Judged:
    cue, decisive = _cue(text, place)
    marked = _role_at(model, place.start, place.end)
    opinion = Role(marked) if marked in (Role.TO, Role.CALLBACK) else None
    if cue is None:
        return Judged(place, opinion or Role.UNCLEAR, 0.85 if opinion else 0.0)
    if opinion is cue:
        return Judged(place, cue, 1.0)
    if opinion is None:
        return Judged(place, cue, 0.9)
    if decisive and cue is Role.CALLBACK:
        return Judged(place, cue, 0.95)  # "call me back on …" leaves no doubt
    return Judged(place, cue, 0.8) if decisive else Judged(place, Role.UNCLEAR, 0.0)


def _cue(text: str, place: Placed) -> tuple[Role | None, bool]:
    before, after = text[: place.start], text[place.end :]
    is_address = place.span is not None and place.span.kind is not Kind.CONTACT
    if is_address:
        if _MY_ADDRESS.search(before) or _CALLBACK_AFTER.search(after):
            return Role.CALLBACK, True
        if any(p.search(before) for p in _CALLBACK_BEFORE):
            return Role.CALLBACK, True
        if _FROM.search(before):
            return Role.CALLBACK, True
        if _CALL_BACK_BARE.search(before):
            return Role.CALLBACK, False
    if any(p.search(before) for p in _TO_BEFORE[:-1]):
        return Role.TO, True
    if _TO_BEFORE[-1].search(before):
        return Role.TO, False
    return None, False


def _joined(text: str, places: list[Placed]) -> dict[Placed, Judged]:
    """ "Join A with B": mine is the one called mine; else the extension; else the first."""
    for verb in _JOINING.finditer(text):
        clause_end = next((b for a, b in split(text) if a <= verb.start() < b), len(text))
        pair = [p for p in places if p.start >= verb.start()][:2]
        if len(pair) < 2 or (pair[0].start > clause_end):
            continue
        between = text[pair[0].end : pair[1].start]
        if not re.search(r"\b(?:with|to|and|into|onto|together)\b", between) or len(between) > 40:
            continue
        first, second = pair
        kinds = [p.span.kind if p.span else None for p in pair]
        if _CALLBACK_AFTER.search(text[first.end :]) or _MINE.search(
            text[verb.end() : first.start]
        ):
            mine, sure = first, 1.0
        elif _MINE.search(between):
            mine, sure = second, 1.0
        elif kinds.count(Kind.EXTENSION) == 1:
            mine, sure = pair[kinds.index(Kind.EXTENSION)], 0.85
        elif kinds[0] in (Kind.NUMBER, Kind.EXTENSION):
            mine, sure = first, 0.8
        else:
            continue
        other = second if mine is first else first
        return {mine: Judged(mine, Role.CALLBACK, sure), other: Judged(other, Role.TO, sure)}
    return {}


def _reconsidered(text: str, judged: list[Judged]) -> list[Judged]:
    """What the parties say about each other."""
    roles = [item.role for item in judged]
    if len(judged) == 1 and roles == [Role.CALLBACK]:
        only = judged[0]
        if _CALL_BACK_BARE.search(text[: only.place.start]):
            return [Judged(only.place, Role.TO, 0.85)]  # "call back 102": nobody else to talk to
    if len(judged) == 1 and roles == [Role.UNCLEAR]:
        only = judged[0]
        if any(p.search(text[: only.place.start]) for p in _TO_BEFORE):
            return [Judged(only.place, Role.TO, 0.8)]  # nobody else is there to be called
    if len(judged) == 2 and roles.count(Role.UNCLEAR) == 1:
        # One of two is plain, so the other can only be the other; a name is never my phone.
        known = next(item for item in judged if item.role is not Role.UNCLEAR)
        unclear = next(item for item in judged if item.role is Role.UNCLEAR)
        if known.role is Role.CALLBACK:
            found = Judged(unclear.place, Role.TO, 0.75)
            return [found if item is unclear else item for item in judged]
    return judged
