"""The whole contract on sentences written by people who saw only the contract.

`dev.jsonl` was looked at while tuning; of `blind.jsonl` only the count was. `talk.jsonl` are turns
in the middle of a conversation.
"""

from __future__ import annotations

import pytest

from nlp.training.evaluate import Report, cases, on_sentences
from nlp.understand import Understander
from tests.nlp.conftest import SENTENCES

FLOORS = {"blind": (0.90, 0.90), "dev": (0.90, 0.90), "talk": (0.80, 0.80)}
"Whole commands, and non-commands refused, that must not be undershot."


def _share(report: Report) -> tuple[float, float]:
    return tuple(
        score.right.total() / max(1, score.seen.total())
        for score in (report.wholes, report.refused)
    )  # type: ignore[return-value]  # two of them


@pytest.mark.parametrize("name", FLOORS)
def test_sentences_of_the_contract(understander: Understander, name: str) -> None:
    report, dangers = on_sentences(understander, cases(SENTENCES / "contract" / f"{name}.jsonl"))
    print(report.text(name))
    whole, refused = _share(report)
    assert whole >= FLOORS[name][0], report.wholes.wrong
    assert not report.refused.seen or refused >= FLOORS[name][1], report.refused.wrong
    assert not dangers, "a wrong number, sum or target, and nobody was asked"
