"""Writing a row that may be there already, in the words of each database."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.dialects import postgresql, sqlite

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@cache
def insert_new(dialect: str, table: Any) -> Executable:
    """Insert what is not there; what is there stays as it is."""
    statement: Executable = _INSERT[dialect](table).on_conflict_do_nothing()
    return statement


@cache
def insert_or_update(
    dialect: str, table: Any, key: tuple[str, ...], columns: tuple[str, ...]
) -> Executable:
    """Insert, or give the row with the same key other values in these columns."""
    insert = _INSERT[dialect](table)
    statement: Executable = insert.on_conflict_do_update(
        index_elements=list(key), set_={name: insert.excluded[name] for name in columns}
    )
    return statement
