"""A call as one side sees it, once it stands (RFC 3261 §14, §15): re-INVITE, UPDATE (RFC 3311),
session timer (RFC 4028) and BYE.

How it came to stand is the difference between an `IncomingSession` and an `OutgoingSession`.
SDP bodies are moved without looking into them; what they mean is the media's business.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Coroutine
from typing import Protocol

from pbx.sip.body import SDP, sdp_of
from pbx.sip.dialog import Dialog
from pbx.sip.digest import DigestClient
from pbx.sip.message import ParseError, Request, Response
from pbx.sip.refer import FRAGMENT
from pbx.sip.session_timer import MIN_SE, SessionTimer, too_brief
from pbx.sip.stack import ALLOW, SUPPORTED, USER_AGENT, Stack
from pbx.sip.transaction import InviteServerTransaction, ServerTransaction
from pbx.sip.transport import Flow
from pbx.vocabulary import CallState

log = logging.getLogger(__name__)


class SessionUser(Protocol):
    """The owner of a session: a leg."""

    def on_progress(self, status: int, body: bytes) -> None:
        """The far side is trying: 180, or 183 with early media."""

    def on_answered(self, body: bytes) -> None:
        """The far side answered our INVITE; `body` is its SDP answer."""

    def on_late_answer(self, body: bytes) -> None:
        """The answer to an offer that a 200 of ours made; empty when there was none."""

    def on_reoffer(self, body: bytes) -> Awaitable[bytes | int]:
        """The far side wants other media (or with an empty body our offer): answer with SDP,
        or with a status to refuse."""

    def on_info(self, request: Request) -> None:
        """An INFO inside the dialog; it was answered already."""

    def on_refer(self, transaction: ServerTransaction) -> None:
        """The far side asks for a transfer: answer it."""

    def on_ended(self, status: int, reason: str, by_peer: bool) -> None:
        """Over. `status` is the SIP status that says how: 200 after a BYE, 487 after CANCEL."""


class Session:
    """What both kinds of sessions share."""

    def __init__(self, stack: Stack, user: SessionUser, dialog: Dialog) -> None:
        self.stack = stack
        self.user = user
        self.dialog = dialog
        "The dialog with whoever answered; until then with the latest to ring."
        self.state = CallState.DIALING
        self.late_offer = False
        "The caller left the offer to us (RFC 3264 §5)."
        self._invite: InviteServerTransaction | None = None
        "The peer's latest INVITE."
        self._credentials: DigestClient | None = None
        self._glare_patience = (2.1, 4.0)
        "Seconds to wait after a 491: whoever made the Call-ID waits longer (§14.1)."
        self._offering = self._answering = False
        self._awaits_answer = False
        self._awaits_ack = False
        self._bye: Request | None = None
        self._described = b""
        self._timer = SessionTimer(self._refresh, self._expired)

    @property
    def flow(self) -> Flow:
        return self.dialog.flow

    @property
    def call_id(self) -> str:
        return self.dialog.call_id

    @property
    def local_tag(self) -> str:
        return self.dialog.local_tag

    @property
    def is_silent(self) -> bool:
        """Nothing of it is still to be sent: a BYE may wait for the ACK."""
        return self._bye is None

    # ── answers to an INVITE ────────────────────────────────────────────────────────────
    def _respond_with_media(
        self, transaction: InviteServerTransaction, body: bytes, *, offers: bool
    ) -> None:
        """The 200 to an INVITE of the peer."""
        self._invite = transaction
        transaction.on_ack, transaction.on_no_ack = self.on_ack, self._on_no_ack
        self._described = body
        self._awaits_ack, self._awaits_answer = True, offers
        response = self._response(transaction.request, 200, body)
        self._timer.grant(transaction.request, response)
        transaction.respond(response)

    def _on_no_ack(self) -> None:
        self._awaits_ack = False
        self._send_held_bye()
        if self.state is CallState.ANSWERED:
            self._send_bye()
            self._over(408, "the answer was never acknowledged", by_peer=True)

    # ── what the user does ──────────────────────────────────────────────────────────────
    def end(self, status: int = 487, reason: str = "") -> None:
        """End the call from our side with whatever its state calls for: BYE, CANCEL, or the
        given status as the answer."""
        if self.state is CallState.ENDED:
            return
        if self.state is CallState.ANSWERED:
            self._send_bye(reason)
            keep = self._bye is not None
            self._over(200, reason or "hung up", by_peer=False, keep_dialog=keep)
        else:
            self._give_up(status, reason)

    def _give_up(self, status: int, reason: str) -> None:
        """End what nobody has answered."""
        raise TypeError("use an Incoming- or OutgoingSession")

    async def reoffer(self, body: bytes) -> Response:
        """Offer other media, by re-INVITE or before the answer by UPDATE; the response says
        what became of it (491: the sides crossed, or it is too early; try again later)."""
        if self.state is CallState.ANSWERED:
            request = self._in_dialog("INVITE", self.dialog)
            self._timer.ask(request)
        else:
            request = self._in_dialog("UPDATE", self.dialog)
        request.set("content-type", SDP)
        request.body = body
        early = self.state is CallState.RINGING and self._has_early_media
        possible = self.state is CallState.ANSWERED or (early and self.dialog.allows_update)
        if not possible or self._offering or self._answering:
            return request.response(491, to_tag=self.local_tag)
        self._offering = True
        try:
            response = await self._request_inside(request)
        finally:
            self._offering = False
        if response.status < 300:
            self._described = body
            if request.method == "INVITE":
                self._timer.granted(response)
        return response

    @property
    def _has_early_media(self) -> bool:
        """Offer and answer are through, though nobody has answered the call (RFC 3311 §5.1)."""
        return bool(self.dialog.early_body)

    async def _request_inside(self, request: Request) -> Response:
        """Send a request and wait for its final response. 408 and 481 end the call
        (§12.2.1.2)."""
        dialog = self.dialog

        def on_success(response: Response) -> None:
            try:
                dialog.learn(response)
            except ParseError:
                log.info("unusable Contact in an answer")
            if request.method == "INVITE":
                ack = self._in_dialog("ACK", dialog, request.cseq.sequence)
                copy_credentials(request, ack)
                self.stack.send_ack(ack, dialog.next_hop())

        response = await self.stack.request(
            request,
            dialog.next_hop(),
            self._credentials,
            renumber=dialog.renumber,
            on_success=on_success,
        )
        if response.status in (408, 481) and self.state is not CallState.ENDED:
            if self.state is CallState.ANSWERED:
                self._send_bye(response.reason)
            self._over(response.status, response.reason, by_peer=True)
        return response

    async def notify(self, fragment: bytes, *, over: bool) -> None:
        """Tell what became of a REFER of the far side (RFC 3515 §2.4.4); `over` ends it."""
        if self.state is CallState.ENDED:
            return
        request = self._in_dialog("NOTIFY", self.dialog)
        request.set("contact", f"<{self.dialog.contact}>")
        request.set("event", "refer")
        state = "terminated;reason=noresource" if over else "active;expires=60"
        request.set("subscription-state", state)
        request.set("content-type", FRAGMENT)
        request.body = fragment
        dialog = self.dialog
        await self.stack.request(
            request, dialog.next_hop(), self._credentials, renumber=dialog.renumber
        )

    def inform(self, content_type: str, body: bytes) -> None:
        """Tell the far side something by INFO (RFC 6086 §8: the kind from before packages)."""
        if self.state is CallState.ANSWERED:
            request = self._in_dialog("INFO", self.dialog)
            request.set("content-type", content_type)
            request.body = body
            self._send(request, self.dialog)

    # ── session timer (RFC 4028) ────────────────────────────────────────────────────────
    def _refresh(self) -> None:
        spawn(self._refresh_now())

    async def _refresh_now(self) -> None:
        """Show that we are there, and see whether they are: by UPDATE where they can."""
        if self.state is not CallState.ANSWERED:
            return
        if self.dialog.allows_update:
            request = self._in_dialog("UPDATE", self.dialog)
            self._timer.ask(request)
            response = await self._request_inside(request)
            if response.status < 300:
                self._timer.granted(response)
        else:
            response = await self.reoffer(self._described)
        if response.status == 491 and self.state is CallState.ANSWERED:
            patience = random.uniform(*self._glare_patience)
            asyncio.get_running_loop().call_later(patience, self._refresh)

    def _expired(self) -> None:
        if self.state is CallState.ANSWERED:
            self._send_bye("the session expired")
            self._over(408, "the other side is gone", by_peer=True)

    # ── requests inside the dialog ──────────────────────────────────────────────────────
    def on_dialog_request(self, transaction: ServerTransaction) -> None:
        try:
            self._take_request(transaction)
        except ParseError as error:
            transaction.reply(error.status)

    def _take_request(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        dialog = self._dialog_with(request.from_tag)
        if dialog is None:
            transaction.reply(481)
        elif not dialog.in_order(request):
            transaction.reply(500, retry_after="1")  # out of order, §12.2.2
        elif request.method == "BYE":
            transaction.reply(200)
            if self.state is CallState.RINGING and self._invite is not None:
                self._invite.respond(self._response(self._invite.request, 487))
            self._over(200, "hung up by the other side", by_peer=True)
        elif request.method == "INVITE" and isinstance(transaction, InviteServerTransaction):
            self._on_reinvite(transaction)
        elif request.method == "UPDATE":
            self._on_update(transaction)
        elif request.method == "PRACK":
            self._on_prack(transaction)
        elif request.method == "OPTIONS":
            transaction.reply(200, allow=ALLOW, accept=SDP, supported=SUPPORTED)
        elif request.method == "REFER":
            self.user.on_refer(transaction)
        elif request.method == "INFO" and "info-package" in request:
            transaction.reply(469, "Bad Info Package", recv_info="")  # we have none, RFC 6086
        elif request.method == "INFO":
            transaction.reply(200)
            self.user.on_info(request)
        else:
            transaction.reply(405, allow=ALLOW)

    def _dialog_with(self, tag: str) -> Dialog | None:
        """The dialog a request belongs to; it may be ahead of the first response."""
        return self.dialog if self.dialog.remote_tag in ("", tag) else None

    def _on_reinvite(self, transaction: InviteServerTransaction) -> None:
        if self._crosses(transaction):
            return
        if self.state is not CallState.ANSWERED:
            transaction.reply(491)
            return
        transaction.reply(100)
        self._begin_answer(transaction)

    def _on_update(self, transaction: ServerTransaction) -> None:
        if not sdp_of(transaction.request):
            if too_brief(transaction.request):
                transaction.reply(422, min_se=str(MIN_SE))
            else:
                self._confirm(transaction, b"")
            return
        if self._crosses(transaction):
            return
        if self.state is not CallState.ANSWERED and not self._has_early_media:
            self._refuse_for_now(transaction)  # RFC 3311 §5.2
            return
        self._begin_answer(transaction)

    def _crosses(self, transaction: ServerTransaction) -> bool:
        """Whether an offer of the peer met another offer under way; it was answered then."""
        if self._offering:
            transaction.reply(491)  # glare, §14.2
        elif self._answering:
            self._refuse_for_now(transaction)
        elif too_brief(transaction.request):
            transaction.reply(422, min_se=str(MIN_SE))
        else:
            return False
        return True

    def _refuse_for_now(self, transaction: ServerTransaction) -> None:
        transaction.reply(500, retry_after=str(random.randint(0, 10)))

    def _begin_answer(self, transaction: ServerTransaction) -> None:
        body = sdp_of(transaction.request)
        self._answering = True
        spawn(self._answer_offer(transaction, body))

    async def _answer_offer(self, transaction: ServerTransaction, body: bytes) -> None:
        """Answer the offer (or the wish for one) in a re-INVITE, UPDATE or PRACK."""
        try:
            answer = await self.user.on_reoffer(body)
        except Exception:
            log.exception("a new offer failed")
            answer = 500
        finally:
            self._answering = False
        if self.state is CallState.ENDED:
            transaction.reply(487)
        elif isinstance(answer, int):
            transaction.reply(answer)
        else:
            self._confirm(transaction, answer, offers=not body)

    def _confirm(
        self, transaction: ServerTransaction, body: bytes, *, offers: bool = False
    ) -> None:
        """200 to a request that may have moved the peer's target (§12.2.2)."""
        try:
            self.dialog.learn(transaction.request)
        except ParseError:
            transaction.reply(400)
            return
        if isinstance(transaction, InviteServerTransaction):
            self._respond_with_media(transaction, body, offers=offers)
            return
        self._described = body or self._described
        response = self._response(transaction.request, 200, body)
        if transaction.request.method == "UPDATE":
            self._timer.grant(transaction.request, response)
        transaction.respond(response)

    def _on_prack(self, transaction: ServerTransaction) -> None:
        transaction.reply(481)  # nothing of ours waits for one

    def is_peer(self, flow: Flow) -> bool:
        """Whether a message from there may speak for the other side."""
        return self.dialog.is_peer(flow)

    def on_ack(self, ack: Request) -> None:
        if self._invite is None or ack.cseq.sequence != self._invite.request.cseq.sequence:
            return
        self._invite.acknowledged()
        self._awaits_ack = False
        self._send_held_bye()
        if self._awaits_answer and self.state is CallState.ANSWERED:
            self._awaits_answer = False
            try:
                answer = sdp_of(ack)
            except ParseError:
                answer = b""
            self.user.on_late_answer(answer)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _over(self, status: int, reason: str, *, by_peer: bool, keep_dialog: bool = False) -> None:
        if self.state is CallState.ENDED:
            return
        self.state = CallState.ENDED
        self._timer.close()
        if keep_dialog:  # a 2xx may still cross our CANCEL and must then be answered with BYE
            loop = asyncio.get_running_loop()
            loop.call_later(self.stack.timers.timeout, self._forget)
        else:
            self._forget()
        self.user.on_ended(status, reason, by_peer)

    def _forget(self) -> None:
        self.stack.remove_dialog(self.call_id, self.local_tag)

    def _send_bye(self, reason: str = "") -> None:
        bye = self._in_dialog("BYE", self.dialog)
        if reason:
            bye.set("reason", f'SIP;cause=200;text="{reason}"')
        if self._awaits_ack:  # §15: until then the caller may not know that it was answered
            self._bye = bye
        else:
            self._send(bye, self.dialog)

    def _send_held_bye(self) -> None:
        bye, self._bye = self._bye, None
        if bye is not None:
            self._send(bye, self.dialog)
            self._forget()

    def _send(self, request: Request, dialog: Dialog) -> None:
        """Send a request whose answer changes nothing, except that it may be a challenge."""
        if self._credentials is None:
            self.stack.send(request, dialog.next_hop(), lambda _: None)
        else:
            spawn(
                self.stack.request(
                    request, dialog.next_hop(), self._credentials, renumber=dialog.renumber
                )
            )

    def _in_dialog(self, method: str, dialog: Dialog, sequence: int | None = None) -> Request:
        request = dialog.request(method, sequence)
        request.set("user-agent", USER_AGENT)
        if method in ("INVITE", "UPDATE"):
            self._introduce(request)
        return request

    def _introduce(self, message: Request | Response) -> None:
        """Where we are, and what we can do."""
        message.set("contact", f"<{self.dialog.contact}>")
        message.set("allow", ALLOW)
        message.set("supported", SUPPORTED)

    def _response(self, request: Request, status: int, body: bytes = b"") -> Response:
        response = request.response(status, to_tag=self.local_tag)
        response.copy_header("record-route", request)
        if status < 300:
            self._introduce(response)
        response.set("server", USER_AGENT)
        if body:
            response.set("content-type", SDP)
            response.body = body
        return response


_background: set[asyncio.Task[object]] = set()


def spawn(work: Coroutine[object, object, object]) -> None:
    """Run something to its end though nobody waits for it."""
    task: asyncio.Task[object] = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_background.discard)


def copy_credentials(request: Request, ack: Request) -> None:
    """The ACK of a 2xx carries the INVITE's credentials (§13.2.2.4)."""
    for name in ("authorization", "proxy-authorization"):
        ack.copy_header(name, request)
