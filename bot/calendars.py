"""Calendars in the chat: followed by their address or file, rung for, written to."""

from __future__ import annotations

import re

from bot.moments import minutes, moment
from bot.ports import Calendar, Operator, OperatorError, Person, Talk, Understand
from bot.replies import Button, Reply
from nlp.commands import Calendar as CalendarCommand
from nlp.commands import Remind

HOW = (
    "Send me the address of your calendar: “sync my calendar https://…”; for a CalDAV account "
    "“sync my calendar https://… user NAME password PASSWORD” (an app password, if there is such); "
    "or send its file (.ics)."
)
NONE = f"I follow no calendar of yours. {HOW}"
DELETE_IT = " Please delete your message with the password."
# What buttons say, and people.
_ACCOUNT = re.compile(
    r"(?:sync|follow|add|connect|use|subscribe to|watch)(?: to)? (?:my |the )?calendar(?: at)? (?P<url>\S+) (?:with )?user(?:name)?:? (?P<user>\S+)(?: and| with)? password:? (?P<password>\S.{0,199})",
    re.I,
)
_LIST = re.compile(
    r"(?:show |list |what are )?(?:me )?(?:my |all )?calendars(?: do (?:you|i) \w+)?", re.I
)
_BUTTON = re.compile(r"(leave|look at) calendar #([0-9a-f]{8})")
_LEAVE = re.compile(
    r"(?:stop following|leave|remove|unfollow|forget|disconnect|delete) (?:my |the )?(?P<name>.{0,60}?) ?calendar",
    re.I,
)
_LEAD = r"(?P<count>\d{1,4}|an?|half an|one|two|ten|fifteen|thirty) (?P<unit>min(?:ute)?s?|hours?|days?)"
_BEFORE = re.compile(
    rf"(?:please )?(?P<how>call|ring|phone|remind|text|message|tell|notify|alert) me (?P<phone>by phone |by call )?{_LEAD} before (?:all|every|each|any|my)(?: of)?(?: my)? (?:meetings?|events?|appointments?|calls?|things?|conferences?)(?: (?:in|on|of) (?:my |the )?(?P<calendar>.{{1,60}}?) calendar)?(?: (?:with|about|called|on|for) (?P<words>.{{1,60}}?))?",
    re.I,
)
_NO_MORE = re.compile(
    r"(?:do not|don't|no longer|stop) (?:call|remind|ring|tell|calling|reminding|ringing|telling)(?:ing)? me before (?:all|every|each|any|my)?(?: of)?(?: my)? ?(?:meetings?|events?|appointments?)(?: any ?more)?",
    re.I,
)
_PUT = re.compile(
    r"(?:put|add|write|enter|note|schedule) (?P<what>.{1,200}) (?:on|in|into|to) (?:my |the )(?:calendar|diary|agenda)",
    re.I,
)
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "ten": 10, "fifteen": 15, "thirty": 30}
_UNITS = {"m": 1, "h": 60, "d": 1440}


async def about_calendars(
    operator: Operator, person: Person, text: str, understand: Understand
) -> Reply | None:
    """What buttons and set phrases about calendars do; None for anything else. Raises
    `OperatorError`."""
    words = " ".join(text.split()).rstrip(".!?")
    if found := _ACCOUNT.fullmatch(" ".join(text.split())):
        made = await operator.calendars.follow(
            person, found["url"], found["user"], found["password"]
        )
        return _followed(made, DELETE_IT)
    if _LIST.fullmatch(words):
        return await listed(operator, person)
    if found := _BUTTON.fullmatch(words):
        if found[1] == "leave":
            return Reply(
                text=f"I follow {await operator.calendars.leave(person, found[2])} no more."
            )
        return _checked(await operator.calendars.look(person, found[2]), person)
    if found := _LEAVE.fullmatch(words):
        return await left(operator, person, found["name"])
    if found := _BEFORE.fullmatch(words):
        phone = found["how"].lower() in ("call", "ring", "phone") or bool(found["phone"])
        by = "call" if phone else "message"
        lead, words = _minutes(found), found["words"] or ""
        return await _ring(operator, person, lead, by, words, found["calendar"] or "")
    if _NO_MORE.fullmatch(words):
        await operator.calendars.ring(person, "", (), "message")
        return Reply(text="I remind you of nothing in your calendars but what they say themselves.")
    if found := _PUT.fullmatch(words):
        return await _put(operator, person, found["what"], understand)
    return None


