"""The course of a call that came in: the router says whom it is for, they say what becomes of it,
and this carries it out."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING

from pbx.calls.apps.answerphone import take_message
from pbx.calls.apps.ask import BLOCK, MAILBOX, ask_name, choose
from pbx.calls.apps.connect import connect
from pbx.calls.apps.excuse import excuse
from pbx.calls.apps.script import run_script
from pbx.calls.call import Call
from pbx.calls.cause import DECLINED, Ending
from pbx.calls.diversion import Ask, Course, Outside, Phones, Ring, TakeMessage, course_of
from pbx.calls.leg import Leg, Target
from pbx.calls.router import DialTrunk, Plan, Refuse, RingExtension, RunApp, RunScript
from pbx.calls.services import Visit
from pbx.events import CallerNamed
from pbx.media.tones import ringback
from pbx.nodes import LONGEST, NOT_THERE
from pbx.ports import CallRefused, Extension
from pbx.reach import Accept, Caller

if TYPE_CHECKING:
    from pbx.exchange import Exchange

GREETING = "{name} cannot take your call now. Please leave a message after the tone."

Greet = Callable[[Extension], Coroutine[object, object, bytes]]
"What callers hear before they may leave a message for somebody."


Introduce = Callable[[Call, Extension], Awaitable[str]]
"What to show as the name of who calls an extension; empty: what is known already."


async def _as_known(call: Call, extension: Extension) -> str:
    return ""


class Courses:
    """Carries out plans for an exchange. `on_block` is told by whose call an extension wants to be
    rung no more, `introduce` is asked before its phones ring."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.greet: Greet = self._greeting
        self.on_block: Callable[[str, Call], None] = lambda extension, call: None
        self.introduce: Introduce = _as_known

    async def serve(self, visit: Visit, plan: Plan | Ring) -> Ending:
        """Take a call to its end. Raises `CallRefused` when nobody takes it."""
        caller = Caller(number=visit.call.shown, name=visit.name)
        while (elsewhere := self._elsewhere(visit, plan)) is not None:
            try:
                return await self._dial(visit, elsewhere, LONGEST)
            except CallRefused as refused:
                moved = self._exchange.nodes.has_moved
                gone = refused.status in NOT_THERE
                if not gone or not await moved(elsewhere.peer, elsewhere.device):
                    raise
        if isinstance(plan, DialTrunk):
            return await self.outside(visit, plan)
        course = self.course_of(visit, plan) if isinstance(plan, RingExtension) else plan
        if isinstance(plan, RingExtension) and isinstance(course, Ring | Ask):
            name = await self.introduce(visit.call, plan.extension)
            if visit.leg.ending is not None:  # nobody waits any more
                return visit.leg.ending
            caller = replace(caller, name=name or caller.name)
        accept: Accept | None = None
        while True:
            match course:
                case Refuse(status=status, reason=reason):
                    raise CallRefused(status, reason)
                case RunApp(service=service, dialled=dialled, more=more):
                    return await service.app(replace(visit, dialled=dialled, more=more))
                case RunScript(extension=extension):
                    return await run_script(visit.call, visit.leg, visit.request, extension.script)
                case TakeMessage(extension=extension):
                    return await self._take_message(visit, extension)
                case Ask(extension=extension, course=further):
                    accept = await self._asked(visit, extension)
                    course = further
                case Ring():
                    following = await self._ring(visit, course, caller, accept)
                    if isinstance(following, Ending):
                        return following
                    course = following

    def course_of(self, visit: Visit, plan: RingExtension) -> Course:
        """What becomes of a call for an extension."""
        call, exchange = visit.call, self._exchange
        return course_of(
            plan,
            caller=call.shown if visit.leg.trunk else call.caller,
            hidden=call.hidden,
            directory=exchange.directory,
            now=exchange.now(),
            inside=not visit.leg.trunk,
            engaged=exchange.is_engaged(plan.extension.number),
        )

    async def outside(self, visit: Visit, plan: DialTrunk, shown: str = "") -> Ending:
        """Call a number behind a trunk for somebody, `shown` as another number of that trunk's."""
        call, reach = visit.call, self._exchange.reach
        with reach.permits() as permits:
            place = Outside(way=plan, user=call.user)
            target = reach.outside(
                place, permits, source=visit.source, hidden=call.hidden, shown=shown
            )
            reach.hold(call, permits)
            permits.clear()
        return await self._dial(visit, target, self._exchange.settings.ring_timeout)

    def _elsewhere(self, visit: Visit, plan: Plan | Ring) -> Target | None:
        """Where a call is to be passed on to, because who or what is called is at home there."""
        match plan:
            case RingExtension(extension=extension, dialled=dialled):
                number = extension.number
            case RunApp(service=service, dialled=dialled, more=more):
                number = more if service.at_home else service.number
            case _:
                return None
        asked = dialled if isinstance(plan, RunApp) else number
        nodes = self._exchange.nodes
        return nodes.target(number, visit.call, visit.name, asked=asked, dialled=dialled)

    async def _dial(self, visit: Visit, target: Target, ring_timeout: float) -> Ending:
        """Join a caller with the one place where the call goes."""
        call = visit.call
        return await connect(
            call,
            visit.leg,
            lambda on_early: call.dial(
                [target], ring_timeout=ring_timeout, like=visit.offered, on_early=on_early
            ),
            early=visit.offered is not None,
        )

    async def _ring(
        self, visit: Visit, ring: Ring, caller: Caller, accept: Accept | None
    ) -> Course | Ending:
        """Ring one step: how the call ended, or how it goes on."""
        call, leg, offered = visit.call, visit.leg, visit.offered

        async def dial(on_early: Callable[[Leg], None]) -> Leg:
            return await self._exchange.reach.ring(
                call, ring, caller, like=offered, on_early=on_early, accept=accept
            )

        # Where more may follow, what the first one plays is not the last word.
        # Nor may it be heard where whoever answers is asked something first.
        here = len(ring.places) == 1 and isinstance(ring.places[0], Phones)
        early = offered is not None and here and not ring.then and accept is None
        try:
            with leg.looping(ringback()) if leg.answered else contextlib.nullcontext():
                return await connect(call, leg, dial, early=early)
        except CallRefused as refused:
            if leg.ending is not None:
                raise
            if call.excuse:
                return await excuse(call, leg, await self._exchange.speaker.say(call.excuse))
            following = ring.after(refused.status)
            if call.diverted and self._exchange.has_answerphone(ring.extension.number):
                following = TakeMessage(extension=ring.extension)
            if following is None:
                raise
            traceback.clear_frames(refused.__traceback__)  # they hold the call in a circle
            return following

    async def _take_message(self, visit: Visit, extension: Extension) -> Ending:
        call, exchange = visit.call, self._exchange
        greeting = await self.greet(extension)
        return await take_message(
            call, visit.leg, greeting, extension=extension.number, at=exchange.now()
        )

    async def _greeting(self, extension: Extension) -> bytes:
        return await self._exchange.speaker.say(GREETING.format(name=extension.name or "We"))

    async def _asked(self, visit: Visit, extension: Extension) -> Accept:
        """Hear who calls; what whoever answers must go through then."""
        call, exchange = visit.call, self._exchange
        name = await ask_name(call, visit.leg, exchange.speaker)
        call.emit(
            CallerNamed(call_id=call.id, at=exchange.now(), extension=extension.number, sound=name)
        )

        async def accept(leg: Leg) -> None:
            key = await choose(leg, name, exchange.speaker)
            if key == MAILBOX:
                asyncio.get_running_loop().call_soon(call.divert)
                raise CallRefused(480, "sent to the answerphone")
            if key == BLOCK:
                self.on_block(extension.number, call)
                raise CallRefused(603, DECLINED)

        return accept
