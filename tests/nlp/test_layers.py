"""The exact layers: normalising, numbers, times, the training grammar's disjointness."""

import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import spacy

from nlp.commands import Party, When
from nlp.contacts import Contacts
from nlp.context import Context
from nlp.masking import mask_text
from nlp.normalize import normalize
from nlp.numbers import find_international, find_national
from nlp.spans import Kind
from nlp.times import find_times
from nlp.training.grammar import Grammar
from nlp.training.sentences import COUNTS, rules
from nlp.training.train import own_examples
from tests.nlp.conftest import records, sentences

NOW = datetime(2026, 11, 22, 14, 20, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("call one oh one", "call 101"),
        ("plus one two oh two five five five oh one four three", "+12025550143"),
        ("dial double four triple seven", "dial 44777"),
        ("one of them", "one of them"),
        ("“call”  Bob\u200b\n now", '"call" Bob now'),
        ("uh, call um Bob", "call Bob"),
    ],
)
def test_normalize(said: str, meant: str) -> None:
    assert normalize(said) == meant


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+1 202 555 0143 101", "+12025550143"),
        ("+44 (0) 20 7946 0321", "+442079460321"),
        ("0049 30 901820", "+4930901820"),
        ("011 44 20 7946 0321", "+442079460321"),
        ("+1-202-555-0143.", "+12025550143"),
    ],
)
def test_international_numbers(text: str, number: str) -> None:
    assert [span.value for span in find_international(text, "US")] == [Party(number=number)]


@pytest.mark.parametrize("text", ["1000000 ETT", "at 1730", "2026", "+10 200 555 0143", "12345678"])
def test_look_alikes_are_no_numbers(text: str) -> None:
    assert not list(find_international(text, "US"))
    assert not list(find_national(text, "US"))


@pytest.mark.parametrize(
    ("text", "at", "rrule"),
    [
        ("in 20 minutes", "2026-11-22T14:40:00+01:00", None),
        ("in half an hour", "2026-11-22T14:50:00+01:00", None),
        ("in an hour and a half", "2026-11-22T15:50:00+01:00", None),
        ("tomorrow morning", "2026-11-23T09:00:00+01:00", None),
        ("tomorrow at 8", "2026-11-23T08:00:00+01:00", None),
        ("tonight", "2026-11-22T20:00:00+01:00", None),
        ("at noon", "2026-11-23T12:00:00+01:00", None),
        ("at 1730", "2026-11-22T17:30:00+01:00", None),
        ("at 5", "2026-11-22T17:00:00+01:00", None),
        ("at half past six", "2026-11-22T18:30:00+01:00", None),
        ("at 17:00 London time", "2026-11-22T17:00:00+00:00", None),
        ("on Friday at 10am", "2026-11-27T10:00:00+01:00", None),
        ("on 5 March at 9", "2027-03-05T09:00:00+01:00", None),
        ("2026-12-24 18:00", "2026-12-24T18:00:00+01:00", None),
        ("weekdays at 7:30", "2026-11-23T07:30:00+01:00", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
        ("every other Friday at 4pm", "2026-11-27T16:00:00+01:00",
         "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR"),
        ("on the first of each month at 9", "2026-12-01T09:00:00+01:00",
         "FREQ=MONTHLY;BYMONTHDAY=1"),
        ("every morning", "2026-11-23T09:00:00+01:00", "FREQ=DAILY"),
    ],
)  # fmt: skip
def test_times(text: str, at: str, rrule: str | None) -> None:
    (span,) = find_times(text, NOW)
    assert span.kind is Kind.TIME
    assert isinstance(span.value, When)
    assert span.value.at.isoformat() == at
    assert span.value.rrule == rrule


@pytest.mark.parametrize("text", ["an hour before my dentist appointment", "next week", "tomorrow"])
def test_times_that_must_be_asked(text: str) -> None:
    (span,) = find_times(text, NOW)
    assert (span.kind, span.value) == (Kind.TIME, None)


def test_the_past_is_no_time_to_call() -> None:
    (span,) = find_times("yesterday evening", datetime(2026, 11, 22, tzinfo=UTC))
    assert span.kind is Kind.PAST


def test_training_sentences_are_not_the_tested_ones() -> None:
    """The generator draws masked sentences; none of the longer tested ones may be among them."""
    grammar = Grammar(rules(), random.Random(7))
    drawn = {grammar.sentence(label)[0] for label in COUNTS for _ in range(500)}
    tested = sentences("whitepaper_paraphrases.txt") + sentences("number_callback_paraphrases.txt")
    tested += [record["text"] for record in records("held_out.jsonl")]
    assert not drawn & {text.lower() for text in tested if len(text.split()) > 4}


def test_new_wordings_are_not_trained_on(context: Context) -> None:
    """Not one of them, masked and without its end mark, is among the very sentences of the
    training. Bare calls are left out: masked, "call +44 …" is as short as an order can be."""
    trained = {example.text.strip(" .!?") for example in own_examples()}
    contacts = Contacts(spacy.blank("en"))
    tested = {
        mask_text(normalize(record["text"]), context, contacts).text.strip(" .!?")
        for record in records("wordings.jsonl")
        if record["commands"][0]["intent"] != "call"
    }
    assert not trained & tested
