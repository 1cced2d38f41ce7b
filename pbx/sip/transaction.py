"""The four transaction machines of RFC 3261 §17, with the corrections of RFC 6026.

A transaction repeats what an unreliable transport may lose and swallows what it duplicates, so
that dialogs above see each request and each response once. Timers are loop timers and carry
their letters from RFC 3261 table 4.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from enum import Enum, auto

from pbx.sip.message import Request, Response
from pbx.sip.transport import Flow

MAGIC_COOKIE = "z9hG4bK"


class Timers:
    """RFC 3261 §17.1.1.1, in seconds. One object a stack, so a test can run a faster clock."""

    def __init__(self, t1: float = 0.5, t2: float = 4.0, t4: float = 5.0) -> None:
        self.t1 = t1
        self.t2 = t2
        self.t4 = t4

    @property
    def timeout(self) -> float:
        """64 × T1: how long a transaction is tried (timers B, F, H, J, L, M)."""
        return 64 * self.t1


LOCAL = "local"
"The To tag of a final response that nobody sent: time is over, or the connection broke."


class State(Enum):
    """States of RFC 3261 figures 5 to 8, and RFC 6026's Accepted."""

    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    ACCEPTED = auto()
    TERMINATED = auto()


def new_branch() -> str:
    """A Via branch nobody can guess (RFC 3261 §8.1.1.7)."""
    return MAGIC_COOKIE + secrets.token_hex(10)


def client_key(response: Response) -> str:
    """Which client transaction a response belongs to (§17.1.3)."""
    return f"{response.via.parameters.get('branch')} {response.cseq.method}"


def server_key(request: Request) -> str:
    """Which server transaction a request belongs to (§17.2.3), older peers included."""
    via = request.via
    method = "INVITE" if request.method == "ACK" else request.method
    branch = via.parameters.get("branch") or ""
    if branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE):
        return f"{branch} {via.host}:{via.port} {method}"
    cseq = request.cseq.sequence
    return f"{request.call_id} {cseq} {request.from_tag} {via.host}:{via.port} {method}"


