"""Secrets of the configuration from files, one in each, as systemd and containers hand them over.

A file is called as the variable of the environment would be: `ENCRYPTOTEL_DATABASE__PASSWORD`. One
of a list says of which: `ENCRYPTOTEL_TRUNK__carrier-us__PASSWORD`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from encryptotel.errors import ConfigError

PREFIX = "ENCRYPTOTEL_"
CONTAINERS = Path("/run/secrets")
"Where Docker, Podman and our chart put them; systemd says where in $CREDENTIALS_DIRECTORY."
MAX_SECRET = 4096
CALLED = {"extension": "number", "trunk": "name", "room": "number"}
"What those of a list are called by."


def secrets_in_files(config: type[BaseModel], written: Mapping[str, Any]) -> dict[str, Any]:
    """What files say, to be laid over what is written in the configuration. Raises `ConfigError`:
    a file that means nothing is a slip that somebody would look for long."""
    folder = Path(os.environ.get("CREDENTIALS_DIRECTORY") or CONTAINERS)
    try:
        files = sorted(file for file in folder.iterdir() if file.name.startswith(PREFIX))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read: {error.strerror}") from error
    found: dict[str, Any] = {}
    for file in files:
        section, _, rest = file.name.removeprefix(PREFIX).partition("__")
        name, _, option = rest.rpartition("__")
        section, option = section.lower(), option.lower()
        if option not in _secrets_of(config, section) or bool(name) != (section in CALLED):
            raise ConfigError(f"{file}: there is no such secret; see docs/howto/secrets.md")
        if section not in CALLED:
            found.setdefault(section, {})[option] = _read(file)
            continue
        if not written or not _is_list_of_tables(given := written.get(section, [])):
            continue  # commands that do without a configuration, and what is refused anyway
        entries = found.setdefault(section, [dict(one) for one in given])
        mine = [one for one in entries if one.get(CALLED[section]) == name]
        if not mine:
            raise ConfigError(f"{file}: the configuration has no [[{section}]] called {name}")
        mine[0][option] = _read(file)
    return found


def _secrets_of(config: type[BaseModel], section: str) -> set[str]:
    """The options of a section that are shown to nobody."""
    known = config.model_fields.get(section)
    annotation: Any = known.annotation if known else None
    model = next(iter(get_args(annotation)), annotation)
    fields = getattr(model, "model_fields", {})
    return {name for name, field in fields.items() if not field.repr}


def _is_list_of_tables(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(one, dict) for one in given)


def _read(file: Path) -> str:
    """The secret, without the line end that editors put behind it."""
    try:
        if not file.is_file():  # a pipe would be waited for, for ever
            raise ConfigError(f"{file} is not a file")
        with file.open("rb") as content:
            raw = content.read(MAX_SECRET + 1)
        secret = raw.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not text in UTF-8") from None  # the error quotes it
    if len(raw) > MAX_SECRET:
        raise ConfigError(f"{file} is larger than {MAX_SECRET} bytes")
    if not secret or "\n" in secret:
        raise ConfigError(f"{file} should hold one line")
    return secret
