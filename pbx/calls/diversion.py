"""What becomes of a call for somebody: a pure function of who calls, when, and what the called
and those behind them want. The result is a tree that can be printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pbx.calls.numbers import spoken
from pbx.calls.router import DialTrunk, Refuse, RingExtension, RunApp, RunScript, dial_out
from pbx.calls.wishes import ANONYMOUS, ANSWERPHONE, Condition, Rule, Treatment
from pbx.ports import Directory, Extension

MAX_PLACES = 20
"Rung at once; more are left out."
TURN = 20.0
"Seconds each one is rung of those that are rung in turn."
QUIET = "does not want to be disturbed now"


@dataclass(frozen=True, kw_only=True)
class Phones:
    """All phones of an extension."""

    extension: Extension


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A number behind a trunk, at the expense of an extension. Whoever answers there takes the
    call with a key, so that no mailbox swallows it."""

    way: DialTrunk
    user: str


Place = Phones | Outside


@dataclass(frozen=True, kw_only=True)
class TakeMessage:
    """The answerphone of an extension."""

    extension: Extension


@dataclass(frozen=True, kw_only=True)
class Ring:
    """Ring places at once, for so many `seconds` (None: as long as ever); `then` says how it goes
    on when they are busy, do not answer or cannot be reached. `why` is for people. `looping` are
    the extensions that were left out because they lead back."""

    extension: Extension
    places: tuple[Place, ...]
    why: str = ""
    seconds: float | None = None
    then: Mapping[Condition, Course] = field(default_factory=dict)
    looping: tuple[str, ...] = ()

    def after(self, status: int) -> Course | None:
        """How it goes on after a failure; None where that ends the call."""
        if status in (487, 603):
            return None
        if status in (486, 600):
            return self.then.get(Condition.BUSY)
        return self.then.get(Condition.NO_ANSWER if status == 408 else Condition.OFFLINE)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """The caller says their name first, and whoever answers chooses."""

    extension: Extension
    course: Course


Course = Ring | Ask | TakeMessage | RunApp | RunScript | Refuse


def course_of(
    plan: RingExtension,
    *,
    caller: str,
    directory: Directory,
    now: datetime,
    inside: bool,
    hidden: bool = False,
    engaged: bool = False,
) -> Course:
    """What becomes of a call for an extension. `caller` is how they are known here, even if it is
    `hidden` from the called; `inside` says that they are one of us, `engaged` that the extension
    is talking already."""
    return _Called(caller, directory, now, inside=inside, hidden=hidden).course(plan, engaged)