class Transaction:
    """What all four machines share: a key, a flow, a state and timers that die with it."""

    def __init__(self, key: str, request: Request, flow: Flow, timers: Timers) -> None:
        self.key = key
        self.request = request
        self.flow = flow
        self.timers = timers
        self.state = State.TERMINATED
        self.on_terminated: Callable[[Transaction], object] = lambda _: None
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def _repeat(self, data: bytes, interval: float, ceiling: float) -> None:
        """Send again after `interval`, then after twice as long, up to `ceiling`."""
        if self.flow.reliable:
            return
        self._stop_repeating()

        def again() -> None:
            self.flow.send(data)
            doubled = ceiling if self.state is State.PROCEEDING else interval * 2
            self._repeat(data, min(doubled, ceiling), ceiling)

        self._retry = self._loop.call_later(interval, again)

    def _stop_repeating(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _expire(self, seconds: float, then: Callable[[], None]) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self._loop.call_later(seconds, then)

    def terminate(self) -> None:
        """Leave the table; nothing is sent or reported any more."""
        if self.state is State.TERMINATED:
            return
        self.state = State.TERMINATED
        self._stop_repeating()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self.on_terminated(self)
        self._let_go()

    def _let_go(self) -> None:
        """Forget whom to tell: they know the transaction, and what refers in a circle stays in
        memory until the garbage collector comes by."""
        self.on_terminated = lambda _: None

    def _linger(self, unreliable_seconds: float) -> None:
        """Stay to absorb duplicates, which a reliable transport does not make."""
        if self.flow.reliable:
            self.terminate()
        else:
            self._expire(unreliable_seconds, self.terminate)


ResponseHandler = Callable[[Response], None]


class ClientTransaction(Transaction):
    """A request of ours (§17.1). `on_response` gets each response, and 408 or 503 made here
    when none came in time or the connection broke."""

    def __init__(
        self, request: Request, flow: Flow, timers: Timers, on_response: ResponseHandler
    ) -> None:
        branch = request.via.parameters.get("branch")
        super().__init__(f"{branch} {request.method}", request, flow, timers)
        self.on_response = on_response

    def start(self) -> None:
        """Put the request on the wire."""
        raise TypeError("use an Invite- or NonInvite-ClientTransaction")

    def receive(self, response: Response) -> None:
        """A response that matches this transaction."""
        raise TypeError("use an Invite- or NonInvite-ClientTransaction")

    def transport_failed(self) -> None:
        """The connection broke: nobody will answer (§17.1.4)."""
        if self.state in (State.CALLING, State.TRYING, State.PROCEEDING):
            self._give_up(503)

    def _give_up(self, status: int) -> None:
        tell = self.on_response
        self.terminate()
        tell(self.request.response(status, to_tag=LOCAL))

    def _let_go(self) -> None:
        super()._let_go()
        self.on_response = lambda _: None


class InviteClientTransaction(ClientTransaction):
    """§17.1.1 with RFC 6026 §7.2 (Accepted)."""

    def start(self) -> None:
        self.state = State.CALLING
        data = self.request.encode()
        self.flow.send(data)
        self._repeat(data, self.timers.t1, self.timers.timeout)  # timer A
        self._expire(self.timers.timeout, lambda: self._give_up(408))  # timer B

    def receive(self, response: Response) -> None:
        status = response.status
        if self.state is State.COMPLETED:
            if status >= 300:
                self._acknowledge(response)
            return
        if self.state is State.ACCEPTED:
            if status // 100 == 2:
                self.on_response(response)
            return
        tell = self.on_response  # kept: over a reliable transport a final answer is the end
        self._stop_repeating()
        if status < 200:
            if self.state is State.CALLING:
                self.state = State.PROCEEDING
                if self._expiry is not None:
                    self._expiry.cancel()
        elif status < 300:
            self.state = State.ACCEPTED
            self._expire(self.timers.timeout, self.terminate)  # timer M
        else:
            self.state = State.COMPLETED
            self._acknowledge(response)
            self._linger(self.timers.timeout)  # timer D: as long as the peer may repeat
        tell(response)

    def abandon(self, after: float) -> None:
        """The caller sent CANCEL: if no final answer comes in time, stop waiting (§9.1)."""
        if self.state in (State.CALLING, State.PROCEEDING):
            self._expire(after, lambda: self._give_up(487))

    def _acknowledge(self, response: Response) -> None:
        """ACK for a non-2xx response belongs to the transaction (§17.1.1.3)."""
        ack = Request("ACK", self.request.uri)
        for name in ("from", "call-id", "route", "max-forwards"):
            ack.copy_header(name, self.request)
        ack.set("via", self.request.get("via"))
        ack.copy_header("to", response)
        ack.set("cseq", f"{self.request.cseq.sequence} ACK")
        self.flow.send(ack.encode())


class NonInviteClientTransaction(ClientTransaction):
    """§17.1.2."""

    def start(self) -> None:
        self.state = State.TRYING
        data = self.request.encode()
        self.flow.send(data)
        self._repeat(data, self.timers.t1, self.timers.t2)  # timer E
        self._expire(self.timers.timeout, lambda: self._give_up(408))  # timer F

    def receive(self, response: Response) -> None:
        if self.state is State.COMPLETED:
            return
        tell = self.on_response
        if response.status < 200:
            self.state = State.PROCEEDING  # timer E goes on, from then on every T2
        else:
            self._stop_repeating()
            self.state = State.COMPLETED
            self._linger(self.timers.t4)  # timer K
        tell(response)


class ServerTransaction(Transaction):
    """A request of a peer (§17.2). The user above answers with `respond`."""

    def __init__(self, request: Request, flow: Flow, timers: Timers) -> None:
        super().__init__(server_key(request), request, flow, timers)
        self.local_tag = secrets.token_hex(6)
        self.on_send: Callable[[Response], None] = lambda _: None
        self._last: bytes = b""

    def respond(self, response: Response) -> None:
        """Send a response; after a final one nothing more may be sent."""
        raise TypeError("use an Invite- or NonInvite-ServerTransaction")

    def reply(self, status: int, reason: str = "", **headers: str) -> Response:
        """Answer without a body; `retry_after="5"` becomes `Retry-After: 5`."""
        response = self.request.response(status, reason, self.local_tag if status > 100 else "")
        for name, value in headers.items():
            response.set(name.replace("_", "-"), value)
        self.respond(response)
        return response

    def receive_again(self) -> None:
        """The request was repeated: so is the last answer."""
        if self._last and self.state in (State.PROCEEDING, State.COMPLETED):
            self.flow.send(self._last)

    @property
    def answered(self) -> bool:
        """A final response was sent."""
        return self.state not in (State.TRYING, State.PROCEEDING)

    def _let_go(self) -> None:
        super()._let_go()
        self.on_send = lambda _: None

    def _note(self, response: Response) -> None:
        """Keep a response for repeats. It is sent last, when the state and its timers stand,
        whatever the socket says."""
        self.on_send(response)
        self._last = response.encode()


class InviteServerTransaction(ServerTransaction):
    """§17.2.1 with RFC 6026 §7.1 (Accepted)."""

    def __init__(self, request: Request, flow: Flow, timers: Timers) -> None:
        super().__init__(request, flow, timers)
        self.state = State.PROCEEDING
        self.on_cancel: Callable[[], None] = lambda: None
        self.on_ack: Callable[[Request], None] = lambda ack: None
        "An ACK came with the branch of the INVITE."
        self.on_no_ack: Callable[[], None] = lambda: None
        "A final response was never acknowledged (timer H, or 64 × T1 after a 2xx)."

    def respond(self, response: Response) -> None:
        if self.state is not State.PROCEEDING:
            return
        self._note(response)
        if response.status < 200:
            pass
        elif response.status < 300:
            self.state = State.ACCEPTED
            # Only an ACK end to end confirms a 2xx, so it is repeated whatever the transport
            # (§13.3.1.4); `acknowledged` stops it.
            self._repeat_success(self.timers.t1)
            self._expire(self.timers.timeout, self._unconfirmed)  # timer L
        else:
            self.state = State.COMPLETED
            self._repeat(self._last, self.timers.t1, self.timers.t2)  # timer G
            self._expire(self.timers.timeout, self._unconfirmed)  # timer H
        self.flow.send(self._last)

    def _let_go(self) -> None:
        super()._let_go()
        self.on_cancel = self.on_no_ack = lambda: None
        self.on_ack = lambda ack: None

    def _repeat_success(self, interval: float) -> None:
        def again() -> None:
            self.flow.send(self._last)
            self._repeat_success(min(interval * 2, self.timers.t2))

        self._retry = self._loop.call_later(interval, again)

    def acknowledged(self) -> None:
        """The ACK arrived."""
        self._stop_repeating()
        if self.state is State.COMPLETED:
            self.state = State.CONFIRMED
            self._linger(self.timers.t4)  # timer I
        elif self.state is State.ACCEPTED:
            self._expire(self.timers.timeout, self.terminate)

    def _unconfirmed(self) -> None:
        tell = self.on_no_ack
        self.terminate()
        tell()


class NonInviteServerTransaction(ServerTransaction):
    """§17.2.2."""

    def __init__(self, request: Request, flow: Flow, timers: Timers) -> None:
        super().__init__(request, flow, timers)
        self.state = State.TRYING

    def respond(self, response: Response) -> None:
        if self.state not in (State.TRYING, State.PROCEEDING):
            return
        self._note(response)
        if response.status < 200:
            self.state = State.PROCEEDING
        else:
            self.state = State.COMPLETED
            self._linger(self.timers.timeout)  # timer J
            # For half a minute only the answer is needed: phones come in thousands.
            self.request = Request(self.request.method, "")
            self.on_send = lambda _: None
        self.flow.send(self._last)


def _origin(request: Request) -> tuple[str, str, str]:
    """What stays the same however a request was forked on its way."""
    return request.call_id, request.from_tag, request.get("cseq")


class Transactions:
    """Every live transaction of a stack, by key."""

    def __init__(self, timers: Timers, limit: int) -> None:
        self.timers = timers
        self.limit = limit
        self._clients: dict[str, ClientTransaction] = {}
        self._servers: dict[str, ServerTransaction] = {}
        self._invites: dict[tuple[str, str, str], ServerTransaction] = {}
        self._waiting: dict[Flow, dict[str, ClientTransaction]] = {}
        "Client transactions by their connection."

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def begin_client(
        self, request: Request, flow: Flow, on_response: ResponseHandler
    ) -> ClientTransaction:
        """Send a request that already carries its Via."""
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        transaction = kind(request, flow, self.timers, on_response)
        self._clients[transaction.key] = transaction
        transaction.on_terminated = self._end_client
        if flow.reliable:
            self._waiting.setdefault(flow, {})[transaction.key] = transaction
        transaction.start()
        if flow.closed:
            asyncio.get_running_loop().call_soon(transaction.transport_failed)
        return transaction

    def begin_server(self, request: Request, flow: Flow) -> ServerTransaction | None:
        """Note a new request; None when the table is full."""
        if len(self._servers) >= self.limit:
            return None
        kind = InviteServerTransaction if request.method == "INVITE" else NonInviteServerTransaction
        transaction = kind(request, flow, self.timers)
        self._servers[transaction.key] = transaction
        transaction.on_terminated = self._forget_server
        if request.method == "INVITE" and not request.to_tag:
            self._invites[_origin(request)] = transaction
        return transaction

    def _forget_server(self, transaction: Transaction) -> None:
        self._servers.pop(transaction.key, None)
        if transaction.request.method == "INVITE":
            origin = _origin(transaction.request)
            if self._invites.get(origin) is transaction:
                del self._invites[origin]

    def is_merged(self, invite: Request) -> bool:
        """Whether an INVITE came before under another branch: it forked on its way here
        (§8.2.2.2)."""
        known = self._invites.get(_origin(invite))
        return known is not None and known.key != server_key(invite)

    def find_client(self, response: Response) -> ClientTransaction | None:
        return self._clients.get(client_key(response))

    def find_server(self, request: Request) -> ServerTransaction | None:
        return self._servers.get(server_key(request))

    def knows(self, key: str) -> bool:
        """Whether a request with this `server_key` is being worked on."""
        return key in self._servers

    def find_cancelled(self, cancel: Request) -> InviteServerTransaction | None:
        """The INVITE a CANCEL is about (§9.2): same branch, other method."""
        key = server_key(cancel).removesuffix("CANCEL") + "INVITE"
        found = self._servers.get(key)
        return found if isinstance(found, InviteServerTransaction) else None

    def flow_closed(self, flow: Flow) -> None:
        """A connection broke: requests waiting on it will not be answered."""
        for transaction in list(self._waiting.get(flow, {}).values()):
            transaction.transport_failed()

    def _end_client(self, transaction: Transaction) -> None:
        self._clients.pop(transaction.key, None)
        waiting = self._waiting.get(transaction.flow)
        if waiting is not None:
            waiting.pop(transaction.key, None)
            if not waiting:
                del self._waiting[transaction.flow]

    def close(self) -> None:
        """Forget everything, silently."""
        for transaction in [*self._clients.values(), *self._servers.values()]:
            transaction.terminate()
