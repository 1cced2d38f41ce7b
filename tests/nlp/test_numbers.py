"""Telephone numbers as people of sixty regions write them, and what only looks like one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import spacy

from nlp.commands import Party
from nlp.contacts import Contacts
from nlp.context import Context
from nlp.masking import mask_text
from nlp.normalize import normalize
from nlp.spans import Kind
from tests.nlp.conftest import records

CONTACTS = Contacts(spacy.blank("en"))


@pytest.mark.parametrize("row", records("numbers.jsonl"), ids=lambda row: row["text"])
def test_a_written_form(row: dict[str, Any]) -> None:
    context = Context(
        now=datetime(2026, 11, 23, tzinfo=UTC), region=row["region"], extensions=("101", "102")
    )
    masked = mask_text(normalize(row["text"]), context, CONTACTS)
    found = [
        span.value.number
        for _, _, span in masked.spans
        if span.kind is Kind.NUMBER and isinstance(span.value, Party)
    ]
    assert found == row["expect"]
