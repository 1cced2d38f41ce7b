"""A phone for tests: a real `Stack` and real `Session`s, and a list of what it noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pbx.sip.digest import Credentials, DigestClient, DigestServer, Verdict
from pbx.sip.incoming import IncomingSession
from pbx.sip.message import ParseError, Request
from pbx.sip.outgoing import OutgoingSession
from pbx.sip.session import Session
from pbx.sip.stack import Incoming, Stack
from pbx.sip.transaction import InviteServerTransaction, ServerTransaction
from pbx.sip.transport import Address, Flow, Transport

OFFER = b"v=0 the offer"
ANSWER = b"v=0 the answer"
"Sessions carry bodies without looking into them."


class Line:
    """One call of a phone: a session and everything it told, in words."""

    session: Session

    def __init__(self) -> None:
        self.told: list[str] = []
        self.bodies: list[bytes] = []
        self.reoffer: Callable[[bytes], Awaitable[bytes | int]] = self._agree

    async def _agree(self, body: bytes) -> bytes | int:
        return b"agreed to " + body

    def on_progress(self, status: int, body: bytes) -> None:
        self.told.append(f"progress {status}")
        self.bodies.append(body)

    def on_answered(self, body: bytes) -> None:
        self.told.append("answered")
        self.bodies.append(body)

    def on_late_answer(self, body: bytes) -> None:
        self.told.append(f"late answer {body.decode()}")

    def on_reoffer(self, body: bytes) -> Awaitable[bytes | int]:
        self.told.append(f"reoffer {body.decode()}")
        return self.reoffer(body)

    def on_refer(self, transaction: ServerTransaction) -> None:
        transaction.reply(603)

    def on_info(self, request: Request) -> None:
        self.told.append(f"info {request.body.decode()}")

    def on_ended(self, status: int, reason: str, by_peer: bool) -> None:
        self.told.append(f"ended {status} {reason}" + (" by peer" if by_peer else ""))


class Phone:
    """Somebody with an address on the in-memory network."""

    def __init__(self, host: str, name: str) -> None:
        self.name = name
        self.local: Address = (host, 5060)
        self.stack = Stack(self)
        self.lines: list[Line] = []
        self.requests: list[Request] = []
        self.direct = False
        self.challenge: DigestServer | None = None
        self.secret = ""
        self.proxy = False
        self.takes: Callable[[Line], None] = lambda line: None

    async def listen(self, transport: Transport = "udp") -> Phone:
        if transport == "udp":
            await self.stack.transports.listen_udp(self.local)
        else:
            await self.stack.transports.listen_stream(transport, self.local)
        return self

    # ── the stack's user ────────────────────────────────────────────────────────────────
    def on_request(self, incoming: Incoming) -> None:
        request, host = incoming.request, incoming.flow.remote[0]
        self.requests.append(request)
        if self.challenge is not None:
            verdict = self.challenge.check(request, self.secret, host, proxy=self.proxy)
            if verdict is not Verdict.GOOD:
                stale = verdict is Verdict.STALE
                incoming.refuse(
                    self.challenge.challenge(request, host, stale=stale, proxy=self.proxy)
                )
                return
        transaction = incoming.accept()
        if isinstance(transaction, InviteServerTransaction):
            line = Line()
            try:
                line.session = IncomingSession(self.stack, line, transaction, direct=self.direct)
            except ParseError as error:
                transaction.reply(400, f"Bad Request - {error}")
                return
            self.lines.append(line)
            self.takes(line)
        elif transaction is not None:
            transaction.reply(200)

    # ── what people do ──────────────────────────────────────────────────────────────────
    async def flow_to(self, other: Phone, transport: Transport = "udp") -> Flow:
        return await self.stack.transports.flow_to(transport, other.local)

    async def call(
        self,
        other: Phone,
        *,
        transport: Transport = "udp",
        credentials: Credentials | None = None,
        direct: bool = False,
        body: bytes = OFFER,
    ) -> Line:
        flow = await self.flow_to(other, transport)
        request = self.stack.new_request(
            "INVITE",
            f"sip:{other.name}@{other.local[0]}",
            from_uri=f"sip:{self.name}@{self.local[0]}",
            to_uri=f"sip:{other.name}@{other.local[0]}",
        )
        request.body = body
        line = Line()
        line.session = OutgoingSession(
            self.stack,
            line,
            flow,
            request,
            credentials=DigestClient(credentials) if credentials else None,
            contact_user=self.name,
            direct=direct,
        )
        self.lines.append(line)
        return line


def answers(line: Line) -> None:
    """Ring and take the call at once."""
    line.session.progress(180)
    line.session.accept(ANSWER)


def rings(line: Line) -> None:
    line.session.progress(180)


def after(seconds: float, act: Callable[[Line], None]) -> Callable[[Line], None]:
    """Do something with a call a while after it came in."""

    def wait(line: Line) -> None:
        asyncio.get_running_loop().call_later(seconds, act, line)

    return wait


async def two_phones(transport: Transport = "udp") -> tuple[Phone, Phone]:
    """Alice and Bob, who takes every call."""
    alice = await Phone("192.0.2.1", "alice").listen(transport)
    bob = await Phone("192.0.2.2", "bob").listen(transport)
    bob.takes = answers
    return alice, bob
