"""Stock pyVoIP 1.6.8 as a phone, in a process of its own (its threads stay out of the tests')."""

from __future__ import annotations

import json
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any, Self

from . import ports
from .proc import Feed, PeerError, Process
from .tone import tone

Event = dict[str, Any]
_CHILD = Path(__file__).with_name("_pyvoip_child.py")


class PyVoipPhone:
    """A UDP phone, registered once `async with` has been entered."""

    def __init__(
        self,
        number: str,
        password: str,
        server: tuple[str, int],
        *,
        tone: float = 0,
        auto_answer: bool = True,
    ) -> None:
        self.number, self.password, self.server = number, password, server
        self.hz, self.auto_answer = tone, auto_answer
        self.port = ports.free_port()
        self.process: Process
        self._folder = tempfile.TemporaryDirectory(prefix="pyvoip-", ignore_cleanup_errors=True)
        self._saved = 0

    async def __aenter__(self) -> Self:
        sound = Path(self._folder.name) / "tone.wav"
        with wave.open(str(sound), "wb") as file:
            file.setparams((1, 1, 8000, 0, "NONE", ""))
            file.writeframes(((tone(self.hz, 30) >> 8) + 128).astype("u1").tobytes())
        options = {
            "host": self.server[0], "port": self.server[1], "number": self.number,
            "password": self.password, "sip_port": self.port, "rtp": ports.free_range(20),
            "tone": str(sound), "auto_answer": self.auto_answer,
        }  # fmt: skip
        self.process = await Process.start(
            f"pyVoIP {self.number}", [sys.executable, "-u", _CHILD, json.dumps(options)], stdin=True
        )
        try:
            event = await self.wait("registered", "register_failed")
            if event["event"] != "registered":
                raise PeerError(f"pyVoIP {self.number} cannot register\n{self.log()}")
        except BaseException:
            await self.process.stop()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self.process.child.returncode is None:
            self.process.write("quit")
            try:
                await self.process.wait(3)
            except PeerError:
                await self.process.stop()
        self._folder.cleanup()

    @property
    def events(self) -> Feed[str]:
        """Its output: lines of JSON, and what pyVoIP itself prints."""
        return self.process.lines

    async def wait(self, *names: str, within: float = 10, since: int = 0) -> Event:
        """The first event of one of these names."""
        line = await self.events.wait(
            lambda text: _event(text).get("event") in names, within, since, " or ".join(names)
        )
        return _event(line)

    async def dial(self, number: str) -> None:
        self.process.write(f"dial {number}")

    async def hangup(self) -> None:
        self.process.write("hangup")

    async def established(self, within: float = 10) -> None:
        await self.wait("established", within=within)

    async def closed(self, within: float = 10) -> None:
        await self.wait("ended", within=within)

    async def hears(self, seconds: float, within: float = 10) -> None:
        """Wait until it has heard this many seconds of anything (what it was: see `heard`)."""
        await self.events.wait(
            lambda text: _event(text).get("seconds", 0) >= seconds and "sound" in text,
            within,
            what=f"{seconds:g} s of sound",
        )

    async def heard(self, within: float = 5) -> Path:
        """All it has heard so far, as a WAV (8 bits: pyVoIP keeps no more)."""
        self._saved += 1
        path = Path(self._folder.name) / f"heard-{self._saved}.wav"
        since = len(self.events.items)
        self.process.write(f"save {path}")
        await self.wait("saved", within=within, since=since)
        return path

    def log(self) -> str:
        return self.events.tail()


def _event(line: str) -> Event:
    if not line.startswith("{"):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
