"""Calls for later: what was planned, and thinking better of it."""

from __future__ import annotations

import re

from bot.moments import moment
from bot.ports import Operator, Person, Planned
from bot.replies import Button, Reply

# What the button of a plan says.
_DROPPED = re.compile(r"drop plan #([0-9a-f]{6,16})")
NONE = "Nothing is planned."
TOO_LATE = "That is no longer planned."


def planned(plan: Planned, person: Person) -> Reply:
    """That something will be done, and how to prevent it."""
    text = f"I shall {plan.what}, {moment(plan.at, person)}."
    return Reply(text=text, buttons=(drop("Cancel", plan),))


async def heard(operator: Operator, person: Person, text: str) -> Reply | None:
    """What the button of a plan does; None for anything else."""
    pressed = _DROPPED.fullmatch(text)
    if pressed is None:
        return None
    cancelled = await operator.drop_plan(person, pressed[1])
    return Reply(text="Cancelled." if cancelled else TOO_LATE)


def drop(label: str, plan: Planned) -> Button:
    """Cancels a plan."""
    return Button(label=label, says=f"drop plan #{plan.id}")
