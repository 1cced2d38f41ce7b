"""How well the whole of `nlp` does on corpus rows it was not trained on.

``python -m nlp.training.evaluate --corpora FOLDER [--part dev|held-out] [--errors]``
"""

import argparse
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nlp.commands import Call, Understanding
from nlp.labels import COMMANDS
from nlp.model import MODEL_FOLDER, Model
from nlp.training.corpora import Row
from nlp.training.train import REFERENCE, corpus_rows
from nlp.understand import Understander


@dataclass
class Report:
    """Counts by source and intent; `wrong` keeps what to look at."""

    right: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The table."""
        out = [
            f"{intent:<32} {self.right[intent]:>5} of {self.seen[intent]:>5} "
            f"({self.right[intent] / self.seen[intent]:.1%})"
            for intent in sorted(self.seen)
        ]
        if self.named["all"]:
            right, all_ = self.named["right"], self.named["all"]
            out.append(f"calls with just the right parties: {right} of {all_} ({right / all_:.1%})")
        for source, count in sorted(self.refused.items()):
            wrong = {k.split()[1]: n for k, n in self.taken.items() if k.startswith(source + " ")}
            out.append(f"not commands, {source}: {count}; taken for {wrong or 'nothing'} "
                       f"({sum(wrong.values()) / count:.2%})")  # fmt: skip
        return out


def evaluate(understander: Understander, rows: Iterable[Row]) -> Report:
    """Understand each row and compare."""
    report = Report()
    for row in rows:
        result = understander.understand(row.utterance, REFERENCE)
        intents = [command.intent for command in result.commands]
        label = row.example.label
        if label in COMMANDS:
            kind = f"{row.source} {label}"
            report.seen[kind] += 1
            if intents == [label]:
                report.right[kind] += 1
            else:
                report.wrong.append(f"{label} → {intents}: {row.utterance}")
            if label == "call" and row.example.roles:
                _compare_names(report, row, result)
        else:
            report.refused[row.source] += 1
            if intents:
                report.taken[f"{row.source} {intents[0]}"] += 1
                report.wrong.append(f"{row.source_intent} → {intents}: {row.utterance}")
    return report


def _compare_names(report: Report, row: Row, result: Understanding) -> None:
    expected = {_bare(row.example.text[a:b]) for a, b, _ in row.example.roles or ()}
    call = next((c for c in result.commands if isinstance(c, Call)), Call())
    found = {_bare(p.name) if p.name else "PHONENUM" if p.number else "EXTNUM" for p in call.to}
    report.named["all"] += 1
    if found == expected:
        report.named["right"] += 1
    else:
        report.wrong.append(f"names {sorted(found)} for {sorted(expected)}: {row.utterance}")


def _bare(name: str) -> str:
    text = name.replace(" 's", "'s").strip(" .'")
    for article in ("my ", "the "):
        text = text.removeprefix(article)
    return text if text.isupper() else text.lower()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--part", choices=("train", "dev", "held-out"), default="held-out")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--errors", action="store_true", help="show what went wrong")
    arguments = parser.parse_args()
    rows = [row for row in corpus_rows(arguments.corpora) if row.part == arguments.part]
    report = evaluate(Understander(Model.load(arguments.model)), rows)
    print("\n".join(report.lines()))
    if arguments.errors:
        print("\n".join(report.wrong))


if __name__ == "__main__":
    main()
