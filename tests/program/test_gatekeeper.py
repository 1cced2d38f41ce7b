"""Limits on calls that cost money."""

from __future__ import annotations

import pytest

from encryptotel.config import LimitsSection
from encryptotel.gatekeeper import Gatekeeper, PastCall
from pbx.ports import CallRefused, Extension, Trunk

US = Trunk(name="us", zone="US", host="h", numbers=("+12025550100",), max_calls=3)
UK = Trunk(name="uk", zone="UK", host="h", numbers=("+442079460100",))
NEW_YORK, LONDON, PARIS = "+12125550123", "+442079460321", "+33142685300"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


ALICE = Extension(number="101", name="Alice", countries=("US", "FR"), denied_countries=("MX",))
HOME, ELSEWHERE = "192.0.2.7", "203.0.113.9"
NOON, MIDNIGHT = 12 * 3600.0, 24 * 3600.0


class Asked(Gatekeeper):
    """A gatekeeper and what it asked its owner."""

    def __init__(self, clock: Clock, limits: dict[str, object], *people: Extension) -> None:
        self.questions: list[str] = []
        known = {one.number: one for one in people}
        super().__init__(
            LimitsSection.model_validate(limits), 7200, lambda: [US, UK], clock,
            extension=known.get, ask=self.questions.append,
        )  # fmt: skip


def keeper(clock: Clock | None = None, *people: Extension, **limits: object) -> Asked:
    return Asked(clock or Clock(), limits, *people)


def refusal(
    gate: Gatekeeper, user: str, trunk: Trunk, number: str, source: str = ""
) -> CallRefused:
    with pytest.raises(CallRefused) as caught:
        gate.admit(user, trunk, number, source)
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


# ── by trunk and by extension ───────────────────────────────────────────────────────────────
def test_the_most_particular_list_of_countries_counts() -> None:
    line = Trunk(name="fr", zone="FR", host="h", countries=("DE", "FR"), max_calls=9)
    gate = keeper(Clock(), ALICE, countries=["IT", "US"], trunk_calls_at_once=9)
    gate.admit("101", line, PARIS)
    gate.admit("102", line, PARIS)
    assert "allowed are DE, FR" in refusal(gate, "102", line, NEW_YORK).reason
    gate.admit("101", line, NEW_YORK)
    gate.release(gate.admit("102", US, NEW_YORK))


@pytest.mark.parametrize("where", ["limits", "trunk", "extension"])
def test_denied_is_denied_whatever_is_allowed(where: str) -> None:
    denied = {name: ("FR",) if name == where else () for name in ("limits", "trunk", "extension")}
    line = Trunk(name="us", zone="US", host="h", denied_countries=denied["trunk"])
    alice = Extension(number="101", countries=("FR",), denied_countries=denied["extension"])
    gate = keeper(Clock(), alice, denied_countries=denied["limits"])
    assert (
        "calls to FR are not allowed; allowed are none" in refusal(gate, "101", line, PARIS).reason
    )


# ── minutes ─────────────────────────────────────────────────────────────────────────────────
def test_minutes_of_a_day_end_the_call_that_uses_them_up() -> None:
    clock = Clock()
    gate = keeper(clock, trunk_minutes_per_day=30)
    permit = gate.admit("101", US, NEW_YORK)
    assert permit.seconds == 30 * 60
    clock.now += 20 * 60
    gate.release(permit)
    last = gate.admit("101", US, NEW_YORK)
    assert last.seconds == 10 * 60
    clock.now += last.seconds
    gate.release(last)
    assert "talked for 30 minutes" in refusal(gate, "101", US, NEW_YORK).reason
    gate.admit("102", US, NEW_YORK)
    clock.now += 86_400 - 10 * 60
    assert gate.admit("101", US, NEW_YORK).seconds == 20 * 60


def test_minutes_and_calls_are_taken_over_from_the_journal() -> None:
    clock = Clock()
    clock.now = 10 * 86_400.0
    gate = keeper(clock, trunk_minutes_per_day=30, trunk_calls_per_hour=2)
    past = [(86_500, 600), (7000, 1500), (100, 60)]
    gate.remember(
        PastCall(user="101", at=clock.now - ago, seconds=long, number=NEW_YORK, source="")
        for ago, long in past
    )
    permit = gate.admit("101", US, NEW_YORK)
    assert permit.seconds == 30 * 60 - 1500 - 60
    assert "2 outside calls in the last hour" in refusal(gate, "101", US, NEW_YORK).reason


# ── was this you? ───────────────────────────────────────────────────────────────────────────
def unusual(gate: Asked, number: str = PARIS, source: str = HOME) -> str:
    """Why a phone's call is held."""
    reason = refusal(gate, "101", US, number, source).reason
    assert "the owner was asked" in reason
    return reason


