"""One SIP endpoint: sockets, transactions and dialogs, and the sorting of what arrives.

A `User` above it (the exchange, a trunk's carrier, a phone) gets requests that belong to no
dialog yet; requests inside a dialog go to that dialog's `Session`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
import socket
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from sipmessage import URI

from pbx.about import about
from pbx.nat import PublicAddress
from pbx.sip import stun
from pbx.sip.digest import DigestClient
from pbx.sip.message import (
    ParseError,
    Request,
    Response,
    address_value,
    has_tag,
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
from pbx.sip.transport import Address, Flow, Transport, Transports, bracketed

log = logging.getLogger(__name__)

USER_AGENT = "EncryptoTel"
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, REFER"
SUPPORTED = "100rel, timer"
"Extensions of calls; the registrar knows some more."
MAX_SERVER_TRANSACTIONS = 20_000
MAX_CHALLENGES = 2
"Times a request is repeated with credentials before giving up."

_RECEIVED = re.compile(r"\s*;\s*received\s*=\s*[^;,\s]*", re.IGNORECASE)
_RPORT = re.compile(r"\s*;\s*rport\b(?:\s*=\s*[^;,\s]*)?", re.IGNORECASE)


class User(Protocol):
    """Whoever the stack belongs to."""

    def on_request(self, incoming: Incoming) -> None:
        """A request outside any dialog: `refuse` it, or `accept` it and answer."""


class Incoming:
    """A request outside any dialog that nothing has been spent on yet.

    A refusal is stateless (RFC 3261 §8.2.7): a stranger's request leaves no transaction, no
    timer and no memory behind.
    """

    def __init__(self, stack: Stack, request: Request, flow: Flow) -> None:
        self.request = request
        self.flow = flow
        self._stack = stack

    def refuse(self, response: Response) -> None:
        """Send a final response and forget the request. A repeat gets an equal answer."""
        if not has_tag(response.get("to")):
            response.set(
                "to", f"{response.get('to')};tag={self._stack.stateless_tag(self.request)}"
            )
        self._stack.on_stray(True, response, self.flow)
        self._stack.reply_flow(self.request, self.flow).send(response.encode())

    def refuse_with(self, status: int, **headers: str) -> None:
        """Refuse with a status alone; `retry_after="5"` becomes `Retry-After: 5`."""
        response = self.request.response(status)
        for name, value in headers.items():
            response.set(name.replace("_", "-"), value)
        self.refuse(response)

    def accept(self) -> ServerTransaction | None:
        """Begin a transaction. None when there are too many: it was answered 503 then."""
        stack = self._stack
        flow = stack.reply_flow(self.request, self.flow)
        transaction = stack.transactions.begin_server(self.request, flow)
        if transaction is None:
            self.refuse_with(503, retry_after="10")
            return None
        transaction.on_send = lambda response: stack.on_message(True, response, flow)
        return transaction


class DialogUser(Protocol):
    """A dialog, as the stack sees it."""

    def on_dialog_request(self, transaction: ServerTransaction) -> None:
        """A request inside the dialog."""

    def on_ack(self, ack: Request) -> None:
        """The ACK of a 2xx, which belongs to no transaction."""

    def is_peer(self, flow: Flow) -> bool:
        """Whether a message from there may speak for the other side: tags can be overheard."""


MessageHook = Callable[[bool, Request | Response, Flow], None]
"Called with (sent, message, flow) for every message, for call ladders."


def _renumber(request: Request) -> None:
    request.set("cseq", f"{request.cseq.sequence + 1} {request.method}")


class Stack:
    """SIP for one `User`. `advertised` is the host written into Via and Contact."""

    def __init__(self, user: User, *, advertise: str = "", timers: Timers | None = None) -> None:
        self.user = user
        self.advertise = advertise
        self.public: PublicAddress | None = None
        "What peers outside are told instead, where a NAT is between us."
        self.timers = timers or Timers()
        self.transports = Transports(self._on_data, self._on_flow_closed)
        self.transactions = Transactions(self.timers, MAX_SERVER_TRANSACTIONS)
        self.on_message: MessageHook = lambda sent, message, flow: None
        self.on_stray: MessageHook = lambda sent, message, flow: None
        "The same for messages that belong to no dialog, or not yet."
        self.whose: Callable[[str], str] = lambda call_id: ""
        "The call that messages with a Call-ID are about, for the log; empty for none."
        self.on_flow_closed: Callable[[Flow], None] = lambda flow: None
        self._tag_key = secrets.token_bytes(16)
        self._dialogs: dict[tuple[str, str], DialogUser] = {}
        self.malformed = 0
        "Messages refused by the parser since start."

    # ── addresses ───────────────────────────────────────────────────────────────────────
    def address(self, transport: Transport, flow: Flow | None = None) -> Address:
        """Our address as peers should see it on a transport."""
        listening = self.transports.listening.get(transport)
        local = listening or (flow.local if flow else ("127.0.0.1", 0))
        if flow is not None:
            port = self.public.port_towards(flow, local[1]) if self.public else local[1]
            return self.host_towards(flow), port
        return self.advertise or local[0], local[1]

    def host_towards(self, flow: Flow, behind: str = "") -> str:
        """The host of ours that the peer of a flow can reach, or who is `behind` that proxy: the
        advertised one, or where that is of the other address family the one the machine would
        use."""
        public = self.public.towards(flow, behind) if self.public else ""
        if public:
            return public
        advertised = self.advertise
        if advertised and (":" in advertised) == (":" in flow.remote[0]):
            return advertised
        local = flow.local[0]
        anywhere = local in ("0.0.0.0", "::")  # noqa: S104  # compared, not bound
        same_family = (":" in local) == (":" in flow.remote[0])
        return local if same_family and not anywhere else address_towards(flow.remote[0])

    def contact(self, user: str, flow: Flow) -> str:
        """The URI at which we are reached over this flow."""
        host, port = self.address(flow.transport, flow)
        parameter = "" if flow.transport == "udp" else f";transport={flow.transport}"
        at = f"{user}@" if user else ""
        return f"sip:{at}{bracketed(host)}:{port}{parameter}"

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
        request.set("via", f"SIP/2.0/{name} {bracketed(host)}:{port};rport;branch={new_branch()}")

    async def request(
        self,
        request: Request,
        flow: Flow,
        credentials: DigestClient | None = None,
        *,
        renumber: Callable[[Request], None] = _renumber,
        on_success: Callable[[Response], None] = lambda _: None,
    ) -> Response:
        """Send a request, answer challenges, and give the final response.

        `renumber` sets the CSeq of a repeat; `on_success` gets every 2xx, of which an INVITE
        may bring several that each want an ACK.
        """
        for attempt in range(MAX_CHALLENGES + 1):
            done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

            def on_response(response: Response, done: asyncio.Future[Response] = done) -> None:
                if 200 <= response.status < 300:
                    on_success(response)
                if response.status >= 200 and not done.done():
                    done.set_result(response)

            self.send(request, flow, on_response)
            response = await done
            challenged = response.status in (401, 407) and credentials is not None
            if not challenged or attempt == MAX_CHALLENGES:
                break
            assert credentials is not None
            if not credentials.authorise(request, response):
                break
            renumber(request)
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

    def dialog(self, call_id: str, local_tag: str) -> DialogUser | None:
        """The dialog of that name, if there is one."""
        return self._dialogs.get((call_id, local_tag))

    def is_ours(self, request: Request) -> bool:
        """Whether a request outside any dialog is one we sent, that somebody sent back."""
        return (request.call_id, request.from_tag) in self._dialogs

    @property
    def dialogs(self) -> int:
        """How many dialogs are open."""
        return len(self._dialogs)

    # ── receiving ───────────────────────────────────────────────────────────────────────
    def _on_data(self, data: bytes, flow: Flow) -> None:
        if stun.is_stun(data):
            self._on_stun(data, flow)
            return
        message: Request | Response | None = None
        try:
            message = parse_message(data)
            with about(self.whose(message.call_id)):
                if isinstance(message, Response):
                    self._on_response(message, flow)
                else:
                    self._on_request(message, flow)
        except ParseError as error:  # also of a header that is only read when needed
            self.malformed += 1
            self._refuse_malformed(error, error.message or message, flow)
            if error.lost and flow.reliable:
                flow.close()  # what follows is no start of a message (RFC 4475 §3.1.2.3)
        except Exception:
            # The last line: whatever a message does to us, the next one must be heard.
            self.malformed += 1
            if self.malformed % 100 == 1:
                with about(self.whose(message.call_id) if message is not None else ""):
                    log.exception("a message from %s failed (%d so far)", flow, self.malformed)

    def _on_stun(self, data: bytes, flow: Flow) -> None:
        """A phone keeps its way through a NAT open (RFC 5626 §4.4.2), or a STUN server answers."""
        answer = stun.answer(data, flow.remote) if not flow.reliable else None
        if answer is not None:
            flow.send(answer)
        elif self.public is not None:
            self.public.take(data, flow.remote)

    def _refuse_malformed(self, error: ParseError, request: object, flow: Flow) -> None:
        """400, or what the error says, where there is a Via to copy, and nothing for the rest
        (RFC 4475 §3)."""
        if not isinstance(request, Request) or request.method == "ACK" or "via" not in request:
            return
        try:
            self._note_source(request, flow)
            back = self.reply_flow(request, flow)
        except ParseError:  # a Via that cannot be read: back to where it came from
            back = flow
        # The reason is ours and constant: nothing of the message is echoed in it.
        reason = f"Bad Request - {error}" if error.status == 400 else ""
        response = request.response(error.status, reason, self.stateless_tag(request))
        back.send(response.encode())

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
                known.on_ack(request)  # it is the INVITE's, whatever tags it bears (PyVoIP)
            else:
                known.receive_again()
            return
        dialog = self._dialogs.get((request.call_id, request.to_tag)) if request.to_tag else None
        if request.method == "ACK":
            if dialog is None:
                self.on_stray(False, request, flow)
            elif dialog.is_peer(flow):
                self.on_message(False, request, flow)
                dialog.on_ack(request)
            return
        incoming = Incoming(self, request, flow)
        if request.method == "CANCEL":
            self._on_cancel(incoming)
        elif dialog is not None and dialog.is_peer(flow):
            self.on_message(False, request, flow)
            transaction = incoming.accept()
            if transaction is not None:
                dialog.on_dialog_request(transaction)
        elif request.to_tag and request.method != "REGISTER":
            incoming.refuse_with(481)
        else:
            self.on_stray(False, request, flow)
            self.user.on_request(incoming)

    def _on_cancel(self, incoming: Incoming) -> None:
        """Only whoever sent the INVITE may take it back."""
        invite = self.transactions.find_cancelled(incoming.request)
        if invite is None or invite.flow.remote[0] != incoming.flow.remote[0]:
            incoming.refuse_with(481)
            return
        self.on_message(False, incoming.request, incoming.flow)
        cancel = incoming.accept()
        if cancel is None:
            return
        cancel.local_tag = invite.local_tag  # §9.2
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
        # In the text as it came: what a peer wrote must return to it letter by letter.
        top, *rest = request.elements("via")
        top = _RECEIVED.sub("", top) + f";received={host}"
        if "rport" in parameters:
            top = _RPORT.sub(f";rport={port}", top)
        request.set("via", [top, *rest])

    def stateless_tag(self, request: Request) -> str:
        """A To tag that a repeat of the request gets again (§8.2.7)."""
        about = f"{request.call_id} {request.get('via')}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(about, key=self._tag_key, digest_size=6).hexdigest()

    def reply_flow(self, request: Request, flow: Flow) -> Flow:
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


@lru_cache(1024)
def address_towards(host: str) -> str:
    """The address of this machine that packets to `host` leave from. Nothing is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(probe.getsockname()[0])


def _answers_challenge(request: Request, known: ServerTransaction) -> bool:
    """A repeated INVITE that now carries credentials is a new one, though some phones (PyVoIP)
    forget to give it a branch of its own."""
    return (
        request.method == "INVITE"
        and known.answered
        and "authorization" in request
        and "authorization" not in known.request
    )
