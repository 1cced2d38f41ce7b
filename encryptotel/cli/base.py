"""What the commands share: options, ways to answer, the configuration, the database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from encryptotel.errors import UserError

app = typer.Typer(
    help="A personal PBX that you talk to.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="The configuration; DATA/config.toml if not given.")
]
DataOption = Annotated[
    Path,
    typer.Option("--data", envvar="ENCRYPTOTEL_DATA", help="Folder for database, keys, socket."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DATA = Path("data")

T = TypeVar("T")


class NoConfig(UserError):
    """There is no configuration where one was looked for."""


def fail(message: str, code: int = 1) -> None:
    print(f"encryptotel: {message}", file=sys.stderr)
    sys.exit(code)


def finish(work: Coroutine[Any, Any, T]) -> T:
    import uvloop

    return uvloop.run(work)


def show(data: Any, as_json: bool, text: Callable[[], str]) -> None:
    print_whole(json.dumps(data, ensure_ascii=False) if as_json else text())


def print_whole(text: str) -> None:
    """Print all of a long text. Python without buffers, as containers run it, takes no care when
    a pipe takes only a part; a piece of at most 4096 bytes is taken whole or not at all."""
    for start in range(0, len(text), 1000):
        sys.stdout.write(text[start : start + 1000])
    sys.stdout.write("\n")
    sys.stdout.flush()


def config_of(config: Path | None, data: Path) -> Any:
    """The configuration named, or that of the running exchange, or DATA/config.toml."""
    from encryptotel.config import load

    return load(config_file(config, data))


def config_file(config: Path | None, data: Path) -> Path:
    from encryptotel.control import NotRunning

    file = config or data / "config.toml"
    if config is None:
        with contextlib.suppress(NotRunning):
            file = Path(ask(data, {"do": "status"})["config"] or file)
    if not file.exists():
        raise NoConfig(f"{file} does not exist; `encryptotel init` writes one, or use --config")
    return file


def coins_of(config: Path | None, data: Path) -> dict[str, Any]:
    """Everything that accounts are kept in, by its id."""
    from encryptotel.config import Config

    try:
        loaded = config_of(config, data)
    except NoConfig:
        loaded = Config()
    return {coin.id: coin for coin in (loaded.money.asset, *loaded.waves.coins)}


def where_of(config: Path | None, data: Path) -> Any:
    """The database of the configuration; without one, the file in the data folder."""
    from encryptotel.config import Config

    try:
        loaded = config_of(config, data)
    except NoConfig:
        loaded = Config()
    return loaded.database.where(data)


def write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def contacts_in(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} should hold one JSON object of name → number")
    return {str(name): str(number) for name, number in found.items()}


def ask(data: Path, request: dict[str, Any]) -> dict[str, Any]:
    from encryptotel.control import ask

    answer = asyncio.run(ask(data / "control.sock", request))
    if "error" in answer:
        raise UserError(answer["error"])
    return answer


def addresses_of(data: Path) -> dict[str, str]:
    """Where the running exchange serves; empty when none runs."""
    from encryptotel.control import NotRunning

    try:
        return dict(ask(data, {"do": "status"})["addresses"])
    except NotRunning:
        return {}


async def with_database(where: Any, data: Path, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    from store.database import Database

    database = Database(where)
    if database.path is not None and not database.path.exists():
        raise UserError(f"{data} has no database yet; `encryptotel run --data {data}` makes one")
    await database.open()
    try:
        return await work(database)
    finally:
        await database.close()


def edit(
    config: Any,
    data: Path,
    work: Callable[[Any], Coroutine[Any, Any, T]],
    *,
    tell: bool = True,
) -> T:
    """Do something with the directory in the database, and let a running exchange know."""
    from encryptotel.control import NotRunning
    from encryptotel.directory import Directory
    from store.database import Database

    async def edit() -> T:
        database = Database(config.database.where(data))
        await database.open()
        try:
            directory = Directory(config, database)
            await directory.load()
            return await work(directory)
        finally:
            await database.close()

    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    result = finish(edit())
    if tell:
        with contextlib.suppress(NotRunning):  # the next start reads it
            ask(data, {"do": "reload"})
    return result


async def with_account(directory: Any, extension: str, name: str) -> Any:
    row = await directory.add_device(extension, name)
    return directory.account(row.username), row


async def at_once(value: T) -> T:
    return value


async def found_at(value: T | None, number: str) -> T:
    if value is None:
        raise UserError(f"there is no extension {number}")
    return value
