"""Prices: the longest prefix, increments and rounding; and decks that are wrong."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.money import MOST, Asset, MoneyError
from wallet.rates import MAX_PROBLEMS, DeckError, Rate, load, read

EUR = Asset(id="EUR", name="EUR", decimals=2)
DECK = """prefix,name,price,fee,increments
1,USA and Canada,0.012,,60/60
49,Germany,0.02,0,1/1
4915,Germany mobile,0.09,0.05,30/6
44,United Kingdom,0,0.1,60/60
"""
RATES = st.builds(
    Rate,
    prefix=st.just("1"),
    name=st.just("x"),
    price=st.integers(0, 50_000_000),
    fee=st.integers(0, 5_000_000),
    first=st.integers(1, 3600),
    step=st.integers(1, 3600),
)


def test_the_longest_prefix_counts() -> None:
    deck = read(DECK)
    found = {number: deck.of(number) for number in ("+4930123456", "+491512345", "+12025550143")}
    assert [rate.name if rate else "" for rate in found.values()] == [
        "Germany",
        "Germany mobile",
        "USA and Canada",
    ]
    assert deck.of("+8613800") is None
    assert deck.of("+4") is None


@pytest.mark.parametrize(
    ("number", "seconds", "cost"),
    [
        ("+12025550143", 0, 0),
        ("+12025550143", 1, 2),  # a minute of 1.2 cents, rounded up once
        ("+12025550143", 61, 3),
        ("+12025550143", 600, 12),
        ("+4930123456", 1, 1),
        ("+4930123456", 90, 3),
        ("+4915123456", 1, 10),  # 5 and half a minute of 9
        ("+4915123456", 31, 11),  # 36 seconds of it
        ("+442079460321", 1, 10),
        ("+442079460321", 86_400, 10),
    ],
)
def test_what_calls_cost(number: str, seconds: int, cost: int) -> None:
    rate = read(DECK).of(number)
    assert rate is not None
    assert rate.cost(seconds, EUR.decimals) == cost


@given(rate=RATES, seconds=st.integers(1, 100_000), decimals=st.integers(0, 6))
def test_the_cost_is_exact_and_rounded_up_once(rate: Rate, seconds: int, decimals: int) -> None:
    intervals = 1 + max(0, ceil(Fraction(seconds - rate.first, rate.step)))
    charged = rate.first + (intervals - 1) * rate.step
    exact = (Fraction(rate.fee) + Fraction(rate.price) * charged / 60) / 10 ** (6 - decimals)
    assert rate.cost(seconds, decimals) == ceil(exact)


@given(rate=RATES, amount=st.integers(0, 10_000_000), decimals=st.integers(0, 6))
def test_money_lasts_for_as_long_as_it_pays_for_and_no_longer(
    rate: Rate, amount: int, decimals: int
) -> None:
    lasts = rate.lasts(amount, decimals)
    if lasts == float("inf"):
        assert rate.cost(10**9, decimals) <= amount
        return
    if lasts:
        assert rate.cost(int(lasts), decimals) <= amount
    assert rate.cost(int(lasts) + 1, decimals) > amount


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the header lacks prefix, name, price"),
        ("prefix,name\n1,x", "the header lacks price"),
        ("prefix,name,price\n", "there is no rate in it"),
        ("prefix,name,price\nabc,x,1", "line 2: “abc” is no prefix"),
        ("prefix,name,price\n,x,1", "line 2: “” is no prefix"),
        ("prefix,name,price\n1,,1", "line 2: the name must have"),
        ("prefix,name,price\n1,x,-1", "line 2: “-1” is no price"),
        ("prefix,name,price\n1,x,NaN", "line 2: “NaN” is no price"),
        ("prefix,name,price\n1,x,1e99", "line 2: “1e99” is no price"),
        ("prefix,name,price\n1,x,0.0000001", "has more than 6 decimals"),
        ("prefix,name,price\n1,x,1\n+1,y,2", "line 3: the prefix 1 is there twice"),
        ("prefix,name,price,increments\n1,x,1,60", "“60” are no increments"),
        ("prefix,name,price,increments\n1,x,1,0/1", "“0/1” are no increments"),
        ("prefix,name,price,increments\n1,x,1,1/²", "“1/²” are no increments"),
        ('prefix,name,price\n1,"x,1', "line 2: "),
        ("prefix,name,price\n1,x," + "9" * 200_000, "line 2: "),
    ],
)
def test_a_wrong_deck_is_told_line_by_line(text: str, why: str) -> None:
    with pytest.raises(DeckError) as caught:
        read(text)
    assert why in caught.value.problems[0]
    assert len(caught.value.problems[0]) < 200


def test_all_that_is_wrong_is_told_and_not_without_end() -> None:
    lines = "".join(f"x{n},name,1\n" for n in range(1000))
    with pytest.raises(DeckError) as caught:
        read(f"prefix,name,price\n{lines}")
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert caught.value.problems[-1] == "and 950 lines more"


def test_decks_as_spreadsheets_write_them(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("\ufeffPrefix;Name;Price;Fee\r\n0049;Germany;0,02;\r\n\r\n;;;\r\n", "utf-8")
    rate = load(file).of("+4930123456")
    assert rate is not None
    assert (rate.price, rate.fee, rate.first, rate.step) == (20_000, 0, 60, 60)
    file.write_bytes(b"prefix,name,price\n1,\xff,1")
    with pytest.raises(DeckError, match="not UTF-8"):
        load(file)
    with pytest.raises(DeckError, match="No such file"):
        load(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "amount"), [("1", 100), ("12.5", 1250), ("12,50", 1250), ("-0.01", -1), (" 3 ", 300)]
)
def test_sums_are_read(text: str, amount: int) -> None:
    assert EUR.parse(text) == amount
    assert EUR.parse(EUR.figures(amount)) == amount


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.234", "1e400", "NaN", "Infinity", "1.2.3", "1,2,3", "9" * 5000, "1e30", "0x10"],
)
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(MoneyError) as caught:
        EUR.parse(text)
    assert len(str(caught.value)) < 100


@given(amount=st.integers(-MOST, MOST), decimals=st.integers(0, 8))
def test_sums_are_written_as_they_are_read(amount: int, decimals: int) -> None:
    asset = Asset(id="x", name="X", decimals=decimals)
    assert asset.parse(asset.figures(amount)) == amount
