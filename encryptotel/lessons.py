"""What the bot had to ask about, kept as training sentences, when the person agreed to that.

Numbers, names, times and sums are placeholders in what is kept: the same masked text that the
model sees, and nothing that says who wrote it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

log = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
"Of the file; nothing is added to a full one."
_FILE = "lessons.jsonl"

Anonymise = Callable[[str], Awaitable[str]]


class Lessons:
    """The file of lessons in the data folder."""

    def __init__(self, data: Path, anonymise: Anonymise) -> None:
        self._file = lessons_file(data)
        self._anonymise = anonymise
        self._keeping: set[asyncio.Task[None]] = set()

    def keep(self, first: str, slot: str, answer: str) -> None:
        """A message, the slot it lacked, and the answer that gave it. Nobody waits for this."""
        task = asyncio.ensure_future(self._keep(first, slot, answer))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def close(self) -> None:
        """Finish what is being kept."""
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def _keep(self, first: str, slot: str, answer: str) -> None:
        lesson = {
            "day": datetime.now().astimezone().date().isoformat(),
            "text": await self._anonymise(first),
            "asked": slot,
            "answer": await self._anonymise(answer),
        }
        try:
            await asyncio.to_thread(self._append, json.dumps(lesson, ensure_ascii=False))
        except OSError as error:  # a full disk must not keep the answer from the person
            log.warning("a lesson was not kept: %s", error)

    def _append(self, line: str) -> None:
        if self._file.exists() and self._file.stat().st_size > MAX_BYTES:
            return
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._file.chmod(0o600)


def lessons_file(data: Path) -> Path:
    """Where the lessons of an exchange are."""
    return data / _FILE
