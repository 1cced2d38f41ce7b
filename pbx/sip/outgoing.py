"""A call we make (RFC 3261 §13.2): INVITE with its challenges and forks, reliable provisional
responses (RFC 3262), and CANCEL (§9)."""

from __future__ import annotations

import logging

from pbx.sip.body import SDP, sdp_of
from pbx.sip.dialog import Dialog
from pbx.sip.digest import DigestClient
from pbx.sip.message import ParseError, Request, Response, bare_uri
from pbx.sip.reliable import OPTION as RELIABLE
from pbx.sip.reliable import option_tags
from pbx.sip.session import Session, SessionUser, copy_credentials
from pbx.sip.stack import Stack
from pbx.sip.transaction import InviteClientTransaction
from pbx.sip.transport import Flow
from pbx.vocabulary import CallState

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"Times an INVITE is sent in all: with credentials, or with a longer session interval."
MAX_FORKS = 10
"Far sides of one INVITE of ours that are listened to."
MAX_REDIRECTS = 5
"Contacts of a 3xx that are passed on."
ELSEWHERE = "Call completed elsewhere"
"Reason text for the phones that lost the race to answer."


class OutgoingSession(Session):
    """The caller's side: sends an INVITE made with `Stack.new_request`, its body the SDP offer.

    `direct` follows the peer's Contact, as between servers; without it everything goes through
    the flow, as to phones behind NAT.
    """

    def __init__(
        self,
        stack: Stack,
        user: SessionUser,
        flow: Flow,
        request: Request,
        *,
        credentials: DigestClient | None = None,
        contact_user: str = "",
        direct: bool = False,
    ) -> None:
        dialog = Dialog(
            stack,
            flow,
            call_id=request.call_id,
            local_tag=request.from_tag,
            local=request.get("from"),
            remote=request.get("to"),
            contact=stack.contact(contact_user, flow),
            sequence=request.cseq.sequence,
            direct=direct,
        )
        dialog.target = request.uri
        super().__init__(stack, user, dialog)
        self.heard = False
        "Whether anything came back."
        self.redirects: list[str] = []
        "Where a 3xx sends us, best first."
        self._credentials = credentials
        self._request = request
        self._described = request.body
        self._forks: dict[str, Dialog] = {}
        self._attempts = 1
        self._cancelled = ""
        self._progressed = False
        self._ack: Request | None = None
        self._describe(request)
        stack.add_dialog(self.call_id, self.local_tag, self)
        transaction = stack.send(request, flow, self._on_response)
        assert isinstance(transaction, InviteClientTransaction)
        self._client: InviteClientTransaction | None = transaction

    async def talk(self) -> bool:
        """Ask the phone that rings to take the call by itself (the “talk” event that desk phones
        and some softphones know, of draft-ietf-sipping-sipt-talk); False if it does not."""
        if self.state is not CallState.RINGING or not self.dialog.remote_tag:
            return False
        notify = self._in_dialog("NOTIFY", self.dialog)
        notify.set("contact", f"<{self.dialog.contact}>")
        notify.set("event", "talk")
        notify.set("subscription-state", "active")
        response = await self.stack.request(
            notify, self.dialog.next_hop(), self._credentials, renumber=self.dialog.renumber
        )
        return response.status < 300

    def _on_response(self, response: Response) -> None:
        status, self.heard = response.status, True
        if status < 200:
            self._on_provisional(response)
        elif status < 300:
            self._on_success(response)
        elif status in (401, 407, 422) and self._try_again(response):
            pass
        else:
            if status < 400:
                contacts = (bare_uri(contact) for contact in response.elements("contact"))
                self.redirects = list(contacts)[:MAX_REDIRECTS]
            self._over(status, response.reason, by_peer=True)

    def _on_provisional(self, response: Response) -> None:
        self._progressed = True
        if self._cancelled:
            self._send_cancel()
            return
        if response.status == 100 or self.state not in (CallState.DIALING, CallState.RINGING):
            return
        body = sdp_of(response)
        if response.to_tag:
            dialog = self._fork(response)
            if dialog is None or not self._acknowledge_reliable(dialog, response):
                return
            dialog.early_body = body or dialog.early_body
            self.dialog = dialog
        self.state = CallState.RINGING
        self.user.on_progress(response.status, body)

    def _fork(self, response: Response) -> Dialog | None:
        """The early dialog with the phone that sent a response (§12.1); None for one too many,
        or one that cannot be spoken to."""
        tag = response.to_tag
        known = self._forks.get(tag)
        try:
            if known is not None:
                known.learn(response)
            elif len(self._forks) < MAX_FORKS:
                known = self._forks[tag] = self.dialog.opened_with(response)
        except ParseError:
            log.info("unusable Contact or route in a %d", response.status)
        return known

    def _acknowledge_reliable(self, dialog: Dialog, response: Response) -> bool:
        """PRACK a reliable response (RFC 3262 §4); False for a repeat, or one out of order."""
        if RELIABLE not in option_tags(response, "require"):
            return True
        text = response.get("rseq")
        if not (text.isascii() and text.isdigit()):
            return False
        sequence = int(text[:10])
        if dialog.reliable_sequence >= 0 and sequence != dialog.reliable_sequence + 1:
            return False
        dialog.reliable_sequence = sequence
        prack = self._in_dialog("PRACK", dialog)
        prack.set("rack", f"{sequence} {response.cseq.sequence} INVITE")
        self._send(prack, dialog)
        return True

    def _try_again(self, refusal: Response) -> bool:
        """Repeat the INVITE as a challenge, or a 422, demands it."""
        request = self._request
        if self._cancelled or self._attempts >= MAX_ATTEMPTS:
            return False
        if refusal.status == 422:
            if not self._timer.raise_to(refusal):
                return False
        elif self._credentials is None or not self._credentials.authorise(request, refusal):
            return False
        self._attempts += 1
        self._progressed = False
        self.dialog.renumber(request)
        self._describe(request)
        transaction = self.stack.send(request, self.flow, self._on_response)
        assert isinstance(transaction, InviteClientTransaction)
        self._client = transaction
        return True

    def _on_success(self, response: Response) -> None:
        confirmed = self._ack is not None
        if confirmed and response.to_tag != self.dialog.remote_tag:
            self._decline_fork(response)
            return
        if confirmed:  # the 2xx was repeated: our ACK was lost
            self._send_ack()
            return
        dialog = self._fork(response)
        if dialog is None:
            dialog = self.dialog  # its Contact is unusable: go on as we came
            dialog.remote_tag, dialog.remote = response.to_tag, response.get("to")
        elif response.elements("record-route") or not dialog.routes:
            dialog.confirmed_by(response)
        self.dialog = dialog
        self._forks.clear()
        self._ack = self._in_dialog("ACK", dialog, self._request.cseq.sequence)
        copy_credentials(self._request, self._ack)
        self._send_ack()
        if self.state is CallState.ENDED or self._cancelled:  # answered while we cancelled
            self._send_bye()
            self._over(487, self._cancelled, by_peer=False)
            return
        self.state = CallState.ANSWERED
        self._timer.granted(response)
        self.user.on_answered(sdp_of(response) or dialog.early_body)

    def _decline_fork(self, response: Response) -> None:
        """A second phone behind a forking proxy answered too: hang it up (§13.2.2.4)."""
        try:
            fork = self.dialog.opened_with(response)
        except ParseError:
            return
        sequence = self._request.cseq.sequence
        fork.sequence = sequence
        ack = self._in_dialog("ACK", fork, sequence)
        copy_credentials(self._request, ack)
        self.stack.send_ack(ack, fork.next_hop())
        self._send(self._in_dialog("BYE", fork), fork)

    def _send_ack(self) -> None:
        assert self._ack is not None
        self.stack.send_ack(self._ack, self.dialog.next_hop())

    def _send_cancel(self) -> None:
        """CANCEL carries the branch of the INVITE it takes back (§9.1)."""
        client, self._client = self._client, None
        if client is None:
            return
        cancel = Request("CANCEL", self._request.uri)
        for name in ("via", "from", "to", "call-id", "route", "max-forwards"):
            cancel.copy_header(name, client.request)
        cancel.set("cseq", f"{client.request.cseq.sequence} CANCEL")
        cause = 200 if self._cancelled == ELSEWHERE else 487
        cancel.set("reason", f'SIP;cause={cause};text="{self._cancelled}"')
        self.stack.on_message(True, cancel, self.flow)
        self.stack.transactions.begin_client(cancel, self.flow, lambda _: None)
        client.abandon(self.stack.timers.timeout)

    def _describe(self, invite: Request) -> None:
        """What the first INVITE carries besides its addresses."""
        self._introduce(invite)
        self._timer.ask(invite)
        if invite.body:
            invite.set("content-type", SDP)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _give_up(self, status: int, reason: str) -> None:
        self._cancelled = reason or "cancelled"
        if self._progressed:
            self._send_cancel()
        self._over(487, self._cancelled, by_peer=False, keep_dialog=True)

    def _dialog_with(self, tag: str) -> Dialog | None:
        """Before anybody answered a request may come from any phone that rings."""
        return self._forks.get(tag) if self._forks else super()._dialog_with(tag)

    def is_peer(self, flow: Flow) -> bool:
        return super().is_peer(flow) or any(fork.is_peer(flow) for fork in self._forks.values())