async def follow(operator: Operator, person: Person, command: CalendarCommand) -> Reply:
    """Follow a calendar, ring before what is on, or stop either. Raises `OperatorError`."""
    if not command.on:
        return await left(operator, person, "")
    reply = None
    if command.url:
        reply = _followed(await operator.calendars.follow(person, command.url))
    if command.lead is not None:
        return await _ring(operator, person, command.lead, "call")
    return reply or Reply(text=HOW)


async def sent(operator: Operator, person: Person, content: bytes) -> Reply:
    """A calendar that came as a file. Raises `OperatorError`."""
    return _followed(await operator.calendars.take_file(person, content))


async def put(operator: Operator, person: Person, url: str) -> Reply:
    """A calendar that was put somewhere as a file. Raises `OperatorError`."""
    return _followed(await operator.calendars.take_link(person, url))


async def listed(operator: Operator, person: Person) -> Reply:
    """All calendars of a person."""
    found = await operator.calendars.of(person)
    if not found:
        return Reply(text=NONE)
    lines = [f"  {n}. {_line(one, person)}" for n, one in enumerate(found, 1)]
    buttons = [
        button
        for n, one in enumerate(found, 1)
        for button in (
            Button(label=f"Check {n}", says=f"look at calendar #{one.id}"),
            Button(label=f"Leave {n}", says=f"leave calendar #{one.id}"),
        )
    ]
    return Reply(text="\n".join(["Your calendars:", *lines]), buttons=tuple(buttons))


async def left(operator: Operator, person: Person, name: str) -> Reply:
    """Follow a calendar no more, by its name or because it is the only one."""
    one = await _named(operator, person, name)
    if one is None:
        return await listed(operator, person)
    return Reply(text=f"I follow {await operator.calendars.leave(person, one.id)} no more.")


# ── parts ───────────────────────────────────────────────────────────────────────────────────
async def _named(operator: Operator, person: Person, name: str) -> Calendar | None:
    """The one calendar with these words in its name, if there is just one."""
    found = await operator.calendars.of(person)
    fitting = [one for one in found if name.casefold() in one.name.casefold()]
    return fitting[0] if len(fitting) == 1 else None


async def _ring(
    operator: Operator, person: Person, lead: int, by: str, words: str = "", calendar: str = ""
) -> Reply:
    one = await _named(operator, person, calendar) if calendar else None
    if calendar and one is None:
        return await listed(operator, person)
    await operator.calendars.ring(person, one.id if one else "", (lead,), by, words)
    how = "call" if by == "call" else "remind"
    of = f" with “{words}” in it" if words else ""
    where = f"your calendar {one.name}" if one else "your calendars"
    return Reply(text=f"I shall {how} you {minutes(lead)} before everything in {where}{of}.")


async def _put(operator: Operator, person: Person, what: str, understand: Understand) -> Reply:
    understood = await understand(f"remind me to {what}", person, Talk())
    found = [one for one in understood.commands if isinstance(one, Remind)]
    if not found or found[0].when is None or not found[0].text:
        raise OperatorError("calendar.when", "say when: “put lunch with Bob tomorrow at noon on …”")
    when, title = found[0].when, found[0].text
    name = await operator.calendars.write(person, title[:1].upper() + title[1:], when.at)
    return Reply(text=f"“{title}” is on your calendar {name}, {moment(when.at, person)}.")


def _followed(made: Calendar, more: str = "") -> Reply:
    note = f" {made.note}" if made.note else ""
    things = "thing" if made.coming == 1 else "things"
    text = (
        f"I follow your calendar {made.name}: {made.coming} {things} in the next five weeks.{note} "
        f"Its own alarms ring here; say “call me 15 minutes before every meeting” for more.{more}"
    )
    return Reply(text=text, buttons=(Button(label="Leave it", says=f"leave calendar #{made.id}"),))


def _checked(one: Calendar, person: Person) -> Reply:
    return Reply(text=_line(one, person))


def _line(one: Calendar, person: Person) -> str:
    how = "call" if one.by == "call" else "message"
    leads = " and ".join(map(minutes, one.leads))
    of = f" with “{one.words}”" if one.words else ""
    rings = f", {how} {leads} before everything{of}" if leads else ""
    seen = f", looked at {moment(one.checked, person)}" if one.checked else ""
    state = f"; it cannot be read: {one.failing}" if one.failing else ""
    return f"{one.name}{rings}{seen}{state}"


def _minutes(found: re.Match[str]) -> int:
    unit, count = _UNITS[found["unit"][0].lower()], found["count"].lower()
    if count == "half an":
        return unit // 2
    return unit * (_COUNTS.get(count) or int(count))
