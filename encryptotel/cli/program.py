"""Commands about the program itself, its calls, recordings and language."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from encryptotel.cli.base import (
    DATA,
    ConfigOption,
    DataOption,
    JsonOption,
    app,
    ask,
    config_of,
    contacts_in,
    fail,
    finish,
    show,
    where_of,
    with_database,
    write_private,
)
from encryptotel.errors import UserError

recordings = typer.Typer(help="Recorded calls, which only you can open.", no_args_is_help=True)
app.add_typer(recordings, name="recording")


def _version(wanted: bool) -> None:
    if wanted:
        from encryptotel import __version__

        print(f"encryptotel {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which this is."),
    ] = False,
) -> None:
    """A personal PBX that you talk to."""


# ── the program ─────────────────────────────────────────────────────────────────────────────
@app.command()
def run(
    config: ConfigOption = None,
    data: DataOption = DATA,
    console: Annotated[bool, typer.Option("--console", help="Chat at this terminal.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the exchange in the foreground until SIGTERM or Ctrl-C.

    Without a configuration one is made in DATA, with three extensions and the demo carrier.
    """
    from encryptotel.config import fresh, load
    from encryptotel.serve import serve

    file = config or data / "config.toml"
    if config is None and not file.exists():
        write_private(file, fresh(demo=True))
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    finish(serve(load(file), file.absolute(), data, console=console, as_json=as_json))


