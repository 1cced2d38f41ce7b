"""A whole database copied into another, of the same kind or the other, with a proof that nothing
was lost or changed on the way.

The source is read in one transaction that keeps writers out, the target written in one that is only
committed when each table has the same digest on both sides: what fails leaves the target empty.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    Column,
    Connection,
    Engine,
    Float,
    LargeBinary,
    MetaData,
    String,
    Table,
    Unicode,
    create_engine,
    event,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel

import store.tables  # noqa: F401  # fills the metadata
from store.database import StoreError, keep_to_itself

BATCH, LARGE = 1_000, 20
"Rows at the same time, and where sound may be in them."
JOBS = Table(
    "job",
    MetaData(),
    Column("id", Unicode(191), primary_key=True),
    Column("next_run_time", Float(25), index=True),
    Column("job_state", LargeBinary, nullable=False),
)
"What the scheduler keeps, whose table is its own."


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A table that was copied; `digest` is over all of its rows, and the same on both sides."""

    table: str
    rows: int
    digest: str


def move(source: URL, target: URL, tell: Callable[[str], None]) -> list[Moved]:
    """Copy everything; both must have our tables already. `tell` hears of each table before it is
    copied. Raises `StoreError` when there is something in the target, or it came out different."""
    reading, writing = _one_moment(source), _engine(target)
    try:
        with reading.connect() as there, writing.begin() as here:
            tables = [*SQLModel.metadata.sorted_tables, *_jobs(there, here)]
            full = [table.name for table in tables if here.execute(_count(table)).scalar_one()]
            if full:
                raise StoreError(f"the target is not empty: see {', '.join(full)}")
            return [_moved(table, there, here, tell) for table in tables]
    except DBAPIError as error:
        raise StoreError(f"nothing was moved: {error.orig}") from None
    finally:
        reading.dispose()
        writing.dispose()


def _one_moment(source: URL) -> Engine:
    """Whoever reads sees all as it was at one moment."""
    if source.get_backend_name() != "sqlite":
        return _engine(source, isolation_level="REPEATABLE READ")
    engine = _engine(source)

    def begin(connection: Connection) -> None:  # or SQLite begins with the first change only
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "begin", begin)
    return engine


def _engine(url: URL, **options: Any) -> Engine:
    """What it refuses is told without what people wrote."""
    engine = create_engine(url, hide_parameters=True, **options)
    event.listen(engine, "handle_error", keep_to_itself)
    return engine


def _jobs(there: Connection, here: Connection) -> Sequence[Table]:
    """The scheduler's table, if it has one."""
    if not inspect(there).has_table(JOBS.name):
        return ()
    JOBS.create(here, checkfirst=True)
    return (JOBS,)


def _moved(table: Table, there: Connection, here: Connection, tell: Callable[[str], None]) -> Moved:
    """Copy one table, and prove it."""
    tell(table.name)
    count, before = 0, hashlib.sha256()
    for rows in _batches(table, there):
        here.execute(table.insert(), [dict(row) for row in rows])
        for row in rows:
            before.update(_written(row))
        count += len(rows)
    after = hashlib.sha256()
    for rows in _batches(table, here):
        for row in rows:
            after.update(_written(row))
    if before.digest() != after.digest():
        raise StoreError(f"{table.name} came out different; nothing was moved")
    _go_on_counting(table, here)
    return Moved(table=table.name, rows=count, digest=before.hexdigest())


def _batches(table: Table, connection: Connection) -> Iterator[Sequence[Any]]:
    """All rows in the order of their keys, which both sides see alike: as bytes, not as words of
    some language."""
    exact = "C" if connection.dialect.name == "postgresql" else "BINARY"
    order = [
        column.collate(exact) if _is(column, String) else column
        for column in table.primary_key.columns
    ]
    large = any(_is(column, LargeBinary) or _is(column, JSON) for column in table.columns)
    most = LARGE if large else BATCH
    query = select(table).order_by(*order).execution_options(yield_per=most)
    yield from connection.execute(query).mappings().partitions(most)


def _is(column: Column[Any], kind: type[TypeEngine[Any]]) -> bool:
    """Whether a column is of a kind, whatever is around that."""
    return isinstance(getattr(column.type, "impl", column.type), kind)


def _written(row: Any) -> bytes:
    """A row as bytes that are the same for the same values."""
    return json.dumps(list(row.values()), default=_plain, ensure_ascii=False).encode() + b"\n"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    raise TypeError(type(value).__name__)


def _count(table: Table) -> Any:
    return select(func.count()).select_from(table)


def _go_on_counting(table: Table, here: Connection) -> None:
    """Let numbers that the server gives go on behind those that were copied."""
    column = table.autoincrement_column
    if column is None or here.dialect.name != "postgresql":
        return
    counter = here.execute(
        text("SELECT pg_get_serial_sequence(:table, :column)"),
        {"table": f'"{table.name}"', "column": column.name},
    ).scalar_one()
    last = here.execute(select(func.max(column))).scalar_one()
    if counter and last is not None:
        here.execute(select(func.setval(counter, last)))
