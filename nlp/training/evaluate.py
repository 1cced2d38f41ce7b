"""How well the whole of `nlp` does on sentences it was not trained on: one table.

``python -m nlp.training.evaluate [--corpora FOLDER] [--sentences FOLDER] [--errors]``. The first
are rows of public corpora that the split kept back, the others files of sentences with their
commands, as ``tests/nlp/sentences`` has them.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nlp.commands import COMMANDS, Call, Remind, Understanding, command_from_json
from nlp.context import Context
from nlp.labels import OTHER
from nlp.model import MODEL_FOLDER, Model
from nlp.normalize import normalize
from nlp.spans import Kind
from nlp.times import find_times, moment
from nlp.training.corpora import Row
from nlp.training.train import REFERENCE, corpus_rows
from nlp.understand import Understander

_ARTICLES = re.compile(r"\b(?:the|a|an|my|our|his|her|to|that|about|of|i)\b|[^\w\s]|\s+")
_MONEY_AND_TARGETS = (
    "to",
    "party",
    "participants",
    "callback",
    "money",
    "to_address",
    "trigger",
    "from",
)


@dataclass
class Score:
    """Right and wrong, by kind; `wrong` keeps what to look at."""

    right: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def count(self, kind: str, right: bool, told: str) -> None:
        self.seen[kind] += 1
        self.right[kind] += right
        if not right:
            self.wrong.append(f"{kind}: {told}")

    def lines(self) -> Iterator[str]:
        """The table, and its sum."""
        for kind in sorted(self.seen):
            yield self._line(kind, self.right[kind], self.seen[kind])
        if self.seen:
            yield self._line("in all", self.right.total(), self.seen.total())

    @staticmethod
    def _line(kind: str, right: int, seen: int) -> str:
        return f"  {kind:<28} {right:>5} of {seen:>5}  {right / seen:6.1%}"


@dataclass
class Report:
    """All that is counted."""

    intents: Score = field(default_factory=Score)
    wholes: Score = field(default_factory=Score)
    refused: Score = field(default_factory=Score)

    def text(self, title: str) -> str:
        """The part of the table about one source."""
        parts = [title]
        for name, score in (
            ("intent", self.intents),
            ("whole command", self.wholes),
            ("refused", self.refused),
        ):
            if score.seen:
                parts += [f" {name}", *score.lines()]
        return "\n".join(parts)


# ── corpora ─────────────────────────────────────────────────────────────────────────────────
def on_corpora(understander: Understander, rows: Iterable[Row]) -> Report:
    """Understand each row and compare with what its annotation comes to."""
    report = Report()
    for row in rows:
        result = understander.understand(row.utterance, REFERENCE)
        intents = [command.intent for command in result.commands]
        label = row.example.label
        if label == OTHER:
            report.refused.count(row.source, not intents, f"{intents} {row.utterance}")
            continue
        if label not in COMMANDS:
            continue
        right = bool(intents) and set(intents) == {label}
        report.intents.count(f"{row.source} {label}", right, f"{intents} {row.utterance}")
        if row.source == "MTOP" and row.slots and not row.nested and label in _FRAMES:
            expected, found = _FRAMES[label](row), _found(label, result)
            same = _same(expected, found)
            report.wholes.count(label, right and same, f"{found} for {expected}: {row.utterance}")
    return report


def _remind(row: Row) -> dict[str, object]:
    todo = [text for name, text in row.slots if name == "TODO"]
    people = [text for name, text in row.slots if name == "PERSON_REMINDED"]
    others = [p for p in people if p.lower() not in ("me", "my", "i", "us", "myself", "our", "we")]
    return {
        "text": _bare(" ".join(todo)) or None,
        "when": _moment([text for name, text in row.slots if name == "DATE_TIME"]),
        "to": _bare(others[0]) if others else None,
    }


def _call(row: Row) -> dict[str, object]:
    expected = {row.example.text[a:b] for a, b, role in row.example.roles or () if role == "TO"}
    return {"to": {_person(name) for name in expected}}


def _which(row: Row) -> dict[str, object]:
    todo = " ".join(text for name, text in row.slots if name == "TODO")
    return {"which": _bare(todo) or None} if todo else {}


def _same(expected: dict[str, object], found: dict[str, object]) -> bool:
    """Which reminder may be said with more words than the annotation took ("… on Friday")."""
    if set(expected) <= {"which"}:
        return str(expected.get("which", "")) in str(found.get("which", ""))
    return expected == found


_FRAMES = {"remind": _remind, "call": _call, "cancel_reminder": _which}


def _moment(texts: list[str]) -> datetime | None:
    now = REFERENCE.local_now()
    spans = [span for text in texts for span in find_times(normalize(text), now, month_first=True)]
    if not spans or any(span.kind is not Kind.TIME for span in spans):
        return None
    value = moment(spans, now)
    return value.at if value else None


def _found(label: str, result: Understanding) -> dict[str, object]:
    command = next((c for c in result.commands if c.intent == label), None)
    if isinstance(command, Remind):
        to = command.to.name or "PHONENUM" if command.to else None
        return {
            "text": _bare(command.text or "") or None,
            "when": command.when.at if command.when else None,
            "to": _bare(to) if to else None,
        }
    if isinstance(command, Call):
        names = (p.name or ("PHONENUM" if p.number else "EXTNUM") for p in command.to)
        return {"to": {_person(name) for name in names}}
    which = getattr(command, "which", None)
    return {"which": _bare(which)} if which else {}


def _person(name: str) -> str:
    text = name.replace(" 's", "'s").strip(" .'")
    for article in ("my ", "the "):
        text = text.removeprefix(article)
    return text if text.isupper() else text.lower()


def _bare(text: str) -> str:
    """Words without articles, marks and spaces, which say nothing about being understood."""
    return _ARTICLES.sub("", text.lower().replace(" '", "'"))


# ── sentences with their commands ───────────────────────────────────────────────────────────
@dataclass(frozen=True)
class Case:
    """A sentence, and the readings that are right."""

    text: str
    readings: list[list[dict[str, Any]]]
    missing: list[str]
    context: Context


def cases(file: Path) -> list[Case]:
    """Those of a ``.jsonl`` file; its person is described in ``person.json`` beside it."""
    person = json.loads((file.parent / "person.json").read_text(encoding="utf-8"))
    base = Context(
        now=datetime.fromisoformat(person["now"]),
        timezone=person["timezone"],
        region=person["region"],
        contacts=person["contacts"],
        lines=person["lines"],
        extensions=frozenset(person["extensions"]),
    )
    found: list[Case] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        history = tuple(command_from_json(command) for command in row.get("history", ()))
        context = replace(base, history=history, asked=row.get("asked", ""))
        readings = [row["commands"], *row.get("alternatives", ())]
        found.append(Case(row["text"], readings, row.get("missing", []), context))
    return found


def on_sentences(understander: Understander, found: Iterable[Case]) -> tuple[Report, list[str]]:
    """Compare whole commands; the second are wrong numbers, sums or targets that were not asked
    about first: what must not happen at all."""
    report, dangers = Report(), []
    for case in found:
        result = understander.understand(case.text, case.context)
        got = [_plain(command) for command in result.to_json()["commands"]]
        right = any([_plain(c) for c in reading] == got for reading in case.readings)
        first = case.readings[0]
        told = f"{case.text} | got {json.dumps(got)} | expected {json.dumps(first)}"
        if not first:
            report.refused.count("not commands", right, told)
        else:
            kind = " + ".join(command["intent"] for command in first)
            right_intents = any(
                [c["intent"] for c in r] == [c["intent"] for c in got] for r in case.readings
            )
            report.intents.count("several" if "+" in kind else kind, right_intents, told)
            report.wholes.count("several" if "+" in kind else kind, right, told)
        if not right and not result.missing and _dangerous(got, case.readings):
            dangers.append(told)
    return report, dangers


def _plain(command: Mapping[str, Any]) -> dict[str, Any]:
    """A command as it is compared: instants, not spellings of them; words without marks around."""
    out: dict[str, Any] = {}
    for slot, value in command.items():
        if slot in ("at", "when", "until") and isinstance(value, Mapping):
            rule = value.get("rrule")
            parts = ";".join(sorted(rule.split(";"))) if rule else None
            out[slot] = (datetime.fromisoformat(value["at"]).timestamp(), parts)
        elif slot == "action" and isinstance(value, Mapping):
            out[slot] = _plain(value)
        elif slot in ("text", "which", "label", "period", "name", "plan") and isinstance(
            value, str
        ):
            out[slot] = value.strip(" .!\"'").lower()
        else:
            out[slot] = value
    for slot, default in (
        ("scope", "current"),
        ("condition", "always"),
        ("by", "message"),
        ("format", "chart"),
        ("on", True),
    ):
        if out.get(slot) == default:
            del out[slot]
    return out


def _dangerous(got: list[dict[str, Any]], readings: list[list[dict[str, Any]]]) -> bool:
    """Whether a number, sum or target came out that no reading has."""
    allowed = {
        json.dumps(command.get(slot), sort_keys=True)
        for r in readings
        for command in r
        for slot in command
        if slot in _MONEY_AND_TARGETS
    }
    for command in got:
        for slot in _MONEY_AND_TARGETS:
            value = command.get(slot)
            if value is None or json.dumps(value, sort_keys=True) in allowed:
                continue
            if (
                "number" in json.dumps(value)
                or "extension" in json.dumps(value)
                or slot in ("money", "to_address")
            ):
                return True
    return False


def shares(report: Report) -> dict[str, float]:
    """Percentages of a report, rounded to a tenth."""
    scores = {"intents": report.intents, "wholes": report.wholes, "refused": report.refused}
    return {
        name: round(100 * score.right.total() / score.seen.total(), 1)
        for name, score in scores.items()
        if score.seen
    }


def measured(
    model: Path, corpora: Path | None, sentences: Path, part: str = "held-out"
) -> dict[str, dict[str, float]]:
    """The shares a model reaches, by source; what `scores.json` beside the model keeps."""
    understander = Understander(Model.load(model))
    found: dict[str, dict[str, float]] = {}
    if corpora is not None:
        rows = [row for row in corpus_rows(corpora) if row.part == part]
        found["corpora"] = shares(on_corpora(understander, rows))
    for file in sorted(sentences.glob("*.jsonl")):
        found[file.stem] = shares(on_sentences(understander, cases(file))[0])
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, help="folder of .jsonl corpora")
    parser.add_argument("--part", choices=("train", "dev", "held-out"), default="held-out")
    parser.add_argument("--sentences", type=Path, help="folder of sentences with their commands")
    parser.add_argument("--only", help="one file of them")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--errors", action="store_true", help="show what went wrong")
    parser.add_argument("--record", action="store_true", help="keep the shares beside the model")
    arguments = parser.parse_args()
    if arguments.record:
        kept = measured(arguments.model, arguments.corpora, arguments.sentences, arguments.part)
        file = arguments.model / "scores.json"
        file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        return
    understander = Understander(Model.load(arguments.model))
    wrong: list[str] = []
    if arguments.corpora:
        rows = [row for row in corpus_rows(arguments.corpora) if row.part == arguments.part]
        report = on_corpora(understander, rows)
        print(report.text(f"public corpora, {arguments.part}"))
        wrong += report.intents.wrong + report.wholes.wrong + report.refused.wrong
    for file in sorted(arguments.sentences.glob("*.jsonl")) if arguments.sentences else ():
        if arguments.only and file.stem != arguments.only:
            continue
        report, dangers = on_sentences(understander, cases(file))
        print(report.text(file.stem))
        print(f" wrong numbers, sums or targets, not asked about first: {len(dangers)}")
        wrong += report.intents.wrong + report.wholes.wrong + report.refused.wrong
        wrong += [f"DANGER {told}" for told in dangers]
    if arguments.errors:
        print("\n".join(wrong))


if __name__ == "__main__":
    main()