def abroad(clock: Clock | None = None, **limits: object) -> Asked:
    return keeper(clock, ALICE, countries=["US", "GB", "FR"], **limits)


def test_a_first_call_to_a_country_is_held_until_the_owner_says_yes() -> None:
    gate = abroad()
    gate.release(gate.admit("101", US, NEW_YORK, HOME))  # at home nothing is unusual
    assert "its first call to FR" in unusual(gate)
    (question,) = gate.questions
    assert question.startswith(
        "Was this you? Extension 101 (Alice) wanted to call +33 1 42 68 53 00"
    )
    assert "held for 60 minutes" in refusal(gate, "101", US, NEW_YORK, HOME).reason
    gate.admit("102", US, NEW_YORK, HOME)  # others are not
    assert gate.answer(yes=True).startswith("Good. 101 may call outside again")
    gate.release(gate.admit("101", US, PARIS, HOME))
    assert gate.answer(yes=True) == ""
    assert len(gate.questions) == 1


def test_while_the_owner_is_asked_an_order_in_the_chat_still_goes() -> None:
    gate = abroad()
    unusual(gate)
    gate.release(gate.admit("101", US, PARIS))  # no phone, no question


def test_no_locks_for_a_day_whatever_way_a_call_takes() -> None:
    """Whoever knows the password could have set a redirection, too: that names no phone."""
    clock = Clock()
    gate = abroad(clock)
    unusual(gate)
    assert "locked for a day" in gate.answer(yes=False)
    assert "not theirs" in refusal(gate, "101", US, PARIS).reason
    clock.now += 86_000
    assert "not theirs" in refusal(gate, "101", US, NEW_YORK, HOME).reason
    clock.now += 500
    gate.admit("101", US, NEW_YORK, HOME)
    assert len(gate.questions) == 1


def test_without_an_answer_the_hold_ends_and_the_question_comes_again() -> None:
    clock = Clock()
    gate = abroad(clock, hold_minutes=5)
    unusual(gate)
    for _ in range(50):
        refusal(gate, "101", US, PARIS, HOME)
    assert len(gate.questions) == 1
    clock.now += 301
    gate.release(gate.admit("101", US, NEW_YORK, HOME))
    unusual(gate)
    assert len(gate.questions) == 2
    clock.now += 301
    assert gate.answer(yes=True) == ""  # nobody waits for that any more


def test_another_network_is_unusual_and_another_address_of_the_same_is_not() -> None:
    gate = abroad()
    gate.release(gate.admit("101", US, NEW_YORK, HOME))
    gate.release(gate.admit("101", US, NEW_YORK, "192.0.2.200"))
    assert f"from the network address {ELSEWHERE}" in unusual(gate, NEW_YORK, ELSEWHERE)
    gate.answer(yes=True)
    for source in (ELSEWHERE, HOME):
        gate.release(gate.admit("101", US, NEW_YORK, source))
    unusual(gate, NEW_YORK, "2001:db8:1::1")
    gate.answer(yes=True)
    gate.admit("101", US, NEW_YORK, "2001:db8:1:ffff::2")


@pytest.mark.parametrize(("moment", "held"), [(NOON, False), (MIDNIGHT, True)])
def test_many_calls_at_night_are_unusual(moment: float, held: bool) -> None:
    clock = Clock()
    clock.now = moment
    gate = abroad(clock, night_calls_per_hour=3)
    for _ in range(3):
        gate.release(gate.admit("101", US, NEW_YORK, HOME))
    if held:
        assert "its outside call number 4 within an hour at night" in unusual(gate, NEW_YORK)
        gate.answer(yes=True)
    for _ in range(5):  # at night it is known to be them, until the morning
        gate.release(gate.admit("101", US, NEW_YORK, HOME))


def test_what_the_journal_knows_is_usual() -> None:
    gate = abroad()
    gate.remember([PastCall(user="101", at=0, seconds=1, number=PARIS, source=HOME)])
    gate.release(gate.admit("101", US, PARIS, HOME))
    unusual(gate, NEW_YORK, ELSEWHERE)


def test_two_questions_are_answered_one_after_the_other() -> None:
    gate = abroad()
    unusual(gate)
    refusal(gate, "102", US, PARIS, HOME)
    told = gate.answer(yes=False)
    assert "calls of 101 are locked" in told
    assert "Was this you? Extension 102 wanted" in told
    assert gate.answer(yes=True).startswith("Good. 102")


def test_the_owner_can_do_without() -> None:
    abroad(ask_owner=False).admit("101", US, PARIS, HOME)
