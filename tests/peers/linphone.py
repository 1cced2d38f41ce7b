"""linphonec 5.1 over pipes: TLS with a verified certificate, SRTP or ZRTP, sound from files."""

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
guess_hostname=1
inc_timeout=60
use_ipv6=0
keepalive_period=30000
register_only_when_network_is_up=0
default_proxy=0

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
_ACCOUNT = """
[sip]
media_encryption={encryption}
media_encryption_mandatory={mandatory}

[auth_info_0]
username={number}
passwd={password}

[proxy_0]
reg_proxy=<sip:{host}:{port};transport={transport}>
reg_identity=sip:{number}@{host}:{port}
reg_expires=60
reg_sendregister=1
publish=0
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
        zrtp: bool = False,
        tone: float = 0,
        auto_answer: bool = True,
        patience: float = 10,
        fetches: str = "",
    ) -> None:
        """`srtp` makes encrypted media mandatory, `zrtp` agrees on keys with the other phone
        instead (RFC 6189); `ca` is what the exchange is verified against.

        `patience`: seconds it may take to register. `fetches`: the address that it gets its
        account and everything about media from, as if it had scanned a QR code.
        """
        self.number = number
        # its TLS library compares names only, never addresses
        self.server = ("localhost", server[1]) if server[0] == ports.HOST else server
        self.process: Process
        self._transport, self._ca = transport, ca
        self._encryption = "zrtp" if zrtp else "srtp" if srtp else "none"
        self._patience = patience
        self._fetches = fetches
        self._tone, self._auto, self._password = tone, auto_answer, password
        self._folder = tempfile.TemporaryDirectory(prefix="linphone-", ignore_cleanup_errors=True)

    async def __aenter__(self) -> Self:
        folder = Path(self._folder.name)
        write_tone(folder / "in.wav", self._tone, 60)
        rc = _RC.format(
            verify=1 if self._ca else 0, ca=self._ca or "/etc/ssl/certs/ca-certificates.crt",
            rtp=ports.free_range(4 * 2),  # each further call takes the next two
        ) + (f"config-uri={self._fetches}\n" if self._fetches else _ACCOUNT.format(
            encryption=self._encryption, mandatory=int(self._encryption == "srtp"),
            number=self.number, password=self._password, host=self.server[0],
            port=self.server[1], transport=self._transport,
        ))  # fmt: skip
        (folder / "rc").write_text(rc)
        share = folder / ".local/share/linphone"
        share.mkdir(parents=True)
        argv: list[str | Path] = ["linphonec", "-c", folder / "rc", *(["-a"] if self._auto else [])]
        self.process = await Process.start(
            f"linphonec {self.number}", argv, cwd=folder, env={"HOME": str(folder)}, stdin=True
        )
        try:
            self._use_files()
            await self._registered(self._patience)
            if self._fetches:
                self._use_files()  # what it fetched made it look for sound cards again
        except BaseException:
            await self._close()
            raise
        return self

    def _use_files(self) -> None:
        folder = Path(self._folder.name)
        self.process.write("soundcard use files")
        self.process.write(f"play {folder}/in.wav")
        self.process.write(f"record {self.recording}")

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
        """Until the call has left its port to the next one."""
        since = len(self.process.lines.items)
        self.process.write("pause")
        await self.process.wait_line("is now paused", since=since)

    async def resume(self) -> None:
        self.process.write("resume")

    async def digits(self, digits: str) -> None:
        for digit in digits:
            self.process.write(digit)

    async def established(self, within: float = 10) -> None:
        await self.process.wait_line(
            r"Media streams established|Call \d+ with .* connected", within
        )

    async def secret(self, within: float = 10) -> str:
        """The words that its ZRTP call shows, to be compared with those of the other phone: they
        differ where somebody sits in between (RFC 6189 §7)."""
        line = await self.process.wait_line(r"fully encrypted and auth token is (\w+)", within)
        return line[1]

    async def closed(self, within: float = 10) -> str:
        """Wait for the call's end; the line that tells of it."""
        return (await self.process.wait_line(r"Call \d+ with .* (ended|error).*", within))[0]

    # -- what it heard ---------------------------------------------------------------------

    @property
    def recording(self) -> Path:
        """What it hears, growing during the call."""
        return Path(self._folder.name) / "heard.wav"

    async def hears(
        self, hz: float, seconds: float = 1.5, within: float = 10, rate: int = 8000
    ) -> None:
        """Wait, during a call, until the last `seconds` it heard were this tone. `rate` is that
        of its codec, 48000 with Opus."""
        last = "nothing"
        try:
            async with asyncio.timeout(within):
                while True:
                    if self.recording.exists() and self.recording.stat().st_size > 100:
                        # its header is written at the end of the call; until then: mono
                        raw = self.recording.read_bytes()[44:]
                        pcm = np.frombuffer(raw[: len(raw) // 2 * 2], "<i2").astype(np.int16)
                        found = analyse(pcm[-round(seconds * rate) :], rate)
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
