"""Understanding in a process of its own: language work must never be heard in a call."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import TYPE_CHECKING

from encryptotel.worker import new_worker
from nlp.commands import Understanding
from nlp.context import Context

if TYPE_CHECKING:
    from nlp.understand import Understander

log = logging.getLogger(__name__)


class Language:
    """One worker with the model loaded; it is replaced if it dies."""

    def __init__(self) -> None:
        self._pool = new_worker()

    async def warm_up(self) -> None:
        """Load the model now rather than at the first sentence. A missing one is logged."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, _load)
        except OSError as error:
            log.error("the language model cannot be loaded, install again: %s", error)

    async def understand(self, text: str, context: Context) -> Understanding:
        """What a message asks for; never raises on any text."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, _understand, text, context)
        except BrokenProcessPool:
            log.warning("the language process died and is started again")
            self._pool = new_worker()
            return await loop.run_in_executor(self._pool, _understand, text, context)

    async def anonymous(self, text: str, context: Context) -> str:
        """A message with placeholders for names, numbers, times and sums."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, _anonymous, text, context)

    async def close(self) -> None:
        """End the worker."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


@cache
def _understander() -> Understander:
    """The worker's one model."""
    from nlp.understand import Understander  # spaCy loads in the worker only

    return Understander.load()


def _anonymous(text: str, context: Context) -> str:
    return _understander().anonymous(text, context)


def _load() -> None:
    _understander()


def _understand(text: str, context: Context) -> Understanding:
    return _understander().understand(text, context)
