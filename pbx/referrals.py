"""Transfers that a phone asks for (RFC 5589): to somebody, or of two calls of its own to each
other. The host it names counts for nothing; whom it names is called as if it dialled."""

from __future__ import annotations

import asyncio
import logging

from pbx.calls.call import Call
from pbx.calls.leg import Leg
from pbx.calls.parking import ANYWHERE, PLACES
from pbx.calls.router import DialTrunk, Refuse, RingExtension, route_from_extension
from pbx.exchange import Exchange
from pbx.orders import Orders
from pbx.ports import CallRefused
from pbx.sip.message import ParseError
from pbx.sip.refer import Refer, Replaces, fragment, read_refer
from pbx.sip.session import Session
from pbx.sip.transaction import ServerTransaction
from pbx.sip.uri import dialled_user
from pbx.text import printable

log = logging.getLogger(__name__)

GOODBYE = 5.0
"Seconds a phone has to hang up by itself once it knows that its transfer came about."


class Referrals:
    """The transfers of an exchange."""

    def __init__(self, exchange: Exchange, orders: Orders) -> None:
        self._exchange = exchange
        self._orders = orders
        self._running: set[asyncio.Task[None]] = set()
        exchange.on_refer = self.take

    def take(self, call: Call, leg: Leg, transaction: ServerTransaction) -> None:
        """A REFER of a phone in a call."""
        if leg.trunk or leg.inner:  # a carrier has nobody to transfer at our expense
            transaction.reply(603)
            return
        try:
            refer = read_refer(transaction.request)
        except ParseError as error:
            transaction.reply(400, f"Bad Request - {error}")
            return
        transaction.reply(202)
        task = asyncio.ensure_future(self._transfer(call, leg, refer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _transfer(self, call: Call, leg: Leg, refer: Refer) -> None:
        await _tell(leg, refer, fragment(100), over=False)
        try:
            if refer.replaces is not None:
                self._join(call, leg, refer.replaces)
                await call.wake()
            else:
                await self._blind(call, leg, refer)
        except CallRefused as refused:
            await _tell(leg, refer, fragment(refused.status, printable(refused.reason, 120)))
            return
        except Exception:
            log.exception("a transfer failed")
            await _tell(leg, refer, fragment(500))
            return
        await _tell(leg, refer, fragment(200))
        await asyncio.wait((leg.over,), timeout=GOODBYE)
        leg.hang_up("transferred")

    async def _blind(self, call: Call, leg: Leg, refer: Refer) -> None:
        """Call somebody in the phone's place."""
        exchange = self._exchange
        called = printable(dialled_user(refer.target), 80)
        if called == ANYWHERE or called in PLACES:
            place = self._orders.park(call, leg, called)
            call.notice(f"Parked: dial {place} to take it.")
            return
        plan = route_from_extension(called, exchange.directory, exchange.settings.region)
        match plan:
            case RingExtension(extension=extension):
                number = extension.number
            case DialTrunk(number=number):
                pass
            case Refuse(status=status, reason=reason):
                raise CallRefused(status, reason)
            case _:
                raise CallRefused(403, f"a call cannot be transferred to {called}")
        await self._orders.transfer(
            call, leg, number, user=leg.peer, source=leg.host, hang_up=False
        )

    def _join(self, call: Call, leg: Leg, replaces: Replaces) -> None:
        """Join the other sides of two calls that one phone has."""
        session = self._exchange.stack.dialog(replaces.call_id, replaces.to_tag)
        session = session or self._exchange.stack.dialog(replaces.call_id, replaces.from_tag)
        second = session.user if isinstance(session, Session) else None
        if not isinstance(second, Leg) or second.peer != leg.peer or second is leg:
            raise CallRefused(481, "there is no such call of yours")
        other = second.listener
        if not isinstance(other, Call) or other is call:
            raise CallRefused(481, "there is no such call of yours")
        partner = other.release(second, to=call)
        call.give_over(leg, partner, hang_up=False)
        second.hang_up("transferred")


async def _tell(leg: Leg, refer: Refer, what: bytes, *, over: bool = True) -> None:
    """Tell the phone how far its transfer is, if it is there and wants to know."""
    session = leg.session
    if session is not None and not refer.silent and leg.ending is None:
        await session.notify(what, over=over)
