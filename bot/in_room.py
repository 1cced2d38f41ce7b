"""What moderators say to their conferences and rooms: lock, kick, mute; and who wants to go in."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.ports import Operator, Person
from bot.replies import Button, Reply

_WHERE = r"(?:the |this |my )?(?:room|conference|conf|meeting)"
_ID = r"(?: #(?P<id>[0-9a-f]{6,16}))?"
MAX_NAME = 80
_WHO = rf"(?P<who>\+?[^#]{{1,{MAX_NAME}}}?)"
_LOCK = re.compile(rf"(?P<un>un)?lock(?: {_WHERE})?{_ID}", re.IGNORECASE)
_KICK = re.compile(
    rf"(?:kick(?: out)?|throw out|remove(?=.* from {_WHERE}$))"
    rf"(?: {_WHO})?(?: out)?(?: (?:from|of|out of) {_WHERE})?{_ID}",
    re.IGNORECASE,
)
_MUTE = re.compile(rf"(?P<un>un)?mute {_WHO}(?: in {_WHERE})?{_ID}", re.IGNORECASE)
_ENTER = re.compile(
    r"(?:join|enter|open|call me into) (?:the |my )?(?:room (?P<first>[^#]{1,80})"
    r"|(?P<last>[^#]{1,80}) room)",
    re.IGNORECASE,
)
_COUNT = re.compile(rf"who(?: is|'s|’s)? (?:in {_WHERE}|here|there|in there)\??", re.IGNORECASE)
_MYSELF = re.compile(
    r"me|myself|us|it|this|that|(?:my|the|this|our) .*|(?:on|off)|call|phone|mic.*", re.IGNORECASE
)
_NONE = "You are in no conference."


def in_room(operator: Operator, person: Person, text: str) -> list[Reply] | None:
    """What a sentence or a button does to a conference; None for anything else. Raises
    `OperatorError`."""
    if found := _ENTER.fullmatch(text):
        name = operator.enter_room(person, found["first"] or found["last"])
        return [Reply(text=f"Your phone rings; take it to be in the room {name}.")]
    conferences = [call for call in operator.active_calls(person) if call.conference]
    call_id = conferences[-1].call_id if conferences else ""
    if found := _LOCK.fullmatch(text):
        if not (call_id or found["id"]):
            return [Reply(text=_NONE)]
        operator.lock(person, found["id"] or call_id, on=not found["un"])
        return [] if found["id"] else [Reply(text="Open again." if found["un"] else "Locked.")]
    if found := _KICK.fullmatch(text):
        if not (call_id or found["id"]):
            return [Reply(text=_NONE)]
        return _kick(operator, person, found["id"] or call_id, found["who"] or "")
    if not conferences:
        return None
    if _COUNT.fullmatch(text):
        names = [name for _, name in operator.others(person, call_id)]
        return [Reply(text=f"With you: {', '.join(names) or 'nobody yet'}.")]
    found = _MUTE.fullmatch(text)
    if found and not _MYSELF.fullmatch(found["who"]):
        who = operator.mute_other(person, call_id, found["who"], on=not found["un"])
        heard = "can be heard again" if found["un"] else "is muted"
        return [Reply(text=f"{who} {heard}.")]
    return None


def _kick(operator: Operator, person: Person, call_id: str, who: str) -> list[Reply]:
    """Send somebody away; ask whom if that was not said."""
    if who:
        return [Reply(text=f"{operator.kick(person, call_id, who)} was sent away.")]
    others = operator.others(person, call_id)
    if not others:
        return [Reply(text="There is nobody else in that conference.")]
    return [Reply(text="Whom shall I send away?", buttons=_each(others, call_id))]


def _each(others: Sequence[tuple[str, str]], call_id: str) -> tuple[Button, ...]:
    return tuple(Button(label=name, says=f"kick {peer} #{call_id}") for peer, name in others)
