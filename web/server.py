"""The server under the application: TLS, and bounds on connections.

uvicorn speaks HTTP/1.1 (RFC 9112). It sets no limit to how slowly a request may come, nor to
handshakes, and installs signal handlers of its own; so we accept connections ourselves and use
its protocol only.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from web.bounds import Often, network_of

log = logging.getLogger(__name__)
# What strangers ask for, with the tokens in it, and how they were refused, is nothing for the log.
_theirs = logging.getLogger("uvicorn.error")
_theirs.setLevel(logging.ERROR)
_theirs.addFilter(lambda record: "completing handshake" not in record.getMessage())

MAX_HEADER = 16_384
"Bytes of a request before its body."
ARRIVES_WITHIN = 10.0
"Seconds from the first byte that could have come to the last of a request."
IDLE = 5
"Seconds a connection is kept for another request."
MAX_FRAME = 1_024
"Bytes of what may come on a WebSocket, where nothing needs to."
HANDSHAKE = 5.0
MAX_CONNECTIONS, MAX_OF_ONE = 128, 16
"At once, in all and of one address; those that are shaking hands as well."
OPENED, PER_SECONDS = 60, 30.0
"Connections an address may open."
BACKLOG = 64
AGAIN = 1.0
"Seconds after which connections are accepted again when there were no more files."
CLOSING = 5.0


class Place:
    """One of the places that connections of an address have; left once."""

    def __init__(self, taken: Counter[str], host: str) -> None:
        self._taken, self._host = taken, host
        self._left = False
        taken[host] += 1

    def leave(self) -> None:
        if self._left:
            return
        self._left = True
        self._taken[self._host] -= 1
        if not self._taken[self._host]:
            del self._taken[self._host]


class Connection(H11Protocol):
    """One connection; a request that does not come to an end ends it. What is served can leave the
    connection's place (`state["leave"]`), once it knows who listens there for long."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, on_lost: Callable[[], None]
    ) -> None:
        super().__init__(config, state, {"leave": on_lost, "arrived": self._arrived})
        self._on_lost = on_lost
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        self._is_read()
        self._on_lost()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Whoever does not read what they asked for makes room for others."""
        super().pause_writing()
        self._unread = self.loop.call_later(ARRIVES_WITHIN, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._is_read()

    def handle_events(self) -> None:
        super().handle_events()
        if self.conn.their_state in (h11.DONE, h11.MUST_CLOSE):
            self._arrived()

    def send_400_response(self, msg: str) -> None:
        """A request that turns out to be none, with its answer perhaps under way."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        if self.cycle is not None:
            self.cycle.disconnected = True  # or the application would answer as well
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        self._arrived()
        self._expect()
        super().on_response_complete()

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(ARRIVES_WITHIN, self.transport.abort)

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Socket(WebSocketsSansIOProtocol):
    """A connection that becomes a WebSocket (RFC 6455), within the time that a request has."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.handshake_complete:
            self.app_state["arrived"]()

    def connection_lost(self, exc: Exception | None) -> None:
        self.app_state["arrived"]()
        self.app_state["leave"]()
        super().connection_lost(exc)


class Server:
    """One address, and the application served there."""

    def __init__(
        self, tls: ssl.SSLContext, is_ours: Callable[[str], bool] = lambda host: False
    ) -> None:
        """`is_ours` says whether other programs of this exchange are at an address: what they pass
        on is bounded as whoever asked them."""
        self._tls, self._is_ours = tls, is_ours
        self._config: uvicorn.Config
        self._state = ServerState()
        self._often = Often(OPENED, PER_SECONDS)
        self._open: Counter[str] = Counter()
        self._opening: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self.refused = 0
        "Connections that were too many."

    async def listen(self, address: tuple[str, int]) -> tuple[str, int]:
        """Take an address, and give it with its port; raises OSError when it is taken."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        both = address[0] == "::" and socket.has_dualstack_ipv6()
        self._listener = socket.create_server(
            address, family=family, backlog=BACKLOG, dualstack_ipv6=both
        )
        self._listener.setblocking(False)
        bound = self._listener.getsockname()
        return bound[0], bound[1]

    def serve(self, app: ASGIApp) -> None:
        """Begin to answer."""
        assert self._listener is not None
        self._config = uvicorn.Config(
            app,
            ws=Socket,
            ws_max_size=MAX_FRAME,
            ws_per_message_deflate=False,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,  # the addresses of requests hold tokens
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE,
            h11_max_incomplete_event_size=MAX_HEADER,
        )
        self._config.load()
        self._accepting = asyncio.ensure_future(self._accept(self._listener))

    async def stop(self) -> None:
        """Take no more, answer what was asked, and close."""
        if self._accepting is not None:
            self._accepting.cancel()
        if self._listener is not None:
            self._listener.close()
        for opening in self._opening:
            opening.cancel()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=CLOSING)
        for connection in list(self._state.connections):
            connection.transport.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, address = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("the web server cannot accept a connection: %s", error.strerror)
                await asyncio.sleep(AGAIN)
                continue
            host = network_of(address[0])
            full = self._open.total() >= MAX_CONNECTIONS or self._open[host] >= MAX_OF_ONE
            ours = self._is_ours(address[0])
            if not ours and (full or not self._often.spend(host)):
                self.refused += 1
                connected.close()
                continue
            place = Place(Counter() if ours else self._open, host)
            opening = asyncio.ensure_future(self._shake_hands(connected, place.leave))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _shake_hands(self, connected: socket.socket, leave: Callable[[], None]) -> None:
        """From here the connection keeps its place until it is lost."""
        # asyncio does that for sockets which know their protocol; those accepted by hand do not,
        # and an answer in two pieces would wait 40 ms for the other side's acknowledgement.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: Connection(self._config, self._state, leave),
                connected,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE,
            )
        except OSError as error:  # no TLS, too slow, or gone again
            log.debug("no HTTPS: %s", type(error).__name__)
            leave()
            connected.close()
