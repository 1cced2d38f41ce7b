"""The calls of one person, newest first: a page at a time, and those with some number.

A journal may hold a million calls. Each way in which a call can be somebody's is looked up in an
index of its own that ends with the time, so that a page costs what is on it. Calls with a number
are looked for among the latest first, where those with a frequent one are, and then by an index of
numbers, where those with a rare one are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, or_, select, union
from sqlmodel import SQLModel
from sqlmodel import select as select_rows

from store.database import Database
from store.tables import CallRow

LATEST = 2_000
"Calls of each way among which a number is looked for at first."


@dataclass(frozen=True, kw_only=True)
class Between:
    """Which calls of somebody: from `since` to before `until`; with one of `numbers`, or a number
    that begins as one of `begins`; nothing of these means any."""

    since: datetime | None = None
    until: datetime | None = None
    numbers: Sequence[str] = ()
    begins: Sequence[str] = ()
    searched: bool = False
    "Whether numbers and beginnings count, though there be none: then no call fits."


_CALL: Any = SQLModel.metadata.tables["call"].c
_SEEN = case((_CALL.shown != "", _CALL.shown), else_=_CALL.caller)
"A caller as those see them who are called."
_OTHER: dict[str, ColumnElement[str]] = {
    "user": case((_CALL.kind == "inbound", _SEEN), else_=_CALL.callee),
    "caller": _CALL.callee,
    "callee": _SEEN,
}
"Who the other side is for somebody who is that of a call."


async def calls_of(
    database: Database, extension: str, *, limit: int, which: Between | None = None
) -> Sequence[CallRow]:
    """The latest calls of an extension, newest first."""
    which = which or Between()
    async with database.reading() as session:
        found = set((await session.execute(_recent(extension, limit, which))).scalars())
        if which.searched and len(found) < limit and (which.numbers or which.begins):
            rare = _with_number(extension, limit, which, session.get_bind().dialect.name)
            found |= set((await session.execute(rare)).scalars())
        rows = select_rows(CallRow).where(_CALL.id.in_(found))
        latest = rows.order_by(_CALL.started_at.desc()).limit(limit)
        return (await session.execute(latest)).scalars().all()


def _recent(extension: str, limit: int, which: Between) -> Select[Any]:
    """The ids of the latest calls, of which a search looks at some only."""
    ways = []
    for side, other in _OTHER.items():
        mine = (
            select(_CALL.id, _CALL.started_at, other.label("other"))
            .where(_CALL[side] == extension, *_when(which))
            .order_by(_CALL.started_at.desc())
            .limit(LATEST if which.searched else limit)
            .subquery()
        )
        ways.append(select(mine.c.id).where(*_fits(mine.c.other, which)))
    return _newest(ways, limit)


def _with_number(extension: str, limit: int, which: Between, dialect: str) -> Select[Any]:
    """The ids of the latest calls with a number, by the index of numbers."""
    ways = []
    for number in ("caller", "callee"):
        begins = [_begins(number, one, dialect) for one in which.begins]
        fits = or_(_CALL[number].in_(which.numbers), *begins)
        as_seen = [_CALL.shown == ""] if number == "caller" else []
        ways.append(select(_CALL.id).where(fits, _theirs(extension, number), *as_seen,
                                                     *_when(which)))  # fmt: skip
    return _newest(ways, limit)


def _theirs(extension: str, number: str) -> ColumnElement[bool]:
    """Whether a call is somebody's whose other side is its `number`. The empty text keeps the
    database from the index of those who have most calls."""
    user, caller, callee = (_CALL[side] + "" == extension for side in ("user", "caller", "callee"))
    inbound = _CALL.kind + "" == "inbound"
    return or_(callee, and_(user, inbound)) if number == "caller" else or_(caller, user & ~inbound)


def _begins(number: str, text: str, dialect: str) -> ColumnElement[bool]:
    """Whether a number begins with some text, in words for which the database has an index."""
    column = _CALL[number]
    if dialect == "sqlite":
        return and_(column >= text, column < text[:-1] + chr(ord(text[-1]) + 1))
    found: ColumnElement[bool] = column.startswith(text, autoescape=True)
    return found


def _when(which: Between) -> list[ColumnElement[bool]]:
    found = []
    if which.since is not None:
        found.append(_CALL.started_at >= which.since)
    if which.until is not None:
        found.append(_CALL.started_at < which.until)
    return found


def _fits(other: ColumnElement[str], which: Between) -> list[ColumnElement[bool]]:
    if not which.searched:
        return []
    return [or_(other.in_(which.numbers), *(other.startswith(one) for one in which.begins))]


def _newest(ways: Sequence[Select[Any]], limit: int) -> Select[Any]:
    ids = union(*ways).subquery()
    return (
        select(_CALL.id)
        .join(ids, ids.c.id == _CALL.id)
        .order_by(_CALL.started_at.desc())
        .limit(limit)
    )
