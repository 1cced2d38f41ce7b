"""Expressions of time that were written without a look at the grammar."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nlp.commands import When
from nlp.normalize import normalize
from nlp.spans import Kind
from nlp.times import find_times, lasting, minutes_of, moment
from tests.nlp.conftest import records


def _instant(value: When) -> tuple[float, frozenset[str]]:
    return value.at.timestamp(), frozenset((value.rrule or "").split(";"))


def _meant(text: str, now: datetime, *, month_first: bool) -> When | None:
    spans = list(find_times(normalize(text), now, month_first=month_first))
    if not spans or any(span.kind is not Kind.TIME for span in spans):
        return None
    return moment(spans, now)


@pytest.mark.parametrize("row", records("times.jsonl"), ids=lambda row: row["text"])
def test_a_moment(row: dict[str, Any]) -> None:
    now = datetime.fromisoformat(row["now"]).astimezone(ZoneInfo(row["tz"]))
    found = _meant(row["text"], now, month_first=row["tz"].startswith("America"))
    readings = [row["expect"], *row.get("alternatives", ())]
    if found is None:
        assert None in readings
        return
    right = [
        _instant(When(at=datetime.fromisoformat(r["at"]), rrule=r.get("rrule")))
        for r in readings
        if r is not None
    ]
    assert _instant(found) in right
    assert found.at > now


NOW = datetime(2026, 11, 23, 14, 20, tzinfo=ZoneInfo("Europe/London"))


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("an hour", 60), ("half an hour", 30), ("15 min", 15), ("a quarter of an hour", 15),
     ("two hours", 120), ("an hour and a half", 90), ("a while", None)],
)  # fmt: skip
def test_minutes(text: str, minutes: int | None) -> None:
    assert minutes_of(text) == minutes


def test_a_stretch_from_now() -> None:
    until = lasting("no calls for the next two hours please", NOW)
    assert until is not None
    assert until.at.isoformat() == "2026-11-23T16:20:00+00:00"
    assert lasting("no calls for my sister", NOW) is None


def test_a_day_alone_begins_at_midnight_where_that_is_asked_for() -> None:
    spans = list(find_times("until friday", NOW))
    assert moment(spans, NOW) is None
    whole = moment(spans, NOW, whole_days=True)
    assert whole is not None
    assert whole.at.isoformat() == "2026-11-27T00:00:00+00:00"
