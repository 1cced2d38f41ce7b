"""The yes-or-no slots of a call: hidden number, recording, video."""

import re
from dataclasses import dataclass

_HIDE = re.compile(
    r"\b(?:hid(?:e|ing|den)|withhold(?:ing)?|mask(?:ing|ed)?|conceal(?:ing)?|suppress(?:ing)?|"
    r"block(?:ing)?)\s+(?:my\s+|the\s+)?(?:own\s+)?(?:phone\s+)?(?:number|caller\s*-?id|id|identity)\b"
    r"|\b(?:my\s+)?(?:number|caller\s*-?id)\s+(?:is\s+|kept\s+)?(?:hidden|withheld|private|masked)\b"
    r"|\b(?:hidden|withheld|private|anonymous|masked)\s+(?:number|caller|call|id)\b"
    r"|\banonymous(?:ly)?\b|\bincognito\b"
    r"|\b(?:without|don't|do not|not)\s+(?:show(?:ing)?|reveal(?:ing)?|display(?:ing)?|"
    r"send(?:ing)?|giving|disclos(?:e|ing))\s+(?:them\s+|him\s+|her\s+)?(?:my\s+|the\s+)?"
    r"(?:number|caller\s*-?id|id)\b|\b(?:no|without)\s+(?:my\s+)?caller\s*-?id\b"
    r"|\b(?:so|such)\s+that\s+(?:they|he|she)\s+(?:can't|cannot|don't|doesn't)\s+see\s+my\s+number\b"
)
_RECORD = re.compile(
    r"\b(?:record|tape)\s+(?:it|this|that|the\s+(?:whole\s+)?(?:call|conversation)|everything|us)\b"
    r"|\brecord(?:ing|ed)?\s+(?:call|on)\b|\bwith\s+(?:a\s+)?recording\b|\brecorded\b"
    r"|\b(?:and|while|with)\s+record(?:ing)?(?:\s+it)?\b|\bkeep\s+a\s+recording\b"
)
_VIDEO = re.compile(
    r"\bvideo[\s-]?(?:call|chat|phone|conference)?(?:ing)?\b|\bfacetime\b|\bface\s+to\s+face\b"
    r"|\b(?:camera|cam|webcam)\s+on\b|\b(?:with|on|turn\s+on)\s+(?:the\s+|my\s+)?(?:camera|cam|webcam)\b"
)
_REFUSED = re.compile(r"\b(?:don't|do not|dont|no|not|without|never)\s+(?:\w+\s+)?$")
_SMALL = re.compile(r"\b(?:please|and|also|with|for me|the|a|on|pls)\b|\W+")


@dataclass(frozen=True)
class Flags:
    """How the call is to be made."""

    hide_number: bool
    record: bool
    video: bool


def flags_of(text: str) -> Flags:
    """What a masked clause asks for; "don't record it" asks for nothing."""
    return Flags(
        hide_number=_HIDE.search(text) is not None,
        record=_asked(_RECORD, text),
        video=_asked(_VIDEO, text),
    )


def only_flags(text: str) -> bool:
    """Whether a clause says nothing else: "and hide my number, please"."""
    left = text
    for pattern in (_HIDE, _RECORD, _VIDEO):
        left = pattern.sub(" ", left)
    return left != text and not _SMALL.sub("", left)


def _asked(pattern: re.Pattern[str], text: str) -> bool:
    return any(not _REFUSED.search(text[: match.start()]) for match in pattern.finditer(text))
