"""The console: the conversation at a terminal, or through a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import readline
import sys
import tempfile
import termios
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from bot.dialogue import Dialogue
from bot.replies import Attachment, Reply

PROMPT = "you> "
MAX_LINE = 8192
CLOSED = "The chat is closed; the exchange keeps running. Ctrl-C stops it."


class Console:
    """Reads lines from standard input until it ends; prints answers and news."""

    def __init__(self) -> None:
        self._at_terminal = sys.stdin.isatty()
        self._closed = False

    def show(self, reply: Reply) -> None:
        """Print one reply; what the person is typing just now is put back below it."""
        if not reply.text:
            return
        said = reply.text if reply.file is None else f"{reply.text}\n{_seen(reply.file)}"
        said += _choices(reply)
        text = "\n".join(f"bot> {line}" for line in said.splitlines())
        if self._at_terminal and not self._closed:
            print(f"\r\x1b[K{text}\n{PROMPT}{readline.get_line_buffer()}", end="", flush=True)
        else:
            print(text, flush=True)

    async def run(self, dialogue: Dialogue) -> None:
        """Converse until end of input."""
        lines = self._typed() if self._at_terminal else _piped()
        async for line in lines:
            if len(line) > MAX_LINE:
                self.show(Reply(text="That line was too long."))
                continue
            for reply in await dialogue.hear(line):
                self.show(reply)
        self._closed = True
        if self._at_terminal:
            print(f"\n{CLOSED}", flush=True)

    async def _typed(self) -> AsyncIterator[str]:
        """Lines edited with readline, with history. It blocks, so it has a thread, which ends
        with the program; the terminal is put back in order then."""
        loop = asyncio.get_running_loop()
        typed: asyncio.Queue[str | None] = asyncio.Queue()
        settings = termios.tcgetattr(sys.stdin)

        def read() -> None:
            while True:
                try:
                    line: str | None = input(PROMPT)
                except EOFError:
                    line = None
                with contextlib.suppress(RuntimeError):  # the program is over
                    loop.call_soon_threadsafe(typed.put_nowait, line)
                if line is None:
                    return

        threading.Thread(target=read, name="console", daemon=True).start()
        try:
            while (line := await typed.get()) is not None:
                yield line
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)


def _choices(reply: Reply) -> str:
    """What to type in the place of buttons that are about one certain thing of the person's."""
    meant = [one.says for one in reply.buttons if "#" in one.says]
    return f"\nType: {' · '.join(meant)}" if meant and reply.private else ""


def _seen(file: Attachment) -> str:
    """A file as text, or put where its reader alone can open it and where that is."""
    if file.drawn:
        return file.drawn
    path = Path(tempfile.mkdtemp(prefix="encryptotel-")) / file.name
    path.write_bytes(file.content)
    return f"saved as {path}"


async def _piped() -> AsyncIterator[str]:
    """Lines from a pipe or file; one over `MAX_LINE` comes shortened to just above it."""
    reader = asyncio.StreamReader(limit=4 * MAX_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while True:
        try:
            line = await reader.readline()
        except ValueError:  # over the limit; the reader dropped what it had
            yield "x" * (MAX_LINE + 1)
            continue
        if not line:
            return
        yield line.decode("utf-8", "replace")
