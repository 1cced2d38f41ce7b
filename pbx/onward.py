"""Where a caller who was answered already is led: to an extension, out to a phone number, to an
answerphone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pbx.calls.apps.answerphone import take_message
from pbx.calls.apps.connect import connect
from pbx.calls.cause import Ending
from pbx.calls.diversion import Outside
from pbx.calls.leg import Leg
from pbx.calls.menus import Goal, Kind
from pbx.calls.router import Refuse, RingExtension, RunScript, dial_out
from pbx.calls.services import Visit
from pbx.exchange import Exchange
from pbx.media.tones import ringback
from pbx.ports import CallRefused, Extension


class Onward:
    """Leads callers on through an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def lead(self, visit: Visit, goal: Goal) -> Ending:
        """Do what a choice says. Raises `CallRefused` when nobody is there."""
        if goal.kind is Kind.NUMBER:
            return await self._number(visit, goal)
        extension = self._exchange.directory.extension(goal.to)
        if extension is None:
            raise CallRefused(404, f"there is no extension {goal.to}")
        if goal.kind is Kind.ANSWERPHONE:
            return await self._answerphone(visit, extension)
        return await self._extension(visit, extension)

    async def _extension(self, visit: Visit, extension: Extension) -> Ending:
        """As if it had been called: what the called want done with their calls is done."""
        call = visit.call
        plan: RingExtension | RunScript = RingExtension(extension=extension, dialled=visit.dialled)
        if extension.script:
            plan = RunScript(extension=extension, dialled=visit.dialled)
        call.user = call.user or extension.number
        call.meant(extension.number, self._exchange.mask(extension.number, call.caller))
        return await self._exchange.courses.serve(
            replace(visit, offered=visit.leg.media.remote), plan
        )

    async def _answerphone(self, visit: Visit, extension: Extension) -> Ending:
        exchange = self._exchange
        return await take_message(
            visit.call,
            visit.leg,
            await exchange.courses.greet(extension),
            extension=extension.number,
            at=exchange.now(),
        )

    async def _number(self, visit: Visit, goal: Goal) -> Ending:
        """Out, at the expense of whom the menu names. The owner wrote that, so it is not held as
        a call from an unusual place would be; every limit of the payer counts."""
        exchange, call, leg = self._exchange, visit.call, visit.leg
        call.user = call.user or goal.payer
        way = dial_out(goal.to, exchange.directory.trunks(), line=None)
        if isinstance(way, Refuse):
            raise CallRefused(way.status, way.reason)

        async def dial(on_early: Callable[[Leg], None]) -> Leg:
            with exchange.reach.permits() as permits:
                place = Outside(way=way, user=goal.payer)
                target = exchange.reach.outside(place, permits, hidden=call.hidden)
                other = await call.dial(
                    [target],
                    ring_timeout=exchange.settings.ring_timeout,
                    like=leg.media.remote,
                    on_early=on_early,
                )
                exchange.reach.hold(call, permits)
            return other

        with leg.looping(ringback()):
            return await connect(call, leg, dial, early=False)
