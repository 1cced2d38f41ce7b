"""Contacts from vCard files (RFC 6350, 2426, and what old telephones write), by vobject."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import vobject  # type: ignore[import-untyped]

logging.getLogger("vobject.base").disabled = True  # it quotes people's contacts
MAX_CONTACTS = 2_000
"Read from one file."


class VCardError(ValueError):
    """A file that holds no contacts."""


def read_vcards(content: bytes) -> list[tuple[str, str]]:
    """Names and numbers as written, a name for each number: "Bob", "Bob (work)". Slow for long
    files: for a thread. Raises `VCardError`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    found: list[tuple[str, str]] = []
    try:
        for card in vobject.readComponents(text, ignoreUnreadable=True, allowQP=True):
            found += _numbers_of(card)
            if len(found) >= MAX_CONTACTS:
                break
    except Exception as error:  # vobject raises whatever its parts raise on broken files
        if not found:
            raise VCardError("that file is no list of contacts (vCard)") from error
    if not found:
        raise VCardError("I found no telephone numbers in that file")
    return found[:MAX_CONTACTS]


def _numbers_of(card: Any) -> Iterator[tuple[str, str]]:
    name = " ".join(str(getattr(getattr(card, "fn", None), "value", "")).split())
    for index, line in enumerate(getattr(card, "tel_list", ())):
        number = str(line.value).removeprefix("tel:").partition(";")[0].strip()
        if not name or not number:
            continue
        kinds = [str(kind).lower() for kind in line.params.get("TYPE", ())]
        kind = next((kind for kind in kinds if kind not in ("pref", "voice")), index + 1)
        yield (name if index == 0 else f"{name} ({kind})"), number
