"""``python -m bench``: measure, print the table, write the JSON."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import curves, profile
from bench.asterisk import Asterisk
from bench.exchange import Exchange
from bench.process import BenchError, Unavailable
from bench.report import Row, machine, show, write_report
from bench.rows import (
    Options,
    calls,
    capacity,
    chat,
    cluster,
    conference,
    console,
    history,
    homes,
    ivr,
    language,
    listeners,
    menu_words,
    money,
    people,
    programs,
    pyvoip,
    recording,
    registrations,
    relay,
    reminders,
    routing,
    sentence,
    srtp,
    start,
    transcode,
)
from bench.server import CORE, Server
from bench.sippy_peer import Sippy

ROWS: dict[str, Callable[[Options], list[Row]]] = {
    "relay": relay.measure,
    "srtp": srtp.measure,
    "transcode": transcode.measure,
    "recording": recording.measure,
    "conference": conference.measure,
    "calls": calls.measure,
    "capacity": capacity.measure,
    "registrations": registrations.measure,
    "pyvoip": pyvoip.measure,
    "reminders": reminders.measure,
    "money": money.measure,
    "routing": routing.measure,
    "chat": chat.measure,
    "language": language.measure,
    "sentence": sentence.measure,
    "people": people.measure,
    "programs": programs.measure,
    "history": history.measure,
    "homes": homes.measure,
    "cluster": cluster.measure,
    "console": console.measure,
    "listeners": listeners.measure,
    "ivr": ivr.measure,
    "menu_words": menu_words.measure,
    "start": start.measure,
}
SUBJECTS: dict[str, type[Server]] = {
    "exchange": Exchange,
    "asterisk": Asterisk,
    "sippy": Sippy,
}


def _run(name: str, options: Options, note: Console) -> list[Row]:
    begun = time.monotonic()
    note.print(f"measuring {name} …", style="dim")
    try:
        rows = ROWS[name](options)
    except Unavailable as reason:
        rows = [Row(name, name, "", skipped=str(reason))]
    except (BenchError, OSError) as error:
        rows = [Row(name, name, "", failed=str(error))]
    note.print(f"  {time.monotonic() - begun:.0f} s", style="dim")
    return rows


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Measure this row only; may be given again.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer rounds: under 4 minutes, noisier.")
    ] = False,
    unpinned: Annotated[
        bool,
        typer.Option("--unpinned", help="Let the scheduler place servers and generator."),
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="Name the rows and end.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything measured to this file.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the table into this document, at its marks.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 when a goal is missed or a row is skipped.")
    ] = False,
    subject: Annotated[
        str, typer.Option(help=f"What is measured as ours: {', '.join(SUBJECTS)}.")
    ] = "exchange",
    keep: Annotated[
        Path | None, typer.Option(help="Keep logs and configurations in this new folder.")
    ] = None,
    drawn: Annotated[
        Path | None,
        typer.Option("--curves", help="Draw growth curves into this folder (docs/bench)."),
    ] = None,
    profiled: Annotated[
        str,
        typer.Option("--profile", help=f"Show where the time goes: {', '.join(profile.SUBJECTS)}."),
    ] = "",
    seconds: Annotated[float, typer.Option(help="How long each run of --profile takes.")] = 15.0,
) -> None:
    """Measure the exchange beside its peers; every figure that counts is a ratio of one run."""
    if listing:
        for name, measure in ROWS.items():
            text = sys.modules[measure.__module__].__doc__ or ""
            print(f"{name}\t{text.splitlines()[0]}")
        return
    names = only or list(ROWS)
    for name in names:
        if name not in ROWS:
            raise typer.BadParameter(f"no row {name}; there are {', '.join(ROWS)}")
    if subject not in SUBJECTS:
        raise typer.BadParameter(f"no subject {subject}; there are {', '.join(SUBJECTS)}")
    if profiled and profiled not in profile.SUBJECTS:
        raise typer.BadParameter(f"no load {profiled}; there are {', '.join(profile.SUBJECTS)}")
    console, note = Console(), Console(stderr=True)
    # Ended from outside, everything started here is still stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = keep or Path(tempfile.mkdtemp(prefix="encryptotel-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        quick=quick,
        folder=folder.resolve(),
        subject=SUBJECTS[subject],
        core=None if unpinned else CORE,
    )
    if profiled or drawn:
        try:
            if profiled:
                wide = Console(width=max(console.width, 110))
                profile.profile(profiled, seconds, options.folder, wide)
            if drawn:
                curves.curves(options, drawn)
        except BenchError as error:
            note.print(str(error), style="red", highlight=False)
            raise typer.Exit(1) from None
        finally:
            if keep is None:
                shutil.rmtree(folder, ignore_errors=True)
        return
    before = machine()
    rows: list[Row] = []
    try:
        for name in names:
            rows += _run(name, options, note)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    show(rows, console)
    if report:
        write_report(report, rows, quick, before)
    if json_file:
        document = {"machine": before, "quick": quick, "rows": [row.as_json() for row in rows]}
        json_file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    broken = any(row.failed for row in rows)
    missed = any(row.met is False or row.skipped for row in rows)
    if broken or (check and missed):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
