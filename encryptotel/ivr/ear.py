"""What hears people say words: a recogniser in a process of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from encryptotel.config import MenusSection
from encryptotel.ivr.recognisers import Engine, Recogniser, RecogniserError, load
from encryptotel.worker import end_now, new_worker

log = logging.getLogger(__name__)

WITHIN = 4.0
"Seconds for one utterance: nobody waits longer for a machine."
WRITTEN_WITHIN, MAX_WRITTEN = 60.0, 2_000
"Seconds for a whole message, and characters of it."
LOADED_WITHIN = 60.0
"Seconds for a model, from the disk."
MAX_WAITING = 8
"Utterances that wait for the recogniser; of more, nothing is heard."
MAX_SOUND = 16_000 * 5
"Bytes of one utterance looked at."

T = TypeVar("T")


class ProcessEar:
    """Implements `pbx.media.hearing.Ear`. Its process is started at the first use and stays."""

    def __init__(self, section: MenusSection, folder: Path) -> None:
        self.engine = section.recogniser
        self._model = str(folder / section.model) if section.model else ""
        self._pool = new_worker()
        self._loaded: set[ProcessPoolExecutor] = set()
        "The process, once it has answered."
        self._waiting = 0

    async def hear(self, sound: bytes, words: Sequence[str]) -> str:
        """Which of the words was said; empty when it was none of them, or that took too long."""
        try:
            return await self._ask(WITHIN, _hear, sound[:MAX_SOUND], tuple(words))
        except RecogniserError as error:
            log.warning("somebody's words were not heard: %s", error)
            return ""

    async def unknown(self, words: Sequence[str]) -> Sequence[str]:
        """Those of the words that it cannot know; loads it, so that the first caller need not
        wait. Raises `RecogniserError` when it cannot be used."""
        return await self._ask(LOADED_WITHIN, _unknown, tuple(words))

    async def write(self, sound: bytes) -> str:
        """What was said in a message, whatever it is; empty when that took too long, or it knows
        a few words only."""
        try:
            return (await self._ask(WRITTEN_WITHIN, _write, sound))[:MAX_WRITTEN]
        except RecogniserError as error:
            log.warning("a message was not written down: %s", error)
            return ""

    async def close(self) -> None:
        """End the process."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def _ask(self, within: float, work: Callable[..., T], *what: object) -> T:
        """What the process says in time; one that fails is replaced, and loads its model anew
        before anybody's patience runs again. Those who waited for it hear that it failed."""
        loop, pool = asyncio.get_running_loop(), self._pool
        if self._waiting >= MAX_WAITING:
            raise RecogniserError("too many are speaking at once")
        self._waiting += 1
        patience = within if pool in self._loaded else max(within, LOADED_WITHIN)
        asked = loop.run_in_executor(pool, work, self.engine, self._model, *what)
        try:
            done, _ = await asyncio.wait((asked,), timeout=patience)
            if not done:
                raise TimeoutError
            if asked.cancelled():
                raise RecogniserError("it was replaced")
            self._loaded.add(pool)
            return asked.result()
        except (BrokenProcessPool, TimeoutError) as error:
            if self._pool is pool:
                self._loaded.discard(pool)
                self._pool = new_worker()
                end_now(pool)
            raise RecogniserError(f"it failed ({type(error).__name__})") from error
        finally:
            self._waiting -= 1


# ── in the process ──────────────────────────────────────────────────────────────────────────
@cache
def _recogniser(engine: Engine, model: str) -> Recogniser:
    return load(engine, model)


def _hear(engine: Engine, model: str, sound: bytes, words: Sequence[str]) -> str:
    found = _recogniser(engine, model).hear(sound, words)
    return found if found in words else ""


def _write(engine: Engine, model: str, sound: bytes) -> str:
    return _recogniser(engine, model).write(sound)


def _unknown(engine: Engine, model: str, words: Sequence[str]) -> list[str]:
    return _recogniser(engine, model).unknown(words)
