"""An event loop whose clock jumps, and a network that exists in it only.

Thirty-two seconds of SIP timers pass in microseconds, and every loss, delay and reordering is
scripted, so a test that fails fails every time. `listen_udp`, `listen_stream` and `flow_to` of
the real `Transports` work unchanged on it: the loop gives them sockets of `Network`.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from itertools import cycle
from typing import Any, TypeVar

from pbx.sip.message import Request, Response, parse_message
from pbx.sip.transport import Address, Flow, Transport

T = TypeVar("T")
Lose = Callable[["Datagram"], bool]

START = 1_000.0
"What the clock shows at first; not 0, as a real loop's clock never does."
STUCK_AFTER = 5.0
"Real seconds without a timer, a packet or a thread's result until a test is given up."


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Never waits for time to pass: it moves the clock to when the next timer is due."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:  # only a thread can wake us now
            found = super().select(STUCK_AFTER)
            if not found:
                raise RuntimeError("the test waits for something that will never happen")
            return found
        found = super().select(0)
        if not found and timeout > 0:
            self.loop.jump(timeout)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on a clock of its own, with an in-memory network."""

    def __init__(self) -> None:
        self._now = START
        self.network = Network(self)
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-6  # finer than that, rounding would stop the clock

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        return socket.getaddrinfo(host, port, **more)  # no thread, which the clock would outrun

    async def create_datagram_endpoint(  # type: ignore[override]
        self, protocol_factory: Any, local_addr: Any = None, **more: Any
    ) -> Any:
        if more:  # a socket of the real network was handed in
            return await super().create_datagram_endpoint(protocol_factory, local_addr, **more)
        return self.network.open_datagrams(protocol_factory(), local_addr)

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        return self.network.open_server(protocol_factory, (host, port))

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        return self.network.connect(protocol_factory, (host, port))


