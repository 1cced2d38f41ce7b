"""The post office: text messages from phones and trunks, and to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from pbx.calls.router import (
    DialTrunk,
    Refuse,
    RingExtension,
    route_from_extension,
    route_from_trunk,
)
from pbx.exchange import Exchange
from pbx.ports import CallRefused, Trunk
from pbx.sip.message import ParseError
from pbx.sip.stack import Incoming
from pbx.sip.transaction import ServerTransaction
from pbx.sip.uri import dialled_user
from pbx.text import printable
from pbx.texts import PLAIN, Delivery, TakeText, Text, id_of, send, words_of

log = logging.getLogger(__name__)


class Post:
    """Carries the messages of an exchange; `take` is given what was written."""

    def __init__(self, exchange: Exchange) -> None:
        self.take: TakeText = _nobody
        self._exchange = exchange
        self._taking: set[asyncio.Task[None]] = set()
        exchange.on_text = self.receive

    def receive(self, incoming: Incoming) -> None:
        """A MESSAGE: answered once somebody has taken its words."""
        request = incoming.request
        link = self._exchange.link_of(incoming)
        caller = None if link else self._exchange.authenticate(incoming)
        if link is None and caller is None:
            return
        try:
            words = words_of(request)
        except ParseError as error:
            incoming.refuse_with(error.status, accept=PLAIN)
            return
        if link is not None:
            plan = route_from_trunk(
                link.called_numbers(request), link.trunk, self._exchange.directory
            )
            sender, name, source = link.sender(request), request.from_.name, ""
        else:
            assert caller is not None
            called = printable(dialled_user(request.target), 80)
            plan = route_from_extension(
                called, self._exchange.directory, self._exchange.settings.region
            )
            sender, name, source = caller.number, caller.name, incoming.flow.remote[0]
        match plan:
            case RingExtension(extension=extension):
                recipient = extension.number
            case DialTrunk(number=number):
                recipient = number
            case _:
                incoming.refuse_with(plan.status if isinstance(plan, Refuse) else 405)
                return
        transaction = incoming.accept()
        if transaction is None:
            return
        text = Text(
            id=id_of(request),
            sender=sender,
            recipient=recipient,
            words=words,
            sender_name=printable(name, 80),
            source=source,
        )
        taking = asyncio.ensure_future(self._take_text(transaction, text))
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)

    async def _take_text(self, transaction: ServerTransaction, text: Text) -> None:
        try:
            await self.take(text)
        except CallRefused as refused:
            transaction.reply(refused.status, printable(refused.reason, 120))
        except Exception:
            log.exception("a text message could not be taken")
            transaction.reply(500)
        else:
            transaction.reply(202)

    async def to_phones(self, text: Text) -> Sequence[Delivery]:
        """Send words to all phones of an extension, at once; empty if it has none."""
        extension = self._exchange.directory.extension(text.recipient)
        if extension is None:
            return ()
        seen = self._exchange.mask(extension.number, text.sender)
        name = "" if seen else text.sender_name
        targets = self._exchange.device_targets(extension, seen or text.sender, name)
        return await asyncio.gather(
            *(send(self._exchange.stack, one, text.words) for one in targets)
        )

    async def outside(self, text: Text, trunk: Trunk) -> Delivery:
        """Send words to +E.164 through a trunk."""
        try:
            link = self._exchange.link(trunk)
        except CallRefused as refused:
            return Delivery(0, refused.reason, unseen=True)
        caller = trunk.numbers[0] if trunk.numbers else ""
        return await send(self._exchange.stack, link.target(text.recipient, caller), text.words)


async def _nobody(text: Text) -> None:
    raise CallRefused(405, "text messages are not taken here")
