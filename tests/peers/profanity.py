"""Profanity 0.13, a Jabber client for terminals with an OMEMO of its own, driven through a pty.

What it shows is read from its chat logs. It never makes a missing device list, so somebody else's
client must have logged in to the account once; and it encrypts only for contacts.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from pathlib import Path
from typing import Self

from .proc import PeerError

_ACCOUNTS = """[{jid}]
enabled=true
jid={jid}
resource=profanity
server=127.0.0.1
port={port}
tls.policy=trust
password={password}
presence.last=online
presence.login=online
"""
_SETTINGS = """[logging]
chlog=true
[omemo]
log=on
policy=manual
trustmode=blind
[notifications]
message=false
"""
_ROWS, _COLUMNS = 50, 200


class Profanity:
    """`async with Profanity(folder, jid, password, port) as client:`"""

    def __init__(self, folder: Path, jid: str, password: str, port: int) -> None:
        self._home = folder
        self._jid = jid
        data, settings = folder / ".local/share/profanity", folder / ".config/profanity"
        data.mkdir(parents=True)
        settings.mkdir(parents=True)
        values = {"jid": jid, "password": password, "port": port}
        (data / "accounts").write_text(_ACCOUNTS.format(**values))
        (settings / "profrc").write_text(_SETTINGS)
        self.screen = bytearray()
        self._fd = -1
        self._news = asyncio.Event()
        self._child: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self._child = await asyncio.create_subprocess_exec(
            "profanity",
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "HOME": str(self._home), "TERM": "xterm", "LC_ALL": "C.UTF-8",
                 "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""},
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._fd = ours
        os.set_blocking(ours, False)
        asyncio.get_running_loop().add_reader(ours, self._read)
        await self.shows("Profanity")
        self.types(f"/connect {self._jid}")
        await self.shows("logged in successfully")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.types("/quit")
        try:
            async with asyncio.timeout(5):
                await self._child.wait()
        except TimeoutError:
            self._child.kill()
            await self._child.wait()
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def types(self, line: str) -> None:
        """A line, ended with Enter."""
        os.write(self._fd, line.encode() + b"\r")

    async def shows(self, text: str, within: float = 20, since: int = 0) -> None:
        """Wait until a text was drawn."""
        await self._until(lambda: text.encode() in self.screen[since:], text, within)

    def _read(self) -> None:
        try:
            self.screen += os.read(self._fd, 65_536)
        except OSError:  # it is over
            asyncio.get_running_loop().remove_reader(self._fd)
        self._news.set()

    async def _until(self, happened: object, what: str, within: float) -> None:
        assert callable(happened)
        try:
            async with asyncio.timeout(within):
                while not happened():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            tail = self.screen[-3000:].decode(errors="replace")
            raise PeerError(f"profanity: no {what!r} in {within:g} s\n{tail}") from None
