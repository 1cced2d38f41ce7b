"""The rows of the bench: each module measures one thing and returns its rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.server import CORE, Server


@dataclass(frozen=True, slots=True)
class Options:
    """What a row is told: how thorough, where its files go, what is measured as "ours".

    ``core`` is the processor servers have to themselves where CPU is compared; None leaves that to
    the scheduler.
    """

    quick: bool
    folder: Path
    subject: type[Server]
    core: int | None = CORE
