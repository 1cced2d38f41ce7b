"""The command line. Every command takes `--json`; every failure is one clear line and exit 1."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
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
extensions = typer.Typer(help="Phones and scripts of the exchange.", no_args_is_help=True)
trunks = typer.Typer(help="Lines to the telephone network.", no_args_is_help=True)
ledgers = typer.Typer(help="The books: who has and paid what.", no_args_is_help=True)
payments = typer.Typer(help="Payments in crypto (docs/money.md).", no_args_is_help=True)
rates = typer.Typer(help="What calls cost (docs/money.md).", no_args_is_help=True)
routes = typer.Typer(
    help="Where calls go: `--from X --to Y` explains a call, `add` routes an incoming number.",
    no_args_is_help=True,
)
recordings = typer.Typer(help="Recorded calls, which only you can open.", no_args_is_help=True)
menus = typer.Typer(help="Menus for callers (docs/menus.md).", no_args_is_help=True)
devices = typer.Typer(
    help="Phones with an account of their own, so that one can be shut out alone.",
    no_args_is_help=True,
)
app.add_typer(extensions, name="extension")
app.add_typer(menus, name="ivr")
app.add_typer(devices, name="device")
app.add_typer(recordings, name="recording")
app.add_typer(ledgers, name="ledger")
app.add_typer(rates, name="rates")
app.add_typer(payments, name="payments")
app.add_typer(trunks, name="trunk")
app.add_typer(routes, name="route")

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


def main() -> None:
    """The `encryptotel` command."""
    try:
        sys.exit(app(standalone_mode=False))  # what typer.Exit was raised with, or None
    except typer.Abort:
        sys.exit(130)
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of a pipe had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except Exception as error:
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        if not explain():  # a group without a command: its help was shown
            sys.exit(2)
        _fail(f"{explain()} (see --help)", 2)  # the command line was wrong, says typer


def _fail(message: str, code: int = 1) -> None:
    print(f"encryptotel: {message}", file=sys.stderr)
    sys.exit(code)


def _run(work: Coroutine[Any, Any, T]) -> T:
    import uvloop

    return uvloop.run(work)


def _show(data: Any, as_json: bool, text: Callable[[], str]) -> None:
    _print_whole(json.dumps(data, ensure_ascii=False) if as_json else text())


def _print_whole(text: str) -> None:
    """Print all of a long text. Python without buffers, as containers run it, takes no care when
    a pipe takes only a part; a piece of at most 4096 bytes is taken whole or not at all."""
    for start in range(0, len(text), 1000):
        sys.stdout.write(text[start : start + 1000])
    sys.stdout.write("\n")
    sys.stdout.flush()


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
        _write_private(file, fresh(demo=True))
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    _run(serve(load(file), file.absolute(), data, console=console, as_json=as_json))


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
    _write_private(path, fresh(demo=demo))
    _show(
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
    proof = _run(show(quiet=as_json))
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
    results = _run(check_all(_config(config, data), data))
    _show(
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
    answer = _ask(data, {"do": "say", "text": " ".join(text)})
    _show(answer, as_json, lambda: "\n".join(reply["text"] for reply in answer["replies"]))


@app.command()
def status(data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """How the running exchange is doing."""
    answer = _ask(data, {"do": "status"})

    def text() -> str:
        from encryptotel.reports import condition

        return f"{answer['text']}\n{condition(answer)}"

    _show(answer, as_json, text)


@app.command()
def reload(data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """Take up a changed configuration while calls go on, like SIGHUP; a broken one is refused."""
    answer = _ask(data, {"do": "reload"})

    def text() -> str:
        later = [f"{option} has changed: restart for it" for option in answer["at_next_start"]]
        return "\n".join(["the configuration was taken up", *later])

    _show(answer, as_json, text)


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

    where = _where(config, data)
    found = _run(_with_database(where, data, lambda database: calls_json(database, limit)))
    _show({"calls": found}, as_json, lambda: call_table(found))


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

    where = _where(config, data)
    found = _run(_with_database(where, data, lambda database: trace_of_call(database, data, call)))
    if found is None:
        raise UserError(f"there is no call {call}; `encryptotel calls` lists them")
    _show(found, as_json, lambda: trace_text(found, full=full))


# ── money ───────────────────────────────────────────────────────────────────────────────────
@app.command()
def accounts(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """What everybody has, and what came in."""
    from wallet.ledger import balances

    where = _where(config, data)
    found = _run(_with_database(where, data, balances))
    coins = _coins(config, data)
    rows = [
        {"account": account, "asset": coins[asset].name if asset in coins else asset,
         "amount": coins[asset].figures(n) if asset in coins else str(n)}
        for (account, asset), n in found.items()
    ]  # fmt: skip
    text = [f"{row['account']:24} {row['amount']:>16} {row['asset']}" for row in rows]
    _show({"accounts": rows}, as_json, lambda: "\n".join(text) or "nobody has anything yet")


@app.command()
def credit(
    extension: str,
    amount: Annotated[str, typer.Argument(help="Such as 10, or -- -2.50 to take it back.")],
    note: Annotated[str, typer.Option(help="What for; the person sees it.")] = "credit",
    config: ConfigOption = None,
    data: DataOption = DATA,
) -> None:
    """Give somebody credit for calls, or take some back."""
    from encryptotel.accounts import give
    from wallet.ledger import LedgerError
    from wallet.money import MoneyError

    loaded = _config(config, data)
    unit = loaded.money.asset

    async def work(directory: Any) -> int:
        await _found(directory.extension(extension), extension)
        return await give(directory.database, unit, extension, unit.parse(amount), note)

    try:
        has = _edit(loaded, data, work)
    except (MoneyError, LedgerError) as error:
        raise UserError(f"{error}; nothing was changed") from error
    print(f"{extension} has {unit.text(has)} now.")


@ledgers.command("verify")
def ledger_verify(config: ConfigOption = None, data: DataOption = DATA) -> None:
    """Add everything up anew, and prove that every account is right."""
    from wallet.ledger import verify

    proof = _run(_with_database(_where(config, data), data, verify))
    for fault in proof.faults:
        print(f"✗ {fault}")
    if proof.faults:
        raise typer.Exit(1)
    print(f"✓ {proof.entries} entries, {proof.accounts} accounts: everything adds up")


@ledgers.command("income")
def ledger_income(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """What calls brought and what was paid in, by day and asset."""
    from wallet.ledger import income

    found = _run(_with_database(_where(config, data), data, income))
    coins = _coins(config, data)
    rows = [
        {"day": d, "kind": k, "asset": coins[a].name if a in coins else a,
         "amount": coins[a].figures(n) if a in coins else str(n)}
        for d, k, a, n in found
    ]  # fmt: skip
    lines = [f"{r['day']}  {r['kind']:8} {r['amount']:>20} {r['asset']}" for r in rows]
    _show({"income": rows}, as_json, lambda: "\n".join(lines) or "nothing came in yet")


@ledgers.command("export")
def ledger_export(config: ConfigOption = None, data: DataOption = DATA) -> None:
    """All entries as CSV, oldest first; sums in the smallest unit."""
    from wallet.ledger import export

    async def work(database: Any) -> None:
        async for piece in export(database):
            _print_whole(piece.removesuffix("\n"))

    _run(_with_database(_where(config, data), data, work))


@payments.command("list")
def payments_list(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """Payments that nobody is known for."""
    from wallet.invoices import unclaimed

    found = _run(_with_database(_where(config, data), data, unclaimed))
    rows = [
        {"payment": r.key, "asset": r.asset, "amount": r.amount, "sender": r.sender, "memo": r.memo}
        for r in found
    ]
    lines = [" ".join(f"{name}={value!r}" for name, value in row.items()) for row in rows]
    _show({"payments": rows}, as_json, lambda: "\n".join(lines) or "every payment is somebody's")


@payments.command("assign")
def payments_assign(
    payment: Annotated[str, typer.Argument(help="As `payments list` names it.")],
    extension: str,
    config: ConfigOption = None,
    data: DataOption = DATA,
) -> None:
    """Say whose a payment is; the running exchange credits it."""
    from wallet.invoices import assign

    async def work(directory: Any) -> bool:
        await _found(directory.extension(extension), extension)
        return await assign(directory.database, payment, extension)

    if not _edit(_config(config, data), data, work):
        raise UserError("there is no such payment that nobody is known for")
    print(f"{payment} is {extension}'s, and is credited when it is confirmed.")


@rates.command("check")
def rates_check(file: Path) -> None:
    """Whether a rate deck can be used; all that is wrong with it."""
    from wallet.rates import DeckError, load

    try:
        deck = load(file)
    except DeckError as error:
        for problem in error.problems:
            print(f"✗ {problem}")
        raise typer.Exit(1) from None
    print(f"✓ {len(deck)} rates")


# ── the directory ───────────────────────────────────────────────────────────────────────────
@extensions.command("add")
def extension_add(
    number: str,
    name: Annotated[str, typer.Option(help="Whose it is.")] = "",
    srtp: Annotated[str, typer.Option(help="require, offer or off.")] = "offer",
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Add an extension; prints what to enter in a softphone."""
    from encryptotel.reports import phone_settings, settings_text
    from pbx.media.srtp import SrtpPolicy

    if srtp not in list(SrtpPolicy):
        raise UserError(f"--srtp is one of {', '.join(SrtpPolicy)}")
    loaded = _config(config, data)
    extension = _edit(
        loaded, data, lambda directory: directory.add_extension(number, name, SrtpPolicy(srtp))
    )
    found = phone_settings(extension, loaded, data, _addresses(data))
    _show(found, as_json, lambda: settings_text(found))


