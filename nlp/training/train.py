"""Train the model: ``python -m nlp.training.train [--corpora FOLDER] [--output FOLDER]``.

Without a folder of corpora it learns from our own sentences alone.
"""

import argparse
import json
import logging
import random
import shutil
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.training import Example as SpacyExample
from spacy.util import filter_spans
from thinc.api import Adam, fix_random_seed

from nlp import pipeline
from nlp.contacts import Contacts
from nlp.context import Context
from nlp.labels import ALL, COMMANDS
from nlp.model import MODEL_FOLDER, Model, with_names_masked
from nlp.training.corpora import Row, read_folder
from nlp.training.grammar import Example, Grammar
from nlp.training.noise import Noise
from nlp.training.sentences import COUNTS, LABEL_OF, rules

_log = logging.getLogger("nlp.training")

SEED = 7
REFERENCE = Context(now=datetime(2026, 11, 22, 14, 20, tzinfo=UTC))
_BATCH = 64
_NER_EPOCHS = 11
_TEXTCAT_EPOCHS = 7
_NON_CALLS_FOR_ROLES = 2500


def own_examples(seed: int = SEED, counts: dict[str, int] | None = None) -> list[Example]:
    """Sentences drawn from our rules, each once, some with typing errors."""
    rng = random.Random(seed)
    grammar, noise = Grammar(rules(), rng), Noise(rng)
    examples: dict[str, Example] = {}
    for label, count in (counts or COUNTS).items():
        for _ in range(count):
            text, roles = noise.apply(*grammar.sentence(label))
            examples.setdefault(text, Example(text, LABEL_OF.get(label, label), roles))
    return list(examples.values())


def train(examples: Sequence[Example], seed: int = SEED) -> Language:
    """A pipeline trained on `examples`: roles first, then labels of texts with names masked."""
    fix_random_seed(seed)
    rng = random.Random(seed)
    language = pipeline.build()
    golds = [_gold_roles(language, e) for e in examples if e.roles]
    without = [_gold_roles(language, e) for e in examples if e.roles == ()]
    labelled = [_gold_label(language, e, e.roles or ()) for e in examples]
    language.initialize(lambda: golds[:500] + labelled[:500])

    rng.shuffle(without)
    _fit(language, "ner", golds + without[:_NON_CALLS_FOR_ROLES], _NER_EPOCHS, rng, drop=0.15)
    model = Model(language)
    labelled = [_gold_label(language, e, model.roles(e.text)) for e in examples]
    _fit(language, "textcat", labelled, _TEXTCAT_EPOCHS, rng, drop=0.0)
    return language


def _fit(
    language: Language,
    component: str,
    examples: list[SpacyExample],
    epochs: int,
    rng: random.Random,
    drop: float,
) -> None:
    optimizer = Adam(0.001, L2=0.0 if component == "textcat" else 0.01, L2_is_weight_decay=True)
    with language.select_pipes(enable=component):
        for epoch in range(epochs):
            started, losses = time.monotonic(), dict[str, float]()
            rng.shuffle(examples)
            for start in range(0, len(examples), _BATCH):
                batch = examples[start : start + _BATCH]
                language.update(batch, sgd=optimizer, losses=losses, drop=drop)
            _log.info("%s %d: loss %.1f, %.0f s", component, epoch,
                      losses[component], time.monotonic() - started)  # fmt: skip


def _gold_label(
    language: Language, example: Example, roles: tuple[tuple[int, int, str], ...]
) -> SpacyExample:
    doc = language.make_doc(with_names_masked(example.text, roles))
    return SpacyExample.from_dict(
        doc, {"cats": {label: float(label == example.label) for label in ALL}}
    )


def _gold_roles(language: Language, example: Example) -> SpacyExample:
    doc = language.make_doc(example.text)
    spans = [
        doc.char_span(start, end, role, alignment_mode="expand")
        for start, end, role in example.roles or ()
    ]
    entities = filter_spans([span for span in spans if span is not None])
    gold = {"entities": [(s.start_char, s.end_char, s.label_) for s in entities]}
    return SpacyExample.from_dict(doc, gold)


def corpus_rows(folder: Path | None) -> list[Row]:
    """The rows of all corpora in `folder`."""
    if folder is None:
        return []
    return list(read_folder(folder, Contacts(spacy.blank("en")), REFERENCE))


def training_examples(rows: Iterable[Row]) -> list[Example]:
    """Our own sentences and the training part of the corpora.

    Real people's commands count twice: the corpora are mostly about other things.
    """
    real = [row.example for row in rows if row.part == "train"]
    return own_examples() + real + [example for example in real if example.label in COMMANDS]


def save(language: Language, folder: Path, facts: dict[str, object]) -> None:
    """Write the model; the vocabulary keeps no words of the corpora."""
    kept = {
        file: file.read_bytes()
        for file in (folder / "card.md", folder / "scores.json")
        if file.exists()
    }
    shutil.rmtree(folder, ignore_errors=True)
    language.to_disk(folder)
    strings = json.dumps(sorted([*ALL, *pipeline.ROLES]))
    (folder / "vocab" / "strings.json").write_text(strings + "\n", encoding="utf-8")
    (folder / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    for file, content in kept.items():
        file.write_bytes(content)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, help="folder of .jsonl corpora")
    parser.add_argument("--output", type=Path, default=MODEL_FOLDER)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    rows = corpus_rows(arguments.corpora)
    examples = training_examples(rows)
    _log.info("%d sentences, %d of them our own", len(examples), len(own_examples()))
    language = train(examples)
    facts: dict[str, object] = {
        "seed": SEED,
        "own_sentences": len(own_examples()),
        "corpus_sentences": sum(row.part == "train" for row in rows),
        "spacy": version("spacy"),
    }
    save(language, arguments.output, facts)


if __name__ == "__main__":
    main()
