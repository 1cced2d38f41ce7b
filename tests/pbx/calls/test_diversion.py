"""What becomes of a call, as a function: rules, quiet hours, lists, groups and loops."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.calls.diversion import (
    TURN,
    Ask,
    Course,
    Outside,
    Phones,
    Ring,
    TakeMessage,
    course_of,
    loops_back,
)
from pbx.calls.router import DialTrunk, Refuse, RingExtension
from pbx.calls.services import Service
from pbx.calls.wishes import (
    ANONYMOUS,
    ANSWERPHONE,
    ENDLESS,
    Condition,
    Hours,
    Rule,
    Treatment,
    Wishes,
    in_order,
)
from pbx.ports import Extension, Trunk

NUMBER = "+442079460321"
FRIEND = "+12025550143"
US = Trunk(name="us", zone="US", host="us.example", numbers=("+12025550100",))
NOW = datetime(2026, 12, 24, 18, 30, tzinfo=UTC)  # a Thursday
ALICE, BOB, CAROL = (
    Extension(number=n, name=name) for n, name in (("101", "Alice"), ("102", "Bob"), ("103", "C"))
)


class People:
    """Three extensions with wishes, a group and a trunk."""

    def __init__(self, **wishes: Wishes) -> None:
        self._wishes = {number.removeprefix("x"): one for number, one in wishes.items()}
        self._extensions = {one.number: one for one in (ALICE, BOB, CAROL)}

    def add(self, extension: Extension) -> None:
        self._extensions[extension.number] = extension

    def extension(self, number: str) -> Extension | None:
        return self._extensions.get(number)

    def extensions(self) -> Sequence[Extension]:
        return list(self._extensions.values())

    def trunks(self) -> Sequence[Trunk]:
        return [US]

    def route(self, number: str) -> str | None:
        return "103"

    def wishes(self, number: str) -> Wishes:
        return self._wishes.get(number, Wishes())

    def service(self, dialled: str) -> tuple[Service, str] | None:
        return None


def course(
    people: People,
    caller: str = FRIEND,
    *,
    to: Extension = ALICE,
    now: datetime = NOW,
    inside: bool = False,
    engaged: bool = False,
    hidden: bool = False,
) -> Course:
    plan = RingExtension(extension=to, dialled=to.number)
    return course_of(
        plan,
        caller=caller,
        directory=people,
        now=now,
        inside=inside,
        engaged=engaged,
        hidden=hidden,
    )


def sends(*to: str, **how: object) -> Wishes:
    return Wishes(rules=(Rule(id="1", to=to, **how),), answerphone=True)  # type: ignore[arg-type]


def rung(found: Course | None) -> list[str]:
    """Who is rung at once."""
    assert isinstance(found, Ring), found
    return [
        place.extension.number if isinstance(place, Phones) else place.way.number
        for place in found.places
    ]


def test_without_a_wish_the_phones_ring_and_a_failure_is_a_failure() -> None:
    found = course(People())
    assert found == Ring(extension=ALICE, places=(Phones(extension=ALICE),))
    assert isinstance(found, Ring)
    assert [found.after(status) for status in (486, 408, 480, 603, 487)] == [None] * 5


def test_the_answerphone_is_what_remains() -> None:
    found = course(People(x101=Wishes(answerphone=True)))
    assert isinstance(found, Ring)
    assert found.after(486) == found.after(408) == found.after(480) == TakeMessage(extension=ALICE)
    assert found.after(603) is None  # declined


@pytest.mark.parametrize(
    ("condition", "status"),
    [(Condition.BUSY, 486), (Condition.BUSY, 600), (Condition.NO_ANSWER, 408),
     (Condition.OFFLINE, 480), (Condition.OFFLINE, 503)],
)  # fmt: skip
def test_a_condition_holds_for_its_failure_only(condition: Condition, status: int) -> None:
    found = course(People(x101=sends("102", condition=condition)))
    assert rung(found) == ["101"]
    assert isinstance(found, Ring)
    assert rung(found.after(status)) == ["102"]
    others = {486, 408, 480, 503, 600} - {status}
    if condition is Condition.BUSY:
        others -= {486, 600}
    if condition is Condition.OFFLINE:
        others -= {480, 503}
    assert {type(found.after(other)) for other in others} == {TakeMessage}


def test_always_rings_nobody_here_and_falls_back_on_the_answerphone() -> None:
    found = course(People(x101=sends("102", NUMBER)))
    assert rung(found) == ["102", NUMBER]
    assert isinstance(found, Ring)
    way = DialTrunk(trunk=US, number=NUMBER)
    assert found.places[1] == Outside(way=way, user="101")  # at the expense of who sends it on
    assert found.after(408) == TakeMessage(extension=ALICE)


def test_in_turn_is_one_after_the_other() -> None:
    found = course(People(x101=sends("102", NUMBER, in_turn=True)))
    assert (rung(found), isinstance(found, Ring) and found.seconds) == (["102"], TURN)
    assert isinstance(found, Ring)
    for status in (486, 408, 480):
        second = found.after(status)
        assert rung(second) == [NUMBER]
        assert isinstance(second, Ring)
        assert second.after(status) == TakeMessage(extension=ALICE)
    assert found.after(603) is None


def test_how_long_it_rings_before_nobody_has_answered() -> None:
    found = course(People(x101=sends("102", condition=Condition.NO_ANSWER, after=12)))
    assert isinstance(found, Ring)
    assert found.seconds == 12


def test_to_the_answerphone_at_once() -> None:
    assert course(People(x101=sends(ANSWERPHONE))) == TakeMessage(extension=ALICE)


def test_the_narrowest_rule_holds_and_of_equals_the_newest() -> None:
    rules = [
        Rule(id="old", to=("102",)),
        Rule(id="caller", to=("103",), caller=FRIEND),
        Rule(id="new", to=(NUMBER,)),
    ]
    people = People(x101=Wishes(rules=in_order(rules)))
    assert rung(course(people)) == ["103"]
    assert rung(course(people, "+12025550999")) == [NUMBER]


@pytest.mark.parametrize(
    ("local", "holds"),
    [
        ("2026-12-24T17:59", False),
        ("2026-12-24T18:00", True),
        ("2026-12-25T08:59", True),  # Friday morning belongs to Thursday's night
        ("2026-12-25T09:00", False),
        ("2026-12-26T02:00", False),  # … and Friday is not among the days
        ("2026-12-31T20:00", True),
    ],
)
def test_hours_go_past_midnight_by_the_clocks_of_the_person(local: str, holds: bool) -> None:
    zone = ZoneInfo("America/New_York")
    hours = Hours(days=frozenset({3}), begin=time(18), end=time(9))
    wishes = Wishes(rules=(Rule(id="1", to=("102",), hours=hours),), zone=zone)
    now = datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC)
    assert (rung(course(People(x101=wishes), now=now)) == ["102"]) is holds


@pytest.mark.parametrize("day", [23, 24, 26, 27])
def test_dates_are_both_included(day: int) -> None:
    hours = Hours(first=date(2026, 12, 24), last=date(2026, 12, 26))
    people = People(x101=sends("102", hours=hours))
    found = rung(course(people, now=NOW.replace(day=day)))
    assert found == (["102"] if 24 <= day <= 26 else ["101"])


# ── loops ───────────────────────────────────────────────────────────────────────────────────
def test_what_leads_back_is_left_out() -> None:
    people = People(x101=sends("102", "103"), x102=sends("101"))
    found = course(people)
    assert (rung(found), isinstance(found, Ring) and found.looping) == (["103"], ("101",))


def test_where_all_leads_back_the_own_phones_ring() -> None:
    people = People(x101=sends("102"), x102=sends("103"), x103=sends("101"))
    found = course(people)
    assert (rung(found), isinstance(found, Ring) and found.looping) == (["101"], ("101",))
    assert loops_back(CAROL, ["101"], people, NOW)
    assert not loops_back(CAROL, [NUMBER], people, NOW)


def test_a_number_of_ours_is_the_extension_it_leads_to() -> None:
    assert rung(course(People(x101=sends("+12025550100")))) == ["103"]


def test_who_is_sent_calls_may_send_them_on() -> None:
    people = People(x101=sends("102"), x102=sends(NUMBER))
    found = course(people)
    assert rung(found) == [NUMBER]
    assert isinstance(found, Ring)
    (place,) = found.places
    assert isinstance(place, Outside)
    assert place.user == "102"  # who sends it outside pays


# ── who gets through ────────────────────────────────────────────────────────────────────────
def test_who_is_blocked_is_declined_even_when_hiding() -> None:
    people = People(x101=Wishes(blocked=frozenset({"102"})))
    for hidden in (False, True):
        found = course(people, "102", inside=True, hidden=hidden)
        assert isinstance(found, Refuse)
        assert found.status == 603
    assert rung(course(people, "103", inside=True)) == ["101"]


def test_quiet_hours_end_by_themselves_and_have_exceptions() -> None:
    quiet = Wishes(quiet_until=NOW + timedelta(hours=1), allowed=frozenset({FRIEND}))
    people = People(x101=quiet)
    assert rung(course(people)) == ["101"]
    found = course(people, NUMBER)
    assert isinstance(found, Refuse)
    assert (found.status, found.reason) == (480, "Alice does not want to be disturbed now")
    assert rung(course(people, NUMBER, now=NOW + timedelta(hours=2))) == ["101"]


def test_quiet_hours_have_the_answerphone_or_a_rule_of_their_own() -> None:
    people = People(x101=Wishes(quiet_until=ENDLESS, answerphone=True))
    assert course(people) == TakeMessage(extension=ALICE)
    rule = Rule(id="1", to=("102",), condition=Condition.QUIET)
    assert rung(course(People(x101=Wishes(quiet_until=ENDLESS, rules=(rule,))))) == ["102"]


def test_calls_are_not_sent_on_to_somebody_who_is_not_to_be_disturbed() -> None:
    people = People(x101=sends("102", "103"), x102=Wishes(quiet_until=ENDLESS))
    assert rung(course(people)) == ["103"]


@pytest.mark.parametrize("treatment", list(Treatment))
@pytest.mark.parametrize("caller", [ANONYMOUS, NUMBER, FRIEND])
def test_strangers_and_the_nameless_are_treated_as_one_wants(
    treatment: Treatment, caller: str
) -> None:
    wishes = Wishes(anonymous=treatment, unknown=treatment, known=(FRIEND,), answerphone=True)
    found = course(People(x101=wishes), caller)
    if caller == FRIEND or treatment is Treatment.RING:
        assert isinstance(found, Ring)
    else:
        kinds = {
            Treatment.ASK: Ask,
            Treatment.ANSWERPHONE: TakeMessage,
            Treatment.REFUSE: Refuse,
        }
        assert isinstance(found, kinds[treatment])


def test_ones_own_people_are_no_strangers_but_may_be_nameless() -> None:
    people = People(x101=Wishes(anonymous=Treatment.REFUSE, unknown=Treatment.REFUSE))
    assert rung(course(people, "102", inside=True)) == ["101"]
    assert isinstance(course(people, "102", inside=True, hidden=True), Refuse)


def test_without_call_waiting_a_second_call_is_busy() -> None:
    wishes = Wishes(waiting=False)
    assert course(People(x101=wishes), engaged=True) == Refuse(status=486, reason="busy")
    assert rung(course(People(x101=wishes))) == ["101"]
    busy = Wishes(waiting=False, rules=(Rule(id="1", to=("102",), condition=Condition.BUSY),))
    assert rung(course(People(x101=busy), engaged=True)) == ["102"]
    assert rung(course(People(), engaged=True)) == ["101"]


# ── groups ──────────────────────────────────────────────────────────────────────────────────
def test_a_group_rings_its_members_as_each_of_them_wants() -> None:
    people = People(x102=sends("103"), x101=Wishes(quiet_until=ENDLESS))
    group = Extension(number="500", name="Sales", members=("101", "102", NUMBER))
    people.add(group)
    assert rung(course(people, to=group)) == ["103", NUMBER]


def test_a_group_in_turn() -> None:
    people = People()
    group = Extension(number="500", members=("101", "102"), in_turn=True)
    people.add(group)
    found = course(people, to=group)
    assert rung(found) == ["101"]
    assert isinstance(found, Ring)
    assert rung(found.after(408)) == ["102"]


@given(
    st.dictionaries(
        st.sampled_from(["101", "102", "103"]),
        st.lists(st.sampled_from(["101", "102", "103", NUMBER, "999"]), min_size=1, max_size=4),
    ),
    st.booleans(),
)
def test_whatever_people_want_a_course_ends(wants: dict[str, list[str]], in_turn: bool) -> None:
    people = People(**{f"x{number}": sends(*to, in_turn=in_turn) for number, to in wants.items()})
    found: Course | None = course(people)
    for _ in range(20):
        if not isinstance(found, Ring):
            break
        assert found.places
        found = found.after(408)
    assert not isinstance(found, Ring)
