"""Telephone numbers: what people dial, E.164, and what a trunk wants."""

from __future__ import annotations

import contextlib
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberType

MAX_DIALLED = 32
_remembered = lru_cache(4096)
"The library parses a number in some 50 µs; people call the same ones again."
_COSTLY = (
    PhoneNumberType.PREMIUM_RATE,
    PhoneNumberType.SHARED_COST,
    PhoneNumberType.PERSONAL_NUMBER,
    PhoneNumberType.PAGER,
)
_COSTLY_PREFIXES = (
    # The ranges that fraud likes best are in no plan; the library calls them unknown.
    "+1900", "+1976", "+4470", "+4476", "+449", "+44118", "+4487", "+49900", "+49118",
    "+49137", "+49138", "+49190", "+49180", "+338", "+3480", "+3489", "+39892", "+39899",
    "+439", "+4190", "+979", "+882", "+883", "+881", "+870",
)  # fmt: skip
_ZONE_REGIONS = {"UK": "GB", "EN": "GB", "USA": "US"}


def region_of_zone(zone: str) -> str:
    """The ISO country of a trunk zone: people say UK where ISO says GB."""
    return _ZONE_REGIONS.get(zone.upper(), zone.upper())


@_remembered
def region_of(number: str) -> str:
    """The ISO country of an E.164 number, for numbers in no known plan that of the country
    code; empty if there is none."""
    try:
        parsed = phonenumbers.parse(number)
    except NumberParseException:
        return ""
    found = phonenumbers.region_code_for_number(parsed)
    return found or phonenumbers.region_code_for_country_code(parsed.country_code or 0)


@_remembered
def is_premium(number: str) -> bool:
    """Whether calling an E.164 number costs the caller extra on purpose."""
    try:
        parsed = phonenumbers.parse(number)
    except NumberParseException:
        return False
    kind = phonenumbers.number_type(parsed)
    return kind in _COSTLY or (
        kind == PhoneNumberType.UNKNOWN and number.startswith(_COSTLY_PREFIXES)
    )


@_remembered
def to_e164(dialled: str, region: str) -> str | None:
    """What somebody in `region` dialled, as +E.164; None if it cannot be a number.

    An explicit international number needs only to be possible, since number plans change
    faster than libraries; a national one must be.
    """
    text = dialled.strip()
    if len(text) > MAX_DIALLED:
        return None
    if text.startswith("00") and region not in ("US", "CA"):
        text = "+" + text[2:]
    elif text.startswith("011") and region in ("US", "CA"):
        text = "+" + text[3:]
    try:
        parsed = phonenumbers.parse(text, region or None)
    except NumberParseException:
        return None
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    if reason != phonenumbers.ValidationResult.IS_POSSIBLE or parsed.extension:
        return None  # a local number without its area code is none either
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


@_remembered
def from_trunk(presented: str, region: str) -> str:
    """A number as a carrier writes it, as +E.164 where that can be told, else unchanged."""
    with contextlib.suppress(NumberParseException):
        national = phonenumbers.parse(presented, region)
        if phonenumbers.is_valid_number(national):
            return phonenumbers.format_number(national, phonenumbers.PhoneNumberFormat.E164)
    if presented.isdigit() and not presented.startswith("0"):
        plain = to_e164("+" + presented, region)
        if plain is not None and region_of(plain):
            return plain
    return to_e164(presented, region) or presented


def to_trunk(number: str, pattern: str) -> str:
    """An E.164 number as a trunk wants it dialled; `pattern` as in `[[trunk]] dial`."""
    return pattern.replace("{number}", number.removeprefix("+"))


@_remembered
def spoken(number: str) -> str:
    """A number for people: +1 202-555-0143."""
    try:
        parsed = phonenumbers.parse(number)
    except NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
