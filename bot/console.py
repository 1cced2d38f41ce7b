"""The console: the conversation at a terminal, or through a pipe."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from bot.dialogue import Dialogue
from bot.replies import Reply

PROMPT = "you> "
MAX_LINE = 8192


class Console:
    """Reads lines from standard input until it ends; prints answers and news."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or (lambda text: print(text, flush=True))
        self._interactive = sys.stdin.isatty()

    def show(self, reply: Reply) -> None:
        """Print one reply. Buttons are words to type here."""
        start = "\r" if self._interactive else ""
        self._write(start + "\n".join(f"bot> {line}" for line in reply.text.splitlines()))
        if self._interactive:
            sys.stdout.write(PROMPT)
            sys.stdout.flush()

    async def run(self, dialogue: Dialogue) -> None:
        """Converse until end of input."""
        reader = asyncio.StreamReader(limit=MAX_LINE)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        if self._interactive:
            sys.stdout.write(PROMPT)
            sys.stdout.flush()
        while True:
            try:
                line = await reader.readline()
            except ValueError:  # the line was longer than MAX_LINE; the buffer was dropped
                self.show(Reply(text="That line was too long."))
                continue
            if not line:
                return
            for reply in await dialogue.hear(line.decode("utf-8", "replace")):
                self.show(reply)
