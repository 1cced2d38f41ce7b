"""What people have the exchange do: calls placed for them, and changes of calls going on."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence

from pbx.about import about
from pbx.calls.apps.callback import Party, callback
from pbx.calls.apps.confer import bring, confer
from pbx.calls.apps.consult import Reach, consult
from pbx.calls.apps.dial_in import dial_in
from pbx.calls.apps.echo import mirror
from pbx.calls.apps.park import park
from pbx.calls.apps.room import Room
from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.diversion import Ask, Course, Outside, Phones, Ring, course_of
from pbx.calls.leg import Leg, LegOver
from pbx.calls.numbers import spoken
from pbx.calls.parking import ANYWHERE
from pbx.calls.router import (
    ECHO,
    DialTrunk,
    Refuse,
    RingExtension,
    RunApp,
    RunScript,
    dial_out,
    route_from_extension,
)
from pbx.calls.wishes import ANONYMOUS
from pbx.exchange import Exchange
from pbx.media.sdp import SessionDescription
from pbx.ports import CallRefused, Permit
from pbx.reach import Caller

log = logging.getLogger(__name__)

OnEarly = Callable[[Leg], None]


class Orders:
    """Orders to an exchange. A number is an extension or +E.164; a line the zone of a trunk."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._consulting: dict[Leg, asyncio.Task[None]] = {}
        exchange.on_stars = self._consult

    def call_back(
        self, *, number: str, back: str, line: str | None, user: str, hidden: bool = False
    ) -> Call:
        """Call `number` and ring `back`, each an extension or +E.164, and join them.

        `line` is the zone of the trunk to use for the first; the second takes the trunk of its
        own country. With `hidden` the first does not see who calls. Raises `CallRefused` if either
        may not be called.
        """
        self._check_room()
        with self._exchange.reach.permits() as permits:
            first = None
            if number != ECHO:
                first = self._party(number, line, user, shown=back, permits=permits, hidden=hidden)
            second = self._party(back, None, user, shown=number, permits=permits)
        call = self._exchange.new_call(
            caller=back,
            callee=number,
            user=user,
            kind="callback",
            shown=ANONYMOUS if hidden else "",
        )
        self._exchange.reach.hold(call, permits)

        async def course() -> Ending:
            if first is None:
                return await mirror(call, await second.ring(call))
            return await callback(call, first, second, speaker=self._exchange.speaker)

        self._exchange.run(call, course())
        return call

    async def transfer(
        self,
        call: Call,
        leg: Leg,
        number: str,
        *,
        user: str,
        source: str = "",
        hang_up: bool = True,
    ) -> None:
        """Let an extension or +E.164 talk in the place of `leg`, at the expense of `user`.
        `source` is the address of the phone that wants it, empty for a command. Raises
        `CallRefused` when that does not come about."""
        others = (one for one in call.legs if one is not leg and one.answered)
        shown = next((call.seen(one) for one in others), call.seen(leg))
        with self._exchange.reach.permits() as permits:
            party = self._party(number, None, user, shown=shown, permits=permits, source=source)
            await call.transfer(leg, party.ring, hang_up=hang_up)
        self._exchange.reach.hold(call, permits)

    def _consult(self, call: Call, leg: Leg) -> None:
        """Somebody keyed two stars in a call; once more is for what that began."""
        if leg in self._consulting:
            return
        try:
            shown = call.seen(call.other_side(leg))
        except CallRefused:
            return

        def reach(number: str) -> Callable[..., Awaitable[Leg]]:
            plan = route_from_extension(
                number, self._exchange.directory, self._exchange.settings.region
            )
            if isinstance(plan, Refuse):
                raise CallRefused(plan.status, plan.reason)
            if isinstance(plan, RunApp | RunScript):
                raise CallRefused(403, f"a call cannot be transferred to {number}")
            if isinstance(plan, DialTrunk):
                number = plan.number

            async def ring(call: Call, like: SessionDescription | None = None) -> Leg:
                with self._exchange.reach.permits() as permits:
                    party = self._party(
                        number, None, leg.peer, shown=shown, permits=permits, source=leg.host
                    )
                    new = await party.ring(call, like=like)
                self._exchange.reach.hold(call, permits)
                return new

            return ring

        with about(call.id):
            task = asyncio.ensure_future(self._consult_now(call, leg, reach))
        self._consulting[leg] = task
        task.add_done_callback(lambda _: self._consulting.pop(leg, None))

    async def _consult_now(self, call: Call, leg: Leg, reach: Reach) -> None:
        try:
            await consult(call, leg, reach, self._exchange.speaker)
        except (CallRefused, LegOver) as error:
            log.info("no transfer by keypad: %s", error)
            traceback.clear_frames(error.__traceback__)  # they hold the call in a circle
        except Exception:
            log.exception("a transfer by keypad failed")

    def park(self, call: Call, leg: Leg, place: str = ANYWHERE) -> str:
        """Let the other side of `leg` wait in a place, and give its number. Whoever parked it is
        rung when nobody takes it. Raises `CallRefused`."""

        async def ring_back(call: Call, number: str) -> Leg:
            with self._exchange.reach.permits() as permits:
                party = self._party(number, None, call.user, shown=place, permits=permits)
                leg = await party.ring(call)
            self._exchange.reach.hold(call, permits)
            return leg

        return park(call, leg, self._exchange.parking, place, ring_back).place

    async def add_party(self, call: Call, number: str, *, line: str | None, user: str) -> None:
        """Bring an extension or +E.164 into a call, which becomes a conference. Raises
        `CallRefused` when they cannot be called; that they do not come is told as a notice."""
        with self._exchange.reach.permits() as permits:
            hidden = self._exchange.hides(user)
            party = self._party(number, line, user, shown=user, permits=permits, hidden=hidden)
            came = await bring(call, party)
        if came:
            self._exchange.reach.hold(call, permits)
        else:
            self._exchange.reach.release(permits)

    def call_into(
        self, room: Room, number: str, *, line: str | None, user: str, asker: Call | None = None
    ) -> Call:
        """Ring an extension or +E.164 and let them into a room; `asker` is the call of whoever
        wants that from inside it. Raises `CallRefused` when they cannot be called."""
        self._check_room()
        with self._exchange.reach.permits() as permits:
            party = self._party(number, line, user, shown=user, permits=permits)
        call = self._exchange.new_call(caller=user, callee=number, user=user, kind="room")
        self._exchange.reach.hold(call, permits)
        inside = room.conference
        invited = inside is not None and user in inside.moderators
        self._exchange.run(call, room.fetch(call, party, asker=asker, invited=invited))
        return call

    async def announce(
        self, number: str, *, user: str, shown: str, talk: Callable[[Leg], Awaitable[str]]
    ) -> None:
        """Ring an extension or +E.164 at the expense of `user`, `shown` as who calls, and let
        `talk` speak with whoever answers, until it is done; then join them with the conference
        that it names, if any, as +E.164 with the keys to press after a comma. Raises `CallRefused`
        when nobody answers."""
        self._check_room()
        with self._exchange.reach.permits() as permits:
            party = self._party(number, None, user, shown=shown, permits=permits)
        call = self._exchange.new_call(caller=shown, callee=number, user=user, kind="reminder")
        self._exchange.reach.hold(call, permits)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def course() -> Ending:
            try:
                leg = await party.ring(call)
                call.answered()
                conference = await talk(leg)
            except CallRefused as refused:
                over.set_exception(refused)
                raise
            finally:
                if not over.done():
                    over.set_result(None)
            if conference and leg.ending is None:
                number, _, keys = conference.partition(",")
                return await dial_in(call, leg, self._conference_at(call, number, user), keys)
            return Ending(status=200, reason="")

        self._exchange.run(call, course())
        await asyncio.shield(over)

    async def _conference_at(self, call: Call, number: str, user: str) -> Leg:
        """Ring a conference outside for somebody who is in a call."""
        with self._exchange.reach.permits() as permits:
            party = self._party(number, None, user, shown=user, permits=permits)
            leg = await party.ring(call)
        self._exchange.reach.hold(call, permits)
        return leg

    def conference(self, numbers: Sequence[str], *, line: str | None, user: str) -> Call:
        """Call several together, each an extension or +E.164. Raises `CallRefused` if one of
        them may not be called."""
        self._check_room()
        hidden = self._exchange.hides(user)
        with self._exchange.reach.permits() as permits:
            parties = [
                self._party(number, line, user, shown=user, permits=permits, hidden=hidden)
                for number in numbers
            ]
        callee = ", ".join(number for number in numbers if number != user)[:80]
        call = self._exchange.new_call(caller=user, callee=callee, user=user, kind="conference")
        self._exchange.reach.hold(call, permits)
        self._exchange.run(call, confer(call, parties))
        return call

    def _check_room(self) -> None:
        if self._exchange.draining:
            raise CallRefused(503, "the exchange is stopping")
        if len(self._exchange.calls) >= self._exchange.settings.max_calls:
            raise CallRefused(503, "there are too many calls just now")

    def _party(
        self,
        number: str,
        line: str | None,
        user: str,
        shown: str,
        permits: list[Permit],
        source: str = "",
        *,
        hidden: bool = False,
    ) -> Party:
        """Somebody to be called: as they wish, but the person who gave the order at their own
        phones. Raises `CallRefused`."""
        exchange, reach = self._exchange, self._exchange.reach
        label = number
        stands_for = exchange.stands_for(user, number)
        if stands_for:  # neither sees the other's number
            number, shown = stands_for, number
        caller = Caller(number=ANONYMOUS if hidden else shown)
        extension = exchange.directory.extension(number)
        if extension is not None:
            course: Course = Ring(extension=extension, places=(Phones(extension=extension),))
            if number != user:
                plan = RingExtension(extension=extension, dialled=number)
                course = course_of(
                    plan,
                    caller=user,
                    hidden=hidden,
                    directory=exchange.directory,
                    now=exchange.now(),
                    inside=True,
                    engaged=exchange.is_engaged(number),
                )
                course = course.course if isinstance(course, Ask) else course
            reach.check(course)

            async def ring(
                call: Call, on_early: OnEarly = _unseen, like: SessionDescription | None = None
            ) -> Leg:
                return await reach.anybody(call, course, caller, on_early=on_early, like=like)

            return Party(label=label, ring=ring)
        plan_out = dial_out(number, exchange.directory.trunks(), line)
        if isinstance(plan_out, Refuse):
            raise CallRefused(plan_out.status, plan_out.reason)
        place = Outside(way=plan_out, user=user)
        target = reach.outside(place, permits, source=source, hidden=hidden)

        async def dial(
            call: Call, on_early: OnEarly = _unseen, like: SessionDescription | None = None
        ) -> Leg:
            timeout = exchange.settings.ring_timeout
            return await call.dial([target], ring_timeout=timeout, on_early=on_early, like=like)

        return Party(label=spoken(label), ring=dial)


def _unseen(_: Leg) -> None:
    """Nobody waits for it to ring."""
