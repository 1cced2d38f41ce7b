"""linphonec 5.1 over pipes: TLS with a verified certificate, mandatory SRTP, sound from files."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Self

import numpy as np

from . import ports
from .proc import PeerError, Process
from .tone import analyse, write_tone

_RC = """\
[sip]
sip_port=-1
sip_tcp_port=-1
sip_tls_port=-1
verify_server_certs={verify}
verify_server_cn={verify}
root_ca={ca}
media_encryption={encryption}
media_encryption_mandatory={mandatory}
guess_hostname=1
inc_timeout=60
use_ipv6=0
keepalive_period=30000
register_only_when_network_is_up=0
default_proxy=0

[auth_info_0]
username={number}
passwd={password}

[proxy_0]
reg_proxy=<sip:{host}:{port};transport={transport}>
reg_identity=sip:{number}@{host}:{port}
reg_expires=60
reg_sendregister=1
publish=0

[rtp]
audio_rtp_port={rtp}
audio_adaptive_jitt_comp_enabled=1

[sound]
echocancellation=0

[net]
mtu=0
firewall_policy=none

[video]
capture=0
display=0

[misc]
uuid=
"""


class Linphone:
    """One phone with one account; registered once `async with` has been entered."""

    def __init__(
        self,
        number: str,
        password: str,
        server: tuple[str, int],
        *,
        transport: str = "tls",
        ca: Path | None = None,
        srtp: bool = True,
        tone: float = 0,
        auto_answer: bool = True,
        patience: float = 10,
    ) -> None:
        """`srtp` makes encrypted media mandatory; `ca` is what the exchange is verified against.

        `patience`: seconds it may take to register.
        """
        self.number = number
        # its TLS library compares names only, never addresses
        self.server = ("localhost", server[1]) if server[0] == ports.HOST else server
        self.process: Process
        self._transport, self._ca, self._srtp = transport, ca, srtp
        self._patience = patience
        self._tone, self._auto, self._password = tone, auto_answer, password
        self._folder = tempfile.TemporaryDirectory(prefix="linphone-", ignore_cleanup_errors=True)

    async def __aenter__(self) -> Self:
        folder = Path(self._folder.name)
        write_tone(folder / "in.wav", self._tone, 60)
        rc = _RC.format(
            verify=1 if self._ca else 0, ca=self._ca or "/etc/ssl/certs/ca-certificates.crt",
            encryption="srtp" if self._srtp else "none", mandatory=int(self._srtp),
            number=self.number, password=self._password, host=self.server[0],
            port=self.server[1], transport=self._transport, rtp=ports.free_port(),
        )  # fmt: skip
        (folder / "rc").write_text(rc)
        share = folder / ".local/share/linphone"
        share.mkdir(parents=True)
        argv: list[str | Path] = ["linphonec", "-c", folder / "rc", *(["-a"] if self._auto else [])]
        self.process = await Process.start(
            f"linphonec {self.number}", argv, cwd=folder, env={"HOME": str(folder)}, stdin=True
        )
        try:
            for command in ("soundcard use files", "play in.wav", "record heard.wav"):
                self.process.write(command.replace(" in.wav", f" {folder}/in.wav").replace(
                    " heard.wav", f" {folder}/heard.wav"))  # fmt: skip
            await self._registered(self._patience)
        except BaseException:
            await self._close()
            raise
        return self

    async def _registered(self, within: float) -> None:
        """Ask until it is: linphonec announces nothing by itself."""
        try:
            async with asyncio.timeout(within):
                while True:
                    since = len(self.process.lines.items)
                    self.process.write("status register")
                    line = await self.process.wait_line("(not |^)registered|failed", since=since)
                    if line.string.startswith("registered,"):
                        return
                    await asyncio.sleep(0.1)
        except (TimeoutError, PeerError):
            raise PeerError(f"linphonec {self.number} does not register\n{self.log()}") from None

    async def __aexit__(self, *exc: object) -> None:
        await self._close()

    async def _close(self) -> None:
        if self.process.child.returncode is None:
            self.process.write("quit")
            try:
                await self.process.wait(2)
            except PeerError:
                await self.process.stop()
        self._folder.cleanup()

    # -- control ---------------------------------------------------------------------------

    async def dial(self, number: str) -> None:
        """Call a number of its server, or a whole sip: address."""
        host, port = self.server
        uri = number if ":" in number else f"sip:{number}@{host}:{port}"
        self.process.write(f"call {uri}")

    async def answer(self) -> None:
        self.process.write("answer")

    async def hangup(self) -> None:
        self.process.write("terminate")

    async def hold(self) -> None:
        self.process.write("pause")

    async def resume(self) -> None:
        self.process.write("resume")

    async def digits(self, digits: str) -> None:
        for digit in digits:
            self.process.write(digit)

    async def established(self, within: float = 10) -> None:
        await self.process.wait_line(
            r"Media streams established|Call \d+ with .* connected", within
        )

    async def closed(self, within: float = 10) -> str:
        """Wait for the call's end; the line that tells of it."""
        return (await self.process.wait_line(r"Call \d+ with .* (ended|error).*", within))[0]

    # -- what it heard ---------------------------------------------------------------------

    @property
    def recording(self) -> Path:
        """What it hears, growing during the call."""
        return Path(self._folder.name) / "heard.wav"

    async def hears(self, hz: float, seconds: float = 1.5, within: float = 10) -> None:
        """Wait, during a call, until the last `seconds` it heard were this tone."""
        last = "nothing"
        try:
            async with asyncio.timeout(within):
                while True:
                    if self.recording.exists() and self.recording.stat().st_size > 100:
                        # its header is written at the end of the call; until then: 8 kHz mono
                        raw = self.recording.read_bytes()[44:]
                        pcm = np.frombuffer(raw[: len(raw) // 2 * 2], "<i2").astype(np.int16)
                        found = analyse(pcm[-round(seconds * 8000) :], 8000)
                        last = f"{found.hz:.0f} Hz for {found.voiced:.1f} s"
                        if found.share(hz) >= 0.9 and found.voiced >= seconds * 0.9:
                            return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise PeerError(
                f"linphonec {self.number} does not hear {hz:g} Hz but {last}\n{self.log()}"
            ) from None

    async def heard(self, within: float = 5) -> Path:
        """The recording, once the call is over."""
        await self.closed(within)
        return self.recording

    def log(self) -> str:
        return self.process.lines.tail(200)
