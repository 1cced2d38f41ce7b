"""Commands about keys for programs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from encryptotel.cli.base import (
    DATA,
    ConfigOption,
    DataOption,
    JsonOption,
    app,
    config_of,
    edit,
    found_at,
    show,
)
from encryptotel.errors import UserError

keys = typer.Typer(help="Keys for programs (docs/api.md).", no_args_is_help=True)
app.add_typer(keys, name="key")


@keys.command("add")
def key_add(
    extension: str,
    name: str,
    scopes: Annotated[str, typer.Option(help="What for, with commas: calls,contacts:read")],
    days: Annotated[int, typer.Option(help="How long it is good.")] = 365,
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Let a program act for whoever has an extension. The key is shown once."""

    async def add(directory: Any, book: Any) -> str:
        await found_at(directory.extension(extension), extension)
        wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        return str(await book.make(extension, name, wanted, days))

    token = _with_keys(config, data, add)
    show({"key": token}, as_json, lambda: token)


@keys.command("list")
def key_list(
    extension: str,
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """The keys that act for an extension."""

    async def listed(directory: Any, book: Any) -> Any:
        return book.of(extension)

    rows = [
        {"id": one.id, "name": one.name, "scopes": list(one.scopes),
         "expires": one.expires.isoformat(), "used": one.used and one.used.isoformat()}
        for one in _with_keys(config, data, listed)
    ]  # fmt: skip
    lines = [f"{r['name']:20} {r['expires'][:10]} {', '.join(r['scopes'])}" for r in rows]
    show({"keys": rows}, as_json, lambda: "\n".join(lines) or "no keys")


@keys.command("revoke")
def key_revoke(
    extension: str, name: str, config: ConfigOption = None, data: DataOption = DATA
) -> None:
    """Let a key open nothing from now on."""

    async def revoke(directory: Any, book: Any) -> str:
        return str(await book.revoke(extension, name))

    print(f"{_with_keys(config, data, revoke)} opens nothing any more")


def _with_keys(config: Any, data: Any, work: Any) -> Any:
    """Do something with all keys. Raises `UserError`."""
    from bot.ports import OperatorError
    from encryptotel.api_keys import ApiKeys

    async def with_book(directory: Any) -> Any:
        book = ApiKeys(directory.database)
        await book.load()
        return await work(directory, book)

    try:
        return edit(config_of(config, data), data, with_book)
    except OperatorError as error:
        raise UserError(error.message) from error
