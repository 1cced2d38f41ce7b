"""Calls that are recorded, sealed as they are written, beside the same calls only relayed."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from bench.exchange import EXTENSION, Exchange
from bench.process import BenchError
from bench.report import Row
from bench.rows import Options
from bench.rows.beside import CALL_SECOND, in_turn, per_call_second
from bench.rows.beside import row as compared
from bench.server import Wiring
from bench.traffic import bridged

CALLS = 50
GOAL = 1.5


class RecordingExchange(Exchange):
    """The exchange, whose owner is called."""

    name = "recording"
    owner = EXTENSION

    def __init__(self, wiring: Wiring, folder: Path) -> None:
        super().__init__(wiring, folder)
        from pyrage import x25519  # noqa: PLC0415 - only this row needs a key

        key = str(x25519.Identity.generate().to_public())
        self.sections = {"recording": {"key": key, "notice": False}}

    def record_next(self) -> None:
        """Order that the next call is recorded."""
        from encryptotel.control import ask  # noqa: PLC0415

        said = {"do": "say", "text": "record my next call"}
        heard = asyncio.run(ask(self.data / "control.sock", said))
        if "record your next call" not in str(heard):
            raise BenchError(f"the exchange does not record: {heard}")

    def remark(self) -> str:
        """How many files grow."""
        files = len(list((self.data / "recordings").glob("*.age")))
        return f"{files} recordings"


def measure(options: Options) -> list[Row]:
    """All of its CPU counts: loop, threads, and what the kernel does for both. The generator's
    sound is noise on both sides all the time, so no silence makes it cheaper."""
    rounds, seconds = (4, 2.0) if options.quick else (10, 3.0)
    folder, core = options.folder / "recording", options.core
    with contextlib.ExitStack() as stack:
        recording = stack.enter_context(bridged(RecordingExchange, folder, CALLS, core=core, up=0))
        assert isinstance(recording.server, RecordingExchange)
        for number in range(CALLS):
            recording.server.record_next()
            recording.grow(number + 1)
        relaying = stack.enter_context(bridged(Exchange, folder, CALLS, core=core))
        samples = in_turn([recording, relaying], rounds, seconds)
        files = recording.server.remark()
    ours, plain = samples.values()
    row = compared(
        "recording", "G.711 call recorded", CALL_SECOND, per_call_second, ours, plain, goal=GOAL
    )
    row.peer_name = "only relayed"
    row.detail += f"; {files}"
    return [row]
