"""A call as one side's dialog (RFC 3261 §12 to §15): INVITE, answer, re-INVITE, BYE, CANCEL.

`Session` is the same for calls we make and calls we get. It moves SDP bodies without looking
into them; what they mean is the media's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol

from pbx.sip.digest import DigestClient
from pbx.sip.message import ParseError, Request, Response, bare_uri, checked, parse_uri
from pbx.sip.stack import ALLOW, USER_AGENT, Stack
from pbx.sip.transaction import (
    ClientTransaction,
    InviteClientTransaction,
    InviteServerTransaction,
    ServerTransaction,
)
from pbx.sip.transport import Flow
from pbx.vocabulary import CallState, reason_phrase

log = logging.getLogger(__name__)

SDP = "application/sdp"
MAX_CHALLENGES = 2
"Times an INVITE is repeated with credentials before giving up."


class SessionUser(Protocol):
    """The owner of a session: a leg."""

    def on_progress(self, status: int, body: bytes) -> None:
        """The far side is trying: 180, or 183 with early media."""

    def on_answered(self, body: bytes) -> None:
        """The far side answered our INVITE; `body` is its SDP answer."""

    def on_reoffer(self, body: bytes) -> Awaitable[bytes | int]:
        """The far side wants other media: answer with SDP, or with a status to refuse."""

    def on_info(self, request: Request) -> None:
        """An INFO inside the dialog; it was answered already."""

    def on_ended(self, status: int, reason: str, by_peer: bool) -> None:
        """Over. `status` is the SIP status that says how: 200 after a BYE, 487 after CANCEL."""


class Session:
    """One INVITE dialog. Make one with `Session.incoming` or `Session.outgoing`."""

    def __init__(self, stack: Stack, user: SessionUser, flow: Flow, *, direct: bool) -> None:
        self.stack = stack
        self.user = user
        self.flow = flow
        self.state = CallState.DIALING
        self.call_id = ""
        self.local_tag = ""
        self.remote_tag = ""
        self._direct = direct
        self._local = self._remote = ""
        self._target = ""
        self._routes: list[str] = []
        self._local_cseq = 0
        self._remote_cseq = -1
        self._contact = ""
        self._invite: InviteServerTransaction | None = None
        self._client: ClientTransaction | None = None
        self._credentials: DigestClient | None = None
        self._request: Request | None = None
        self._challenges = 0
        self._cancelled = ""
        self._progressed = False
        self._ack: Request | None = None
        self._reinvites = 0

    # ── calls we get ────────────────────────────────────────────────────────────────────
    @classmethod
    def incoming(
        cls,
        stack: Stack,
        user: SessionUser,
        transaction: InviteServerTransaction,
        *,
        direct: bool = False,
    ) -> Session:
        """The dialog an INVITE opens. Raises `ParseError` on an unusable Contact or route."""
        request = transaction.request
        session = cls(stack, user, transaction.flow, direct=direct)
        session.state = CallState.RINGING
        session.call_id = request.call_id
        session.local_tag = transaction.local_tag
        session.remote_tag = request.from_tag
        session._local = f"{request.get('to')};tag={transaction.local_tag}"
        session._remote = request.get("from")
        session._set_target(request)
        session._routes = request.elements("record-route")
        session._local_cseq = secrets.randbelow(10_000) + 1
        session._remote_cseq = request.cseq.sequence
        session._contact = stack.contact(request.target.user or "", transaction.flow)
        session._invite = transaction
        transaction.on_cancel = session._on_cancelled
        transaction.on_no_ack = session._on_no_ack
        stack.add_dialog(session.call_id, session.local_tag, session)
        return session

    def progress(self, status: int = 180, body: bytes = b"") -> None:
        """Say that it rings, or with a body start early media."""
        if self.state is CallState.RINGING and self._invite is not None:
            self._invite.respond(self._response(self._invite.request, status, body))

    def accept(self, body: bytes) -> None:
        """Answer with our SDP."""
        if self.state is CallState.RINGING and self._invite is not None:
            self.state = CallState.ANSWERED
            self._invite.respond(self._response(self._invite.request, 200, body))

    def _on_cancelled(self) -> None:
        if self.state is CallState.RINGING and self._invite is not None:
            self._invite.respond(self._response(self._invite.request, 487))
            self._over(487, "cancelled by the caller", by_peer=True)

    def _on_no_ack(self) -> None:
        if self.state is CallState.ANSWERED:
            self._send_bye()
            self._over(408, "the answer was never acknowledged", by_peer=True)

    # ── calls we make ───────────────────────────────────────────────────────────────────
    @classmethod
    def outgoing(
        cls,
        stack: Stack,
        user: SessionUser,
        flow: Flow,
        request: Request,
        *,
        credentials: DigestClient | None = None,
        contact_user: str = "",
        direct: bool = False,
    ) -> Session:
        """Send an INVITE made with `Stack.new_request`, its body the SDP offer.

        `direct` follows the peer's Contact, as between servers; without it everything goes
        through the flow, as to phones behind NAT.
        """
        session = cls(stack, user, flow, direct=direct)
        session.call_id = request.call_id
        session.local_tag = request.from_tag
        session._local = request.get("from")
        session._remote = request.get("to")
        session._target = request.uri
        session._local_cseq = request.cseq.sequence
        session._contact = stack.contact(contact_user, flow)
        session._credentials = credentials
        session._request = request
        request.set("contact", f"<{session._contact}>")
        request.set("allow", ALLOW)
        if request.body:
            request.set("content-type", SDP)
        stack.add_dialog(session.call_id, session.local_tag, session)
        session._client = stack.send(request, flow, session._on_response)
        return session

    def _on_response(self, response: Response) -> None:
        status = response.status
        if status == 100:
            self._on_provisional()
        elif status < 200:
            self._on_provisional()
            if self.state in (CallState.DIALING, CallState.RINGING) and not self._cancelled:
                self.state = CallState.RINGING
                self.user.on_progress(status, response.body)
        elif status < 300:
            self._on_success(response)
        elif status in (401, 407) and self._retry_with_credentials(response):
            pass
        else:
            self._over(status, response.reason, by_peer=True)

    def _on_provisional(self) -> None:
        self._progressed = True
        if self._cancelled:
            self._send_cancel()

    def _retry_with_credentials(self, response: Response) -> bool:
        if self._credentials is None or self._request is None or self._cancelled:
            return False
        self._challenges += 1
        if self._challenges > MAX_CHALLENGES:
            return False
        if not self._credentials.authorise(self._request, response):
            return False
        self._local_cseq += 1
        self._request.set("cseq", f"{self._local_cseq} INVITE")
        self._progressed = False
        self._client = self.stack.send(self._request, self.flow, self._on_response)
        return True

    def _on_success(self, response: Response) -> None:
        if self.remote_tag and response.to_tag != self.remote_tag:
            self._decline_fork(response)
            return
        if self._ack is not None:  # the 2xx was repeated: our ACK was lost
            self._send_ack()
            return
        try:
            self._set_target(response)
        except ParseError:
            log.info("call %s: unusable Contact in the answer", self.call_id)
        self.remote_tag = response.to_tag
        self._remote = response.get("to")
        self._routes = response.elements("record-route")[::-1]
        self._ack = self._in_dialog("ACK", self._local_cseq)
        if self._request is not None:
            _copy_credentials(self._request, self._ack)
        self._send_ack()
        if self.state is CallState.ENDED or self._cancelled:  # answered while we cancelled
            self._send_bye()
            self._over(487, self._cancelled, by_peer=False)
            return
        self.state = CallState.ANSWERED
        self.user.on_answered(response.body)

    def _decline_fork(self, response: Response) -> None:
        """A second phone behind a forking proxy answered too: hang it up (§13.2.2.4)."""
        fork = Session(self.stack, self.user, self.flow, direct=self._direct)
        fork.call_id, fork.local_tag = self.call_id, self.local_tag
        fork._local, fork._remote = self._local, response.get("to")
        fork._routes = response.elements("record-route")[::-1]
        fork._contact, fork._local_cseq = self._contact, self._local_cseq
        try:
            fork._set_target(response)
        except ParseError:
            return
        fork._ack = fork._in_dialog("ACK", fork._local_cseq)
        fork._send_ack()
        fork._send_bye()

    def _send_ack(self) -> None:
        assert self._ack is not None
        self.stack.send_ack(self._ack, self._next_hop())

    def _send_cancel(self) -> None:
        """CANCEL carries the branch of the INVITE it takes back (§9.1)."""
        client, self._client = self._client, None
        if client is None or self._request is None:
            return
        cancel = Request("CANCEL", self._request.uri)
        for name in ("via", "from", "to", "call-id", "route", "max-forwards"):
            cancel.copy_header(name, client.request)
        cancel.set("cseq", f"{client.request.cseq.sequence} CANCEL")
        cause = 200 if self._cancelled == ELSEWHERE else 487
        cancel.set("reason", f'SIP;cause={cause};text="{self._cancelled}"')
        self.stack.on_message(True, cancel, self.flow)
        self.stack.transactions.begin_client(cancel, self.flow, lambda _: None)
        if isinstance(client, InviteClientTransaction):
            client.abandon(self.stack.timers.timeout)

    # ── both ────────────────────────────────────────────────────────────────────────────
    def end(self, status: int = 487, reason: str = "") -> None:
        """End the call from our side with whatever its state calls for: BYE, CANCEL, or the
        given status as the answer."""
        if self.state is CallState.ENDED:
            return
        if self.state is CallState.ANSWERED:
            self._send_bye(reason)
            self._over(200, reason or "hung up", by_peer=False)
        elif self._invite is not None:
            status = status if status >= 300 else 480
            self._invite.respond(self._response(self._invite.request, status))
            self._over(status, reason or reason_phrase(status), by_peer=False)
        else:
            self._cancelled = reason or "cancelled"
            if self._progressed:
                self._send_cancel()
            self._over(487, self._cancelled, by_peer=False, keep_dialog=True)

    async def reinvite(self, body: bytes) -> Response:
        """Offer other media; the response says what became of it (491: try again later)."""
        request = self._next_request("INVITE")
        request.set("contact", f"<{self._contact}>")
        request.set("allow", ALLOW)
        request.set("content-type", SDP)
        request.body = body
        if self._reinvites or self.state is not CallState.ANSWERED:
            return request.response(491, to_tag=self.local_tag)
        self._reinvites += 1
        try:
            return await self._reinvite(request)
        finally:
            self._reinvites -= 1

    async def _reinvite(self, request: Request) -> Response:
        for attempt in range(MAX_CHALLENGES + 1):
            done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

            def on_response(
                response: Response,
                request: Request = request,
                done: asyncio.Future[Response] = done,
            ) -> None:
                if response.status < 200:
                    return
                if response.status < 300:
                    with contextlib.suppress(ParseError):
                        self._set_target(response)  # §12.2.1.2
                    ack = self._in_dialog("ACK", request.cseq.sequence)
                    _copy_credentials(request, ack)
                    self.stack.send_ack(ack, self._next_hop())
                if not done.done():
                    done.set_result(response)

            self.stack.send(request, self._next_hop(), on_response)
            response = await done
            challenged = response.status in (401, 407) and self._credentials is not None
            if challenged and attempt < MAX_CHALLENGES:
                assert self._credentials is not None
                if self._credentials.authorise(request, response):
                    self._local_cseq += 1
                    request.set("cseq", f"{self._local_cseq} INVITE")
                    continue
            break
        if response.status in (408, 481):
            self._over(response.status, response.reason, by_peer=True)
        return response

    # ── requests inside the dialog ──────────────────────────────────────────────────────
    def on_dialog_request(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        method = request.method
        if self.remote_tag and request.from_tag != self.remote_tag:
            transaction.reply(481)
            return
        if request.cseq.sequence <= self._remote_cseq:
            transaction.reply(500, retry_after="1")  # out of order, §12.2.2
            return
        self._remote_cseq = request.cseq.sequence
        if method == "BYE":
            transaction.reply(200)
            if self.state is CallState.RINGING and self._invite is not None:
                self._invite.respond(self._response(self._invite.request, 487))
            self._over(200, "hung up by the other side", by_peer=True)
        elif method == "INVITE" and isinstance(transaction, InviteServerTransaction):
            self._on_reinvite(transaction)
        elif method == "OPTIONS":
            transaction.reply(200, allow=ALLOW, accept=SDP)
        elif method == "INFO":
            transaction.reply(200)
            self.user.on_info(request)
        else:
            transaction.reply(405, allow=ALLOW)

    def _on_reinvite(self, transaction: InviteServerTransaction) -> None:
        if self.state is not CallState.ANSWERED or self._reinvites:
            transaction.reply(491)  # glare, §14.1
            return
        self._reinvites += 1
        transaction.on_no_ack = lambda: None
        transaction.reply(100)
        task = asyncio.ensure_future(self._answer_reinvite(transaction))
        _background.add(task)
        task.add_done_callback(_background.discard)

    async def _answer_reinvite(self, transaction: InviteServerTransaction) -> None:
        try:
            answer = await self.user.on_reoffer(transaction.request.body)
        except Exception:
            log.exception("call %s: re-INVITE failed", self.call_id)
            answer = 500
        finally:
            self._reinvites -= 1
        if self.state is CallState.ENDED:
            transaction.reply(487)
            return
        if isinstance(answer, int):
            transaction.reply(answer)
            return
        try:
            self._set_target(transaction.request)
        except ParseError:
            transaction.reply(400)
            return
        transaction.respond(self._response(transaction.request, 200, answer))
        self._invite = transaction

    def is_peer(self, flow: Flow) -> bool:
        """From the address the dialog was set up with; between servers (`direct`) also from
        those in the Contact and the routes, or anywhere when these are names."""
        host = flow.remote[0]
        if host == self.flow.remote[0]:
            return True
        if not self._direct:
            return False
        hosts = [parse_uri(bare_uri(uri)).host for uri in (*self._routes, self._target) if uri]
        return host in hosts or not all(_is_address(name) for name in hosts)

    def on_ack(self, ack: Request) -> None:
        if self._invite is not None and ack.cseq.sequence == self._invite.request.cseq.sequence:
            self._invite.acknowledged()

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _over(self, status: int, reason: str, *, by_peer: bool, keep_dialog: bool = False) -> None:
        if self.state is CallState.ENDED:
            return
        self.state = CallState.ENDED
        if keep_dialog:  # a 2xx may still cross our CANCEL and must then be answered with BYE
            loop = asyncio.get_running_loop()
            loop.call_later(self.stack.timers.timeout, self._forget)
        else:
            self._forget()
        self.user.on_ended(status, reason, by_peer)

    def _forget(self) -> None:
        self.stack.remove_dialog(self.call_id, self.local_tag)

    def _send_bye(self, reason: str = "") -> None:
        bye = self._next_request("BYE")
        if reason:
            bye.set("reason", f'SIP;cause=200;text="{reason}"')
        self.stack.send(bye, self._next_hop(), self._on_bye_response(bye))

    def _on_bye_response(self, bye: Request) -> Callable[[Response], None]:
        def on_response(response: Response) -> None:
            if response.status not in (401, 407) or self._credentials is None:
                return
            if "authorization" in bye or "proxy-authorization" in bye:
                return
            if self._credentials.authorise(bye, response):
                self._local_cseq += 1
                bye.set("cseq", f"{self._local_cseq} BYE")
                self.stack.send(bye, self._next_hop(), on_response)

        return on_response

    def _next_request(self, method: str) -> Request:
        self._local_cseq += 1
        return self._in_dialog(method, self._local_cseq)

    def _in_dialog(self, method: str, sequence: int) -> Request:
        """A request inside the dialog (§12.2.1.1)."""
        uri, routes = self._target, self._routes
        if routes and ";lr" not in routes[0].lower():  # a strict router of old
            uri, routes = bare_uri(routes[0]), [*routes[1:], f"<{self._target}>"]
        request = Request(method, uri)
        request.set("max-forwards", "70")
        request.set("from", self._local)
        request.set("to", self._remote)
        request.set("call-id", self.call_id)
        request.set("cseq", f"{sequence} {method}")
        request.set("route", routes)
        request.set("user-agent", USER_AGENT)
        return request

    def _response(self, request: Request, status: int, body: bytes = b"") -> Response:
        response = request.response(status, to_tag=self.local_tag)
        response.copy_header("record-route", request)
        if status < 300:
            response.set("contact", f"<{self._contact}>")
            response.set("allow", ALLOW)
        response.set("server", USER_AGENT)
        if body:
            response.set("content-type", SDP)
            response.body = body
        return response

    def _set_target(self, message: Request | Response) -> None:
        """Remember the peer's Contact, exactly as it was written."""
        contacts = message.elements("contact")
        if not contacts:
            if isinstance(message, Request) and not self._target:
                raise ParseError("missing contact")
            return
        target = bare_uri(contacts[0])
        checked(parse_uri, target, "contact")
        self._target = target

    def _next_hop(self) -> Flow:
        """Where in-dialog requests go: through the flow, or between servers to the first route
        or the Contact."""
        if not self._direct or self.flow.reliable:
            return self.flow
        try:
            uri = checked(
                parse_uri, bare_uri(self._routes[0] if self._routes else self._target), "route"
            )
            host = ipaddress.ip_address(uri.host.strip("[]"))
        except ValueError:
            return self.flow
        return self.stack.transports.udp_flow((str(host), uri.port or 5060))


ELSEWHERE = "Call completed elsewhere"
"Reason text for the phones that lost the race to answer."

_background: set[asyncio.Task[None]] = set()


def _copy_credentials(request: Request, ack: Request) -> None:
    """The ACK of a 2xx carries the INVITE's credentials (§13.2.2.4)."""
    for name in ("authorization", "proxy-authorization"):
        ack.copy_header(name, request)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
