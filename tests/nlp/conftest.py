"""One loaded model and one person for all tests of `nlp`."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nlp.understand import Context, Understander

SENTENCES = Path(__file__).parent / "sentences"
CONTEXT = Context(
    now=datetime(2026, 11, 22, 14, 20, tzinfo=UTC),
    contacts={"Bob": "102", "Alice": "+44 20 7946 0958"},
)


def sentences(name: str) -> list[str]:
    """The lines of a file of sentences."""
    return [line for line in (SENTENCES / name).read_text("utf-8").splitlines() if line]


def records(name: str) -> list[dict[str, Any]]:
    """The objects of a file of sentences with their commands."""
    return [json.loads(line) for line in sentences(name)]


@pytest.fixture(scope="session")
def understander() -> Understander:
    return Understander.load()


@pytest.fixture
def context() -> Context:
    return CONTEXT
