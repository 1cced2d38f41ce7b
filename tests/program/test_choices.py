"""Digits in the place of buttons mean what was seen beside them."""

from __future__ import annotations

import random
import re

import pytest

from bot.jabber.choices import MAX_NUMBER, Choices
from bot.replies import Button

ANN = "ann@example.org"
CARD = tuple(Button(label=label, says=label.lower()) for label in ("Hang up", "Mute", "Kick"))
WHOM = tuple(Button(label=label, says=f"kick {label}") for label in ("Bob", "Carol"))
AGAIN = (Button(label="Done", says="done"),)


@pytest.fixture
def choices() -> Choices:
    return Choices(10)


def test_a_call_shown_anew_takes_no_digit_of_a_question(choices: Choices) -> None:
    """The question is answered with 1 just when the call's message is numbered anew: hanging up
    would be the last thing that was wanted."""
    assert choices.offer(ANN, CARD, "call") == "[ 1 Hang up · 2 Mute · 3 Kick ]"
    assert choices.meant(ANN, "3") == "kick"
    assert choices.offer(ANN, WHOM) == "[ 1 Bob · 2 Carol ]"
    assert choices.offer(ANN, CARD, "call") == "[ 3 Hang up · 4 Mute · 5 Kick ]"
    assert choices.meant(ANN, " 1 ") == "kick Bob"
    assert choices.meant(ANN, "3") == "hang up"


def test_a_call_that_changes_keeps_its_digits(choices: Choices) -> None:
    for _ in range(20):
        assert choices.offer(ANN, CARD, "call").startswith("[ 1 Hang up")
    assert choices.offer(ANN, AGAIN) == "[ 4 Done ]"
    assert choices.offer(ANN, CARD[:2], "call") == "[ 1 Hang up · 2 Mute ]"
    assert choices.offer(ANN, (*CARD, *AGAIN), "call") == "[ 5 Hang up · 6 Mute · 7 Kick · 8 Done ]"
    assert choices.offer(ANN, (), "call") == ""
    assert choices.meant(ANN, "5") == "5", "the call is over"
    assert choices.meant(ANN, "4") == "done"


def test_a_question_is_answered_once(choices: Choices) -> None:
    choices.offer(ANN, WHOM)
    assert choices.meant(ANN, "2") == "kick Carol"
    assert choices.meant(ANN, "2") == "2"


@pytest.mark.parametrize("text", ["", "0", "3", "-1", "1.", "01x", "9" * 5000, "²", "one", "1 2"])
def test_anything_else_is_what_it_is(choices: Choices, text: str) -> None:
    choices.offer(ANN, WHOM)
    assert choices.meant(ANN, text) == text
    assert choices.meant("bob@example.org", text) == text


def test_numbers_do_not_grow_for_ever(choices: Choices) -> None:
    for _ in range(3 * MAX_NUMBER):
        number = re.search(r"\d+", choices.offer(ANN, AGAIN))
        assert number is not None
        assert int(number[0]) <= MAX_NUMBER


def test_whatever_comes_between_a_digit_means_what_was_last_seen_beside_it() -> None:
    """Against a picture of the person's screen: the newest line that shows a number."""
    chance = random.Random(6)
    choices, screen = Choices(10), dict[str, str]()
    for _ in range(20_000):
        what = chance.choice(["question", "call a", "call b", "type"])
        if what == "type":
            shown = {n: label for line in screen.values() for n, label in _pairs(line)}
            if shown:
                number = chance.choice(list(shown))
                assert choices.meant(ANN, number) == f"x {shown[number]}"
            screen.clear()  # what is offered from now on begins anew
        else:
            buttons = tuple(
                Button(label=f"{what} {n}", says=f"x {what} {n}")
                for n in range(chance.randrange(1, 5))
            )
            about = what.removeprefix("call ") if what.startswith("call") else ""
            screen.pop(what, None)
            screen[what] = choices.offer(ANN, buttons, about)


def _pairs(line: str) -> list[tuple[str, str]]:
    return re.findall(r"(\d+) ([a-z ]+ \d+)(?: ·| \])", line)
