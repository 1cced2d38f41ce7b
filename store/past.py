"""The calls of one person, newest first: a page at a time, and those with some number.

A journal may hold a million calls. Each way in which a call can be somebody's is looked up in an
index of its own that ends with the time, so that a page costs what is on it. Numbers that begin
somehow are looked for among the latest calls first, where frequent ones are, and then by an index
of numbers, where rare ones are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, false, or_, select, true, union
from sqlmodel import SQLModel
from sqlmodel import select as select_rows

from store.database import Database
from store.tables import CallRow

LATEST = 2_000
"Calls of each way among which a beginning is looked for at first."


@dataclass(frozen=True, kw_only=True)
class Between:
    """Which calls of somebody: from `since` to before `until`; with one of `numbers`, or a number
    that begins as one of `begins`; nothing of these means any."""

    since: datetime | None = None
    until: datetime | None = None
    numbers: Sequence[str] = ()
    begins: Sequence[str] = ()
    until_id: str = ""
    "Of the calls of the moment `until` those whose ids are before this."
    missed: bool = False
    "Only those that came for somebody, and nobody answered."
    reminders: bool = False
    "Also those by which we reminded somebody."
    searched: bool = False
    "Whether numbers and beginnings count, though there be none: then no call fits."


_CALL: Any = SQLModel.metadata.tables["call"].c
_NEWEST = (_CALL.started_at.desc(), _CALL.id.desc())
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

        async def ids(query: Select[Any]) -> set[str]:
            return set((await session.execute(query)).scalars())

        if not which.searched:
            found = await ids(_latest(extension, limit, which, limit))
        else:
            found = await ids(_with_numbers(extension, limit, which)) if which.numbers else set()
        if which.begins:
            found |= (some := await ids(_latest(extension, limit, which, LATEST)))
            if len(some) < limit:
                dialect = session.get_bind().dialect.name
                found |= await ids(_with_beginnings(extension, limit, which, dialect))
        rows = select_rows(CallRow).where(_CALL.id.in_(found))
        latest = rows.order_by(*_NEWEST).limit(limit)
        return (await session.execute(latest)).scalars().all()


def _latest(extension: str, limit: int, which: Between, most: int) -> Select[Any]:
    """The ids of the latest calls; a search for beginnings looks through so many of each way."""
    ways = []
    for side, other in _OTHER.items():
        mine = (
            select(_CALL.id, other.label("other"))
            .where(_CALL[side] == extension, *_missed(side, which), *_when(which))
            .order_by(*_NEWEST)
            .limit(most)
            .subquery()
        )
        begins = [mine.c.other.startswith(one) for one in which.begins]
        ways.append(select(mine.c.id).where(*([or_(*begins)] if begins else [])))
    return _newest(ways, limit)


def _with_numbers(extension: str, limit: int, which: Between) -> Select[Any]:
    """The ids of the latest calls with some numbers, each by an index that ends with the time."""
    ways = []
    for number in which.numbers:
        for side in ("caller", "callee"):
            latest = (
                select(_CALL.id)
                .where(_CALL[side] == number, *_theirs(extension, side, which), *_when(which))
                .order_by(*_NEWEST)
                .limit(limit)
                .subquery()
            )
            ways.append(select(latest.c.id))
    return _newest(ways, limit)


def _with_beginnings(extension: str, limit: int, which: Between, dialect: str) -> Select[Any]:
    """The ids of the latest calls with numbers that begin somehow, by the index of numbers."""
    ways = []
    for side in ("caller", "callee"):
        begins = or_(*(_begins(side, one, dialect) for one in which.begins))
        ways.append(select(_CALL.id).where(begins, *_theirs(extension, side, which), *_when(which)))
    return _newest(ways, limit)


def _theirs(extension: str, other: str, which: Between) -> Sequence[ColumnElement[bool]]:
    """Whether a call is somebody's whose other side is its caller, or its callee. The empty text
    keeps the database from the indices of those who have most calls."""
    user, caller, callee = (_CALL[side] + "" == extension for side in ("user", "caller", "callee"))
    inbound = _CALL.kind + "" == "inbound"
    if other == "callee" and which.missed:
        return (false(),)  # they called
    if other == "caller":
        return or_(callee, and_(user, inbound)), _CALL.shown == ""
    return (or_(caller, and_(user, ~inbound)),)


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
    if which.until is not None and which.until_id:
        earlier = or_(_CALL.started_at < which.until, _CALL.id < which.until_id)
        found += [_CALL.started_at <= which.until, earlier]
    elif which.until is not None:
        found.append(_CALL.started_at < which.until)
    if which.missed:
        found.append(_CALL.answered_at.is_(None))
    if not which.reminders:
        found.append(_CALL.kind != "reminder")
    return found


_CAME = {"user": _CALL.kind == "inbound", "caller": false(), "callee": true()}
"Of which calls somebody who is that of them was not the one who called."


def _missed(side: str, which: Between) -> list[ColumnElement[bool]]:
    return [_CAME[side]] if which.missed else []


def _newest(ways: Sequence[Select[Any]], limit: int) -> Select[Any]:
    ids = union(*ways).subquery()
    return select(_CALL.id).join(ids, ids.c.id == _CALL.id).order_by(*_NEWEST).limit(limit)
