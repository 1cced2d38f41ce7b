"""Secrets of this machine, each in a file of its own that nobody else reads."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

BYTES = 32
_WHOLE = re.compile(rf"[0-9a-f]{{{2 * BYTES}}}\s*")


class NoSecret(Exception):
    """The file is missing, or is not whole; the text says which."""


def secret_in(file: Path, *, make: bool) -> bytes:
    """The secret in a file, made at its first use if that is wanted: whole, or not at all. Raises
    `NoSecret`."""
    if not file.exists():
        if not make:
            raise NoSecret(f"{file} is missing")
        _make(file)
    text = file.read_text("ascii", "replace")
    if not _WHOLE.fullmatch(text):
        raise NoSecret(f"{file} is damaged; put it back from a backup")
    return bytes.fromhex(text)


def _make(file: Path) -> None:
    """It is on the disk under its name only when all of it is."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    with open(draft, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
        out.write(secrets.token_hex(BYTES))
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(draft, file)  # fails where another was quicker, whose secret counts
        folder = os.open(file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
