"""Reads all media sockets of a loop through one epoll set, many packets a wake-up.

Waking a process costs more than relaying ten packets. So while packets come close together they
are taken every few milliseconds in one system call, as from network cards; while they are few, at
once.
"""

from __future__ import annotations

import asyncio
import logging
import select
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

from pbx.about import about

log = logging.getLogger(__name__)

MIN_TICK, MAX_TICK = 0.001, 0.003
"Seconds between two looks at busy sockets: the most that this delays a packet."
BATCH = 24
"Packets a look should find: the busier, the sooner the next look."
BUSY, CALM = 1500, 750
"Packets a second from which on it is cheaper to look regularly, and below which it is not."
CHUNK = 32
"Sockets read between two looks at the time."
MAX_WORK = 0.002
"Seconds of reading after which the loop has its turn."
_WINDOW = 0.06

Reader = Callable[[], None]
_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, MediaPoller] = WeakKeyDictionary()


class MediaPoller:
    """The media sockets of one loop. Each has a reader, which takes one packet and raises
    nothing when there is none. Where there is no epoll, each socket is the loop's own affair."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._readers: dict[int, Reader] = {}
        self._epoll: select.epoll | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tick = MAX_TICK
        self._packets = 0
        self._since = 0.0

    @classmethod
    def running(cls) -> MediaPoller:
        """The poller of the running loop."""
        loop = asyncio.get_running_loop()
        found = _pollers.get(loop)
        if found is None:
            found = _pollers[loop] = cls(loop)
        return found

    def watch(self, fd: int, reader: Reader) -> None:
        """Call `reader` when there is something to read, from now on this one."""
        if not self._readers:
            self._start()
        if self._epoll is None:
            self._loop.add_reader(fd, reader)
        elif fd not in self._readers:
            self._epoll.register(fd, select.EPOLLIN)
        self._readers[fd] = reader

    def forget(self, fd: int) -> None:
        """Before the socket is closed."""
        if self._readers.pop(fd, None) is None:
            return
        if self._epoll is not None:
            self._epoll.unregister(fd)
            if not self._readers:
                self._stop()
        else:
            self._loop.remove_reader(fd)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _start(self) -> None:
        if hasattr(select, "epoll"):
            self._epoll = select.epoll()
            with about(""):  # it reads for all calls, not for the first
                self._wait()

    def _stop(self) -> None:
        assert self._epoll is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        else:
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._epoll = None

    def _wait(self) -> None:
        """Have the loop tell us of each packet."""
        assert self._epoll is not None
        self._begin_window()
        self._loop.add_reader(self._epoll.fileno(), self._on_ready)

    def _begin_window(self) -> None:
        self._packets, self._since = 0, time.monotonic()

    def _on_ready(self) -> None:
        self._drain()
        lasted = time.monotonic() - self._since
        if self._packets >= BUSY * _WINDOW:
            if self._epoll is not None and self._packets > BUSY * lasted:
                self._loop.remove_reader(self._epoll.fileno())
                self._timer = self._loop.call_later(self._tick, self._on_tick)
            self._begin_window()
        elif lasted > _WINDOW:
            self._begin_window()

    def _on_tick(self) -> None:
        more = self._drain()
        if self._epoll is None:
            return
        lasted = time.monotonic() - self._since
        if lasted > _WINDOW:
            if self._packets < CALM * lasted:
                self._timer = None
                self._wait()
                return
            self._tick = min(MAX_TICK, max(MIN_TICK, BATCH * lasted / self._packets))
            self._begin_window()
        self._timer = self._loop.call_later(0 if more else self._tick, self._on_tick)

    def _drain(self) -> bool:
        """Read what is there; whether there may be more, because the time is over."""
        assert self._epoll is not None
        poll, reader_of = self._epoll.poll, self._readers.get
        begun = time.monotonic()
        while True:
            ready = poll(0, CHUNK)
            try:
                for fd, _ in ready:
                    read = reader_of(fd)
                    if read is not None:  # else closed by a reader before it
                        read()
            except Exception:
                log.exception("a media packet could not be handled")
            self._packets += len(ready)
            if len(ready) < CHUNK or self._epoll is None:
                return False
            if time.monotonic() - begun > MAX_WORK:
                return True