class _Called:
    """One call. `_chain` holds whose wishes led here, so that none is asked twice."""

    def __init__(
        self,
        caller: str,
        directory: Directory,
        now: datetime,
        *,
        inside: bool,
        hidden: bool = False,
    ) -> None:
        self._caller = caller
        self._directory = directory
        self._now = now
        self._inside = inside
        self._hidden = hidden
        self._looping: list[str] = []
        self._asked: set[str] = set()
        "Whose wishes were read already."

    def course(self, plan: RingExtension, engaged: bool) -> Course:
        extension = plan.extension
        wishes = self._directory.wishes(extension.number)
        if self._caller in wishes.blocked:
            return Refuse(status=603, reason="blocked")
        shown = ANONYMOUS if self._hidden else self._caller
        treatment = wishes.treatment(shown, inside=self._inside)
        if treatment is Treatment.REFUSE:
            return Refuse(status=603, reason=f"{_who(extension)} takes no calls without a number")
        last = TakeMessage(extension=extension) if wishes.answerphone else None
        if treatment is Treatment.ANSWERPHONE:
            return last or Refuse(status=480, reason="not available")
        course = self._wanted(plan, last, engaged)
        if treatment is Treatment.ASK and isinstance(course, Ring):
            return Ask(extension=extension, course=course)
        return course

    def _wanted(self, plan: RingExtension, last: TakeMessage | None, engaged: bool) -> Course:
        extension = plan.extension
        wishes = self._directory.wishes(extension.number)
        refused = Refuse(status=480, reason=f"{_who(extension)} {QUIET}")
        if wishes.is_quiet(self._now) and self._caller not in wishes.allowed:
            return self._by_rule(plan, Condition.QUIET, last) or last or refused
        if always := self._by_rule(plan, Condition.ALWAYS, last):
            return always
        then: dict[Condition, Course] = {}
        for condition in (Condition.BUSY, Condition.NO_ANSWER, Condition.OFFLINE):
            course = self._by_rule(plan, condition, last) or last
            if course is not None:
                then[condition] = course
        if engaged and not wishes.waiting:
            return then.get(Condition.BUSY, Refuse(status=486, reason="busy"))
        patience = wishes.rule(Condition.NO_ANSWER, self._caller, plan.dialled, self._now)
        if extension.members:
            return self._group(extension, then)
        return Ring(
            extension=extension,
            places=(Phones(extension=extension),),
            seconds=patience.after or None if patience else None,
            then=then,
            looping=tuple(self._looping),
        )

    def _group(self, group: Extension, then: Mapping[Condition, Course]) -> Course:
        """Ring the members of a group, as each of them wants it."""
        self._asked.clear()
        where = [self._places(member, group, (group.number,)) for member in group.members]
        why = f"{_who(group)} is a group"
        found = self._ringing(group, where, in_turn=group.in_turn, why=why, then=then)
        return found or Refuse(status=480, reason="nobody of the group can be reached")

    def _by_rule(
        self, plan: RingExtension, condition: Condition, last: TakeMessage | None
    ) -> Course | None:
        """Where a rule sends the call; None where none does, or it leads back."""
        extension = plan.extension
        wishes = self._directory.wishes(extension.number)
        rule = wishes.rule(condition, self._caller, plan.dialled, self._now)
        if rule is None:
            return None
        if rule.to == (ANSWERPHONE,):
            return last
        service = self._directory.service(rule.to[0]) if len(rule.to) == 1 else None
        if service is not None:
            return RunApp(service=service[0], dialled=rule.to[0], more=service[1])
        self._asked.clear()
        where = [self._places(to, extension, (extension.number,)) for to in rule.to]
        then = dict.fromkeys((Condition.BUSY, Condition.NO_ANSWER, Condition.OFFLINE), last)
        return self._ringing(
            extension,
            where,
            in_turn=rule.in_turn,
            why=said(rule),
            then={condition: course for condition, course in then.items() if course},
        )

    def _ringing(
        self,
        extension: Extension,
        where: Sequence[tuple[Place, ...]],
        *,
        in_turn: bool,
        why: str,
        then: Mapping[Condition, Course],
    ) -> Course | None:
        """Ring everybody at once, or one after the other."""
        turns = [places for places in where if places]
        if not in_turn:
            together = {number_at(place): place for places in turns for place in places}
            turns = [tuple(together.values())[:MAX_PLACES]] if together else []
        course: Ring | None = None
        for places in reversed(turns[:MAX_PLACES]):
            following = dict.fromkeys(Condition, course) if course else then
            course = Ring(
                extension=extension,
                places=places,
                why=why,
                seconds=TURN if in_turn else None,
                then=following,
                looping=tuple(self._looping),
            )
        return course

    def _places(self, to: str, user: Extension, chain: tuple[str, ...]) -> tuple[Place, ...]:
        """Where calls for somebody ring who is not the one called: with them, or where they in
        turn send all their calls."""
        ours = any(to in trunk.numbers for trunk in self._directory.trunks())
        extension = self._directory.extension(self._directory.route(to) or "" if ours else to)
        if extension is None:
            if not to.startswith("+"):
                return ()
            way = dial_out(to, self._directory.trunks(), line=None)
            if isinstance(way, Refuse):
                return ()
            return (Outside(way=way, user=user.number),)
        if extension.number in chain:
            self._looping.append(extension.number)
            return ()
        if extension.number in self._asked:
            return ()
        self._asked.add(extension.number)
        wishes = self._directory.wishes(extension.number)
        if self._caller in wishes.blocked or extension.script:
            return ()
        if wishes.is_quiet(self._now) and self._caller not in wishes.allowed:
            return ()
        chain = (*chain, extension.number)
        rule = wishes.rule(Condition.ALWAYS, self._caller, extension.number, self._now)
        further = rule.to if rule else extension.members
        if not further:
            return (Phones(extension=extension),)
        found: list[Place] = []
        for one in further[:MAX_PLACES]:
            found += self._places(one, extension, chain)
        return tuple(found)


def loops_back(
    extension: Extension, to: Sequence[str], directory: Directory, now: datetime
) -> bool:
    """Whether calls that an extension sends on would come back to it."""
    called = _Called("", directory, now, inside=True)
    for one in to:
        called._places(one, extension, (extension.number,))
    return bool(called._looping)


def said(rule: Rule) -> str:
    """Why a call goes where it goes, for people."""
    when = {
        Condition.ALWAYS: "a rule",
        Condition.BUSY: "a rule for when they are busy",
        Condition.NO_ANSWER: "a rule for when they do not answer",
        Condition.OFFLINE: "a rule for when no phone of theirs is there",
        Condition.QUIET: "a rule for do-not-disturb",
    }[rule.condition]
    whose = f" for calls from {spoken(rule.caller)}" if rule.caller else ""
    return f"{when}{whose}"


def number_at(place: Place) -> str:
    """The extension or +E.164 that is rung at a place."""
    return place.extension.number if isinstance(place, Phones) else place.way.number


def _who(extension: Extension) -> str:
    return extension.name or extension.number
