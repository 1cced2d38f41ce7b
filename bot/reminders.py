"""Reminders in the chat: ordered, listed, changed, and answered when they ring."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bot.moments import every, minutes, moment
from bot.planned import NONE, TOO_LATE, drop
from bot.ports import Operator, OperatorError, Person, Planned, Reminder
from bot.replies import Button, Reply
from nlp.commands import EditReminder, Remind

MAX_LISTED = 20
WHICH = "Which one? Say for example “cancel the dentist reminder”."
# What buttons say, and people.
_ANSWERED = re.compile(
    r"(?:(?:that(?:'s| is)|it(?:'s| is)|i(?:'m| am)) )?(?P<done>done)(?: it)?(?: #(?P<a>[0-9a-f]{12}))?|"
    r"(?P<snooze>snooze)(?: (?:it|that))?(?: for)?(?: (?P<count>\d{1,4}) ?(?P<unit>m|min|minutes?|h|hours?|days?))?"
    r"(?: #(?P<b>[0-9a-f]{12}))?|"
    r"(?P<stop>stop) (?:this series|reminding me of (?:this|that|it))(?: #(?P<c>[0-9a-f]{12}))?",
    re.I,
)
_CONSENT = re.compile(r"(allow|refuse) reminders from (\d{1,16})", re.I)
_ONE = re.compile(r"(cancel|pause|resume) reminder #([0-9a-f]{8})")
_PAUSE = re.compile(
    r"(?P<what>pause|suspend|resume|continue|restart) (?:the |my )?(?P<which>.{1,60}?) (?:reminders?|alarms?)",
    re.I,
)
_LATE = re.compile(
    r"(?:(?:if|when) (?:you are|you're|you were|you have been) off,? )?(?:still )?remind me up to "
    r"(?P<count>\d{1,4}) ?(?P<unit>minutes?|hours?) (?:too )?late",
    re.I,
)
_QUIET = re.compile(
    r"(?:my )?quiet hours(?: are)?(?: from| between)? (?P<a>\d{1,2})(?::(?P<b>\d\d))?(?: to| and| until| till|-) (?P<c>\d{1,2})(?::(?P<d>\d\d))?",
    re.I,
)
_ON = re.compile(
    r"(?:what(?:'s| is| do i have| have i got)? (?:on|planned|in my (?:agenda|diary|calendar))(?: for)?|(?:show |read )?(?:me )?my (?:agenda|day|diary)(?: for)?|agenda(?: for)?|what's my (?:agenda|day)(?: for)?)(?: (?P<day>today|tomorrow))?",
    re.I,
)
_LOUD = re.compile(r"(?:no|end|without|stop) (?:my )?quiet hours", re.I)
_ONE_LEAD = r"(?:\d{1,3}|an?|one|two|three|half an) (?:minutes?|mins?|hours?|days?|weeks?)"
_LEADS = re.compile(
    rf"(?P<leads>{_ONE_LEAD}(?:(?:,| before)? (?:and )?{_ONE_LEAD}){{0,4}}) (?:before|ahead of) (?P<rest>.+)",
    re.I,
)
_LEAD = re.compile(
    r"(?P<count>\d{1,3}|an?|one|two|three|half an) (?P<unit>minute|min|hour|day|week)", re.I
)
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3}
_UNITS = {"m": 1, "min": 1, "minute": 1, "h": 60, "hour": 60, "day": 1440, "week": 10_080}
DEFAULT_SNOOZE = timedelta(minutes=10)


def answers(id: str, *, again: bool) -> tuple[Button, ...]:
    """What can be said to a reminder that rings."""
    stop = (Button(label="Stop series", says=f"stop this series #{id}"),) if again else ()
    return (
        Button(label="Done", says=f"done #{id}"),
        Button(label="In 10 min", says=f"snooze 10 minutes #{id}"),
        Button(label="In an hour", says=f"snooze 1 hour #{id}"),
        *stop,
    )


def consents(by: str) -> tuple[Button, ...]:
    """What can be said to somebody who wants to remind one."""
    return (
        Button(label="Yes", says=f"allow reminders from {by}"),
        Button(label="No", says=f"refuse reminders from {by}"),
    )


async def about_reminders(operator: Operator, person: Person, text: str) -> Reply | None:
    """What buttons and set phrases about reminders do; None for anything else. Raises
    `OperatorError`."""
    words = " ".join(text.split()).rstrip(".!?")
    if found := _ANSWERED.fullmatch(words):
        return await _answer(operator, person, found)
    if found := _CONSENT.fullmatch(words):
        given = found[1].lower() == "allow"
        who = await operator.reminding.consent(person, found[2], given=given)
        return Reply(text=f"{who} {'can' if given else 'cannot'} have me remind you.")
    if found := _ONE.fullmatch(words):
        return await _change(operator, person, found[1], found[2])
    if found := _PAUSE.fullmatch(words):
        which = await _matching(operator, person, found["which"])
        pausing = found["what"].lower() in ("pause", "suspend")
        if len(which) != 1:
            return _listing(which, person, "Which one?") if which else None
        return await _change(operator, person, "pause" if pausing else "resume", which[0].id)
    if found := _ON.fullmatch(words):
        return Reply(text=await agenda(operator, person, tomorrow=found["day"] == "tomorrow"))
    if found := _LATE.fullmatch(words):
        late = int(found["count"]) * _UNITS[found["unit"].lower().rstrip("s")]
        await operator.reminding.be_late(person, late)
        return Reply(
            text=f"After I was off I remind you up to {minutes(late)} late; then I only say what was missed."
        )
    if found := _QUIET.fullmatch(words):
        begin, end = _clock(found["a"], found["b"]), _clock(found["c"], found["d"])
        await operator.reminding.be_quiet(person, begin, end)
        return Reply(text=f"Between {begin} and {end} others' reminders come by message only.")
    if _LOUD.fullmatch(words):
        await operator.reminding.be_quiet(person, "", "")
        return Reply(text="You have no quiet hours.")
    return None


async def agenda(operator: Operator, person: Person, *, tomorrow: bool = False) -> str:
    """What is on today, or tomorrow; so that it can be read, or read out."""
    zone = ZoneInfo(person.timezone)
    day = datetime.now(zone).date() + timedelta(days=tomorrow)
    found = list(await operator.reminding.on_day(person, day))
    found += [
        (p.at, p.what) for p in await operator.plans(person) if p.at.astimezone(zone).date() == day
    ]
    name = "Tomorrow" if tomorrow else "Today"
    if not found:
        return f"{name} nothing is planned."
    lines = [f"{at.astimezone(zone):%H:%M} {what}." for at, what in sorted(found)]
    more = [f"And {len(lines) - MAX_LISTED} more."] if len(lines) > MAX_LISTED else []
    return "\n".join([f"{name}:", *lines[:MAX_LISTED], *more])


async def remind(operator: Operator, person: Person, command: Remind) -> Reply:
    """Take a reminder. Raises `OperatorError`."""
    assert command.when is not None
    leads, text = leads_of(command.text or "")
    wanted = Remind(when=command.when, text=text, by=command.by, to=command.to)
    made = await operator.reminding.remind(person, wanted, (*leads, 0))
    whom = made.to or "you"
    how = f"call {whom}" if made.by == "call" else f"remind {whom}"
    often = f"{every(made.rule)}, first " if made.rule else ""
    before = f" and {' and '.join(map(minutes, made.leads))} before" if made.leads else ""
    said = f"I shall {how} {often}{moment(made.at, person)}{before}: “{made.text}”."
    return Reply(text=said, buttons=(_button("Cancel", made),))


async def listed(operator: Operator, person: Person) -> Reply:
    """All that is planned and to be reminded of, each with a button to cancel it."""
    return await _all(operator, person, "", "Planned:")


async def dropped(operator: Operator, person: Person, which: str) -> Reply:
    """Cancel what some words are about, or ask which."""
    plans = await _plans_matching(operator, person, which)
    reminders = await _matching(operator, person, which)
    if len(plans) + len(reminders) != 1:
        return await _all(operator, person, which, "Which one?")
    if reminders:
        return await _change(operator, person, "cancel", reminders[0].id)
    cancelled = await operator.drop_plan(person, plans[0].id)
    return Reply(text=f"Cancelled: {plans[0].what}." if cancelled else TOO_LATE)


async def edited(operator: Operator, person: Person, command: EditReminder) -> Reply:
    """Another time or other words for what some words are about. Raises `OperatorError`."""
    found = await _matching(operator, person, command.which or "")
    if len(found) != 1:
        return await _all(operator, person, command.which or "", WHICH)
    made = await operator.reminding.change(person, found[0].id, command.when, command.text)
    return Reply(text=f"Changed: {_line(made, person)}.", buttons=(_button("Cancel", made),))


def leads_of(text: str) -> tuple[tuple[int, ...], str]:
    """How many minutes before, and of what: “15 minutes and one day before the dentist”."""
    found = _LEADS.fullmatch(text)
    if found is None:
        return (), text
    leads = []
    for one in _LEAD.finditer(found["leads"]):
        size = _UNITS[one["unit"].lower()]
        count = one["count"].lower()
        leads.append(size // 2 if count == "half an" else size * (_COUNTS.get(count) or int(count)))
    return tuple(sorted(set(leads), reverse=True)), found["rest"]


# ── parts ───────────────────────────────────────────────────────────────────────────────────
async def _answer(operator: Operator, person: Person, found: re.Match[str]) -> Reply | None:
    """Done, later or never again; without an id the latest that rang, if one did."""
    reminding, id = operator.reminding, found["a"] or found["b"] or found["c"] or ""
    try:
        ring = await reminding.rang(person, id)
    except OperatorError:
        if id:
            raise
        return None
    if found["done"]:
        await reminding.done(person, ring.id)
        return Reply(text=f"Done: {ring.text}.")
    if found["stop"]:
        await reminding.stop_series(person, ring.id)
        return Reply(text=f"I remind you no more: {ring.text}.")
    after = DEFAULT_SNOOZE
    if found["count"]:
        after = timedelta(minutes=int(found["count"]) * _UNITS[found["unit"].lower().rstrip("s")])
    await reminding.snooze(person, ring.id, after)
    return Reply(text=f"Again in {minutes(int(after.total_seconds()) // 60)}: {ring.text}.")


async def _change(operator: Operator, person: Person, what: str, id: str) -> Reply:
    if what == "cancel":
        found = [one for one in await operator.reminding.of(person) if one.id == id]
        cancelled = await operator.reminding.cancel(person, id)
        return Reply(text=f"Cancelled: {found[0].text}." if found and cancelled else TOO_LATE)
    made = await operator.reminding.pause(person, id, on=what == "pause")
    if made.paused:
        return Reply(text=f"Paused: {made.text}.", buttons=(_resume(made),))
    return Reply(text=f"It rings again: {_line(made, person)}.", buttons=(_button("Cancel", made),))


async def _matching(operator: Operator, person: Person, which: str) -> list[Reminder]:
    found = await operator.reminding.of(person)
    return [one for one in found if _fits(which, one.text, one.at, person)]


async def _plans_matching(operator: Operator, person: Person, which: str) -> list[Planned]:
    found = await operator.plans(person)
    return [one for one in found if _fits(which, one.what, one.at, person)]


def _fits(which: str, what: str, at: datetime, person: Person) -> bool:
    """Whether some words are about something: each is in it, or in when it is."""
    there = f"{what} {moment(at, person)}".casefold()
    return all(word.rstrip("s") in there for word in which.casefold().split())


async def _all(operator: Operator, person: Person, which: str, title: str) -> Reply:
    for words in (which, ""):
        plans = await _plans_matching(operator, person, words)
        found: list[Planned | Reminder] = [*plans, *await _matching(operator, person, words)]
        if found:
            return _listing(found, person, title)
    return Reply(text=NONE)


def _listing(found: Sequence[Planned | Reminder], person: Person, title: str) -> Reply:
    shown = sorted(found, key=lambda one: (isinstance(one, Reminder) and one.paused, one.at))
    lines, buttons = [], []
    for n, one in enumerate(shown[:MAX_LISTED], 1):
        if isinstance(one, Planned):
            lines.append(f"  {n}. {moment(one.at, person)}: {one.what}")
            buttons.append(drop(f"Cancel {n}", one))
        else:
            lines.append(f"  {n}. {_line(one, person)}")
            buttons.append(_button(f"Cancel {n}", one))
    if len(found) > MAX_LISTED:
        lines.append(f"… and {len(found) - MAX_LISTED} more")
    return Reply(text="\n".join([title, *lines]), buttons=tuple(buttons))


def _line(one: Reminder, person: Person) -> str:
    how = "call" if one.by == "call" else "message"
    to = f" to {one.to}" if one.to else ""
    often = f", {every(one.rule)}" if one.rule else ""
    paused = " (paused)" if one.paused else ""
    return f"{moment(one.at, person)}{often}, by {how}{to}: {one.text}{paused}"


def _button(label: str, one: Reminder) -> Button:
    return Button(label=label, says=f"cancel reminder #{one.id}")


def _resume(one: Reminder) -> Button:
    return Button(label="Resume", says=f"resume reminder #{one.id}")


def _clock(hour: str, minute: str | None) -> str:
    """Raises `OperatorError` for what no clock shows."""
    if int(hour) > 24 or int(minute or 0) > 59:
        raise OperatorError("remind.clock", "say it like “quiet hours 22:00 to 7:00”")
    return f"{int(hour) % 24:02d}:{int(minute or 0):02d}"
