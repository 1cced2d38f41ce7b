"""Telephone numbers and extensions in running text.

An explicit international number (``+…``, ``00…``) is one if it is possible; a national one must be
valid in the person's own region, because "1000000 ETT" and "8 (916) 123-45-67" are possible almost
anywhere. What looks like a number and is none of these stays a number without meaning.
"""

import re
from collections.abc import Collection, Iterator

import phonenumbers
from phonenumbers import Leniency, PhoneNumberMatcher

from nlp.commands import Party
from nlp.spans import Kind, Span

_INTERNATIONAL = re.compile(r"(?<![\w+-])(?:\+\s?|00(?=[1-9]))\(?\d[\d\s().\-/]{4,24}\d")
_NORTH_AMERICAN_EXIT = re.compile(r"(?<![\w+])011[\s-]?(?=[2-9])[\d\s().\-/]{6,22}\d")
_GROUP_END = re.compile(r"\d(?!\d)")
# Numbers kept free for films and examples (Ofcom): valid to nobody but the people who write them.
_EXAMPLES = {"GB": ("7700900", "1632960")}
_NATIONAL = re.compile(r"(?<![\w+.,:/#-])\(?0\d[\d\s()-]{8,13}\d(?![\w]|[.,:/-]\d|\s?\d)")
_EXTENSION_BEHIND = re.compile(r"\s\d{3}")
_AREA_BEFORE, _AREA_AFTER = re.compile(r"\($"), re.compile(r"\)\s*\d")
_BARE = re.compile(r"(?<![\w+.,:/#-])#?\d[\d\s-]*\d(?![\w%]|[.,:/]\d)|(?<![\w+.,:/-])\d(?![\w%])")
_EXTENSION = re.compile(
    r"\b(?:extension|ext|extn|x)[\s.:#]*(?:number\s+)?(\d{2,5})\b", re.IGNORECASE
)
_SHORT = re.compile(r"(?<![\w+.,:/$€£-])#?(\d{2,5})(?![\w%€£$]|[.,:/-]\d)")
# A number of something, or of a place, is nobody's extension: "30 minutes", "room 101", "in 2026".
_COUNTED = re.compile(
    r"\s*(?:%|percent|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|times|"
    r"people|persons?|guys|items?|things?|degrees?|miles?|km|kilometers?|metres?|meters?|kg|"
    r"pounds?|dollars?|euros?|bucks|cents?|am|pm|o'clock|grams?|calories|songs?|pages?|points?|"
    r"st|nd|rd|th)\b",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"(?:\b(?:room|channel|page|chapter|bus|flight|gate|highway|route|level|step|version|year|"
    r"since|top|pin|code|in|route|apartment|flat|house|unit|section|article|error|area)\s+|[$€£#])$",
    re.IGNORECASE,
)


def find_international(text: str, region: str) -> Iterator[Span]:
    """Numbers written with their country: ``+1 202 …``, ``0044 …``, in North America ``011 …``."""
    for match in _INTERNATIONAL.finditer(text):
        written = match.group()
        prefix = 2 if written.startswith("00") else 1
        yield from _longest_number(text, match.start(), match.end(), prefix)
    if phonenumbers.country_code_for_region(region) == 1:
        for match in _NORTH_AMERICAN_EXIT.finditer(text):
            yield from _longest_number(text, match.start(), match.end(), 3)


def _longest_number(text: str, start: int, end: int, prefix: int) -> Iterator[Span]:
    """The number, and nothing of a longer row of figures: only an extension may stand behind it
    ("+1 202 555 0143 101")."""
    ends = [start + m.end() for m in _GROUP_END.finditer(text[start:end])]
    possible: Span | None = None
    for stop in reversed(ends[-2:]):
        if stop != ends[-1] and not _EXTENSION_BEHIND.fullmatch(text, stop, ends[-1]):
            continue
        try:
            number = phonenumbers.parse("+" + text[start + prefix : stop].strip(), None)
        except phonenumbers.NumberParseException:
            continue
        span = Span(start, stop, Kind.NUMBER, Party(number=_e164(number)))
        if phonenumbers.is_valid_number(number):
            yield span
            return
        # What is merely possible must be all there is: half of a wrong number is no number.
        reason = phonenumbers.is_possible_number_with_reason(number)
        if stop == ends[-1] and reason == phonenumbers.ValidationResult.IS_POSSIBLE:
            possible = span
    if possible is not None:
        yield possible


def find_national(text: str, region: str) -> Iterator[Span]:
    """Numbers as they are written at home."""
    matcher = PhoneNumberMatcher(text, region, leniency=Leniency.VALID, max_tries=100)
    for match in matcher:
        yield Span(match.start, match.end, Kind.NUMBER, Party(number=_e164(match.number)))

    for written in _NATIONAL.finditer(text) if region in _EXAMPLES else ():
        digits = re.sub(r"\D", "", written.group())
        if len(digits) == 11 and digits[1:].startswith(_EXAMPLES[region]):
            number = phonenumbers.parse(digits, region)
            yield Span(written.start(), written.end(), Kind.NUMBER, Party(number=_e164(number)))


def find_extensions(text: str, extensions: Collection[str] | None) -> Iterator[Span]:
    """Extensions: those of the list, or any short number that is not a count when it is unknown."""
    for match in _EXTENSION.finditer(text):
        if extensions is None or match[1] in extensions:
            yield Span(match.start(), match.end(), Kind.EXTENSION, Party(extension=match[1]))
    for match in _SHORT.finditer(text):
        digits = match[1]
        if _COUNTED.match(text, match.end()) or _PLACE.search(text[: match.start(1)]):
            continue
        if _AREA_BEFORE.search(text[: match.start(1)]) and _AREA_AFTER.match(text, match.end()):
            continue  # "8 (916) 123-45-67": an area code of a number that is none here
        if extensions is None or digits in extensions:
            yield Span(match.start(), match.end(), Kind.EXTENSION, Party(extension=digits))


def find_other(text: str) -> Iterator[Span]:
    """All other figures: the model need not know them, and nothing may dial them."""
    for match in _BARE.finditer(text):
        yield Span(match.start(), match.end(), Kind.OTHER_NUMBER)


def party_of(address: str, region: str) -> Party | None:
    """The party a contact's entry stands for: an extension or a number, None if it is neither."""
    compact = re.sub(r"[\s().\-/]", "", address)
    if re.fullmatch(r"\d{2,5}", compact):
        return Party(extension=compact)
    try:
        number = phonenumbers.parse(re.sub(r"^00", "+", address.strip()), region)
    except phonenumbers.NumberParseException:
        return None
    return Party(number=_e164(number)) if phonenumbers.is_possible_number(number) else None


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
