"""baresip 1.0, headless: plays a tone, records what it hears, is driven over its ctrl_tcp port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any, Self

import av
import numpy as np

from . import ports
from .proc import Feed, PeerError, Process
from .tone import analyse, read_wav, write_tone

_CONFIG = """\
sip_listen 127.0.0.1:{port}
module_path /usr/lib/baresip/modules
module g711.so
module g722.so
module opus.so
module aufile.so
module sndfile.so
module srtp.so
module dtls_srtp.so
module aubridge.so
module uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
audio_source aufile,{folder}/in.wav
audio_player aubridge,sink
audio_alert aubridge,alert
snd_path {folder}
audio_channels 1
rtp_ports {rtp}-{rtp_last}
sip_verify_server yes
sip_cafile {ca}
"""
_VIDEO = """\
module avcodec.so
module vp8.so
module avformat.so
module swscale.so
module fakevideo.so
module snapshot.so
video_source avformat,{film}
video_display fakevideo,nil
video_size 320x240
video_bitrate 300000
video_fps 15
"""
_RATES = {"PCMU/8000/1": 8000, "PCMA/8000/1": 8000, "G722/16000/1": 16000, "opus/48000/2": 48000}

Event = dict[str, Any]


class Baresip:
    """One phone with one account; registered once `async with` has been entered."""

    def __init__(
        self,
        number: str,
        password: str,
        server: tuple[str, int],
        *,
        transport: str = "udp",
        tone: float = 0,
        srtp: str = "",
        ca: Path | None = None,
        auto_answer: bool = True,
        codec: str = "PCMU/8000/1",
        register: bool = True,
        interval: int = 60,
        extra: str = "",
        trace: bool = False,
        modules: tuple[str, ...] = (),
        video: str = "",
        film: Path | None = None,
        user: str = "",
    ) -> None:
        """`user`: the account, if that is not the number. `video` is a codec such as H264, `film`
        what its camera shows, over and over. `srtp`: "", "srtp", "srtp-mand" or "dtls_srtp". `ca`
        is what TLS is verified against. With `trace` its log has every SIP message: it shows texts
        in no other way."""
        self.number = number
        self.server = server
        self.port = ports.free_port()
        self.events: Feed[Event] = Feed(f"baresip {number}")
        self.process: Process
        self._control = ports.free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="baresip-", ignore_cleanup_errors=True)
        self._tone, self._codec, self._ca = tone, codec, ca
        self._register = register
        self._film = film
        self._flags = ["-s"] if trace else []
        self._modules = modules
        options = [
            f"auth_user={user or number}", f"auth_pass={password}", f"audio_codecs={codec}",
            f"answermode={'auto' if auto_answer else 'manual'}",
            f"regint={interval if register else 0}", "ptime=20",
        ]  # fmt: skip
        if video:
            options.append(f"video_codecs={video}")
        if srtp:
            options.append(f"mediaenc={srtp}")
        self._account = (
            f"<sip:{number}@{server[0]}:{server[1]};transport={transport}>;"
            + ";".join(options) + extra
        )  # fmt: skip
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: Feed[Event] = Feed(f"baresip {number} answers")
        self._asked = 0

    async def __aenter__(self) -> Self:
        folder = Path(self._folder.name)
        rtp = ports.free_range(20)
        channels = int(self._codec.rsplit("/", 1)[1])
        write_tone(folder / "in.wav", self._tone or 0, 60, _RATES[self._codec], channels)
        config = _CONFIG.format(
            port=self.port, control=self._control, folder=folder, rtp=rtp, rtp_last=rtp + 19,
            ca=self._ca or "/etc/ssl/certs/ca-certificates.crt",
        )  # fmt: skip
        config += "".join(f"module_app {name}.so\n" for name in self._modules)
        if self._film is not None:
            config += _VIDEO.format(film=self._film)
        (folder / "config").write_text(config)
        # the account comes over the control port, so that no event is missed
        (folder / "accounts").write_text("# none\n")
        (folder / "contacts").write_text("")
        self.process = await Process.start(
            f"baresip {self.number}", ["baresip", "-4", *self._flags, "-f", folder], cwd=folder
        )
        try:
            await ports.wait_bound(self._control, "tcp")
            reader, self._writer = await asyncio.open_connection(ports.HOST, self._control)
            self._reading = asyncio.create_task(self._read(reader))
            await self.command("uanew", self._account)
            if self._register:
                event = await self.wait("REGISTER_OK", "REGISTER_FAIL")
                if event["type"] == "REGISTER_FAIL":
                    raise PeerError(f"baresip {self.number}: {event}\n{self.log()}")
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        await self.process.stop()
        self._folder.cleanup()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                size = int((await reader.readuntil(b":"))[:-1])
                message: Event = json.loads((await reader.readexactly(size + 1))[:-1])
                (self.events if message.get("event") else self._answers).push(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.events.close()
            self._answers.close()

    # -- control ---------------------------------------------------------------------------

    async def command(self, name: str, params: str = "") -> str:
        """Run a command; its textual answer. PeerError when baresip refuses it."""
        assert self._writer is not None
        self._asked += 1
        token = str(self._asked)
        body = json.dumps({"command": name, "params": params, "token": token})
        self._writer.write(f"{len(body)}:{body},".encode())
        answer = await self._answers.wait(
            lambda one: one.get("token") == token, what=f"answer to {name}"
        )
        if not answer.get("ok"):
            raise PeerError(f"baresip {name} {params}: {answer}\n{self.log()}")
        return str(answer.get("data", ""))

    async def wait(self, *types: str, within: float = 10, since: int = 0) -> Event:
        """The first event of one of these types, from event number `since` on."""
        return await self.events.wait(
            lambda event: event["type"] in types, within, since, " or ".join(types)
        )

    async def dial(self, number: str) -> None:
        """Call a number of its server, or a whole sip: address."""
        await self.command("dial", number)

    async def established(self, within: float = 10, since: int = 0) -> Event:
        return await self.wait("CALL_ESTABLISHED", within=within, since=since)

    async def closed(self, within: float = 10, since: int = 0) -> Event:
        """The call's end; `param` says why."""
        return await self.wait("CALL_CLOSED", within=within, since=since)

    async def hangup(self) -> None:
        await self.command("hangup")

    async def accept(self) -> None:
        await self.command("accept")

    async def hold(self) -> None:
        await self.command("hold")

    async def resume(self) -> None:
        await self.command("resume")

    async def digits(self, digits: str) -> None:
        """RFC 4733 digits, as fast as people key them: baresip forgets one that is followed by
        the next before its packet is due."""
        for digit in digits:
            await self.command("sndcode", digit)
            await asyncio.sleep(0.2)

    async def calls(self) -> str:
        return await self.command("listcalls")

    async def registrations(self) -> str:
        return await self.command("reginfo")

    # -- what it heard ---------------------------------------------------------------------

    def recordings(self) -> list[Path]:
        """What each call heard so far, oldest first. Complete only after the call has closed."""
        files = Path(self._folder.name).glob("dump-*-dec.wav")
        return sorted(files, key=lambda path: path.stat().st_mtime)

    async def heard(self, within: float = 5) -> Path:
        """The recording of the last call, once it is over and its file is complete."""
        await self.closed(within)
        async with asyncio.timeout(within):
            while True:
                files = self.recordings()
                if files and _complete(files[-1]):
                    return files[-1]
                await asyncio.sleep(0.02)

    async def hears(self, hz: float, seconds: float = 1.5, within: float = 10) -> None:
        """Wait, during a call, until the last `seconds` it heard were this tone."""
        last = "nothing"
        try:
            async with asyncio.timeout(within):
                while True:
                    files = self.recordings()
                    if files and files[-1].stat().st_size > 100:
                        pcm, rate = read_wav(files[-1])
                        found = analyse(pcm[-round(seconds * rate) :], rate)
                        last = f"{found.hz:.0f} Hz for {found.voiced:.1f} s"
                        if found.share(hz) >= 0.9 and found.voiced >= seconds * 0.9:
                            return
                    await asyncio.sleep(0.15)
        except TimeoutError:
            raise PeerError(
                f"baresip {self.number} does not hear {hz:g} Hz but {last}\n{self.log()}"
            ) from None

    async def picture(self, within: float = 10) -> np.ndarray[Any, Any]:
        """What its screen shows at the next picture, as RGB."""
        path = Path(self._folder.name) / f"picture-{self._asked}.png"
        await self.command("snapshot_recv", str(path))
        async with asyncio.timeout(within):
            while True:
                with (
                    contextlib.suppress(OSError, av.error.FFmpegError, StopIteration),
                    av.open(path) as container,  # which it may be writing yet
                ):
                    frame = next(container.decode(video=0))
                    return frame.to_ndarray(format="rgb24")
                await asyncio.sleep(0.05)

    def log(self) -> str:
        return f"--- events\n{self.events.tail()}\n--- log\n{self.process.lines.tail()}"


def _complete(path: Path) -> bool:
    """Whether the header's size is that of the file: the writer has closed it."""
    data = path.read_bytes()
    return len(data) > 44 and int.from_bytes(data[4:8], "little") + 8 == len(data)
