"""A call we get (RFC 3261 §13.3): ringing, reliably where the caller can (RFC 3262), and the
answer."""

from __future__ import annotations

import secrets

from pbx.sip.body import sdp_of
from pbx.sip.dialog import Dialog
from pbx.sip.reliable import ReliableResponses, wants_reliable
from pbx.sip.session import Session, SessionUser
from pbx.sip.stack import Stack
from pbx.sip.transaction import InviteServerTransaction, ServerTransaction
from pbx.vocabulary import CallState, reason_phrase


class IncomingSession(Session):
    """The callee's side of an INVITE. Raises `ParseError` on an unusable Contact or route."""

    def __init__(
        self,
        stack: Stack,
        user: SessionUser,
        transaction: InviteServerTransaction,
        *,
        direct: bool = False,
    ) -> None:
        request, flow = transaction.request, transaction.flow
        dialog = Dialog(
            stack,
            flow,
            call_id=request.call_id,
            local_tag=transaction.local_tag,
            local=f"{request.get('to')};tag={transaction.local_tag}",
            remote=request.get("from"),
            contact=stack.contact(request.target.user or "", flow),
            sequence=secrets.randbelow(10_000) + 1,
            direct=direct,
        )
        dialog.opened_by(request)
        super().__init__(stack, user, dialog)
        self.state = CallState.RINGING
        self.late_offer = not sdp_of(request)
        self._glare_patience = (0.0, 2.0)
        self._invite = transaction
        self._reliable: ReliableResponses | None = None
        transaction.on_cancel = self._on_cancelled
        stack.add_dialog(self.call_id, self.local_tag, self)

    def progress(self, status: int = 180, body: bytes = b"") -> None:
        """Say that it rings, or with a body start early media; reliably where the caller can
        tell (RFC 3262)."""
        if self.state is not CallState.RINGING or self._invite is None:
            return
        response = self._response(self._invite.request, status, body)
        if not wants_reliable(self._invite.request, with_sdp=bool(body)):
            self._invite.respond(response)
            return
        if self._reliable is None:
            self._reliable = ReliableResponses(self._invite, self._on_no_prack)
        self._described = body or self._described
        self._reliable.send(response)

    def accept(self, body: bytes) -> None:
        """Answer with our SDP: an answer, or after `late_offer` an offer."""
        if self.state is not CallState.RINGING or self._invite is None:
            return
        if self._reliable is None:
            self._accept(body)
        else:
            self._reliable.then(lambda: self._accept(body))

    def _accept(self, body: bytes) -> None:
        if self.state is not CallState.RINGING or self._invite is None:
            return
        self.state = CallState.ANSWERED
        self._respond_with_media(self._invite, body, offers=self.late_offer)

    def _on_cancelled(self) -> None:
        if self.state is CallState.RINGING and self._invite is not None:
            self._invite.respond(self._response(self._invite.request, 487))
            self._over(487, "cancelled by the caller", by_peer=True)

    def _on_no_prack(self) -> None:
        """RFC 3262 §3: nobody heard that it rings."""
        if self.state is CallState.RINGING and self._invite is not None:
            self._invite.respond(self._response(self._invite.request, 504))
            self._over(504, "the caller does not acknowledge", by_peer=True)

    def _on_prack(self, transaction: ServerTransaction) -> None:
        reliable = self._reliable
        if reliable is None or not reliable.acknowledge(transaction.request):
            transaction.reply(481)
            return
        if sdp_of(transaction.request):
            self._begin_answer(transaction)
        else:
            transaction.reply(200)
        reliable.proceed()

    # ── parts ───────────────────────────────────────────────────────────────────────────
    @property
    def _has_early_media(self) -> bool:
        return bool(self._described) and self._reliable is not None

    def _give_up(self, status: int, reason: str) -> None:
        assert self._invite is not None
        status = status if status >= 300 else 480
        self._invite.respond(self._response(self._invite.request, status))
        self._over(status, reason or reason_phrase(status), by_peer=False)

    def _over(self, status: int, reason: str, *, by_peer: bool, keep_dialog: bool = False) -> None:
        if self._reliable is not None:
            self._reliable.stop()
            self._reliable = None
        super()._over(status, reason, by_peer=by_peer, keep_dialog=keep_dialog)
