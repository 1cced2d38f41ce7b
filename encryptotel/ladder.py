"""A call's SIP messages drawn as a ladder: who sent what to whom, in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

MAX_COLUMNS = 6
_WIDTH = 34
_US = "EncryptoTel"


class Line(Protocol):
    """One message, from an event or from the journal."""

    @property
    def at(self) -> datetime: ...
    @property
    def sent(self) -> bool: ...
    @property
    def peer(self) -> str: ...
    @property
    def summary(self) -> str: ...


def draw(lines: Sequence[Line], names: dict[str, str] | None = None) -> str:
    """The ladder as text. `names` gives peers' addresses the names people know."""
    if not lines:
        return "no SIP messages were kept for this call"
    names = names or {}
    peers = list(dict.fromkeys(line.peer for line in lines))[:MAX_COLUMNS]
    left, right = peers[:1], peers[1:]
    columns = [*left, _US, *right]
    places = {name: 12 + index * _WIDTH for index, name in enumerate(columns)}
    total = 12 + (len(columns) - 1) * _WIDTH + 14
    out = [_row(total, {places[c]: _centred(names.get(c, c)) for c in columns})]
    out.append(_row(total, {places[c]: _centred(c if c in names else "") for c in columns}))
    start = lines[0].at
    for line in lines:
        if line.peer not in places:
            continue
        offset = (line.at - start).total_seconds()
        out.append(f"{offset:8.3f}  " + _arrow(line, places, total)[10:])
    return "\n".join(text.rstrip() for text in out)


def _arrow(line: Line, places: dict[str, int], total: int) -> str:
    row = [" "] * total
    for place in places.values():
        row[place] = "│"
    source, target = (_US, line.peer) if line.sent else (line.peer, _US)
    first, last = sorted((places[source], places[target]))
    for column in range(first + 1, last):
        row[column] = "─" if row[column] == " " else "┼"
    row[last - 1 if places[target] > places[source] else first + 1] = (
        "▶" if places[target] > places[source] else "◀"
    )
    label = f" {_short(line.summary)} "
    near = last - _WIDTH if line.sent == (places[target] > places[source]) else first
    if last - first == _WIDTH:
        near = first
    at = near + (_WIDTH - len(label)) // 2
    row[at : at + len(label)] = list(label)
    return "".join(row)


def _short(summary: str) -> str:
    """`INVITE`, `200 OK (BYE)`: what telephone people look for."""
    if summary.startswith("SIP/2.0 "):
        text = summary.removeprefix("SIP/2.0 ")
    else:
        text = summary.split(" ", 1)[0]
    return text if len(text) <= _WIDTH - 6 else text[: _WIDTH - 7] + "…"


def _centred(text: str) -> tuple[int, str]:
    text = text[: _WIDTH - 2]
    return -(len(text) // 2), text


def _row(total: int, texts: dict[int, tuple[int, str]]) -> str:
    row = [" "] * (total + _WIDTH)
    for place, (shift, text) in texts.items():
        at = max(0, place + shift)
        row[at : at + len(text)] = list(text)
    return "".join(row)
