"""Stretches of the past that people ask about: "yesterday evening", "last week", "since Monday"."""

import re

_UNIT = r"(?:minutes?|hours?|days?|weeks?|months?|years?|fortnight|quarter)"
_COUNT = r"(?:\d+|a|an|one|two|three|four|five|six|seven|ten|couple\s+of|few)"
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
)
_PART = r"(?:\s+(?:morning|afternoon|evening|night|lunchtime))"
_PERIOD = re.compile(
    rf"\b(?:(?P<since>since\s+(?:yesterday{_PART}?|last\s+\w+|{_DAY}{_PART}?|{_MONTH}(?:\s+\d+)?|this\s+\w+|"
    r"\d{1,2}(?::\d\d)?\s*(?:am|pm)?|noon|midnight|the\s+\w+))"
    rf"|yesterday{_PART}?|today|tonight|last\s+night"
    rf"|this\s+(?:morning|afternoon|evening|week(?:end)?|month|year|quarter)"
    rf"|(?:the\s+)?(?:last|past|previous)\s+(?:{_COUNT}\s+)?{_UNIT}"
    rf"|(?:the\s+)?(?:last|past)\s+(?:{_DAY}{_PART}?|weekend|{_MONTH})"
    rf"|{_COUNT}\s+{_UNIT}\s+ago"
    rf"|(?:on\s+)?{_DAY}{_PART}?"
    rf"|(?:in\s+|during\s+|for\s+|from\s+)(?:the\s+)?(?P<month>{_MONTH}(?:\s+20\d\d)?)"
    rf"|(?:on\s+)?(?:the\s+)?\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:\s+20\d\d)?"
    rf"|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?|so\s+far\s+this\s+\w+|{_MONTH}(?='s)|all\s+time|20\d\d"
    r"|recent(?:ly)?)\b",
    re.IGNORECASE,
)
_LEADING = re.compile(r"^(?:on|in|for|from|during|over|the)\s+", re.IGNORECASE)


def find_period(words: str) -> re.Match[str] | None:
    """Where a period is named."""
    return _PERIOD.search(words)


def period_of(words: str) -> str | None:
    """The period in the person's own words, without "on", "in", "the"; None if there is none."""
    found = find_period(words)
    if found is None:
        return None
    said = found.group()
    while (shorter := _LEADING.sub("", said)) != said:
        said = shorter
    return said
