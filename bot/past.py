"""Calls that are over, and what was left on the answerphone."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.card import HOW_TO_OPEN, call_back, clock, delete_message
from bot.ports import Operator, PastCall, Person
from bot.replies import Button, Reply
from nlp.commands import History
from nlp.periods import stretch

# What the button of a voice message says.
_DELETE = re.compile(r"delete message #([0-9a-f]{6,16})")
MAX_PAST = 15
"Past calls shown at once."
MAX_BUTTONS = 3
"People who can be called with a tap below a list of calls."


async def past_calls(operator: Operator, person: Person, command: History) -> Reply:
    """Who called, and whom the person called."""
    zone = ZoneInfo(person.timezone)
    period = command.period and stretch(command.period, datetime.now(zone))
    since, until = period or (None, None)
    calls = await operator.past.calls(
        person, since, until, missed=command.missed, party=command.party
    )
    when = f" {command.period}" if period else ""
    if not calls:
        return Reply(text=f"No {'missed ' if command.missed else ''}calls{when}.")
    lines = [f"Your {'missed ' if command.missed else ''}calls{when}, the latest first:"]
    lines += [_line(call, zone) for call in calls[:MAX_PAST]]
    if len(calls) > MAX_PAST:
        lines.append(f"… and {len(calls) - MAX_PAST} more")
    who = {call.back: call.peer for call in calls if call.back}
    buttons = [Button(label=f"Call {who[back]}", says=f"call {back}") for back in who]
    return Reply(text="\n".join(lines), buttons=tuple(buttons[:MAX_BUTTONS]))


async def voice_messages(operator: Operator, person: Person) -> list[Reply]:
    """The latest voice messages, oldest of them first."""
    found = await operator.voicemail(person)
    if not found:
        return [Reply(text="There are no voice messages for you.")]
    zone = ZoneInfo(person.timezone)
    return [
        Reply(
            text=f"{one.peer}, {one.at.astimezone(zone):%a %d %b %H:%M}, {clock(one.seconds)}",
            file=one.file,
            buttons=(*call_back(one.back), delete_message(one.id)),
        )
        for one in reversed(found)
    ]


async def deleted(operator: Operator, person: Person, text: str) -> Reply | None:
    """What the button of a voice message does; None for anything else."""
    pressed = _DELETE.fullmatch(text)
    if pressed is None:
        return None
    gone = await operator.delete_voicemail(person, pressed[1])
    return Reply(text="Deleted." if gone else "That message is gone already.")


async def recordings(operator: Operator, person: Person) -> list[Reply]:
    """The latest recordings, oldest of them first."""
    found = await operator.recordings(person)
    if not found:
        return [Reply(text="There are no recordings of yours.")]
    zone = ZoneInfo(person.timezone)
    told = [
        Reply(
            text=f"{one.peer}, {one.at.astimezone(zone):%a %d %b %H:%M}, {clock(one.seconds)}"
            + ("" if one.file.content else f" (cannot be sent: {one.file.name})"),
            file=one.file if one.file.content else None,
        )
        for one in reversed(found)
    ]
    return [*told, Reply(text=HOW_TO_OPEN)]


def _line(call: PastCall, zone: ZoneInfo) -> str:
    arrow = "←" if call.incoming else "→"
    missed = "missed" if call.incoming else "no answer"
    how = clock(call.seconds) if call.answered else missed
    return f"  {call.at.astimezone(zone):%a %d %b %H:%M} {arrow} {call.peer}, {how}"
