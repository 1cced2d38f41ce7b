"""`encryptotel ivr`: try the file of menus, and draw it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from encryptotel.config import Config
from encryptotel.directory import Directory
from encryptotel.errors import UserError
from encryptotel.ivr.book import service, spoken
from encryptotel.ivr.desk import Voices, surroundings
from encryptotel.ivr.drawing import drawn
from encryptotel.ivr.ear import ProcessEar
from encryptotel.ivr.file import Draft, read
from pbx.calls.cause import Ending
from pbx.calls.menus import Kind, Menu
from pbx.calls.services import Visit
from pbx.media.codecs import RATE
from pbx.ports import CallRefused


def file_of(config: Config, config_file: Path, given: Path | None) -> Path:
    """The file named, or that of the configuration. Raises `UserError` when there is none."""
    if given is None and not config.menus.file:
        raise UserError(
            'no menus are configured: set file = "menus.toml" in [menus], or name a file; '
            "docs/menus.example.toml is one to begin with"
        )
    return given or config_file.parent / config.menus.file


async def checked(
    config: Config, config_file: Path, file: Path, directory: Directory
) -> dict[str, Any]:
    """Read a file as the exchange would, sounds, voices and words included; what is in it.
    Raises `MenuError` with everything that is wrong."""
    draft = read(file, surroundings(config, directory))
    folder = config_file.parent
    ear = ProcessEar(config.menus, folder)
    try:
        menus = await spoken(draft, file, Voices(config, folder), ear)
    finally:
        await ear.close()
    rows = [_row(menu) for menu in menus.values()]
    return {"file": str(file), "menus": rows, "notes": _notes(draft)}


def summary(found: dict[str, Any]) -> str:
    """What was checked, for people."""
    lines = [f"✓ {found['file']}: {len(found['menus'])} menus"]
    for row in found["menus"]:
        number = f" ({row['number']})" if row["number"] else ""
        lines.append(
            f"  {row['name']}{number}: {row['seconds']:.0f} s, keys {row['keys'] or 'none'}, "
            f"{row['words']} words"
        )
    return "\n".join([*lines, *(f"! {note}" for note in found["notes"])])


def picture(config: Config, file: Path, directory: Directory) -> str:
    """The menus as SVG. Raises `MenuError`."""
    draft = read(file, surroundings(config, directory))
    names = {one.number: one.name for one in directory.extensions()}
    return drawn(draft.menus, config.exchange.name, lambda number: names.get(number, ""))


def note_menus(config: Config, config_file: Path, directory: Directory) -> None:
    """Let a directory that only plans know the numbers of menus. Raises `MenuError`."""
    if not config.menus.file:
        return
    draft = read(config_file.parent / config.menus.file, surroundings(config, directory))
    for menu in draft.menus.values():
        if menu.number:
            directory.services.add(service(menu, _planned))


async def _planned(visit: Visit) -> Ending:
    raise CallRefused(503, "nothing is called while calls are planned")


def _row(menu: Menu) -> dict[str, Any]:
    return {
        "name": menu.name,
        "number": menu.number,
        "seconds": len(menu.prompt) / (2 * RATE),
        "keys": "".join(choice.key for choice in menu.choices),
        "words": sum(len(choice.words) for choice in menu.choices),
    }


def _notes(draft: Draft) -> list[str]:
    """What is not wrong, but perhaps not meant."""
    menus = draft.menus
    goals = [goal for menu in menus.values() for _, goal in menu.goals()]
    led = {goal.to for goal in goals if goal.kind is Kind.MENU}
    return [
        draft.where("menu", name) + "nobody comes to it: it has no number, and nothing leads there"
        for name, menu in menus.items()
        if not menu.number and name not in led
    ]
