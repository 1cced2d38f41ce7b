"""The clauses of a message, and which of them belong to one command.

"Hang up and call 102" is two commands; "I'm on 101. Get me Bob, via the UK, then ring me" is one.
Every clause is labelled by the model; clauses that only complete another one join it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from nlp import labels
from nlp.flags import only_flags
from nlp.model import Prediction

_VERBS = (
    r"(?:please\s+)?(?:call|dial|ring|phone|telephone|hang|end|stop|drop|disconnect|cancel|text|"
    r"message|remind|send|tell|record|hide|use|take|reach|connect|get|put|join|buzz|block|forward|"
    r"transfer|mute|show|help|save|play|set|add|go|redial|video|cut|finish|terminate|let|my|i'm|i|unmute|"
    r"unblock|divert|redirect|top|invite|list|delete|remove|wake|turn|switch|start|move|change|give|what|"
    r"what's|who|how|hold|resume|answer|reject|check|sync|pay|tell|withhold|don't|ping|sms|store|any)\b"
)
_BOUNDARY = re.compile(
    r"(?<!\bdr)(?<!\bmr)(?<!\bms)(?<!\bmrs)(?<!\bno)(?<!\bext)[.!?;]+\s+"
    r"|\s*[,;]?\s+(?:and\s+)?(?:then|afterwards|after\s+that)\b\s*,?\s*"
    r"|\s*[,;]\s*(?:and\s+)?next\b\s*,?\s*"
    r"|\s+so\s+(?=(?:please|can\s+you|could\s+you)\b)"
    rf"|\s*:\s+(?=(?:please\s+)?{_VERBS})"
    r"|\s*,\s*(?:and\s+|but\s+)?"
    rf"|\s+(?:and|&|but)\s+(?={_VERBS})"
    r"|\s+-+\s+"
    r"|\s+and\s+(?=(?:(?:at|in|on)\s+)?TIMEEXPR\s+(?:to|about)\b)"
)
# What stands between two commands and belongs to neither.
_JOINING = re.compile(r"\s+(?:and|but)\s+$")
# "… and at TIMEEXPR to buy bread": one more reminder.
_ONE_MORE = re.compile(r"(?:(?:at|in|on)\s+)?TIMEEXPR\s+(?:to|about)\b")
# "Ok, call Bob": the agreement is a way to begin, not an answer.
_OPENING = re.compile(r"\W*(?:ok|okay|alright|all right|right|sure|fine|good|great|perfect)\W*")
# "My number is PHONENUM" saves a contact when alone; beside a call it tells where to ring.
_MY_NUMBER = re.compile(
    r"\W*(?:and\s+)?my\s+(?:\w+\s+){0,3}(?:is|:|=)\s+(?:\w+\s+){0,2}(?:PHONENUM|EXTNUM)\W*"
)
# What begins something new even after words of the person's own.
_STRONG = re.compile(
    r"(?:[.!?;]\s+|\bthen\b|\bafterwards\b|\bafter\s+that\b|\balso\b|\bnext\b)\W*$"
)
_THEN = re.compile(r"(?:\bthen\b|\bafterwards\b|\bafter\s+that\b|\balso\b)\W*$")
_SENTENCE = re.compile(r"[.!?;]\s+\W*$")
_TEXTS = re.compile(r"(?:and\s+)?(?:text|message|tell|sms)\s+(?:CONTACTNAME|PHONENUM|EXTNUM)\b")
_HIM = re.compile(r"\b(?:him|her|them|it|this|that)\b")
_ALSO = re.compile(r"\W*(?:and\s+)?(?:also|then|oh\s+and|plus)\b")
_WISHES = frozenset({"hide_number", "record"})
_ANSWERS = frozenset({"yes", "no", "cancel"})
_CLEARLY = 0.9
_SURE = 0.7
_PLAIN_ORDER = 0.95
#: From here on a message as a whole tells something, and an order in it must be beyond doubt.
_TOLD = 0.8
_BEYOND_DOUBT = 0.998


@dataclass(frozen=True)
class Clause:
    """A stretch ``start:end`` of the masked text, with its label and probability."""

    start: int
    end: int
    label: str
    score: float


@dataclass(frozen=True)
class Group:
    """Neighbouring clauses that make up one command."""

    start: int
    end: int
    label: str
    score: float


def split(text: str) -> list[tuple[int, int]]:
    """The places of the clauses."""
    places: list[tuple[int, int]] = []
    at = 0
    for boundary in _BOUNDARY.finditer(text):
        if boundary.start() > at:
            places.append((at, boundary.start()))
        at = boundary.end()
    if at < len(text):
        places.append((at, len(text)))
    return places


def group(
    text: str, whole: Prediction, label_of: Callable[[int, int], Prediction], limit: int = 12
) -> list[Group]:
    """The commands of `text`, in order; one group where it is one command (or none)."""
    one = [Group(0, len(text), whole.label, whole.scores[whole.label])]
    places = split(text)
    if not 1 < len(places) <= limit:
        return one
    clauses: list[Clause] = []
    for start, end in places:
        said = label_of(start, end)
        completes = only_flags(text[start:end]) or _MY_NUMBER.fullmatch(text, start, end)
        label = labels.DETAIL if completes else said.label
        clauses.append(Clause(start, end, label, said.scores[said.label]))
    groups: list[Group] = []
    for clause in clauses:
        reminds = bool(groups) and groups[-1].label == "remind" and groups[-1].score >= _SURE
        if reminds and _ONE_MORE.match(text, clause.start):
            groups.append(Group(clause.start, clause.end, "remind", groups[-1].score))
            continue
        if not _stands_alone(clause, text):
            continue
        if groups and not _begins_another(text, groups[-1], clause, whole):
            continue
        groups.append(Group(clause.start, clause.end, clause.label, clause.score))
    if len(groups) < 2:
        return _ordered_within(text, groups, whole) or one
    # The clauses between two commands belong to the earlier one, those before all to the first.
    starts = [0, *(found.start for found in groups[1:])]
    ends = [*(len(_JOINING.sub("", text[:start])) for start in starts[1:]), len(text)]
    return [
        Group(start, end, found.label, found.score)
        for start, end, found in zip(starts, ends, groups, strict=True)
    ]


def _ordered_within(text: str, groups: list[Group], whole: Prediction) -> list[Group] | None:
    """ "My credit is low, please top up 10 ETT": the order, where something stands before it that
    the whole is not known by. Never to call: a wrong dial is worse than a question."""
    if not groups:
        return None
    (found,) = groups
    if found.label == "call" and found.score >= _SURE and whole.label in _WISHES:
        # "Hide my number and call Alice" is one call, with a wish.
        return [Group(0, len(text), "call", found.score)]
    if whole.label in labels.COMMANDS and whole.scores[whole.label] >= _SURE:
        return None
    sure = _PLAIN_ORDER if whole.scores[labels.OTHER] < _TOLD else _BEYOND_DOUBT
    if found.score < sure or found.label == "call" or found.label in labels.BARE:
        return None
    start = 0 if _HIM.search(text, found.start, found.end) else found.start
    return [Group(start, len(text), found.label, found.score)]


def _stands_alone(clause: Clause, text: str) -> bool:
    if clause.score < _SURE or _OPENING.fullmatch(text, clause.start, clause.end):
        return False
    if clause.label in _ANSWERS and clause.score < _CLEARLY:
        return False  # "that's me", "all right"
    return clause.label in labels.COMMANDS


def _begins_another(text: str, current: Group, clause: Clause, whole: Prediction) -> bool:
    if current.label in labels.CARRIES_TEXT and current.score >= _SURE:
        strong = {"message": _THEN, "scenario": _SENTENCE}.get(current.label, _STRONG)
        said_so = _ALSO.match(text, clause.start, clause.end)
        another = clause.label == current.label == "message" and _TEXTS.match(text, clause.start)
        if not (strong.search(text, current.start, clause.start) or said_so or another):
            return False  # "text Bob: hang up": the words are the message's
        return not clause.label == current.label == "scenario"
    if current.label != clause.label:
        return True
    if clause.label != "call":
        return False
    if "PHONENUM" in text[current.start : clause.start] and "EXTNUM" in text[clause.start :]:
        # "Call NUMBER, then ring EXTENSION" may well mean the white paper's callback: one command,
        # whose parties will be judged together.
        return False
    roles = [r for a, b, r in whole.roles if clause.start <= a < clause.end]
    earlier = [r for a, b, r in whole.roles if current.start <= a < clause.start]
    return labels.TO in roles and labels.FROM_ME not in roles and labels.TO in earlier
