"""Texts as Telegram takes them (https://core.telegram.org/bots/api#sendmessage)."""

from __future__ import annotations

MAX_TEXT = 4096
"UTF-16 units of one message."
MAX_CAPTION = 1024
"Characters below a file."


def pieces(text: str) -> list[str]:
    """A text in parts that Telegram takes, broken at lines where that can be."""
    found: list[str] = []
    part = ""
    for line in text.splitlines(keepends=True):
        while _units(line) > MAX_TEXT:
            cut = MAX_TEXT // 2  # no character takes more than two units
            found += [part, line[:cut]]
            part, line = "", line[cut:]  # noqa: PLW2901
        if _units(part) + _units(line) > MAX_TEXT:
            found.append(part)
            part = ""
        part += line
    return [one for one in (*found, part) if one.strip()] or ["…"]


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
