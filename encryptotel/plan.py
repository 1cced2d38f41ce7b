"""Where a call would go and why, in words: the router's plan for people."""

from __future__ import annotations

from collections.abc import Sequence

from encryptotel.config import Config
from encryptotel.errors import UserError
from encryptotel.gatekeeper import Gatekeeper
from pbx.calls.numbers import spoken, to_trunk
from pbx.calls.router import (
    DialTrunk,
    Plan,
    Refuse,
    RingExtension,
    RunEcho,
    RunScript,
    route_from_extension,
    route_from_trunk,
)
from pbx.ports import CallRefused, Directory, Trunk


def explain(caller: str, called: str, directory: Directory, config: Config) -> list[str]:
    """The course of a call, a sentence a step; `caller` is an extension or the name of a
    trunk. Raises `UserError` for one that is neither."""
    extension = directory.extension(caller)
    trunk = next((trunk for trunk in directory.trunks() if trunk.name == caller), None)
    if extension is not None:
        who = f"extension {extension.number}" + (f" ({extension.name})" if extension.name else "")
        steps = [f"{who} dials {called}"]
        plan = route_from_extension(called, directory, config.owner.region)
    elif trunk is not None:
        steps = [f"a call for {called} comes in from the trunk {trunk.name} ({trunk.zone})"]
        plan = route_from_trunk([called], trunk, directory)
    else:
        trunks = ", ".join(trunk.name for trunk in directory.trunks()) or "none"
        raise UserError(f"{caller} is neither an extension nor a trunk; trunks: {trunks}")
    return steps + _steps(plan, caller, called, directory.trunks(), config)


def _steps(
    plan: Plan, caller: str, called: str, trunks: Sequence[Trunk], config: Config
) -> list[str]:
    longest = f"the call is ended after {config.calls.max_duration / 60:.0f} minutes at the latest"
    match plan:
        case RingExtension(extension=found, dialled=dialled):
            number = f"{spoken(dialled)} leads to " if dialled != found.number else ""
            return [
                f"{number}extension {found.number} {found.name}".rstrip(),
                f"every phone registered for it rings, for {config.calls.ring_timeout:.0f} s; "
                f"the first to answer has the call",
                longest,
            ]
        case RunScript(extension=found):
            return [f"extension {found.number} is the script {found.script}, which answers"]
        case RunEcho():
            return ["the echo test answers and sends back what it hears"]
        case Refuse(status=status, reason=reason):
            return [f"refused with {status}: {reason}"]
        case DialTrunk(trunk=trunk, number=number):
            steps = [f"that is the phone number {spoken(number)}"]
            gatekeeper = Gatekeeper(config.limits, config.calls.max_duration, lambda: trunks)
            try:
                permit = gatekeeper.admit(caller, trunk, number)
            except CallRefused as refused:
                return [*steps, f"refused with {refused.status}: {refused.reason}"]
            limits = config.limits
            return [
                *steps,
                f"it leaves through the trunk {trunk.name} ({trunk.zone}) at {trunk.host}, "
                f"dialled as {to_trunk(number, trunk.dial)}, shown as "
                f"{spoken(permit.caller) if permit.caller else 'the account'}",
                f"if {caller} has fewer than {limits.trunk_calls_at_once} outside calls going on, "
                f"made fewer than {limits.trunk_calls_per_hour} in the last hour, and a line of "
                f"the {trunk.max_calls} is free",
                longest,
            ]
