"""Calls for later: what was planned, and thinking better of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.moments import moment
from bot.ports import Operator, Person, Planned
from bot.replies import Button, Reply

# What the button of a plan says.
_DROPPED = re.compile(r"drop plan #([0-9a-f]{6,16})")
MAX_LISTED = 20
NONE = "Nothing is planned."
TOO_LATE = "That is no longer planned."


def planned(plan: Planned, person: Person) -> Reply:
    """That something will be done, and how to prevent it."""
    text = f"I shall {plan.what}, {moment(plan.at, person)}."
    return Reply(text=text, buttons=(_drop("Cancel", plan),))


async def heard(operator: Operator, person: Person, text: str) -> Reply | None:
    """What the button of a plan does; None for anything else."""
    pressed = _DROPPED.fullmatch(text)
    if pressed is None:
        return None
    cancelled = await operator.drop_plan(person, pressed[1])
    return Reply(text="Cancelled." if cancelled else TOO_LATE)


async def listed(operator: Operator, person: Person) -> Reply:
    """All that is planned, each with a button to cancel it."""
    plans = await operator.plans(person)
    if not plans:
        return Reply(text=NONE)
    return _list("Planned:", plans, person)


async def dropped(operator: Operator, person: Person, which: str) -> Reply:
    """Cancel what some words are about, or ask which."""
    plans = await operator.plans(person)
    fitting = [plan for plan in plans if which.casefold() in _words(plan, person)]
    if not plans:
        return Reply(text=NONE)
    if len(fitting) == 1:
        cancelled = await operator.drop_plan(person, fitting[0].id)
        return Reply(text=f"Cancelled: {fitting[0].what}." if cancelled else TOO_LATE)
    return _list("Which one?", fitting or plans, person)


def _list(title: str, plans: Sequence[Planned], person: Person) -> Reply:
    shown = plans[:MAX_LISTED]
    lines = [f"  {n}. {moment(p.at, person)}: {p.what}" for n, p in enumerate(shown, 1)]
    if len(plans) > MAX_LISTED:
        lines.append(f"… and {len(plans) - MAX_LISTED} more")
    buttons = tuple(_drop(f"Cancel {n}", plan) for n, plan in enumerate(shown, 1))
    return Reply(text="\n".join([title, *lines]), buttons=buttons)


def _drop(label: str, plan: Planned) -> Button:
    return Button(label=label, says=f"drop plan #{plan.id}")


def _words(plan: Planned, person: Person) -> str:
    return f"{plan.what} {moment(plan.at, person)}".casefold()
