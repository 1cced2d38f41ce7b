"""Provisional responses that arrive for certain (RFC 3262, 100rel)."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable

from pbx.sip.message import Request, Response
from pbx.sip.transaction import InviteServerTransaction

OPTION = "100rel"
MAX_WAITING = 8
"Responses kept until the one before is acknowledged; phones send two or three."


def wants_reliable(request: Request, *, with_sdp: bool) -> bool:
    """Whether a provisional response to this INVITE goes out reliably: always when the caller
    requires it, with SDP when the caller can (§3)."""
    if OPTION in option_tags(request, "require"):
        return True
    return with_sdp and OPTION in option_tags(request, "supported")


def option_tags(message: Request | Response, name: str) -> set[str]:
    """The option tags in a Supported or Require header, in lower case."""
    return {tag.lower() for tag in message.elements(name)} if name in message else set()


class ReliableResponses:
    """The server side (§3): one response at a time, repeated until its PRACK comes."""

    def __init__(self, transaction: InviteServerTransaction, on_lost: Callable[[], None]) -> None:
        self._transaction = transaction
        self._on_lost = on_lost
        self._sequence = secrets.randbelow(2**31 - 1) + 1
        self._waiting: deque[Response] = deque(maxlen=MAX_WAITING)
        self._sent: Response | None = None
        self._repeat: asyncio.TimerHandle | None = None
        self._afterwards: Callable[[], None] | None = None

    def send(self, response: Response) -> None:
        """Send now, or once the response before has been acknowledged."""
        self._waiting.append(response)
        if self._sent is None:
            self._next()

    def then(self, act: Callable[[], None]) -> None:
        """Do something (answer, §3) when all was acknowledged that carries SDP."""
        if any(response.body for response in (self._sent, *self._waiting) if response):
            self._afterwards = act
        else:
            self.stop()
            act()

    def acknowledge(self, prack: Request) -> bool:
        """Take a PRACK; False for one that matches nothing (481). `proceed` after answering it."""
        if self._sent is None:
            return False
        expected = f"{self._sequence} {self._transaction.request.cseq.sequence} INVITE"
        if " ".join(prack.get("rack").split()) != expected:
            return False
        self.stop()
        self._sequence += 1
        return True

    def proceed(self) -> None:
        """Go on with what waited for the PRACK."""
        if self._sent is None:
            self._next()
        if self._sent is None and self._afterwards is not None:
            self._afterwards()

    def stop(self) -> None:
        """No more repeats."""
        self._sent = None
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _next(self) -> None:
        if not self._waiting:
            return
        response = self._sent = self._waiting.popleft()
        response.set("require", OPTION)
        response.set("rseq", str(self._sequence))
        self._transaction.respond(response)
        timers = self._transaction.timers
        self._repeat_after(timers.t1, asyncio.get_running_loop().time() + timers.timeout)

    def _repeat_after(self, interval: float, deadline: float) -> None:
        """Repeat at twice the distance each time, whatever the transport: the path to the
        caller may change it (§3)."""
        loop = asyncio.get_running_loop()

        def again() -> None:
            if self._transaction.answered or self._sent is None:
                return
            if loop.time() >= deadline:
                self.stop()
                self._on_lost()
                return
            self._transaction.flow.send(self._sent.encode())
            self._repeat_after(2 * interval, deadline)

        self._repeat = loop.call_at(min(loop.time() + interval, deadline), again)
