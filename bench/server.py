"""What every system under test looks like to the rows that measure it."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.process import Child
from bench.sip import Address, free_port

#: Addresses of the loopback network, one a role, so that nobody is taken for somebody else.
EXCHANGE_HOST = "127.0.0.1"
CALLER_HOST = "127.0.0.2"
CALLEE_HOST = "127.0.0.3"
CARRIER_HOST = "127.0.0.4"
#: RTP ports of the systems measured: outside the ephemeral range and the exchange's defaults.
RTP_PORTS = (20000, 29998)


#: The processor a server has to itself where CPU is compared; the generator has processor 0. The
#: scheduler would at times wake a relay on the generator's own processor, at a third of the cost.
CORE = 1
ULAW, ALAW = 0, 8
"""RTP payload types of G.711 (RFC 3551 §6)."""


@dataclass(frozen=True, slots=True)
class Media:
    """What caller and callee speak: payload types, and whether both legs use SRTP."""

    types: tuple[int, int] = (ULAW, ULAW)
    srtp: bool = False


@dataclass(frozen=True, slots=True)
class Wiring:
    """Who calls whom: the caller is trusted by its address, the number rings the callee.

    ``core`` is the only processor the server may use; None lets it use all.
    """

    caller: Address
    callee: Address
    number: str = "+12025550199"
    media: Media = Media()
    core: int | None = None

    @classmethod
    def fresh(cls) -> Wiring:
        """Caller and callee on free ports."""
        return cls(
            caller=(CALLER_HOST, free_port(CALLER_HOST)),
            callee=(CALLEE_HOST, free_port(CALLEE_HOST)),
        )


class Server(ABC):
    """A SIP back-to-back user agent that carries calls from the caller to the callee."""

    name: str

    def __init__(self, wiring: Wiring, folder: Path) -> None:
        self.wiring = wiring
        self.folder = folder
        self.address: Address = (EXCHANGE_HOST, free_port(EXCHANGE_HOST))
        self._child: Child | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def start(self) -> Child:
        """Start it and wait until it serves."""

    @abstractmethod
    def version(self) -> str:
        """What exactly is measured."""

    def admit(self, callee: socket.socket) -> None:  # noqa: B027 - most need nothing
        """Make the callee reachable; the socket is bound to its address."""

    @property
    def child(self) -> Child:
        """Its running process."""
        assert self._child is not None
        return self._child

    def cpu(self) -> float:
        """CPU seconds it has used so far."""
        return self.child.cpu()

    def memory(self) -> int:
        """Bytes of memory its main process holds (resident)."""
        return self.child.memory()

    def remark(self) -> str:
        """What a reader should know about how it carries the calls that are up now."""
        return ""

    def __enter__(self) -> Self:
        self._child = self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.stop()
