"""One subscription of a phone's to something that changes here (RFC 6665 §4.2): a dialog in which
we send NOTIFY whenever it does."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from pbx.sip.dialog import Dialog
from pbx.sip.message import Request
from pbx.sip.session import spawn
from pbx.sip.stack import USER_AGENT, Stack
from pbx.sip.transaction import ServerTransaction
from pbx.sip.transport import Flow

MAX_EVENT = 120
SHORTEST, LONGEST = 60, 3600
"Seconds a subscription may be asked for; less is refused, more is cut."


@dataclass(frozen=True)
class Package:
    """What can be subscribed to: the name of the event, and the type its state is written in."""

    event: str
    content_type: str


Describe = Callable[[int], bytes]
"The state as it is now, given how many times it was told before."


class Subscription:
    """A watcher. Raises `ParseError` when its SUBSCRIBE has no usable Contact."""

    def __init__(
        self,
        stack: Stack,
        transaction: ServerTransaction,
        package: Package,
        describe: Describe,
        on_over: Callable[[Subscription], None],
    ) -> None:
        request = transaction.request
        self._dialog = Dialog(
            stack,
            transaction.flow,
            call_id=request.call_id,
            local_tag=transaction.local_tag,
            local=f"{request.get('to')};tag={transaction.local_tag}",
            remote=request.get("from"),
            contact=stack.contact(request.target.user or "", transaction.flow),
            sequence=secrets.randbelow(10_000) + 1,
            direct=False,
        )
        self._dialog.opened_by(request)
        self._stack = stack
        self._package = package
        self._event = request.get("event").strip()[:MAX_EVENT]  # with its id, RFC 6665 §8.2.1
        self._describe = describe
        self._on_over = on_over
        self._told = 0
        self._changed = False
        self._telling = False
        self._over = False
        self._until = 0.0
        self._expiry: asyncio.TimerHandle | None = None
        stack.add_dialog(self._dialog.call_id, self._dialog.local_tag, self)
        self._take(transaction)

    @property
    def flow(self) -> Flow:
        """Where the phone is."""
        return self._dialog.flow

    def changed(self) -> None:
        """Tell the state anew; changes that come while it is being told are told together."""
        self._changed = True
        if not self._telling and not self._over:
            self._telling = True
            spawn(self._tell())

    def close(self, reason: str = "noresource") -> None:
        """End it from our side."""
        if not self._over:
            self._end()
            spawn(self._notify(f"terminated;reason={reason}"))

    # ── as a dialog of the stack's ──────────────────────────────────────────────────────
    def on_dialog_request(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        if not self._dialog.in_order(request):
            transaction.reply(500, retry_after="1")
        elif request.method != "SUBSCRIBE":
            transaction.reply(405, allow="SUBSCRIBE")
        elif expires_of(request) < 0:
            transaction.reply(423, min_expires=str(SHORTEST))
        else:
            self._take(transaction)

    def on_ack(self, ack: Request) -> None:
        """There is no INVITE."""

    def is_peer(self, flow: Flow) -> bool:
        return self._dialog.is_peer(flow)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _take(self, transaction: ServerTransaction) -> None:
        """Answer a SUBSCRIBE, the first or one that goes on or ends it."""
        asked = expires_of(transaction.request)
        response = transaction.request.response(200, to_tag=self._dialog.local_tag)
        response.copy_header("record-route", transaction.request)
        response.set("expires", str(asked))
        response.set("contact", f"<{self._dialog.contact}>")
        transaction.respond(response)
        loop = asyncio.get_running_loop()
        self._until = loop.time() + asked
        if self._expiry is not None:
            self._expiry.cancel()
        if asked == 0:  # also a fetch: one look, and no more (§4.4.3)
            self.close("timeout")
            return
        self._expiry = loop.call_later(asked, self.close, "timeout")
        self.changed()

    async def _tell(self) -> None:
        try:
            while self._changed and not self._over:
                self._changed = False
                left = max(1, round(self._until - asyncio.get_running_loop().time()))
                status = await self._notify(f"active;expires={left}")
                if status >= 300:  # §4.2.2: nobody is there, or nobody asked
                    self._end()
        finally:
            self._telling = False

    async def _notify(self, state: str) -> int:
        request = self._dialog.request("NOTIFY")
        request.set("contact", f"<{self._dialog.contact}>")
        request.set("user-agent", USER_AGENT)
        request.set("event", self._event)
        request.set("subscription-state", state)
        request.set("content-type", self._package.content_type)
        request.body = self._describe(self._told)
        self._told += 1
        response = await self._stack.request(
            request, self._dialog.next_hop(), renumber=self._dialog.renumber
        )
        return response.status

    def _end(self) -> None:
        self._over = True
        if self._expiry is not None:
            self._expiry.cancel()
        self._stack.remove_dialog(self._dialog.call_id, self._dialog.local_tag)
        self._on_over(self)


def expires_of(request: Request) -> int:
    """The seconds a SUBSCRIBE asks for, as far as they are granted; −1 for too few."""
    text = request.get("expires", str(LONGEST)).strip()
    asked = int(text) if text.isdecimal() and len(text) < 10 else LONGEST
    return -1 if 0 < asked < SHORTEST else min(asked, LONGEST)
