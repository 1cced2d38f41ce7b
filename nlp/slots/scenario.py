"""Scenarios: what to do when the person calls a number and keys a PIN."""

import re
from collections.abc import Callable

from nlp.commands import Command, Scenario
from nlp.slots.built import Built
from nlp.spans import Kind
from nlp.view import View, trimmed

_CALLED = r"(?:call|dial|ring|phone|key(?:\s+in)?|type|press|enter)"
_PIN = (
    r"(?:(?:\s*,)?\s*(?:and|then|plus|with|\+)?\s*(?:then\s+)?(?:i\s+)?(?:enter|key(?:\s+in)?|type(?:\s+in)?|put\s+in|dial|press|give|use|punch\s+in|say|confirm\s+with)?"
    r"\s*(?:my|the|a|in\s+my)\s+(?:secret\s+)?(?:pin|code|password)(?:\s+code)?(?:\s+NUM)?)?"
)
_BEFORE = re.compile(
    rf"\b(?:when(?:ever)?|if|every\s+time|each\s+time|once|as\s+soon\s+as)\s+i\s+{_CALLED}\s+(?:the\s+number\s+|number\s+)?(?P<trigger>STARCODE|EXTNUM|PHONENUM|NUM)\b{_PIN}"
    r"[\s,:;-]*(?:then\s+)?(?:please\s+)?(?:(?:you\s+(?:should|must|will)|i\s+want\s+(?:you\s+)?to|it\s+should|the\s+bot\s+should|have\s+it|let\s+it)\s+)?(?P<action>.+)$"
)
_AFTER = re.compile(
    rf"(?P<action>.+?)[\s,]+\b(?:when(?:ever)?|if|every\s+time|each\s+time|once|as\s+soon\s+as)\s+i\s+{_CALLED}\s+(?:the\s+number\s+|number\s+)?(?P<trigger>STARCODE|EXTNUM|PHONENUM|NUM)\b"
)
_SHORT = re.compile(
    r"\b(?:dialling|dialing|calling|calls?\s+to|make|let|have|use|on|for)\s+(?P<trigger>STARCODE|EXTNUM|PHONENUM)\b(?:\s+(?:and\s+(?:my\s+)?pin|with\s+(?:my\s+)?pin))?\s*(?:should|must|shall|will|to|:|,|ought\s+to)?\s+(?P<action>.+)$"
)
_THAT = re.compile(
    r"\b(?:scenario|shortcut|macro|automation)\b(?:\s+(?:called|named)\s+[\"']?[\w -]+?[\"']?)?\s*(?:that|which|to|:|,|-)\s*(?:will\s+)?(?P<action>(?:send|sends|call|calls|forward|text|pay|pays|top|block|record|turn|hide).+)$"
)
_NAMED = re.compile(
    r"\b(?:called|named|name\s+it|call\s+it|label(?:led)?)\s+[\"']?(?P<name>[\w -]+?)[\"']?(?=\s*(?:$|[.,;:!?]|\b(?:that|which|when|if|to|on|with|so|and|for)\b))"
    r"|\b(?:scenario|shortcut|macro)\s+(?P<colon>(?!called|named|that|which)[\w-]+(?:\s+[\w-]+)?)\s*:"
    r"|\b(?:scenario|shortcut|macro)\s+[\"'](?P<quoted>[^\"']+)[\"']"
    r"|\b(?:the|my|a|new)\s+[\"']?(?P<own>(?!new\b|a\b|the\b)[\w-]+(?:\s+[\w-]+)?)[\"']?\s+(?:scenario|shortcut|macro|automation)\b"
    r"|\b(?:scenario|shortcut|macro)\s+(?P<bare>(?!that|which|when|to|if|called|named|for|on|off|where|so)[\w-]+)\b"
)
_NO_NAME = frozenset({"new", "scenario", "payment scenario", "this", "that", "first", "all"})
_OFF = re.compile(
    r"\b(?:delete|remove|cancel|disable|turn\s+off|switch\s+off|deactivate|stop|pause|off|get\s+rid\s+of)\b"
)


def says_scenario(view: View) -> bool:
    """Whether it is called so, or runs at a star code: then something was meant."""
    return bool(re.search(r"\b(?:scenario|shortcut|macro|automation)\b|STARCODE", view.text))


def scenario(view: View, understand: Callable[[int, int], Command | None]) -> Built:
    """Name, trigger and action; `understand` reads the action's words."""
    text = view.text
    name = trigger = action = None
    named = _NAMED.search(text)
    end = len(text)
    if named:
        key = next(
            group for group in ("name", "colon", "quoted", "own", "bare") if named.start(group) >= 0
        )
        name = trimmed(view.group(named, key))
        name = None if name.lower() in _NO_NAME else name
        if key == "name" and text[named.end() :].strip(" .!\"'") == "":
            end = named.start()
    for pattern in (_BEFORE, _AFTER, _SHORT, _THAT):
        match = pattern.search(text)
        if match is None:
            continue
        if "trigger" in match.groupdict() and match.start("trigger") >= 0:
            trigger = _trigger(view, *match.span("trigger"))
        first, last = match.span("action")
        last = min(last, end)
        while first < last and text[last - 1] in " ,.;":
            last -= 1
        command = understand(first, last) if first < last else None
        if command is not None:
            action = command
            break
    if trigger is None and (code := view.value(Kind.CODE, str)):
        trigger = code
    off = _OFF.search(text) is not None and action is None
    unclear = ("action",) if action is None and not off and trigger is not None else ()
    return Built(Scenario(name=name, action=action, trigger=trigger, on=not off), unclear)


def _trigger(view: View, start: int, end: int) -> str:
    """The number, extension or star code that is called."""
    for _, _, party in view.parties(start, end):
        return party.number or party.extension or view.said(start, end)
    return view.said(start, end)
