"""Stretches of the past, from Sunday 29 November 2026, half past two in the afternoon."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from nlp.periods import period_of, stretch

NOW = datetime(2026, 11, 29, 14, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("said", "begin", "end"),
    [
        ("who called me today", "2026-11-29 00:00", "2026-11-30 00:00"),
        ("calls from yesterday evening", "2026-11-28 17:00", "2026-11-29 00:00"),
        ("who rang this morning", "2026-11-29 00:00", "2026-11-29 12:00"),
        ("who rang last night", "2026-11-28 18:00", "2026-11-29 06:00"),
        ("calls of last week", "2026-11-16 00:00", "2026-11-23 00:00"),
        ("calls this week", "2026-11-23 00:00", "2026-11-30 00:00"),
        ("calls in the last 3 days", "2026-11-26 14:30", "2026-11-29 14:30"),
        ("calls in the past two hours", "2026-11-29 12:30", "2026-11-29 14:30"),
        ("calls two days ago", "2026-11-27 00:00", "2026-11-28 00:00"),
        ("who called on Friday", "2026-11-27 00:00", "2026-11-28 00:00"),
        ("who called on Sunday", "2026-11-29 00:00", "2026-11-30 00:00"),
        ("who called last Sunday", "2026-11-22 00:00", "2026-11-23 00:00"),
        ("calls since Monday", "2026-11-23 00:00", "2026-11-29 14:30"),
        ("calls in March", "2026-03-01 00:00", "2026-04-01 00:00"),
        ("calls in December", "2025-12-01 00:00", "2026-01-01 00:00"),
        ("calls on 3 November", "2026-11-03 00:00", "2026-11-04 00:00"),
        ("calls last month", "2026-10-01 00:00", "2026-11-01 00:00"),
        ("calls last year", "2025-01-01 00:00", "2026-01-01 00:00"),
    ],
)
def test_when_that_was(said: str, begin: str, end: str) -> None:
    period = period_of(said)
    assert period is not None
    found = stretch(period, NOW)
    assert found is not None
    assert [moment.strftime("%Y-%m-%d %H:%M") for moment in found] == [begin, end]


@pytest.mark.parametrize("words", ["recently", "all time", "31 june", "since the flood"])
def test_no_certain_time(words: str) -> None:
    assert stretch(words, NOW) is None
