"""Where a call goes: a pure function of who calls whom and the directory, and a plan you can
print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pbx.calls.numbers import from_trunk, region_of, region_of_zone, to_e164
from pbx.calls.services import Service
from pbx.ports import Directory, Extension, Trunk

HIDE, SHOW = "*67", "*82"
"Dialled before a number: hide, or show, one's own for this call."
ECHO = "600"
"The extension that sends back what it hears."


@dataclass(frozen=True, kw_only=True)
class RingExtension:
    """Ring every device of an extension; `dialled` is the number that led there."""

    extension: Extension
    dialled: str


@dataclass(frozen=True, kw_only=True)
class RunScript:
    """Give the call to a PyVoIP call-back script; `dialled` as in `RingExtension`."""

    extension: Extension
    dialled: str


@dataclass(frozen=True, kw_only=True)
class RunApp:
    """Give the call to an app of ours; `dialled` as in `RingExtension`, `more` as in `Visit`."""

    service: Service
    dialled: str
    more: str = ""


@dataclass(frozen=True, kw_only=True)
class DialTrunk:
    """Leave through a trunk to an E.164 number."""

    trunk: Trunk
    number: str


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """The call goes nowhere; `reason` says what the caller can do."""

    status: int
    reason: str


Plan = RingExtension | RunScript | RunApp | DialTrunk | Refuse


class Privacy(Enum):
    """What somebody says by a code about showing their number."""

    HIDE = "hide"
    SHOW = "show"


def without_privacy_code(called: str) -> tuple[str, Privacy | None]:
    """What was dialled behind a code that hides or shows one's number, and which it was."""
    for code, wish in ((HIDE, Privacy.HIDE), (SHOW, Privacy.SHOW)):
        if called.startswith(code) and called != code:
            return called.removeprefix(code), wish
    return called, None


def route_from_extension(called: str, directory: Directory, region: str) -> Plan:
    """An extension dialled `called`."""
    found = directory.service(called)
    if found is not None:
        return RunApp(service=found[0], dialled=called, more=found[1])
    extension = directory.extension(called)
    if extension is not None:
        return _to_extension(extension, called)
    number = to_e164(called, region)
    if number is None:
        return Refuse(status=404, reason=f"{called} is neither an extension nor a phone number")
    return dial_out(number, directory.trunks(), line=None)


def route_from_trunk(candidates: Sequence[str], trunk: Trunk, directory: Directory) -> Plan:
    """A call came in from a trunk; `candidates` are where carriers write the called number."""
    region = region_of_zone(trunk.zone)
    numbers = [from_trunk(candidate, region) for candidate in candidates]
    if len(trunk.numbers) == 1:
        numbers.append(trunk.numbers[0])  # carriers that only say our account name
    for number in numbers:
        target = directory.route(number) if number in trunk.numbers else None
        found = directory.service(target) if target else None
        if found is not None and found[0].outside:
            return RunApp(service=found[0], dialled=number, more=found[1])
        extension = directory.extension(target) if target else None
        if extension is not None:
            return _to_extension(extension, number)
    return Refuse(status=404, reason="no route for this number")


def dial_out(number: str, trunks: Sequence[Trunk], line: str | None) -> DialTrunk | Refuse:
    """The trunk for an E.164 number: the line asked for, or the one in the number's country,
    or the first."""
    if not trunks:
        return Refuse(status=503, reason="there is no trunk to the telephone network")
    if line is not None:
        wanted = region_of_zone(line)
        found = next((trunk for trunk in trunks if region_of_zone(trunk.zone) == wanted), None)
        if found is None:
            have = ", ".join(sorted({trunk.zone for trunk in trunks}))
            return Refuse(status=404, reason=f"there is no {line} line; there is {have}")
        return DialTrunk(trunk=found, number=number)
    country = region_of(number)
    at_home = next((trunk for trunk in trunks if region_of_zone(trunk.zone) == country), trunks[0])
    return DialTrunk(trunk=at_home, number=number)


def _to_extension(extension: Extension, dialled: str) -> Plan:
    if extension.script:
        return RunScript(extension=extension, dialled=dialled)
    return RingExtension(extension=extension, dialled=dialled)
