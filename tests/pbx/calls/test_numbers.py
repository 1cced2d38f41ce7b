"""Numbers as people dial them, as E.164, and as trunks want them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.calls.numbers import (
    from_trunk,
    is_premium,
    region_of,
    region_of_zone,
    spoken,
    to_e164,
    to_trunk,
)


@pytest.mark.parametrize(
    ("dialled", "region", "number"),
    [
        ("+1 202 555 0143", "US", "+12025550143"),
        ("(202) 555-0143", "US", "+12025550143"),
        ("12025550143", "US", "+12025550143"),
        ("011442079460958", "US", "+442079460958"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("0012025550143", "GB", "+12025550143"),
        ("00442079460958", "DE", "+442079460958"),
        ("030 901820", "DE", "+4930901820"),
        (" +442079460958 ", "US", "+442079460958"),
        ("+1 202 555 0143", "", "+12025550143"),
    ],
)
def test_to_e164(dialled: str, region: str, number: str) -> None:
    assert to_e164(dialled, region) == number


@pytest.mark.parametrize(
    "dialled",
    ["", "+", "600", "911", "bob", "+12", "+1202555014", "+999123456789", "1" * 40,
     "+12025550143;ext=5", "+1 202 555 0143 x12", "anonymous", "\0", "٠"],
)  # fmt: skip
def test_to_e164_invalid(dialled: str) -> None:
    assert to_e164(dialled, "US") is None


@given(st.text(max_size=40), st.sampled_from(["US", "GB", "DE", "", "XX"]))
def test_to_e164_takes_any_text(text: str, region: str) -> None:
    number = to_e164(text, region)
    assert number is None or (number[0] == "+" and number[1:].isdigit() and len(number) <= 18)
    from_trunk(text, region)
    region_of(text)
    is_premium(text)
    spoken(text)


@pytest.mark.parametrize(
    ("presented", "region", "number"),
    [
        ("12025550143", "US", "+12025550143"),
        ("442079460958", "US", "+442079460958"),
        ("+442079460958", "US", "+442079460958"),
        ("02079460958", "GB", "+442079460958"),
        ("00442079460958", "DE", "+442079460958"),
        ("anonymous", "US", "anonymous"),
        ("user-17", "US", "user-17"),
    ],
)
def test_from_trunk(presented: str, region: str, number: str) -> None:
    assert from_trunk(presented, region) == number


@pytest.mark.parametrize(
    ("pattern", "dialled"),
    [("+{number}", "+442079460958"), ("{number}", "442079460958"), ("00{number}", "00442079460958"),
     ("9{number}#", "9442079460958#")],
)  # fmt: skip
def test_to_trunk(pattern: str, dialled: str) -> None:
    assert to_trunk("+442079460958", pattern) == dialled


@pytest.mark.parametrize(
    ("zone", "region"), [("UK", "GB"), ("uk", "GB"), ("USA", "US"), ("de", "DE"), ("US", "US")]
)
def test_zones(zone: str, region: str) -> None:
    assert region_of_zone(zone) == region


@pytest.mark.parametrize(
    ("number", "region"),
    [("+12025550143", "US"), ("+442079460958", "GB"), ("+4930901820", "DE"), ("x", ""), ("+", "")],
)
def test_region_of(number: str, region: str) -> None:
    assert region_of(number) == region


@pytest.mark.parametrize(
    ("number", "premium"),
    [("+19002345678", True), ("+449098790000", True), ("+12025550143", False), ("x", False)],
)
def test_premium(number: str, premium: bool) -> None:
    assert is_premium(number) is premium


def test_spoken() -> None:
    assert spoken("+12025550143") == "+1 202-555-0143"
    assert spoken("101") == "101"
