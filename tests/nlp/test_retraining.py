"""Training again, with the script and the corpora, gives the model's scores within a point."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nlp.model import MODEL_FOLDER
from nlp.training.evaluate import measured
from nlp.training.train import corpus_rows, save, train, training_examples
from tests.nlp.conftest import SENTENCES

CORPORA = os.environ.get("CORPORA", "")


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not CORPORA, reason="CORPORA names no folder of public corpora")
def test_the_script_makes_the_model_again(tmp_path: Path) -> None:
    corpora = Path(CORPORA)
    language = train(training_examples(corpus_rows(corpora)))
    save(language, tmp_path / "model", {})
    again = measured(tmp_path / "model", corpora, SENTENCES / "contract")
    kept = json.loads((MODEL_FOLDER / "scores.json").read_text(encoding="utf-8"))
    for source, scores in kept.items():
        for name, share in scores.items():
            assert again[source][name] == pytest.approx(share, abs=1.0), f"{source} {name}"
