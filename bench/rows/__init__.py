"""The rows of the bench: each module measures one thing and returns its rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.server import Server


@dataclass(frozen=True, slots=True)
class Options:
    """What a row is told: how thorough, where its files go, what is measured as "ours"."""

    quick: bool
    folder: Path
    subject: type[Server]