def run(course: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    loop = VirtualLoop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(course)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()
    for failure in failures:  # what a callback raised is as bad as what the test raised
        raise failure.get("exception") or AssertionError(failure["message"])
    return result


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Decorate an `async def` test: it runs in virtual time."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs))  # type: ignore[arg-type]

    return wrapper


def network() -> Network:
    """The network of the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.network


def now() -> float:
    """Seconds since the test began."""
    return asyncio.get_running_loop().time() - START


async def passing(seconds: float) -> None:
    """Let virtual time pass; everything due in it happens."""
    await asyncio.sleep(seconds)


async def settled() -> None:
    """Let everything happen that is due now."""
    for _ in range(50):
        await asyncio.sleep(0)


# ── a flow on its own ───────────────────────────────────────────────────────────────────────
class MemoryFlow(Flow):
    """A flow that leads nowhere and keeps what is sent through it, with the time."""

    def __init__(self, transport: Transport = "udp", remote: Address = ("192.0.2.9", 5060)) -> None:
        self.transport = transport
        self.reliable = transport != "udp"
        self.local = ("192.0.2.1", 5060)
        self.remote = remote
        self.closed = False
        self.sent: list[tuple[float, bytes]] = []

    def send(self, data: bytes) -> None:
        if not self.closed:
            self.sent.append((round(now(), 6), data))

    def close(self) -> None:
        self.closed = True

    def messages(self) -> list[Request | Response]:
        """What was sent since the last look, parsed."""
        found = [parse_message(data) for _, data in self.sent]
        self.sent.clear()
        return found

    def times(self) -> list[float]:
        """When something was sent since the last look."""
        found = [at for at, _ in self.sent]
        self.sent.clear()
        return found


# ── a network ───────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class Datagram:
    """One datagram on its way; `number` counts them from 0."""

    number: int
    at: float
    source: Address
    to: Address
    data: bytes
    lost: bool = False

    @property
    def line(self) -> str:
        """Its first line: enough to tell what it is."""
        return self.data.partition(b"\r\n")[0].decode("utf-8", "replace")


def pattern(losses: str) -> Lose:
    """Loss as a pattern that repeats: `pattern("..x..")` loses the third of each five."""
    marks = cycle(losses)
    return lambda _: next(marks) == "x"


def first(*starts: str, times: int = 1) -> Lose:
    """Lose the first `times` datagrams that begin with any of these."""
    left = dict.fromkeys(starts, times)

    def lose(datagram: Datagram) -> bool:
        for start in starts:
            if datagram.line.startswith(start) and left[start] > 0:
                left[start] -= 1
                return True
        return False

    return lose


class Network:
    """Sockets that only know each other.

    `latency` holds for everything; `lose` decides over each datagram; `segment` cuts streams
    into pieces of so many bytes; connections from or to a host in `stalled` are not read.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self.latency = 0.0
        self.lose: Lose = lambda _: False
        self.segment = 0
        self.stalled: set[str] = set()
        self.datagrams: list[Datagram] = []
        self._loop = loop
        self._udp: dict[Address, _Datagrams] = {}
        self._servers: dict[Address, Callable[[], asyncio.Protocol]] = {}
        self._next_port = 40_000

    def ladder(self) -> list[str]:
        """The first lines of all datagrams that arrived, in order."""
        return [datagram.line for datagram in self.datagrams if not datagram.lost]

    def open_datagrams(self, protocol: asyncio.DatagramProtocol, local: Address) -> Any:
        if local in self._udp:
            raise OSError("address in use")
        wire = self._udp[local] = _Datagrams(self, protocol, local)
        protocol.connection_made(wire)
        return wire, protocol

    def open_server(self, factory: Callable[[], asyncio.Protocol], local: Address) -> _Server:
        if local in self._servers:
            raise OSError("address in use")
        self._servers[local] = factory
        return _Server(self, local)

    def connect(self, factory: Callable[[], asyncio.Protocol], to: Address) -> Any:
        if to not in self._servers:
            raise ConnectionRefusedError(f"nobody listens at {to}")
        self._next_port += 1
        here = ("192.0.2.100", self._next_port)
        near = _Stream(self, factory(), here, to)
        far = _Stream(self, self._servers[to](), to, here)
        near.peer, far.peer = far, near
        near.protocol.connection_made(near)
        far.protocol.connection_made(far)
        return near, near.protocol

    def cast(self, data: bytes, source: Address, to: Address) -> None:
        """Put a datagram on the wire."""
        datagram = Datagram(
            number=len(self.datagrams), at=round(now(), 6), source=source, to=to, data=data
        )
        lost = self.lose(datagram)
        self.datagrams.append(Datagram(**{**datagram.__dict__, "lost": True}) if lost else datagram)
        wire = self._udp.get(to)
        if wire is not None and not lost:
            self.later(wire.inbox, lambda: wire.deliver(data, source))

    def later(self, queue: deque[Callable[[], None]], deliver: Callable[[], None]) -> None:
        """Deliver after the latency; what goes to one socket keeps its order."""
        queue.append(deliver)

        def arrive() -> None:
            if queue:
                queue.popleft()()

        if self.latency:
            self._loop.call_later(self.latency, arrive)
        else:
            self._loop.call_soon(arrive)


class _Datagrams(asyncio.DatagramTransport):
    def __init__(
        self, network: Network, protocol: asyncio.DatagramProtocol, local: Address
    ) -> None:
        super().__init__({"sockname": local})
        self.inbox: deque[Callable[[], None]] = deque()
        self._network = network
        self._protocol = protocol
        self._local = local
        self._closed = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        self._network.cast(bytes(data), self._local, addr)

    def deliver(self, data: bytes, source: Address) -> None:
        if not self._closed:
            self._protocol.datagram_received(data, source)

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._network._udp.pop(self._local, None)


class _Server:
    def __init__(self, network: Network, local: Address) -> None:
        self._network = network
        self._local = local
        self.sockets = [self]

    def getsockname(self) -> Address:
        return self._local

    def close(self) -> None:
        self._network._servers.pop(self._local, None)


class _Stream(asyncio.Transport):
    peer: _Stream

    def __init__(
        self, network: Network, protocol: asyncio.Protocol, local: Address, remote: Address
    ) -> None:
        super().__init__({"sockname": local, "peername": remote})
        self.protocol = protocol
        self._network = network
        self._local, self._remote = local, remote
        self._inbox: deque[Callable[[], None]] = deque()
        self._unsent = bytearray()
        self._closed = False

    def write(self, data: Any) -> None:
        if self._closed:
            return
        self._unsent += data
        if not {self._remote[0], self._local[0]} & self._network.stalled:
            self._flush()

    def _flush(self) -> None:
        whole, self._unsent = bytes(self._unsent), bytearray()
        size = self._network.segment or len(whole) or 1
        for start in range(0, len(whole), size):
            piece = whole[start : start + size]
            self._network.later(self.peer._inbox, functools.partial(self.peer._deliver, piece))

    def _deliver(self, data: bytes) -> None:
        if not self._closed:
            self.protocol.data_received(data)

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def pause_reading(self) -> None:
        """What is on its way still comes, as from a real socket's last read."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._break()

    def abort(self) -> None:
        self._break()

    def _break(self) -> None:
        for end in (self, self.peer):
            if not end._closed:
                end._closed = True
                self._network.later(deque(), lambda: None)
                self._network._loop.call_soon(end.protocol.connection_lost, None)


def raw(*lines: str, body: bytes = b"") -> bytes:
    """A message as bytes, from its lines."""
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def statuses(messages: Iterable[Request | Response]) -> list[int | str]:
    """Statuses of responses and methods of requests, for transcripts."""
    return [found.status if isinstance(found, Response) else found.method for found in messages]
