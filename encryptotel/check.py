"""`encryptotel check`: everything that can be wrong before a call, tried one by one."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509

from encryptotel import certificates
from encryptotel.config import Config
from encryptotel.control import is_running
from encryptotel.directory import Directory
from encryptotel.language import Language
from nlp.context import Context
from pbx.calls.apps.script import ScriptError, load
from pbx.media.speech import Speaker, SpeechError
from pbx.nat import PublicAddress
from pbx.ports import Trunk
from pbx.sip.locate import Locator
from pbx.sip.stack import Incoming, Stack
from pbx.trunks import TrunkLink
from store.database import Database

TRUNK_SECONDS = 8.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """One thing tried: what came of it and, when it failed, what to do."""

    what: str
    outcome: str
    failed: bool = False

    def line(self) -> str:
        return f"{'✗' if self.failed else '✓'} {self.what}: {self.outcome}"

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "outcome": self.outcome, "ok": not self.failed}


async def check_all(config: Config, data: Path) -> list[Result]:
    """Try everything; the results in order."""
    results = [Result(what="configuration", outcome="reads well")]
    database = Database(config.database.where(data))
    directory = Directory(config, database)

    async def tables() -> str:
        await asyncio.to_thread(data.mkdir, 0o700, True, True)
        await database.open()
        await directory.load()
        return f"{database}, {len(directory.extensions())} extensions"

    results.append(await _try("database", tables))
    results += await _ports(config, data)
    results.append(await _try("certificates", lambda: _certificates(config, data)))
    results.append(await _try("voice", lambda: _voice(config)))
    results.append(await _try("language", _language))
    for extension in directory.extensions():
        if extension.script:
            script = extension.script
            results.append(await _try(f"script {script}", partial(_script, script)))
    if config.network.stun_server:
        results.append(await _try("public address", lambda: _public_address(config)))
    results += await _trunks(directory, config)
    await database.close()
    return results


async def _try(what: str, work: Callable[[], Awaitable[str]]) -> Result:
    try:
        return Result(what=what, outcome=await work())
    except (OSError, SpeechError, ScriptError, ValueError) as error:
        return Result(what=what, outcome=str(error), failed=True)


async def _ports(config: Config, data: Path) -> list[Result]:
    section = config.exchange
    if await is_running(data / "control.sock"):
        return [Result(what="ports", outcome="in use by the exchange that is running")]
    results = []
    wanted = [
        ("UDP", socket.SOCK_DGRAM, section.host, section.udp_port, "udp_port in [exchange]"),
        ("TCP", socket.SOCK_STREAM, section.host, section.tcp_port, "tcp_port in [exchange]"),
        ("TLS", socket.SOCK_STREAM, section.host, section.tls_port, "tls_port in [exchange]"),
    ]
    if config.web.on:
        host = config.web.host or section.host
        wanted.append(("web", socket.SOCK_STREAM, host, config.web.port, "port in [web]"))
    for name, kind, host, port, option in wanted:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((host, port))
                results.append(Result(what=f"{name} port {port}", outcome="free"))
            except OSError as error:
                taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
                if not taken:
                    advice = "choose an address of this machine as host"
                elif section.free_ports:
                    advice = "a free one will be used"
                else:
                    advice = f"end what uses it, or change {option}"
                results.append(
                    Result(
                        what=f"{name} port {port}",
                        outcome=f"{error.strerror}; {advice}",
                        failed=not (taken and section.free_ports),
                    )
                )
    return results


async def _certificates(config: Config, data: Path) -> str:
    section = config.exchange
    names = certificates.names_for(
        section.host,
        section.advertise,
        section.domain,
        config.network.public_address,
        config.web.names,
    )
    files = await asyncio.to_thread(certificates.ensure, data / "tls", names)
    found = x509.load_pem_x509_certificate(await asyncio.to_thread(files.certificate.read_bytes))
    days = (found.not_valid_after_utc - datetime.now(UTC)).days
    return f"good for {days} days; phones should trust {files.ca}"


async def _voice(config: Config) -> str:
    pcm = await Speaker(config.media.voice).say("The voice works.")
    return f"{config.media.voice} speaks ({len(pcm) / 16000:.1f} s)"


async def _language() -> str:
    language = Language()
    try:
        understood = await language.understand("hang up", Context(now=datetime.now(UTC)))
    finally:
        await language.close()
    if not understood.commands:
        raise ValueError("the model does not understand “hang up”; install the package again")
    return "understands"


async def _script(reference: str) -> str:
    await asyncio.to_thread(load, reference)
    return "can be loaded"


async def _public_address(config: Config) -> str:
    stack = Stack(_Nobody())
    # The port is another one than the exchange's, so only the host is of interest.
    public = PublicAddress(
        server=config.network.stun_server,
        locator=Locator(config.network.nameserver),
        send=lambda data, to: stack.transports.udp_flow(to).send(data),
        on_change=lambda: None,
    )
    stack.public = public
    await _listen(stack)
    try:
        return f"{(await public.ask())[0]}, says {config.network.stun_server}"
    finally:
        await stack.close()


async def _listen(stack: Stack) -> None:
    """A UDP socket of every address family there is."""
    try:
        await stack.transports.listen_udp(("::", 0))
    except OSError:  # a machine without IPv6
        await stack.transports.listen_udp(("0.0.0.0", 0))  # noqa: S104  # answers come to any


async def _trunks(directory: Directory, config: Config) -> list[Result]:
    trunks = directory.trunks()
    if not trunks:
        return [Result(what="trunks", outcome="none; calls stay inside ([[trunk]] adds one)")]
    stack = Stack(_Nobody())
    await _listen(stack)
    try:
        locator = Locator(config.network.nameserver)
        return list(await asyncio.gather(*(_trunk(trunk, stack, locator) for trunk in trunks)))
    finally:
        await stack.close()


async def _trunk(trunk: Trunk, stack: Stack, locator: Locator) -> Result:
    settled: asyncio.Future[tuple[bool, str]] = asyncio.get_running_loop().create_future()

    def on_state(_: Trunk, up: bool, detail: str) -> None:
        if not settled.done():
            settled.set_result((up, detail))

    link = TrunkLink(trunk, stack, on_state, locator, patience=TRUNK_SECONDS / 4)
    link.start()
    what = f"trunk {trunk.name}"
    try:
        async with asyncio.timeout(TRUNK_SECONDS):
            up, detail = await settled
    except TimeoutError:
        up, detail = False, f"{trunk.host} does not answer"
    finally:
        await link.stop()
    if up:
        return Result(what=what, outcome=detail)
    wrong = "username and password" if "answered 40" in detail else "host, port and transport"
    return Result(what=what, outcome=f"{detail}; check {wrong} in [[trunk]]", failed=True)


class _Nobody:
    """The user of a stack that only asks."""

    def on_request(self, incoming: Incoming) -> None:
        incoming.refuse_with(403)
