"""A bad link: a UDP forwarder that loses, doubles, reorders and delays datagrams by script.

What happens to the n-th datagram of a direction depends on the seed, the direction and n alone,
so a run can be repeated. It works on the real loop and on the one with virtual time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

Address = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How bad the link is, each way: shares of datagrams, and seconds of delay."""

    lose: float = 0.10
    double: float = 0.05
    reorder: float = 0.05
    delay: float = 0.2
    "Each copy takes between 0 and this."
    held_back: float = 0.25
    "A reordered datagram takes so much longer that later ones overtake it."


CALM = Weather(lose=0, double=0, reorder=0, delay=0)


@dataclass
class Direction:
    """One way of a link: decides over datagrams and counts what it did."""

    weather: Weather
    chance: random.Random
    passed: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0

    def delays(self) -> list[float]:
        """How long each copy of the next datagram takes; none when it is lost."""
        weather, draw = self.weather, self.chance.random
        # As many draws for each datagram, so that its fate does not depend on those before.
        fate, twice, late, first, second = (draw() for _ in range(5))
        self.passed += 1
        if fate < weather.lose:
            self.lost += 1
            return []
        delays = [first * weather.delay]
        if late < weather.reorder:
            self.reordered += 1
            delays[0] += weather.held_back
        if twice < weather.double:
            self.doubled += 1
            delays.append(second * weather.delay)
        return delays


@dataclass
class Link:
    """Between one phone and a server: the phone's server is `front`, the server sees `back`."""

    server: Address
    weather: Weather
    seed: int
    front: Address = ("", 0)
    back: Address = ("", 0)
    phone: Address | None = None
    on_datagram: Callable[[bytes], None] = lambda _: None
    "Told of each datagram that comes out at the other end."
    up: Direction = field(init=False)
    down: Direction = field(init=False)
    _ends: list[asyncio.DatagramTransport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.up = Direction(self.weather, random.Random(f"{self.seed} up"))
        self.down = Direction(self.weather, random.Random(f"{self.seed} down"))

    @classmethod
    async def open(
        cls,
        server: Address,
        seed: int,
        weather: Weather | None = None,
        *,
        front: Address = ("127.0.0.1", 0),
        back: Address = ("127.0.0.1", 0),
    ) -> Self:
        """Bind both ends. With `front` unset any free ports are taken."""
        link = cls(server, weather or Weather(), seed)
        loop = asyncio.get_running_loop()
        near, _ = await loop.create_datagram_endpoint(lambda: _End(link._from_phone), front)
        far, _ = await loop.create_datagram_endpoint(lambda: _End(link._from_server), back)
        link._ends = [near, far]
        link.front = near.get_extra_info("sockname")[:2]
        link.back = far.get_extra_info("sockname")[:2]
        return link

    def _from_phone(self, data: bytes, source: Address) -> None:
        self.phone = source
        self._send(self.up, self._ends[1], data, self.server)

    def _from_server(self, data: bytes, source: Address) -> None:
        if self.phone is not None and source == self.server:
            self._send(self.down, self._ends[0], data, self.phone)

    def _send(
        self, way: Direction, end: asyncio.DatagramTransport, data: bytes, to: Address
    ) -> None:
        for delay in way.delays():
            if delay:
                asyncio.get_running_loop().call_later(delay, self._put, end, data, to)
            else:
                self._put(end, data, to)

    def _put(self, end: asyncio.DatagramTransport, data: bytes, to: Address) -> None:
        if not end.is_closing():
            self.on_datagram(data)
            end.sendto(data, to)

    def close(self) -> None:
        for end in self._ends:
            end.close()

    def __str__(self) -> str:
        return ", ".join(
            f"{name}: {way.lost} lost, {way.doubled} doubled, {way.reordered} held back "
            f"of {way.passed}"
            for name, way in (("up", self.up), ("down", self.down))
        )


class _End(asyncio.DatagramProtocol):
    def __init__(self, take: Any) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(data, addr[:2])
