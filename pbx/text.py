"""Words from strangers, made safe to store and to show."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str, limit: int = 200) -> str:
    """Without control characters, terminal escapes, direction overrides and lone surrogates;
    at most `limit` characters."""
    return _UNPRINTABLE.sub("�", text[:limit])
