"""Hours of the week, and stretches of the past, in people's words."""

from __future__ import annotations

import pytest

from nlp.commands import Window
from nlp.periods import period_of
from nlp.windows import find_window

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR")


@pytest.mark.parametrize(
    ("words", "window"),
    [
        ("after 6pm", Window(from_="18:00")),
        ("after 6", Window(from_="18:00")),
        ("before 9", Window(to="09:00")),
        ("between 9 and 5", Window(from_="09:00", to="17:00")),
        ("from 22:00 to 7:30", Window(from_="22:00", to="07:30")),
        ("6 to 9pm", Window(from_="18:00", to="21:00")),
        ("on weekdays after 6pm", Window(days=WEEKDAYS, from_="18:00")),
        ("Monday to Friday, 9am to 5pm", Window(days=WEEKDAYS, from_="09:00", to="17:00")),
        ("at weekends", Window(days=("SA", "SU"))),
        ("on Saturdays and Sundays", Window(days=("SA", "SU"))),
        ("every Tuesday from noon to two o'clock", Window(days=("TU",), from_="12:00", to="14:00")),
        ("friday till sunday", Window(days=("FR", "SA", "SU"))),
        ("during office hours", Window(days=WEEKDAYS, from_="09:00", to="17:00")),
        ("outside business hours", Window(from_="17:00", to="09:00")),
        ("at night", Window(from_="22:00", to="07:00")),
        ("always", None),
        ("when I don't answer within 20 seconds", None),
        ("after 5 rings", None),
        ("to my money man", None),
    ],
)
def test_windows(words: str, window: Window | None) -> None:
    assert find_window(words) == window


@pytest.mark.parametrize(
    ("words", "period"),
    [
        ("who called me yesterday evening?", "yesterday evening"),
        ("calls in the last two weeks", "last two weeks"),
        ("missed calls since Monday", "since Monday"),
        ("how did it do last week", "last week"),
        ("statistics for October", "October"),
        ("what happened this morning", "this morning"),
        ("who called me", None),
        ("the first one", None),
    ],
)
def test_periods(words: str, period: str | None) -> None:
    assert period_of(words) == period
