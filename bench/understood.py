"""``python -m bench.understood SYSTEM``: understand the sentences of the contract, and tell how
long each took (ms of CPU), how many got their intent, and what loading cost. Prints JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.rows.language import PATTERNS, SENTENCES

Intent = Callable[[str], str]
WARM_UP = 50


def _encryptotel() -> Intent:
    from nlp.training.evaluate import cases
    from nlp.understand import Understander

    understander = Understander.load()
    context = cases(SENTENCES / "blind.jsonl")[0].context

    def intent(text: str) -> str:
        found = understander.understand(text, context).commands
        return found[0].intent if found else ""

    return intent


def _hassil() -> Intent:
    from hassil import Intents, recognize

    slots = ("name", "number", "time", "text", "amount", "address")
    intents = Intents.from_dict(
        {
            "language": "en",
            "intents": {
                intent: {"data": [{"sentences": list(lines)}]} for intent, lines in PATTERNS.items()
            },
            "lists": {slot: {"wildcard": True} for slot in slots},
        }
    )

    def intent(text: str) -> str:
        found = recognize(text, intents)
        return found.intent.name if found else ""

    return intent


def _padacioso() -> Intent:
    from padacioso import IntentContainer

    container = IntentContainer()
    for name, lines in PATTERNS.items():
        container.add_intent(name, list(lines))

    def intent(text: str) -> str:
        return str(container.calc_intent(text).get("name") or "")

    return intent


def _peak_mb() -> float:
    """The most memory that was resident. Not `ru_maxrss`: that begins at what the program that
    started this one had."""
    status = Path("/proc/self/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak) / 1024


def main(system: str) -> None:
    """Measure one system."""
    started = time.monotonic()
    make = {"encryptotel": _encryptotel, "hassil": _hassil, "padacioso": _padacioso}[system]
    understand = make()
    load = time.monotonic() - started
    lines = (SENTENCES / "blind.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows[:WARM_UP]:
        understand(row["text"])
    taken, right = [], 0
    for row in rows:
        begun = time.thread_time()
        intent = understand(row["text"])
        taken.append(1000 * (time.thread_time() - begun))
        expected = row["commands"][0]["intent"] if row["commands"] else ""
        right += intent == expected
    memory = _peak_mb()
    print(json.dumps({"ms": taken, "right": right / len(rows), "load": load, "memory": memory}))


if __name__ == "__main__":
    main(sys.argv[1])
