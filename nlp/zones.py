"""Countries named in the text: candidates for the line a call goes out by.

Whether "German" is the line or the embassy is not decided here. Two-letter codes are words too
("us", "in", "it"), so a code counts in capitals, or in lower case where only a line can be meant.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from nlp.countries import COUNTRIES
from nlp.spans import Kind, Span

#: What a trunk is called: "the USA **line**", "the UK **zone number**".
LINE_NOUN = (
    r"(?:(?:phone|zone|outside|outgoing|outbound|trunk|landline|local|caller|virtual|did|voip)\s+)?"
    r"(?:lines?|trunks?|zone|numbers?|gateway|route|carrier|sim(?:\s+card)?|connection|landline|did|"
    r"provider|exit|circuit|side|prefix|phone\s+line|one)"
)
_BEFORE_CODE = re.compile(
    r"\b(?:via|through|thru|over|using|use|by|from|with|out of|on)\s+(?:the\s+|my\s+|our\s+|a\s+|"
    r"an\s+|that\s+|zone\s+|line\s+|trunk\s+)*$|\b(?:zone|line|trunk|number)(?:\s*[:=]\s*|\s+"
    r"(?:of\s+|in\s+|for\s+)?(?:the\s+)?)$",
    re.IGNORECASE,
)
_AFTER_CODE = re.compile(rf"[\s-]+{LINE_NOUN}\b", re.IGNORECASE)
_PRONOUN_BEFORE = re.compile(r"\b(?:by|from|with|on|of|for|in)\s+$", re.IGNORECASE)


@lru_cache(maxsize=64)
def _lexicon(lines: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str], re.Pattern[str]]:
    words = {word: code for code, names in COUNTRIES.items() for word in names}
    for line in lines:
        words.setdefault(line.lower(), line)
    codes = sorted(set(COUNTRIES) | set(lines))
    longest_first = sorted((w for w in words if len(w) > 2), key=len, reverse=True)
    named = re.compile(
        r"(?<![\w+])(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)", re.IGNORECASE
    )
    short = sorted({code for code in codes if len(code) == 2} | {"GB"})
    coded = re.compile(r"(?<![\w+])(?:" + "|".join(short) + r")(?![\w'])", re.IGNORECASE)
    return named, words, coded


def find_zones(text: str, lines: Sequence[str]) -> Iterator[Span]:
    """Every country, nationality or zone code in the text, with its code."""
    named, words, coded = _lexicon(tuple(lines))
    for match in named.finditer(text):
        yield Span(match.start(), match.end(), Kind.ZONE, words[match.group().lower()])
    for match in coded.finditer(text):
        code = match.group().upper()
        if _is_code(text, match, code):
            yield Span(match.start(), match.end(), Kind.ZONE, "UK" if code == "GB" else code)


def _is_code(text: str, match: re.Match[str], code: str) -> bool:
    if code in ("UK", "GB"):
        return True
    before, after = text[: match.start()], _AFTER_CODE.match(text, match.end())
    if match.group().isupper() and not text.isupper():
        return code == "US" or bool(after or _BEFORE_CODE.search(before))
    if code == "US":
        # "call us from the office", "join us": the pronoun, unless a line is named around it.
        return bool(after) or (
            bool(_BEFORE_CODE.search(before)) and not _PRONOUN_BEFORE.search(before)
        )
    # "de", "fr", "nl" are no English words; "in", "it", "no", "at", "is", "be" are.
    return code not in {"IN", "IT", "NO", "AT", "IS", "BE"} and bool(
        after or _BEFORE_CODE.search(before)
    )