@app.command()
def init(
    config: ConfigOption = None,
    data: DataOption = DATA,
    demo: Annotated[bool, typer.Option(help="With the toy carrier and built-in phones.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a commented configuration with fresh secrets."""
    from encryptotel.config import fresh

    path = config or data / "config.toml"
    if path.exists():
        raise UserError(f"{path} exists; remove it first, or edit it")
    write_private(path, fresh(demo=demo))
    show(
        {"config": str(path)},
        as_json,
        lambda: f"wrote {path}\nnext: encryptotel run --config {path} --data {data}",
    )


@app.command()
def demo(
    as_json: JsonOption = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the log.")] = False,
) -> None:
    """Place the white paper's call between headless phones and prove that both sides hear."""
    from encryptotel.demo.show import show

    logging.basicConfig(level="INFO" if verbose else "ERROR")
    proof = finish(show(quiet=as_json))
    if as_json:
        print(json.dumps(proof))
    if not proof["passed"]:
        raise UserError("the demo did not hear what it should have heard")


@app.command()
def check(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """Try the configuration, ports, certificates, voice, language and trunks; say what to do."""
    from encryptotel.check import check_all

    sys.path.insert(0, str((config or data / "config.toml").absolute().parent))
    results = finish(check_all(config_of(config, data), data))
    show(
        {"checks": [result.to_json() for result in results]},
        as_json,
        lambda: "\n".join(result.line() for result in results),
    )
    if any(result.failed for result in results):
        raise typer.Exit(1)


# ── talking to a running exchange ───────────────────────────────────────────────────────────
@app.command()
def say(
    text: Annotated[list[str], typer.Argument(help="What you would type into the chat.")],
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Say something to a running exchange, as its owner."""
    answer = ask(data, {"do": "say", "text": " ".join(text)})
    show(answer, as_json, lambda: "\n".join(reply["text"] for reply in answer["replies"]))


@app.command()
def status(data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """How the running exchange is doing."""
    answer = ask(data, {"do": "status"})

    def text() -> str:
        from encryptotel.reports import condition

        return f"{answer['text']}\n{condition(answer)}"

    show(answer, as_json, text)


@app.command()
def reload(data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """Take up a changed configuration while calls go on, like SIGHUP; a broken one is refused."""
    answer = ask(data, {"do": "reload"})

    def text() -> str:
        later = [f"{option} has changed: restart for it" for option in answer["at_next_start"]]
        return "\n".join(["the configuration was taken up", *later])

    show(answer, as_json, text)


# ── the journal ─────────────────────────────────────────────────────────────────────────────
@app.command()
def calls(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """The latest calls, newest first."""
    from encryptotel.reports import call_table, calls_json

    where = where_of(config, data)
    found = finish(with_database(where, data, lambda database: calls_json(database, limit)))
    show({"calls": found}, as_json, lambda: call_table(found))


@app.command()
def trace(
    call: Annotated[str, typer.Argument(help="The beginning of a call's id, or “last”.")],
    full: Annotated[bool, typer.Option("--full", help="Whole messages, secrets masked.")] = False,
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """A call's SIP messages as a ladder."""
    from encryptotel.reports import trace_of_call, trace_text

    where = where_of(config, data)
    found = finish(with_database(where, data, lambda database: trace_of_call(database, data, call)))
    if found is None:
        raise UserError(f"there is no call {call}; `encryptotel calls` lists them")
    show(found, as_json, lambda: trace_text(found, full=full))


# ── the language ────────────────────────────────────────────────────────────────────────────
@recordings.command("open")
def recording_open(
    file: Annotated[
        Path, typer.Argument(help="What the exchange gave you: ….ogg.age", exists=True)
    ],
    to: Annotated[Path | None, typer.Option("--to", help="Where the sound goes")] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key", help="A file with the seed or key; else it is asked for")
    ] = None,
) -> None:
    """Open a recording with the seed of your Waves account or your age key, on your machine.
    Neither leaves it, nor is it kept."""
    from encryptotel.keys import identity_of
    from encryptotel.sealed import opened

    if key_file is not None:
        secret = key_file.read_text("utf-8")
    else:
        secret = typer.prompt("Waves seed or age key", hide_input=True)
    target = to or file.with_suffix("").with_suffix(".ogg")
    if target.exists():
        fail(f"{target} exists; choose another place with --to")
    try:
        sound = opened(file, identity_of(secret))
    except ValueError as error:
        fail(str(error))
    with open(target, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
        out.write(sound)
    typer.echo(f"{target}: {len(sound)} bytes")


@app.command()
def parse(
    text: Annotated[list[str] | None, typer.Argument(help="Messages; else standard input.")] = None,
    now: Annotated[str, typer.Option(help="ISO 8601; the present if not given.")] = "",
    tz: Annotated[str, typer.Option(help="The person's time zone.")] = "UTC",
    region: Annotated[str, typer.Option(help="Country of numbers written without +.")] = "US",
    contacts: Annotated[Path | None, typer.Option(help="JSON: name → number.")] = None,
    lines: Annotated[str, typer.Option(help="Zones of the trunks.")] = "US,UK,DE,FR",
    extensions: Annotated[
        str, typer.Option(help="Those that exist; any short number counts if not given.")
    ] = "",
    after: Annotated[
        str, typer.Option(help="The commands before, as a JSON list: what “him” and “again” mean.")
    ] = "",
    asked: Annotated[str, typer.Option(help="The slot just asked for, such as call.to.")] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Show layer by layer how it was understood.")
    ] = False,
    export: Annotated[
        bool,
        typer.Option(
            "--export", help="Print what was kept for training ([language] learn) and end."
        ),
    ] = False,
    data: DataOption = DATA,
) -> None:
    """What the bot understands of each message: one JSON object a line."""
    from encryptotel.lessons import lessons_file

    if export:
        kept = lessons_file(data)
        print(kept.read_text(encoding="utf-8") if kept.exists() else "", end="")
        return
    from nlp.commands import command_from_json
    from nlp.context import Context
    from nlp.explain import explained
    from nlp.understand import Understander

    try:
        moment = datetime.fromisoformat(now) if now else datetime.now(UTC)
    except ValueError as error:
        raise UserError(f"--now {now!r} is not an ISO 8601 time") from error
    try:
        before = tuple(command_from_json(command) for command in json.loads(after or "[]"))
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"--after is not a JSON list of commands: {error}") from error
    context = Context(
        now=moment if moment.tzinfo else moment.replace(tzinfo=UTC),
        timezone=tz,
        region=region.upper(),
        contacts=contacts_in(contacts),
        lines=[zone.strip().upper() for zone in lines.split(",") if zone.strip()],
        extensions=[one.strip() for one in extensions.split(",")] if extensions else None,
        history=before,
        asked=asked,
    )
    understander = Understander.load()
    for message in text or (line.rstrip("\n") for line in sys.stdin):
        if explain:
            _draw(explained(understander, message, context))
            continue
        understood = understander.understand(message, context)
        print(json.dumps(understood.to_json(), ensure_ascii=False), flush=True)


def _draw(layers: Sequence[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, show_lines=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for layer, content in layers:
        table.add_row(layer, Text(content))
    Console().print(table)
