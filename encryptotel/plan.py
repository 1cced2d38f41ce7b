"""Where a call would go and why, in words: the router's plan, and what those who are called want,
for people."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from encryptotel.config import Config
from encryptotel.errors import UserError
from encryptotel.gatekeeper import Gatekeeper
from pbx.calls.diversion import Ask, Course, Outside, Place, Ring, TakeMessage, course_of
from pbx.calls.numbers import spoken, to_trunk
from pbx.calls.router import (
    DialTrunk,
    Plan,
    Refuse,
    RingExtension,
    RunApp,
    RunScript,
    route_from_extension,
    route_from_trunk,
)
from pbx.calls.wishes import Condition
from pbx.ports import CallRefused, Directory, Extension, Trunk

_FAILURES = {
    Condition.BUSY: "when busy",
    Condition.NO_ANSWER: "without an answer",
    Condition.OFFLINE: "when nobody is there",
}


def explain(
    caller: str, called: str, directory: Directory, config: Config, at: datetime
) -> list[str]:
    """The course of a call at some time, a sentence a step; `caller` is an extension, the name of a
    trunk, or a +E.164 number that calls through the trunk of the number called. Raises `UserError`
    for one that is none of these."""
    return _Explained(caller, called, directory, config, at).steps()


def moment_of(text: str, zone: str) -> datetime:
    """A time as it is typed: ISO 8601, by the clocks of `zone` unless it says another; now when it
    is empty. Raises `UserError`."""
    if not text:
        return datetime.now(UTC)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(f"{text} is no time; write it like 2026-12-24T18:30") from error
    return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))


class _Explained:
    def __init__(
        self, caller: str, called: str, directory: Directory, config: Config, at: datetime
    ) -> None:
        self._caller = caller
        self._called = called
        self._directory = directory
        self._config = config
        self._at = at

    def steps(self) -> list[str]:
        extension = self._directory.extension(self._caller)
        trunk = self._trunk()
        if extension is not None:
            steps = [f"extension {_named(extension)} dials {self._called}"]
            region = self._config.owner.region
            plan = route_from_extension(self._called, self._directory, region)
        elif trunk is not None:
            who = f" of {spoken(self._caller)}" if self._caller.startswith("+") else ""
            steps = [
                f"a call{who} for {self._called} comes in from the trunk {trunk.name} "
                f"({trunk.zone})"
            ]
            plan = route_from_trunk([self._called], trunk, self._directory)
        else:
            trunks = ", ".join(trunk.name for trunk in self._directory.trunks()) or "none"
            raise UserError(f"{self._caller} is neither an extension nor a trunk; trunks: {trunks}")
        if not isinstance(plan, RingExtension):
            return steps + self._plan(plan, self._caller)
        found = plan.extension
        if plan.dialled != found.number:
            steps.append(f"{spoken(plan.dialled)} leads to extension {_named(found)}")
        course = course_of(
            plan,
            caller=self._caller if extension or self._caller.startswith("+") else "",
            directory=self._directory,
            now=self._at,
            inside=extension is not None,
        )
        longest = self._config.calls.max_duration / 60
        return [
            *steps,
            *self._course(course),
            f"the call is ended after {longest:.0f} minutes at the latest",
        ]

    def _trunk(self) -> Trunk | None:
        """The trunk a call from outside comes in by."""
        trunks = self._directory.trunks()
        if self._caller.startswith("+"):
            return next((trunk for trunk in trunks if self._called in trunk.numbers), None)
        return next((trunk for trunk in trunks if trunk.name == self._caller), None)

    # ── what becomes of it ──────────────────────────────────────────────────────────────
    def _course(self, course: Course) -> list[str]:
        match course:
            case Ring():
                return self._ring(course)
            case Ask(extension=extension, course=further):
                asks = f"the caller says their name, and {_who(extension)} chooses"
                return [asks, *self._course(further)]
            case TakeMessage(extension=extension):
                return [f"the answerphone of {_who(extension)} takes a message"]
        return self._plan(course, self._caller)

    def _ring(self, ring: Ring) -> list[str]:
        usual = self._config.calls.ring_timeout
        where = " and ".join(self._place(place) for place in ring.places)
        why = f"{ring.why}: " if ring.why else ""
        steps = [
            f"{why}every phone registered for {where} rings, for {ring.seconds or usual:.0f} s; "
            f"the first to answer has the call"
            if not any(isinstance(place, Outside) for place in ring.places)
            else f"{why}{where} rings, for {ring.seconds or usual:.0f} s"
        ]
        steps += [f"{number} is left out: its calls would come back" for number in ring.looping]
        told: dict[int, list[str]] = {}
        for condition, following in ring.then.items():
            if condition in _FAILURES:
                told.setdefault(id(following), []).append(_FAILURES[condition])
        for condition, following in ring.then.items():
            failures = told.pop(id(following), None)
            if failures and condition in _FAILURES:
                first, *rest = self._course(following)
                steps += [f"{' or '.join(failures)}: {first}", *(f"  {step}" for step in rest)]
        return steps

    def _place(self, place: Place) -> str:
        if not isinstance(place, Outside):
            return f"{place.extension.number} {place.extension.name}".rstrip()
        return (
            f"{spoken(place.way.number)} (over {place.way.trunk.name}, at the expense of "
            f"{place.user}; whoever answers presses 1)"
        )

    def _plan(self, plan: Plan, payer: str) -> list[str]:
        match plan:
            case RunScript(extension=found):
                return [f"extension {found.number} is the script {found.script}, which answers"]
            case RunApp(service=service):
                return [
                    f"{service.number} is answered by the exchange itself, which {service.says}"
                ]
            case Refuse(status=status, reason=reason):
                return [f"refused with {status}: {reason}"]
            case DialTrunk():
                return self._outside(plan, payer)
        raise AssertionError(plan)

    def _outside(self, plan: DialTrunk, payer: str) -> list[str]:
        trunk, number, config = plan.trunk, plan.number, self._config
        steps = [f"that is the phone number {spoken(number)}"]
        gatekeeper = Gatekeeper(config.limits, config.calls.max_duration, self._directory.trunks)
        try:
            permit = gatekeeper.admit(payer, trunk, number)
        except CallRefused as refused:
            return [*steps, f"refused with {refused.status}: {refused.reason}"]
        limits = config.limits
        return [
            *steps,
            f"it leaves through the trunk {trunk.name} ({trunk.zone}) at {trunk.host}, "
            f"dialled as {to_trunk(number, trunk.dial)}, shown as "
            f"{spoken(permit.caller) if permit.caller else 'the account'}",
            f"if {payer} has fewer than {limits.trunk_calls_at_once} outside calls going on, "
            f"made fewer than {limits.trunk_calls_per_hour} in the last hour, and a line of "
            f"the {trunk.max_calls} is free",
            f"the call is ended after {config.calls.max_duration / 60:.0f} minutes at the latest",
        ]


def _who(extension: Extension) -> str:
    return extension.name or extension.number


def _named(extension: Extension) -> str:
    return f"{extension.number} {extension.name}".rstrip()
