"""One SIP endpoint: sockets, transactions and dialogs, and the sorting of what arrives.

A `User` above it (the exchange, a trunk's carrier, a phone) gets requests that belong to no
dialog yet; requests inside a dialog go to that dialog's `Session`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable
from typing import Protocol

from sipmessage import URI, Via

from pbx.sip.digest import DigestClient
from pbx.sip.message import (
    ParseError,
    Request,
    Response,
    address_value,
    parse_message,
)
from pbx.sip.transaction import (
    ClientTransaction,
    InviteServerTransaction,
    ResponseHandler,
    ServerTransaction,
    Timers,
    Transactions,
    new_branch,
)
from pbx.sip.transport import Address, Flow, Transport, Transports

log = logging.getLogger(__name__)

USER_AGENT = "EncryptoTel"
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO"
MAX_SERVER_TRANSACTIONS = 20_000


class User(Protocol):
    """Whoever the stack belongs to."""

    def admits(self, request: Request, flow: Flow) -> bool:
        """Whether to look at a request outside any dialog at all; False drops it silently."""

    def on_request(self, transaction: ServerTransaction) -> None:
        """A request outside any dialog; answer it through the transaction."""


class DialogUser(Protocol):
    """A dialog, as the stack sees it."""

    def on_dialog_request(self, transaction: ServerTransaction) -> None:
        """A request inside the dialog."""

    def on_ack(self, ack: Request) -> None:
        """The ACK of a 2xx, which belongs to no transaction."""


MessageHook = Callable[[bool, Request | Response, Flow], None]
"Called with (sent, message, flow) for every message, for call ladders."


class Stack:
    """SIP for one `User`. `advertised` is the host written into Via and Contact."""

    def __init__(self, user: User, *, advertise: str = "", timers: Timers | None = None) -> None:
        self.user = user
        self.advertise = advertise
        self.timers = timers or Timers()
        self.transports = Transports(self._on_data, self._on_flow_closed)
        self.transactions = Transactions(self.timers, MAX_SERVER_TRANSACTIONS)
        self.on_message: MessageHook = lambda sent, message, flow: None
        self.on_flow_closed: Callable[[Flow], None] = lambda flow: None
        self._dialogs: dict[tuple[str, str], DialogUser] = {}
        self.malformed = 0
        "Messages refused by the parser since start."

    # ── addresses ───────────────────────────────────────────────────────────────────────
    def address(self, transport: Transport, flow: Flow | None = None) -> Address:
        """Our address as peers should see it on a transport."""
        listening = self.transports.listening.get(transport)
        local = listening or (flow.local if flow else ("127.0.0.1", 0))
        host = self.advertise or (flow.local[0] if flow and flow.reliable else local[0])
        return host, local[1]

    def contact(self, user: str, flow: Flow) -> str:
        """The URI at which we are reached over this flow."""
        host, port = self.address(flow.transport, flow)
        parameter = "" if flow.transport == "udp" else f";transport={flow.transport}"
        return f"sip:{user}@{host}:{port}{parameter}" if user else f"sip:{host}:{port}{parameter}"

    # ── sending ─────────────────────────────────────────────────────────────────────────
    def new_request(
        self, method: str, uri: str, *, from_uri: str, to_uri: str, from_name: str = ""
    ) -> Request:
        """A request outside any dialog (§8.1.1), still without Via."""
        request = Request(method, uri)
        request.set("from", address_value(from_uri, from_name, secrets.token_hex(6)))
        request.set("to", address_value(to_uri))
        request.set("call-id", secrets.token_hex(12))
        request.set("cseq", "1 " + method)
        request.set("max-forwards", "70")
        request.set("user-agent", USER_AGENT)
        return request

    def send(self, request: Request, flow: Flow, on_response: ResponseHandler) -> ClientTransaction:
        """Start a client transaction; the Via is put on here."""
        self.stamp(request, flow)
        self.on_message(True, request, flow)
        return self.transactions.begin_client(request, flow, on_response)

    def send_ack(self, ack: Request, flow: Flow) -> None:
        """Send the ACK of a 2xx, which is no transaction."""
        self.stamp(ack, flow)
        self.on_message(True, ack, flow)
        flow.send(ack.encode())

    def stamp(self, request: Request, flow: Flow) -> None:
        """Put our Via with a new branch on a request."""
        host, port = self.address(flow.transport, flow)
        name = flow.transport.upper()
        request.set("via", f"SIP/2.0/{name} {host}:{port};rport;branch={new_branch()}")

    async def request(
        self, request: Request, flow: Flow, credentials: DigestClient | None = None
    ) -> Response:
        """Send a non-INVITE request, answer one challenge, and give the final response."""
        for attempt in range(3):
            done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

            def on_response(response: Response, done: asyncio.Future[Response] = done) -> None:
                if response.status >= 200 and not done.done():
                    done.set_result(response)

            self.send(request, flow, on_response)
            response = await done
            challenged = response.status in (401, 407) and credentials is not None
            if not challenged or attempt == 2:
                break
            assert credentials is not None
            if not credentials.authorise(request, response):
                break
            request.set("cseq", f"{request.cseq.sequence + 1} {request.method}")
        return response

    async def flow_to(
        self,
        uri: URI,
        tls: ssl.SSLContext | None = None,
        address: Address | None = None,
    ) -> Flow:
        """A flow towards a URI (or, when given, an address); raises OSError."""
        transport: Transport = "udp"
        wanted = (uri.parameters.get("transport") or "").lower()
        if wanted in ("tcp", "tls", "udp"):
            transport = wanted  # type: ignore[assignment]  # narrowed by the test before it
        if uri.scheme == "sips":
            transport = "tls"
        if address is None:
            port = uri.port or (5061 if transport == "tls" else 5060)
            address = (uri.host.strip("[]"), port)
        return await self.transports.flow_to(transport, address, tls, uri.host)

    # ── dialogs ─────────────────────────────────────────────────────────────────────────
    def add_dialog(self, call_id: str, local_tag: str, dialog: DialogUser) -> None:
        """Requests with this Call-ID and To tag go to `dialog` from now on."""
        self._dialogs[call_id, local_tag] = dialog

    def remove_dialog(self, call_id: str, local_tag: str) -> None:
        self._dialogs.pop((call_id, local_tag), None)

    @property
    def dialogs(self) -> int:
        """How many dialogs are open."""
        return len(self._dialogs)

    # ── receiving ───────────────────────────────────────────────────────────────────────
    def _on_data(self, data: bytes, flow: Flow) -> None:
        try:
            message = parse_message(data)
        except ParseError as error:
            self.malformed += 1
            self._refuse_malformed(error, flow)
            return
        try:
            if isinstance(message, Response):
                self._on_response(message, flow)
            else:
                self._on_request(message, flow)
        except ParseError as error:  # a header that is only read when needed
            self.malformed += 1
            error.message = message
            self._refuse_malformed(error, flow)

    def _refuse_malformed(self, error: ParseError, flow: Flow) -> None:
        """400 where there is a Via to answer to, and nothing for the rest (RFC 4475 §3)."""
        request = error.message
        if not isinstance(request, Request) or request.method == "ACK":
            return
        try:
            self._note_source(request, flow)
        except ParseError:
            return
        if self.user.admits(request, flow):
            # str(error) is ours and constant: nothing of the message is echoed in it.
            response = request.response(400, f"Bad Request - {error}", secrets.token_hex(6))
            self._reply_flow(request, flow).send(response.encode())

    def _on_response(self, response: Response, flow: Flow) -> None:
        transaction = self.transactions.find_client(response)
        if transaction is not None:
            self.on_message(False, response, flow)
            transaction.receive(response)

    def _on_request(self, request: Request, flow: Flow) -> None:
        self._note_source(request, flow)
        known = self.transactions.find_server(request)
        if known is not None and _answers_challenge(request, known):
            known.terminate()
            known = None
        if known is not None:
            self.on_message(False, request, flow)
            if request.method == "ACK" and isinstance(known, InviteServerTransaction):
                known.acknowledged()
                dialog = self._dialogs.get((request.call_id, request.to_tag))
                if dialog is not None:
                    dialog.on_ack(request)
            else:
                known.receive_again()
            return
        dialog = self._dialogs.get((request.call_id, request.to_tag)) if request.to_tag else None
        if request.method == "ACK":
            if dialog is not None:
                self.on_message(False, request, flow)
                dialog.on_ack(request)
            return
        if dialog is None and not self.user.admits(request, flow):
            return
        transaction = self.transactions.begin_server(request, self._reply_flow(request, flow))
        if transaction is None:
            busy = request.response(503, to_tag=secrets.token_hex(6))
            busy.set("retry-after", "10")
            self._reply_flow(request, flow).send(busy.encode())
            return
        transaction.on_send = lambda response: self.on_message(True, response, transaction.flow)
        self.on_message(False, request, flow)
        if request.method == "CANCEL":
            self._on_cancel(transaction)
        elif dialog is not None:
            dialog.on_dialog_request(transaction)
        elif request.to_tag and request.method != "REGISTER":
            transaction.reply(481)
        else:
            self.user.on_request(transaction)

    def _on_cancel(self, cancel: ServerTransaction) -> None:
        invite = self.transactions.find_cancelled(cancel.request)
        if invite is None:
            cancel.reply(481)
            return
        cancel.reply(200)
        if not invite.answered:
            invite.on_cancel()

    def _note_source(self, request: Request, flow: Flow) -> None:
        """Write `received` and `rport` into the top Via (§18.2.1, RFC 3581 §4)."""
        via = request.via
        parameters = via.parameters
        host, port = flow.remote
        if via.host == host and "rport" not in parameters:
            return
        changes: dict[str, str | None] = {"received": host}
        if "rport" in parameters:
            changes["rport"] = str(port)
        rest = request.elements("via")[1:]
        noted = Via(via.transport, via.host, via.port, parameters.replace(**changes))
        request.set("via", [str(noted), *rest])

    def _reply_flow(self, request: Request, flow: Flow) -> Flow:
        """Where responses go (§18.2.2): back to the source, unless a UDP peer without rport
        names another port."""
        if flow.reliable:
            return flow
        via = request.via
        if via.parameters.get("rport"):
            return flow
        return self.transports.udp_flow((flow.remote[0], via.port or 5060))

    def _on_flow_closed(self, flow: Flow) -> None:
        self.transactions.flow_closed(flow)
        self.on_flow_closed(flow)

    async def close(self) -> None:
        """Forget transactions and close sockets."""
        self.transactions.close()
        await self.transports.close()


def _answers_challenge(request: Request, known: ServerTransaction) -> bool:
    """A repeated INVITE that now carries credentials is a new one, though some phones (PyVoIP)
    forget to give it a branch of its own."""
    return (
        request.method == "INVITE"
        and known.answered
        and "authorization" in request
        and "authorization" not in known.request
    )
