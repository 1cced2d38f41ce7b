"""The command that moves everything to another database."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import URL

from encryptotel.cli.base import DATA, DataOption, JsonOption, app, ask, finish, show
from encryptotel.errors import UserError

FILE = "sqlite:///"


@app.command("migrate-database")
def migrate_database(
    source: Annotated[str, typer.Argument(help="Such as sqlite:///data/encryptotel.db")],
    target: Annotated[str, typer.Argument(help="Such as postgresql://me@localhost/pbx; empty.")],
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Move everything into another database, with a proof that nothing was lost. The exchange must
    not be running. Passwords come from ENCRYPTOTEL_DATABASE__PASSWORD or PGPASSFILE."""
    from encryptotel.control import NotRunning
    from store.database import Database
    from store.moving import move

    try:
        ask(data, {"do": "status"})
    except NotRunning:
        pass
    else:
        raise UserError("stop the exchange first: what it would write meanwhile would be lost")
    places = [_place(source), _place(target)]
    if places[0] == places[1]:
        raise UserError("that is the same database twice")
    if isinstance(places[0], Path) and not places[0].exists():
        raise UserError(f"there is no {places[0]}")

    async def ready() -> None:
        for place in places:
            database = Database(place)
            await database.open()
            await database.close()

    finish(ready())
    here, there = (Database(place).url for place in places)
    moved = move(here, there, lambda table: print(f"{table} …", file=sys.stderr, flush=True))
    rows = sum(one.rows for one in moved)
    lines = [f"{one.table:14} {one.rows:>9}  {one.digest[:16]}" for one in moved if one.rows]
    lines.append(f"{rows} rows in {len(moved)} tables are the same on both sides.")
    lines.append(_next(places[1], target))
    show({"tables": [asdict(one) for one in moved]}, as_json, lambda: "\n".join(lines))


def _place(address: str) -> Path | URL:
    """Where a database is. Raises `UserError`."""
    from encryptotel.config import Config
    from store.database import postgresql

    if address.startswith(FILE):
        return Path(address.removeprefix(FILE))
    try:
        return postgresql(address, Config().database.password)
    except ValueError as error:
        raise UserError(f"{error}; a file like {FILE}data/encryptotel.db") from None


def _next(place: Path | URL, address: str) -> str:
    if isinstance(place, Path):
        return f"Now put {place} in the place of DATA/encryptotel.db, and drop [database] url."
    return f'Now set url = "{address}" in [database], and start the exchange.'
