"""A message understood: time, memory, load, and beside two pattern matchers given equal patterns.

Each understander is a process of its own on one core. The messages are the sentences of the
contract that `tests/nlp` keeps. `hassil` and `padacioso` get the same patterns for every intent;
what they recognise is told, because a matcher that knows nothing is quick.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.process import BenchError
from bench.report import Row, quantile
from bench.rows import Options

P50_MS, P99_MS, A_SECOND, LOAD_S, MEMORY_MB = 4.0, 8.0, 300, 1.5, 200
SENTENCES = Path(__file__).parents[2] / "tests" / "nlp" / "sentences" / "contract"
SYSTEMS = ("encryptotel", "hassil", "padacioso")
PATTERNS: dict[str, tuple[str, ...]] = {
    "call": ("call {name}", "ring {name}", "phone {name}", "dial {name}", "get {name} on the line"),
    "conference": ("conference with {name}", "set up a conference call with {name}"),
    "hangup": ("hang up", "end the call", "hang up please"),
    "hold": ("put {name} on hold", "hold the call"),
    "resume": ("take {name} off hold", "resume the call"),
    "mute": ("mute", "mute me"),
    "unmute": ("unmute", "unmute me"),
    "transfer": ("transfer this to {name}", "transfer the call to {name}", "pass this call to {name}"),
    "redirect": ("forward my calls to {name}", "send calls from {name} to {number}", "stop forwarding"),
    "do_not_disturb": ("do not disturb", "do not disturb until {time}", "no calls until {time}"),
    "block": ("block {name}", "block calls from {name}"),
    "unblock": ("unblock {name}",),
    "hide_number": ("hide my number", "hide my number on the next call"),
    "record": ("record this call", "stop recording", "record all my calls"),
    "message": ("text {name} {text}", "send a message to {name} saying {text}", "tell {name} {text}"),
    "remind": ("remind me to {text}", "remind me {time} to {text}", "wake me up at {time}"),
    "reminders": ("what reminders do i have", "list my reminders"),
    "cancel_reminder": ("cancel the {text} reminder", "delete the {text} one"),
    "edit_reminder": ("move the {text} reminder to {time}", "change my {text} alarm to {time}"),
    "history": ("who called me {time}", "any missed calls", "show my call history"),
    "voicemail": ("play my last voicemail", "any new voicemail", "voicemail from {name}"),
    "recordings": ("show my recordings", "play the last recording"),
    "contact_add": ("save {name} as {number}", "add {name} to my contacts"),
    "balance": ("what's my balance", "how much do i have left"),
    "top_up": ("top up {amount}", "add {amount} to my account"),
    "send_money": ("send {amount} to {address}",),
    "status": ("status", "are the lines up"),
    "help": ("help", "what can you do"),
}  # fmt: skip


def _measured(system: str, core: int | None) -> dict[str, Any]:
    """The figures of one system, in a process that has nothing else to do."""
    pin = ["taskset", "-c", str(core)] if core is not None else []
    done = subprocess.run(
        [*pin, sys.executable, "-m", "bench.understood", system],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        raise BenchError(f"{system}: {done.stderr.strip().splitlines()[-1:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure(options: Options) -> list[Row]:
    """Ours against its limits, then beside the matchers."""
    rounds = 1 if options.quick else 3
    taken = {system: [_measured(system, options.core) for _ in range(rounds)] for system in SYSTEMS}
    ours = min(taken["encryptotel"], key=lambda one: float(sum(one["ms"])))
    rows = []
    for key, title, unit, figure, limit in (
        ("language-p50", "message understood, p50", "ms", quantile(ours["ms"], 0.5), P50_MS),
        ("language-p99", "message understood, p99", "ms", quantile(ours["ms"], 0.99), P99_MS),
        ("language-load", "language loaded", "s", ours["load"], LOAD_S),
        ("language-memory", "memory of the language", "MB", ours["memory"], MEMORY_MB),
    ):
        row = Row(key, title, unit)
        row.against(figure, limit)
        row.detail = f"{len(ours['ms'])} messages of the contract, one core"
        rows.append(row)
    row = Row("language-rate", "messages understood a second", "a second")
    row.against(1000 * len(ours["ms"]) / sum(ours["ms"]), A_SECOND, at_least=True)
    row.detail = "on one core"
    rows.append(row)
    for peer in SYSTEMS[1:]:
        row = Row(f"language-{peer}", "message understood", "ms", peer_name=peer)
        row.compare(
            [sum(one["ms"]) / len(one["ms"]) for one in taken["encryptotel"]],
            [sum(one["ms"]) / len(one["ms"]) for one in taken[peer]],
            [0.0] * rounds,
        )
        row.detail = (
            f"intent right: {ours['right']:.0%}, {peer} {taken[peer][0]['right']:.0%} "
            f"with {sum(map(len, PATTERNS.values()))} patterns"
        )
        rows.append(row)
    return rows
