"""Limits on calls that cost money."""

from __future__ import annotations

import pytest

from encryptotel.config import LimitsSection
from encryptotel.gatekeeper import Gatekeeper
from pbx.ports import CallRefused, Trunk

US = Trunk(name="us", zone="US", host="h", numbers=("+12025550100",), max_calls=3)
UK = Trunk(name="uk", zone="UK", host="h", numbers=("+442079460100",))
NEW_YORK, LONDON, PARIS = "+12125550123", "+442079460321", "+33142685300"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def keeper(clock: Clock | None = None, **limits: object) -> Gatekeeper:
    section = LimitsSection.model_validate(limits)
    return Gatekeeper(section, 7200, lambda: [US, UK], clock or Clock())


def refusal(gate: Gatekeeper, user: str, trunk: Trunk, number: str) -> CallRefused:
    with pytest.raises(CallRefused) as caught:
        gate.admit(user, trunk, number)
    return caught.value


def test_a_call_is_shown_as_the_trunks_first_number_and_has_an_end() -> None:
    permit = keeper().admit("101", US, NEW_YORK)
    assert permit.caller == "+12025550100"
    assert permit.seconds == 7200


def test_calls_at_once_are_counted_by_user_and_given_back() -> None:
    gate = keeper(trunk_calls_at_once=2)
    first = gate.admit("101", US, NEW_YORK)
    gate.admit("101", US, NEW_YORK)
    assert refusal(gate, "101", US, NEW_YORK).status == 486
    gate.admit("102", US, NEW_YORK)
    gate.release(first)
    gate.admit("101", US, NEW_YORK)


def test_a_trunk_has_only_so_many_lines() -> None:
    gate = keeper(trunk_calls_at_once=10)
    for _ in range(3):
        gate.admit("101", US, NEW_YORK)
    refused = refusal(gate, "102", US, NEW_YORK)
    assert refused.status == 503
    assert "all 3 lines of us are busy" in refused.reason


def test_calls_an_hour_are_limited_and_the_hour_moves_on() -> None:
    clock = Clock()
    gate = keeper(clock, trunk_calls_per_hour=2)
    for _ in range(2):
        gate.release(gate.admit("101", US, NEW_YORK))
        clock.now += 60
    assert "try again in 58 minutes" in refusal(gate, "101", US, NEW_YORK).reason
    clock.now += 3500
    gate.admit("101", US, NEW_YORK)


def test_by_default_only_the_countries_of_the_own_lines_may_be_called() -> None:
    gate = keeper()
    gate.admit("101", US, NEW_YORK)
    gate.admit("101", US, LONDON)
    refused = refusal(gate, "101", US, PARIS)
    assert refused.status == 403
    assert "calls to FR are not allowed; allowed are GB, US" in refused.reason


def test_countries_can_be_listed() -> None:
    gate = keeper(countries=["FR"])
    gate.admit("101", US, PARIS)
    assert refusal(gate, "101", US, NEW_YORK).status == 403


def test_premium_numbers_are_off_unless_switched_on() -> None:
    premium = "+19005550100"
    assert "premium" in refusal(keeper(), "101", US, premium).reason
    keeper(premium_numbers=True).admit("101", US, premium)


def test_a_refused_call_is_not_counted() -> None:
    gate = keeper(trunk_calls_per_hour=1)
    for _ in range(5):
        refusal(gate, "101", US, PARIS)
    gate.admit("101", US, NEW_YORK)
