"""Every intent and slot, against the contract's JSON."""

from datetime import UTC, datetime
from typing import Any

import pytest

from nlp.commands import Call, Hangup, Message, Party, Understanding, When, command_to_json
from nlp.understand import MAX_CHARACTERS, Context, Understander
from tests.nlp.conftest import CONTEXT, records


@pytest.mark.parametrize("record", records("commands.jsonl"), ids=lambda record: record["text"])
def test_commands(understander: Understander, context: Context, record: dict[str, Any]) -> None:
    understood = understander.understand(record["text"], context).to_json()
    assert understood["commands"] == record["commands"]


@pytest.mark.parametrize("record", records("wordings.jsonl"), ids=lambda record: record["text"])
def test_wordings_nobody_trained_on(
    understander: Understander, context: Context, record: dict[str, Any]
) -> None:
    understood = understander.understand(record["text"], context)
    assert understood.to_json()["commands"] == record["commands"]
    if record["commands"][0]["intent"] == "call":
        assert understood.confidence > 0.9  # a bare number leaves nothing to doubt


def test_held_out_sentences_stay_at_their_level(understander: Understander) -> None:
    """Nobody looks at which of these fail while tuning; only the count is kept."""
    rows = records("held_out.jsonl")
    right = sum(
        understander.understand(row["text"], CONTEXT).to_json()["commands"] == row["commands"]
        for row in rows
    )
    assert right >= HELD_OUT_FLOOR * len(rows)


HELD_OUT_FLOOR = 0.80


@pytest.mark.parametrize(
    "text",
    [
        "Cheap loans, call +44 20 7946 0321",
        "Win 1000 EUR now, call +1 202 555 0143",
        "for more info, call +1 202 555 0143",
        "our hotline is open, call +1 202 555 0143",
        "congratulations! call +1 202 555 0143",
        "don't call +1 202 555 0143",
        "I will call +1 202 555 0143",
    ],
)
def test_a_bare_call_inside_something_else_is_none(
    understander: Understander, context: Context, text: str
) -> None:
    assert understander.understand(text, context).commands == ()


def test_what_must_be_asked_is_missing(understander: Understander, context: Context) -> None:
    assert understander.understand("make a call", context).missing == ("call.to",)
    asked = understander.understand("call me back on 101", context)
    assert asked.commands == (Call(callback=Party(extension="101")),)
    assert asked.missing == ("call.to",)
    asked = understander.understand("call Bob an hour before my dentist appointment", context)
    assert asked.missing == ("call.at",)


def test_words_of_a_message_are_not_obeyed(understander: Understander, context: Context) -> None:
    understood = understander.understand("text Alice: hang up and call 102", context)
    alice = Party(name="Alice", number="+442079460958")
    assert understood.commands == (Message(to=alice, text="hang up and call 102"),)


def test_contacts(understander: Understander) -> None:
    context = Context(
        now=datetime(2026, 11, 22, 14, 20, tzinfo=UTC),
        region="GB",
        contacts={"Mum": "020 7946 0111", "Anna Lee": "0044 20 7946 0222", "Office": "201"},
    )
    for text, party in {
        "ring mum": Party(name="Mum", number="+442079460111"),
        "call my mum please": Party(name="Mum", number="+442079460111"),
        "phone anna lee": Party(name="Anna Lee", number="+442079460222"),
        "call Anna": Party(name="Anna"),
        "dial the office": Party(name="Office", extension="201"),
    }.items():
        assert understander.understand(text, context).commands == (Call(to=(party,)),), text


def test_extensions_of_a_list(understander: Understander) -> None:
    context = Context(now=datetime(2026, 11, 22, tzinfo=UTC), extensions={"101", "102"})
    known = understander.understand("call 102", context)
    assert known.commands == (Call(to=(Party(extension="102"),)),)
    unknown = understander.understand("call 105", context)
    assert unknown.commands == (Call(),)
    assert unknown.missing == ("call.to",)


def test_national_numbers_are_those_of_the_region(understander: Understander) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    british = understander.understand("call 020 7946 0321", Context(now=now, region="GB"))
    assert british.commands == (Call(to=(Party(number="+442079460321"),)),)
    abroad = understander.understand("call 8 (916) 123-45-67", Context(now=now, region="US"))
    assert abroad.missing == ("call.to",)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("from the USA zone number", "US"), ("using my German line", "DE"), ("via the UK", "UK"),
        ("over the american trunk", "US"), ("with the line in Britain", "UK"), ("via us", "US"),
        ("through our French number", "FR"), ("on the Japanese line", "JP"),
        ("from the GB line", "UK"), ("over the trunk in the Netherlands", "NL"),
        ("using the Polish zone", "PL"), ("by the line of Spain", "ES"),
    ],
)  # fmt: skip
def test_lines(understander: Understander, context: Context, said: str, code: str) -> None:
    understood = understander.understand(f"call +44 20 7946 0321 {said}", context)
    assert understood.commands == (Call(to=(Party(number="+442079460321"),), line=code),)


def test_json_of_the_contract() -> None:
    call = Call(
        to=(Party(number="+12025550143"), Party(name="Bob", extension="102"), Party(me=True)),
        line="US",
        callback=Party(extension="101"),
        at=When(at=datetime(2026, 11, 23, 8, tzinfo=UTC), rrule="FREQ=DAILY"),
        record=True,
    )
    assert command_to_json(call) == {
        "intent": "call",
        "to": [{"number": "+12025550143"}, {"extension": "102", "name": "Bob"}, {"me": True}],
        "line": "US",
        "callback": {"extension": "101"},
        "at": {"at": "2026-11-23T08:00:00+00:00", "rrule": "FREQ=DAILY"},
        "record": True,
    }
    understanding = Understanding(
        text="hang up", commands=(Hangup(),), lacks=((),), confidence=0.98765
    )
    assert understanding.to_json() == {
        "text": "hang up", "commands": [{"intent": "hangup"}], "missing": [], "confidence": 0.99,
    }  # fmt: skip


def test_long_messages_are_not_understood(understander: Understander, context: Context) -> None:
    understood = understander.understand("call Bob " + "x" * MAX_CHARACTERS, context)
    assert understood.commands == ()
    assert understood.confidence == 0.0
