"""dnsmasq as the name server of a made-up domain, and coturn as a STUN server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from . import ports
from .proc import Process


class Dnsmasq:
    """Answers for what it is told and knows nothing else.

    `hosts`: (name, address, …). `srv`: (service, target, port, priority, weight). `naptr`:
    (name, order, preference, service, replacement). Leave the block, or `stop` and `start` it
    on the same port.
    """

    def __init__(
        self,
        *,
        hosts: Iterable[tuple[str, ...]] = (),
        srv: Iterable[tuple[str, str, int, int, int]] = (),
        naptr: Iterable[tuple[str, int, int, str, str]] = (),
        cname: Iterable[tuple[str, str]] = (),
        ttl: int = 60,
    ) -> None:
        self.port = ports.free_port()
        self._arguments = [
            *(f"--host-record={','.join(host)}" for host in hosts),
            *(f"--srv-host={name},{target},{port},{first},{weight}"
              for name, target, port, first, weight in srv),
            *(f"--naptr-record={name},{order},{preference},S,{service},,{replacement}"
              for name, order, preference, service, replacement in naptr),
            *(f"--cname={name},{target}" for name, target in cname),
            f"--local-ttl={ttl}",
        ]  # fmt: skip
        self.process: Process

    @property
    def address(self) -> str:
        """As `[network] nameserver` wants it."""
        return f"{ports.HOST}:{self.port}"

    def asked(self, text: str) -> int:
        """How many questions so far contain a text, as `query[SRV] _sip._udp.carrier.test`."""
        return sum(f"query[{text}" in line for line in self.process.lines.items)

    async def start(self) -> None:
        self.process = await Process.start(
            "dnsmasq",
            ["dnsmasq", "--no-daemon", f"--port={self.port}", "--no-resolv", "--no-hosts",
             f"--listen-address={ports.HOST}", "--bind-interfaces", "--conf-file=/dev/null",
             "--pid-file=", "--local=/test/", "--log-queries", *self._arguments],
        )  # fmt: skip
        try:
            await self.process.wait_line("using only locally-known addresses")
        except BaseException:
            await self.process.stop()
            raise

    async def stop(self) -> None:
        await self.process.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()


class Turnserver:
    """coturn as nothing but a STUN server."""

    def __init__(self) -> None:
        self.port = ports.free_port()
        self.process: Process

    @property
    def address(self) -> tuple[str, int]:
        return (ports.HOST, self.port)

    async def __aenter__(self) -> Self:
        self.process = await Process.start(
            "turnserver",
            ["turnserver", "-n", "-L", ports.HOST, "-p", str(self.port), "--stun-only",
             "--no-tls", "--no-dtls", "--no-cli", "--log-file", "stdout", "--pidfile", "/dev/null",
             "--allow-loopback-peers", "--no-auth", "--db", ":memory:"],
        )  # fmt: skip
        try:
            await ports.wait_bound(self.port)
        except BaseException:
            await self.process.stop()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.process.stop()
