"""Commands about menus for callers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encryptotel.cli.base import (
    DATA,
    ConfigOption,
    DataOption,
    JsonOption,
    app,
    at_once,
    config_file,
    config_of,
    edit,
    show,
)

menus = typer.Typer(help="Menus for callers (docs/menus.md).", no_args_is_help=True)
app.add_typer(menus, name="ivr")

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

    loaded, of = config_of(config, data), config_file(config, data)
    path = file_of(loaded, of, file)
    try:
        found = edit(
            loaded, data, lambda directory: checked(loaded, of, path, directory), tell=False
        )
    except MenuError as error:
        problems = {"file": str(path), "problems": error.problems}
        lines = [f"✗ {path}", *(f"  {problem}" for problem in error.problems)]
        show(problems, as_json, lambda: "\n".join(lines))
        raise typer.Exit(1) from error
    show(found, as_json, lambda: summary(found))


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

    loaded, of = config_of(config, data), config_file(config, data)
    path = file_of(loaded, of, file)
    svg = edit(
        loaded, data, lambda directory: at_once(picture(loaded, path, directory)), tell=False
    )
    to.write_text(svg, "utf-8")
    show({"picture": str(to)}, as_json, lambda: f"{path} is drawn in {to}")
