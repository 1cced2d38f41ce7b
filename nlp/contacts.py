"""The person's contacts, found in the text by spaCy's phrase matcher."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from spacy.language import Language
from spacy.matcher import PhraseMatcher

from nlp.commands import Party
from nlp.numbers import party_of
from nlp.spans import Kind, Span

# Names that are words as well: these must be capitalised inside the sentence to count as names.
_WORDS_TOO = frozenset(
    {
    "will", "may", "mark", "rose", "grace", "hope", "art", "bill", "sue", "pat", "drew", "chase",
    "faith", "joy", "ivy", "dawn", "april", "june", "summer", "guy", "don", "frank", "miles",
    }
)  # fmt: skip
_OWNED = re.compile(r"^(?:my|our|the)\s+|(?:'s)?\s+(?:number|phone)$|'s$", re.IGNORECASE)
# "The office", "my mum": the article is part of the name.
_ARTICLE = re.compile(r"\b(?:my|our|the)\s+$", re.IGNORECASE)


class Contacts:
    """Finds and resolves contact names; matchers are kept for the address books seen lately."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._matcher = lru_cache(maxsize=16)(self._build)

    def _build(self, names: tuple[str, ...]) -> PhraseMatcher:
        matcher = PhraseMatcher(self._language.vocab, attr="LOWER")
        phrases = [phrase for name in names if len(phrase := self._language.make_doc(name)) > 0]
        if phrases:
            matcher.add("CONTACT", phrases)
        return matcher

    def find(self, text: str, contacts: Mapping[str, str], region: str) -> Iterator[Span]:
        """Where a contact is named; of overlapping names the longest."""
        if not contacts:
            return
        doc = self._language.make_doc(text)
        matches = self._matcher(tuple(contacts))(doc, as_spans=True)
        taken = 0
        for span in sorted(matches, key=lambda s: (s.start, -s.end)):
            if span.start < taken or not _is_name(span.text, at_start=span.start == 0):
                continue
            taken = span.end
            article = _ARTICLE.search(text, 0, span.start_char)
            yield Span(
                article.start() if article else span.start_char,
                span.end_char,
                Kind.CONTACT,
                resolve(span.text, contacts, region),
            )


def resolve(name: str, contacts: Mapping[str, str], region: str) -> Party:
    """The party behind a name: with its number where the contacts know it, else the bare name."""
    stripped = name
    while (shorter := _OWNED.sub("", stripped).strip()) and shorter != stripped:
        stripped = shorter
    by_name = {known.casefold(): known for known in contacts}
    for candidate in (name, stripped):
        known = by_name.get(candidate.casefold())
        found = party_of(contacts[known], region) if known is not None else None
        if found is not None:
            return Party(name=known, number=found.number, extension=found.extension)
    return Party(name=stripped or name)


def _is_name(word: str, *, at_start: bool) -> bool:
    return word.lower() not in _WORDS_TOO or (word[:1].isupper() and not at_start)


_AROUND_NAME = re.compile(
    r"^(?:(?:my|our|the|a|an|to|with|of|from|for|by|calls?|number|phone|mr|please|this|that)\s+)+"
    r"|\s+(?:please|now|for me|up|back|asap|anonymously|privately|secretly|incognito|"
    r"quickly|urgently|immediately|today|again|first|instead|too|as well|anymore|any more|"
    r"thanks|thank you|on it)$"
    r"|[\s.,!?;:\"]+$|^[\s,:\"'-]+|'s$|'s\s+(?:number|phone|mobile|cell|cellphone|calls?)$"
    r"|\s+(?:number|calls?|line)$",
    re.IGNORECASE,
)
_NO_NAME = frozenset(
    {
        "me", "us", "him", "her", "them", "it", "made", "called", "dialled", "dialed", "someone",
        "somebody", "anyone", "anybody", "everyone", "number", "phone", "call", "back", "line",
        "that", "this", "one", "there", "here", "again", "you", "i", "they", "he", "she", "people",
        "calls", "all", "everything", "everybody", "nobody", "another", "other", "somewhere",
        "else", "please", "now", "and", "the", "my", "a", "an", "to",
    }
)  # fmt: skip
MAX_NAME = 60


def named(words: str, contacts: Mapping[str, str], region: str) -> Party | None:
    """The party bare words name, without what stands around a name; None where they name nobody."""
    name = words.strip()
    while (shorter := _AROUND_NAME.sub("", name).strip()) != name:
        name = shorter
    if not name or len(name) > MAX_NAME or name.lower() in _NO_NAME:
        return None
    if not any(char.isalpha() for char in name):
        return None
    return resolve(name, contacts, region)
