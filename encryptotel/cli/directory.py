"""Commands about who is where: extensions, devices, trunks, routes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from encryptotel.cli.base import (
    DATA,
    ConfigOption,
    DataOption,
    JsonOption,
    addresses_of,
    app,
    ask,
    at_once,
    config_file,
    config_of,
    edit,
    finish,
    found_at,
    show,
    with_account,
    with_database,
)
from encryptotel.errors import UserError

extensions = typer.Typer(help="Phones and scripts of the exchange.", no_args_is_help=True)
devices = typer.Typer(
    help="Phones with an account of their own, so that one can be shut out alone.",
    no_args_is_help=True,
)
trunks = typer.Typer(help="Lines to the telephone network.", no_args_is_help=True)
routes = typer.Typer(
    help="Where calls go: `--from X --to Y` explains a call, `add` routes an incoming number.",
    no_args_is_help=True,
)
app.add_typer(extensions, name="extension")
app.add_typer(devices, name="device")
app.add_typer(trunks, name="trunk")
app.add_typer(routes, name="route")


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
    loaded = config_of(config, data)
    extension = edit(
        loaded, data, lambda directory: directory.add_extension(number, name, SrtpPolicy(srtp))
    )
    found = phone_settings(extension, loaded, data, addresses_of(data))
    show(found, as_json, lambda: settings_text(found))


@extensions.command("show")
def extension_show(
    number: str, config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """What to enter in a softphone for an extension."""
    from encryptotel.reports import phone_settings, settings_text

    loaded = config_of(config, data)
    extension = edit(
        loaded, data, lambda directory: found_at(directory.extension(number), number), tell=False
    )
    found = phone_settings(extension, loaded, data, addresses_of(data))
    show(found, as_json, lambda: settings_text(found))


@extensions.command("remove")
def extension_remove(
    number: str, config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """Remove an extension that was added at run time."""
    loaded = config_of(config, data)
    edit(loaded, data, lambda directory: directory.remove_extension(number))
    show({"removed": number}, as_json, lambda: f"extension {number} is removed")


@extensions.command("list")
def extension_list(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """All extensions."""
    loaded = config_of(config, data)
    found = edit(loaded, data, lambda directory: at_once(directory.extensions()), tell=False)
    rows = [{"number": e.number, "name": e.name, "srtp": e.srtp, "script": e.script} for e in found]
    show(
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
        offered = ask(data, {"do": "set_up_phone", "extension": extension, "name": name})
        show(offered, as_json, lambda: link_text(offered))
        return
    loaded = config_of(config, data)
    account, row = edit(loaded, data, lambda directory: with_account(directory, extension, name))
    found = device_settings(account, row, loaded, data, addresses_of(data))
    show(found, as_json, lambda: settings_text(found))


@devices.command("list")
def device_list(
    extension: Annotated[str, typer.Argument(help="Of one extension only.")] = "",
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Phones with an account of their own, and whether they are connected."""
    from encryptotel.reports import device_lines, devices_json

    loaded = config_of(config, data)
    rows = edit(loaded, data, lambda directory: at_once(directory.devices(extension)), tell=False)
    running = bool(addresses_of(data))
    found = finish(
        with_database(
            loaded.database.where(data),
            data,
            lambda database: devices_json(database, rows, running),
        )
    )
    show({"devices": found}, as_json, lambda: device_lines(found))


@devices.command("revoke")
def device_revoke(
    device: Annotated[str, typer.Argument(help="Its user name, as `device list` shows it.")],
    config: ConfigOption = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Shut a phone out, at once; calls that it has go on."""
    loaded = config_of(config, data)
    row = edit(loaded, data, lambda directory: directory.revoke_device(device))
    show({"revoked": device}, as_json, lambda: f"{row.name} ({device}) is revoked")


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
    loaded = config_of(config, data)
    edit(loaded, data, lambda directory: directory.add_trunk(row))
    show({"added": name}, as_json, lambda: f"trunk {name} is added; `encryptotel status` shows it")


@trunks.command("remove")
def trunk_remove(
    name: str, config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """Remove a trunk that was added at run time."""
    loaded = config_of(config, data)
    edit(loaded, data, lambda directory: directory.remove_trunk(name))
    show({"removed": name}, as_json, lambda: f"trunk {name} is removed")


@trunks.command("list")
def trunk_list(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """All trunks (without the demo carrier's)."""
    loaded = config_of(config, data)
    found = edit(loaded, data, lambda directory: at_once(directory.trunks()), tell=False)
    rows = [
        {"name": t.name, "zone": t.zone, "host": t.host, "port": t.port, "numbers": list(t.numbers)}
        for t in found
    ]
    show(
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
    loaded, file = config_of(config, data), config_file(config, data)
    when = moment_of(at, loaded.owner.timezone)

    async def plan(directory: Any) -> list[str]:
        directory.wishes_of = (await book_of(directory, loaded)).of
        note_menus(loaded, file, directory)
        return explain(caller, called, directory, loaded, when)

    found = edit(loaded, data, plan, tell=False)
    show({"plan": found}, as_json, lambda: "\n  ".join(found))


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

    loaded, file = config_of(config, data), config_file(config, data)

    async def add(directory: Any) -> None:
        note_menus(loaded, file, directory)
        await directory.add_route(number, to)

    edit(loaded, data, add)
    show({"number": number, "to": to}, as_json, lambda: f"{number} rings {to}")
