"""The command line. Every command takes `--json`; every failure is one clear line and exit 1."""

from __future__ import annotations

import os
import sys

import typer

from encryptotel.cli import program  # isort: skip  # first: help lists them in this order
from encryptotel.cli import directory, keys, menus, money, moving
from encryptotel.cli.base import app, fail
from encryptotel.errors import UserError

__all__ = ["app", "directory", "keys", "main", "menus", "money", "moving", "program"]


def main() -> None:
    """The `encryptotel` command."""
    try:
        sys.exit(app(standalone_mode=False))  # what typer.Exit was raised with, or None
    except typer.Abort:
        sys.exit(130)
    except UserError as error:
        fail(str(error))
    except BrokenPipeError:  # the reader of a pipe had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except Exception as error:
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        if not explain():  # a group without a command: its help was shown
            sys.exit(2)
        fail(f"{explain()} (see --help)", 2)  # the command line was wrong, says typer