@extensions.command("show")
def extension_show(
    number: str, config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """What to enter in a softphone for an extension."""
    from encryptotel.reports import phone_settings, settings_text

    loaded = _config(config, data)
    extension = _edit(
        loaded, data, lambda directory: _found(directory.extension(number), number), tell=False
    )
    found = phone_settings(extension, loaded, data, _addresses(data))
    _show(found, as_json, lambda: settings_text(found))


@extensions.command("remove")
def extension_remove(
    number: str, config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """Remove an extension that was added at run time."""
    loaded = _config(config, data)
    _edit(loaded, data, lambda directory: directory.remove_extension(number))
    _show({"removed": number}, as_json, lambda: f"extension {number} is removed")


@extensions.command("list")
def extension_list(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """All extensions."""
    loaded = _config(config, data)
    found = _edit(loaded, data, lambda directory: _now(directory.extensions()), tell=False)
    rows = [{"number": e.number, "name": e.name, "srtp": e.srtp, "script": e.script} for e in found]
    _show(
        {"extensions": rows},
        as_json,
        lambda: "\n".join(f"{row['number']:<6} {row['name'] or row['script']}" for row in rows),
    )


@devices.command("add")
def device_add(
    extension: str,
    name: Annotated[str, typer.Option(help="What you call the phone: Alice's desk.")] = "",
    link: Annotated[
        bool, typer.Option("--link", help="A link and QR code that set it up, once.")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Give a phone of an extension an account of its own; prints what to enter in it."""
    from encryptotel.reports import device_settings, link_text, settings_text

    if link:
        offered = _ask(data, {"do": "set_up_phone", "extension": extension, "name": name})
        _show(offered, as_json, lambda: link_text(offered))
        return
    loaded = _config(config, data)
    account, row = _edit(loaded, data, lambda directory: _with_account(directory, extension, name))
    found = device_settings(account, row, loaded, data, _addresses(data))
    _show(found, as_json, lambda: settings_text(found))


@devices.command("list")
def device_list(
    extension: Annotated[str, typer.Argument(help="Of one extension only.")] = "",
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Phones with an account of their own, and whether they are connected."""
    from encryptotel.reports import device_lines, devices_json

    loaded = _config(config, data)
    rows = _edit(loaded, data, lambda directory: _now(directory.devices(extension)), tell=False)
    running = bool(_addresses(data))
    found = _run(
        _with_database(
            loaded.database.where(data),
            data,
            lambda database: devices_json(database, rows, running),
        )
    )
    _show({"devices": found}, as_json, lambda: device_lines(found))


@devices.command("revoke")
def device_revoke(
    device: Annotated[str, typer.Argument(help="Its user name, as `device list` shows it.")],
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Shut a phone out, at once; calls that it has go on."""
    loaded = _config(config, data)
    row = _edit(loaded, data, lambda directory: directory.revoke_device(device))
    _show({"revoked": device}, as_json, lambda: f"{row.name} ({device}) is revoked")


@trunks.command("add")
def trunk_add(
    name: str,
    zone: Annotated[str, typer.Option(help="What people call the line: US, UK, DE.")],
    host: Annotated[str, typer.Option(help="The carrier's host name or address.")],
    port: Annotated[int, typer.Option(help="0 = what DNS says.")] = 0,
    transport: Annotated[str, typer.Option(help="auto, udp, tcp or tls.")] = "auto",
    number: Annotated[list[str] | None, typer.Option(help="Your number there; repeatable.")] = None,
    username: str = "",
    password: Annotated[
        str, typer.Option(envvar="ENCRYPTOTEL_TRUNK_PASSWORD", help="Better as the variable.")
    ] = "",
    register: Annotated[bool, typer.Option("--register", help="Register there.")] = False,
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Add a trunk."""
    from pydantic import ValidationError

    from encryptotel.config import TrunkSection
    from store.tables import TrunkRow

    try:
        section = TrunkSection.model_validate(
            {
                "name": name,
                "zone": zone.upper(),
                "host": host,
                "port": port,
                "transport": transport,
                "numbers": tuple(number or ()),
                "username": username,
                "password": password,
                "register": register,
            }
        )
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    row = TrunkRow(
        name=section.name,
        zone=section.zone,
        host=section.host,
        port=section.port,
        transport=section.transport,
        numbers=" ".join(section.numbers),
        username=section.username,
        secret=section.password,
        register_there=section.register_there,
    )
    loaded = _config(config, data)
    _edit(loaded, data, lambda directory: directory.add_trunk(row))
    _show({"added": name}, as_json, lambda: f"trunk {name} is added; `encryptotel status` shows it")


@trunks.command("remove")
def trunk_remove(
    name: str, config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """Remove a trunk that was added at run time."""
    loaded = _config(config, data)
    _edit(loaded, data, lambda directory: directory.remove_trunk(name))
    _show({"removed": name}, as_json, lambda: f"trunk {name} is removed")


@trunks.command("list")
def trunk_list(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """All trunks (without the demo carrier's)."""
    loaded = _config(config, data)
    found = _edit(loaded, data, lambda directory: _now(directory.trunks()), tell=False)
    rows = [
        {"name": t.name, "zone": t.zone, "host": t.host, "port": t.port, "numbers": list(t.numbers)}
        for t in found
    ]
    _show(
        {"trunks": rows},
        as_json,
        lambda: (
            "\n".join(
                f"{row['name']:<16} {row['zone']:<4} {row['host']}"
                + (f":{row['port']}" if row["port"] else "")
                for row in rows
            )
            or "no trunks"
        ),
    )


@routes.callback(invoke_without_command=True)
def route(
    context: typer.Context,
    caller: Annotated[
        str, typer.Option("--from", help="An extension, a trunk's name, or a +number.")
    ] = "",
    called: Annotated[str, typer.Option("--to", help="What is dialled.")] = "",
    at: Annotated[
        str, typer.Option(help="When: 2026-12-24T18:30, by the owner's clocks; else now.")
    ] = "",
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Say where a call would go, and why; nothing is called."""
    from encryptotel.ivr.commands import note_menus
    from encryptotel.plan import explain, moment_of
    from encryptotel.wishes import book_of

    if context.invoked_subcommand is not None:
        return
    if not (caller and called):
        raise UserError("--from and --to are both needed")
    loaded, file = _config(config, data), _config_file(config, data)
    when = moment_of(at, loaded.owner.timezone)

    async def plan(directory: Any) -> list[str]:
        directory.wishes_of = (await book_of(directory, loaded)).of
        note_menus(loaded, file, directory)
        return explain(caller, called, directory, loaded, when)

    found = _edit(loaded, data, plan, tell=False)
    _show({"plan": found}, as_json, lambda: "\n  ".join(found))


@routes.command("add")
def route_add(
    number: Annotated[str, typer.Argument(help="An incoming +E.164 number, or “*”.")],
    to: Annotated[str, typer.Argument(help="The extension it rings, or a menu's number.")],
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Let an incoming number ring an extension, or lead to a menu."""
    from encryptotel.ivr.commands import note_menus

    loaded, file = _config(config, data), _config_file(config, data)

    async def add(directory: Any) -> None:
        note_menus(loaded, file, directory)
        await directory.add_route(number, to)

    _edit(loaded, data, add)
    _show({"number": number, "to": to}, as_json, lambda: f"{number} rings {to}")


# ── menus ───────────────────────────────────────────────────────────────────────────────────
MenuFile = Annotated[
    Path | None, typer.Argument(help="A file of menus; that of the configuration if not given.")
]


@menus.command("check")
def menus_check(
    file: MenuFile = None,
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Try the menus as the exchange would: targets, hours, sounds, voices, words."""
    from encryptotel.ivr.commands import checked, file_of, summary
    from encryptotel.ivr.file import MenuError

    loaded, of = _config(config, data), _config_file(config, data)
    path = file_of(loaded, of, file)
    try:
        found = _edit(
            loaded, data, lambda directory: checked(loaded, of, path, directory), tell=False
        )
    except MenuError as error:
        problems = {"file": str(path), "problems": error.problems}
        lines = [f"✗ {path}", *(f"  {problem}" for problem in error.problems)]
        _show(problems, as_json, lambda: "\n".join(lines))
        raise typer.Exit(1) from error
    _show(found, as_json, lambda: summary(found))


@menus.command("draw")
def menus_draw(
    file: MenuFile = None,
    to: Annotated[Path, typer.Option("--to", help="Where the SVG goes.")] = Path("menus.svg"),
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Draw the menus as a picture: boxes, and an arrow for each choice."""
    from encryptotel.ivr.commands import file_of, picture

    loaded, of = _config(config, data), _config_file(config, data)
    path = file_of(loaded, of, file)
    svg = _edit(loaded, data, lambda directory: _now(picture(loaded, path, directory)), tell=False)
    to.write_text(svg, "utf-8")
    _show({"picture": str(to)}, as_json, lambda: f"{path} is drawn in {to}")


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
        _fail(f"{target} exists; choose another place with --to")
    try:
        sound = opened(file, identity_of(secret))
    except ValueError as error:
        _fail(str(error))
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
        contacts=_contacts(contacts),
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


# ── parts ───────────────────────────────────────────────────────────────────────────────────
def _config(config: Path | None, data: Path) -> Any:
    """The configuration named, or that of the running exchange, or DATA/config.toml."""
    from encryptotel.config import load

    return load(_config_file(config, data))


def _config_file(config: Path | None, data: Path) -> Path:
    from encryptotel.control import NotRunning

    file = config or data / "config.toml"
    if config is None:
        with contextlib.suppress(NotRunning):
            file = Path(_ask(data, {"do": "status"})["config"] or file)
    if not file.exists():
        raise NoConfig(f"{file} does not exist; `encryptotel init` writes one, or use --config")
    return file


def _coins(config: Path | None, data: Path) -> dict[str, Any]:
    """Everything that accounts are kept in, by its id."""
    from encryptotel.config import Config

    try:
        loaded = _config(config, data)
    except NoConfig:
        loaded = Config()
    return {coin.id: coin for coin in (loaded.money.asset, *loaded.waves.coins)}


def _where(config: Path | None, data: Path) -> Any:
    """The database of the configuration; without one, the file in the data folder."""
    from encryptotel.config import Config

    try:
        loaded = _config(config, data)
    except NoConfig:
        loaded = Config()
    return loaded.database.where(data)


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def _contacts(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} should hold one JSON object of name → number")
    return {str(name): str(number) for name, number in found.items()}


def _ask(data: Path, request: dict[str, Any]) -> dict[str, Any]:
    from encryptotel.control import ask

    answer = asyncio.run(ask(data / "control.sock", request))
    if "error" in answer:
        raise UserError(answer["error"])
    return answer


def _addresses(data: Path) -> dict[str, str]:
    """Where the running exchange serves; empty when none runs."""
    from encryptotel.control import NotRunning

    try:
        return dict(_ask(data, {"do": "status"})["addresses"])
    except NotRunning:
        return {}


async def _with_database(
    where: Any, data: Path, work: Callable[[Any], Coroutine[Any, Any, T]]
) -> T:
    from store.database import Database

    database = Database(where)
    if database.path is not None and not database.path.exists():
        raise UserError(f"{data} has no database yet; `encryptotel run --data {data}` makes one")
    await database.open()
    try:
        return await work(database)
    finally:
        await database.close()


def _edit(
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
    result = _run(edit())
    if tell:
        with contextlib.suppress(NotRunning):  # the next start reads it
            _ask(data, {"do": "reload"})
    return result


async def _with_account(directory: Any, extension: str, name: str) -> Any:
    row = await directory.add_device(extension, name)
    return directory.account(row.username), row


async def _now(value: T) -> T:
    return value


async def _found(value: T | None, number: str) -> T:
    if value is None:
        raise UserError(f"there is no extension {number}")
    return value
