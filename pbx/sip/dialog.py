"""What one side knows of the other between requests (RFC 3261 §12): tags, target, route set and
sequence numbers. An INVITE that forks opens several; a `Session` keeps one for each far side."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from pbx.sip.message import ParseError, Request, Response, bare_uri, checked, parse_uri
from pbx.sip.transport import Flow

if TYPE_CHECKING:
    from pbx.sip.stack import Stack


class Dialog:
    """One dialog over one flow.

    `direct` follows the peer's Contact and routes, as between servers; without it everything
    goes through the flow, as to phones behind NAT.
    """

    def __init__(
        self,
        stack: Stack,
        flow: Flow,
        *,
        call_id: str,
        local_tag: str,
        local: str,
        remote: str,
        contact: str,
        sequence: int,
        direct: bool,
    ) -> None:
        self.flow = flow
        self.call_id = call_id
        self.local_tag = local_tag
        self.local = local
        self.remote = remote
        self.remote_tag = ""
        self.contact = contact
        self.target = ""
        self.routes: list[str] = []
        self.sequence = sequence
        "CSeq of our last request."
        self.allows_update = False
        self.reliable_sequence = -1
        "RSeq of the peer's last reliable provisional response (RFC 3262 §4)."
        self.early_body = b""
        "The SDP its provisional responses brought."
        self._stack = stack
        self._direct = direct
        self._remote_sequence = -1

    # ── what is learned from messages ───────────────────────────────────────────────────
    def opened_by(self, request: Request) -> None:
        """An INVITE of the peer opens it (§12.1.1). Raises `ParseError` without a Contact."""
        self.remote_tag = request.from_tag
        self._route_over(request.elements("record-route"))
        self._remote_sequence = request.cseq.sequence
        self.learn(request)
        if not self.target:
            raise ParseError("missing contact", request)

    def opened_with(self, response: Response) -> Dialog:
        """A dialog like this one with whoever sent a response (§12.1.2)."""
        dialog = Dialog(
            self._stack,
            self.flow,
            call_id=self.call_id,
            local_tag=self.local_tag,
            local=self.local,
            remote=response.get("to"),
            contact=self.contact,
            sequence=self.sequence,
            direct=self._direct,
        )
        dialog.target = self.target
        dialog.confirmed_by(response)
        return dialog

    def confirmed_by(self, response: Response) -> None:
        """The route set and target of an answer replace those of the early dialog (§13.2.2.4)."""
        self.remote_tag = response.to_tag
        self.remote = response.get("to")
        self._route_over(response.elements("record-route")[::-1])
        self.learn(response)

    def _route_over(self, routes: list[str]) -> None:
        for route in routes:
            checked(parse_uri, bare_uri(route), "record-route")
        self.routes = routes

    def learn(self, message: Request | Response) -> None:
        """Take the peer's Contact, exactly as written, and what it allows. A Contact that
        cannot be used raises `ParseError` and changes nothing."""
        contacts = message.elements("contact")
        if contacts:
            target = bare_uri(contacts[0])
            if target != self.target:
                checked(parse_uri, target, "contact")
                self.target = target
        if "allow" in message:
            allowed = ",".join(message.get_all("allow")).upper()
            self.allows_update = "UPDATE" in allowed

    def in_order(self, request: Request) -> bool:
        """Whether a request of the peer is newer than its last (§12.2.2); notes it if so."""
        if request.cseq.sequence <= self._remote_sequence:
            return False
        self._remote_sequence = request.cseq.sequence
        return True

    def is_peer(self, flow: Flow) -> bool:
        """From the address the dialog was set up with; between servers also from those in the
        Contact and the routes, or anywhere when these are names."""
        host = flow.remote[0]
        if host == self.flow.remote[0]:
            return True
        if not self._direct:
            return False
        hosts = [
            parse_uri(bare_uri(uri)).host.strip("[]") for uri in (*self.routes, self.target) if uri
        ]
        return host in hosts or not all(_is_address(name) for name in hosts)

    # ── what we send ────────────────────────────────────────────────────────────────────
    def request(self, method: str, sequence: int | None = None) -> Request:
        """A request inside the dialog (§12.2.1.1), numbered next or, for ACK, as told."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        uri, routes = self.target, self.routes
        if routes and ";lr" not in routes[0].lower():  # a strict router of old
            uri, routes = bare_uri(routes[0]), [*routes[1:], f"<{self.target}>"]
        request = Request(method, uri)
        request.set("max-forwards", "70")
        request.set("from", self.local)
        request.set("to", self.remote)
        request.set("call-id", self.call_id)
        request.set("cseq", f"{sequence} {method}")
        request.set("route", routes)
        return request

    def renumber(self, request: Request) -> None:
        """Give a request that is sent again, with credentials, a number of its own."""
        self.sequence += 1
        request.set("cseq", f"{self.sequence} {request.method}")

    def next_hop(self) -> Flow:
        """Where requests go: through the flow, or between servers to the first route or the
        Contact."""
        if not self._direct or self.flow.reliable:
            return self.flow
        try:
            uri = checked(
                parse_uri, bare_uri(self.routes[0] if self.routes else self.target), "route"
            )
            host = ipaddress.ip_address(uri.host.strip("[]"))
        except ValueError:
            return self.flow
        return self._stack.transports.udp_flow((str(host), uri.port or 5060))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
