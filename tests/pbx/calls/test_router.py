"""Routing as a function: who dials what, and the plan that comes of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.calls.apps.echo import ECHO_TEST
from pbx.calls.router import (
    DialTrunk,
    Refuse,
    RingExtension,
    RunApp,
    RunScript,
    dial_out,
    route_from_extension,
    route_from_trunk,
)
from pbx.calls.services import Service, Services
from pbx.ports import Extension, Trunk

ALICE = Extension(number="101", name="Alice", secret="s")
TIME = Extension(number="500", script="clock:answer")
US = Trunk(name="us", zone="US", host="us.example", numbers=("+12025550100", "+12025550101"))
UK = Trunk(name="uk", zone="UK", host="uk.example", numbers=("+442079460000",))
SERVICES = Services()
SERVICES.add(ECHO_TEST)


class People:
    def extension(self, number: str) -> Extension | None:
        return {"101": ALICE, "500": TIME}.get(number)

    def extensions(self) -> Sequence[Extension]:
        return [ALICE, TIME]

    def trunks(self) -> Sequence[Trunk]:
        return [US, UK]

    def route(self, number: str) -> str | None:
        return {
            "+12025550100": "101",
            "+442079460000": "500",
            "+12025550101": "999",
            "+33123456789": "101",
        }.get(number)

    def service(self, dialled: str) -> tuple[Service, str] | None:
        return SERVICES.find(dialled)


class Nobody(People):
    def trunks(self) -> Sequence[Trunk]:
        return []


@pytest.mark.parametrize(
    ("called", "plan"),
    [
        ("101", RingExtension(extension=ALICE, dialled="101")),
        ("500", RunScript(extension=TIME, dialled="500")),
        ("600", RunApp(service=ECHO_TEST, dialled="600")),
        ("2025550143", DialTrunk(trunk=US, number="+12025550143")),
        ("+442079460958", DialTrunk(trunk=UK, number="+442079460958")),
        ("011442079460958", DialTrunk(trunk=UK, number="+442079460958")),
        ("+4930901820", DialTrunk(trunk=US, number="+4930901820")),
    ],
)
def test_from_an_extension(called: str, plan: object) -> None:
    assert route_from_extension(called, People(), "US") == plan


@pytest.mark.parametrize("called", ["", "999", "bob", "911", "*"])
def test_what_is_neither_extension_nor_number(called: str) -> None:
    plan = route_from_extension(called, People(), "US")
    assert isinstance(plan, Refuse)
    assert plan.status == 404
    assert "neither an extension nor a phone number" in plan.reason


def test_without_a_trunk() -> None:
    plan = route_from_extension("+12025550143", Nobody(), "US")
    assert plan == Refuse(status=503, reason="there is no trunk to the telephone network")


@pytest.mark.parametrize(
    ("line", "trunk"), [("US", US), ("usa", US), ("UK", UK), ("gb", UK), (None, UK)]
)
def test_a_line_can_be_asked_for(line: str | None, trunk: Trunk) -> None:
    plan = dial_out("+442079460958", [US, UK], line)
    assert plan == DialTrunk(trunk=trunk, number="+442079460958")


def test_a_line_there_is_not() -> None:
    plan = dial_out("+442079460958", [US, UK], "FR")
    assert plan == Refuse(status=404, reason="there is no FR line; there is UK, US")


@pytest.mark.parametrize(
    ("candidates", "trunk", "extension"),
    [
        (["+12025550100"], US, "101"),
        (["12025550100"], US, "101"),
        (["account", "+12025550100"], US, "101"),
        (["account"], UK, "500"),  # one number: nothing else can be meant
        (["account"], US, None),
        (["+12025550101"], US, None),  # its extension is gone
        (["+442079460000"], US, None),  # another trunk's number
        (["+33123456789"], US, None),  # routed, but not through this trunk
        (["101"], US, None),  # a carrier cannot dial extensions
        ([], US, None),
    ],
)
def test_from_a_trunk(candidates: list[str], trunk: Trunk, extension: str | None) -> None:
    plan = route_from_trunk(candidates, trunk, People())
    if extension is None:
        assert plan == Refuse(status=404, reason="no route for this number")
    else:
        assert isinstance(plan, RingExtension | RunScript)
        assert plan.extension.number == extension
        assert plan.dialled in trunk.numbers


@given(st.text(max_size=30))
def test_any_text_gets_a_plan(called: str) -> None:
    assert route_from_extension(called, People(), "US")
    assert route_from_trunk([called], US, People())
