"""Reaching people: what a course says is rung, at whose expense, and as whom the caller shows."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pbx.calls.apps.accept import accepted
from pbx.calls.call import Call
from pbx.calls.diversion import Course, Outside, Phones, Place, Ring, number_at
from pbx.calls.leg import Leg, Target
from pbx.calls.router import Refuse
from pbx.calls.wishes import ANONYMOUS
from pbx.events import CallDiverted
from pbx.media.sdp import SessionDescription
from pbx.ports import CallRefused, Permit

if TYPE_CHECKING:
    from pbx.exchange import Exchange

log = logging.getLogger(__name__)

Accept = Callable[[Leg], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who is calling, as those who are called see them."""

    number: str
    name: str = ""


class Reach:
    """Rings for an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    # ── one step of a course ────────────────────────────────────────────────────────────
    async def ring(
        self,
        call: Call,
        ring: Ring,
        caller: Caller,
        *,
        like: SessionDescription | None = None,
        on_early: Callable[[Leg], None] = lambda _: None,
        accept: Accept | None = None,
    ) -> Leg:
        """Ring the places of one step until somebody answers. `accept` is what whoever answers must
        go through. Raises `CallRefused`."""
        if ring.why:
            to = tuple(number_at(place) for place in ring.places)
            now = self._exchange.now()
            number = ring.extension.number
            call.emit(CallDiverted(call_id=call.id, at=now, extension=number, to=to, why=ring.why))
        with self.permits() as permits:
            targets, refused = self._targets(call, ring, caller, permits, accept)
            if not targets and refused is not None:
                raise refused
            leg = await call.dial(
                targets,
                ring_timeout=ring.seconds or self._exchange.settings.ring_timeout,
                like=like,
                on_early=on_early,
            )
            # Those who were rung in vain cost nothing.
            used = [permit for permit in permits if permit.number == leg.peer and leg.trunk]
            self.release([permit for permit in permits if permit not in used])
            self.hold(call, used)
        return leg

    async def anybody(
        self,
        call: Call,
        course: Course,
        caller: Caller,
        *,
        like: SessionDescription | None = None,
        on_early: Callable[[Leg], None] = lambda _: None,
    ) -> Leg:
        """Follow a course until somebody answers, for a call that no app of ours can take. Raises
        `CallRefused`."""
        while True:
            if not isinstance(course, Ring):
                raise _refusal(course)
            try:
                return await self.ring(call, course, caller, like=like, on_early=on_early)
            except CallRefused as refused:
                following = course.after(refused.status)
                if not isinstance(following, Ring):
                    raise
                course = following

    def check(self, course: Course) -> None:
        """Raises `CallRefused` for a course that reaches nobody, as far as that can be told."""
        if not isinstance(course, Ring):
            raise _refusal(course)
        step: Course | None = course
        while isinstance(step, Ring):
            if any(self._is_there(place) for place in step.places):
                return
            step = step.after(480)
        raise CallRefused(480, f"no phone is registered for {course.extension.number}")

    def _is_there(self, place: Place) -> bool:
        return isinstance(place, Outside) or bool(
            self._exchange.registrar.bindings(place.extension.number)
        )

    def _targets(
        self,
        call: Call,
        ring: Ring,
        caller: Caller,
        permits: list[Permit],
        accept: Accept | None,
    ) -> tuple[list[Target], CallRefused | None]:
        """What to dial, and why something may not be."""
        targets: list[Target] = []
        refused: CallRefused | None = None
        for place in ring.places:
            if isinstance(place, Phones):
                number = place.extension.number
                passed_on = self._exchange.nodes.target(number, call, caller.name, only_phones=True)
                if passed_on is not None:
                    targets.append(replace(passed_on, accept=accept))
                    continue
                seen = self._exchange.mask(place.extension.number, call.caller)
                name = "" if seen else caller.name
                found = self._exchange.device_targets(place.extension, seen or caller.number, name)
                targets += [replace(target, accept=accept) for target in found]
                continue
            try:
                target = self.outside(place, permits, hidden=call.hidden, diverted=True)
            except CallRefused as error:
                refused = error
                log.info("no way to %s: %s", place.way.number, error.reason)
            else:
                offer = accept or self._offer(call, ring)
                targets.append(replace(target, accept=offer))
        return targets, refused

    def outside(
        self,
        place: Outside,
        permits: list[Permit],
        *,
        source: str = "",
        hidden: bool = False,
        diverted: bool = False,
        shown: str = "",
    ) -> Target:
        """A number behind a trunk, admitted. `source` is the address of the phone that wants it,
        empty for a command; with `hidden` the number called does not see who calls, with `shown`
        it sees that number if it is the trunk's. Raises `CallRefused`."""
        trunk, number = place.way.trunk, place.way.number
        permit = self._exchange.gatekeeper.admit(place.user, trunk, number, source)
        permits.append(permit)
        caller = shown if shown in trunk.numbers else permit.caller
        target = self._exchange.link(trunk).target(number, caller, hidden=hidden)
        target = replace(target, permit=permit.id)
        if diverted and permit.caller:  # so that a loop beyond us can be seen there (RFC 5806 §3)
            header = {"diversion": f"<sip:{permit.caller}@{self._exchange.settings.domain}>"}
            target = replace(target, headers={**target.headers, **header})
        return target

    def _offer(self, call: Call, ring: Ring) -> Accept:
        """Whoever answers a telephone elsewhere says that it is them, and not a mailbox."""
        name = ring.extension.name or ring.extension.number
        words = f"A call for {name}, from {aloud(call.shown)}. To take it, press 1."

        async def accept(leg: Leg) -> None:
            await accepted(leg, await self._exchange.speaker.say(words), "1")

        return accept

    # ── what it costs ───────────────────────────────────────────────────────────────────
    @contextlib.contextmanager
    def permits(self) -> Iterator[list[Permit]]:
        """What is admitted in the block is released at once when it fails."""
        permits: list[Permit] = []
        try:
            yield permits
        except BaseException:
            self.release(permits)
            raise

    def hold(self, call: Call, permits: Sequence[Permit]) -> None:
        """A call uses permits until it ends."""
        for permit in permits:
            self._exchange.hold(call, permit)

    def release(self, permits: Sequence[Permit]) -> None:
        """Nothing came of them."""
        for permit in permits:
            self._exchange.gatekeeper.release(permit)


def aloud(number: str) -> str:
    """A number as it is said: digit by digit."""
    if number == ANONYMOUS:
        return "somebody who hides their number"
    digits = number.partition("@")[0]
    return " ".join("plus" if key == "+" else key for key in digits)


def _refusal(course: Course) -> CallRefused:
    """Why a course rings nobody."""
    if isinstance(course, Refuse):
        return CallRefused(course.status, course.reason)
    return CallRefused(480, "they take no calls just now")
