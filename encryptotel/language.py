"""Understanding in a process of its own: language work must never be heard in a call."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import TYPE_CHECKING

from nlp.commands import Understanding
from nlp.context import Context

if TYPE_CHECKING:
    from nlp.understand import Understander

log = logging.getLogger(__name__)


class Language:
    """One worker with the model loaded; it is replaced if it dies."""

    def __init__(self) -> None:
        self._pool = self._new_pool()

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
            self._pool = self._new_pool()
            return await loop.run_in_executor(self._pool, _understand, text, context)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _new_pool() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=_ignore_interrupt
        )


def _ignore_interrupt() -> None:
    """Ctrl-C is for the exchange, which ends this process when it is done."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


@cache
def _understander() -> Understander:
    """The worker's one model."""
    from nlp.understand import Understander  # spaCy loads in the worker only

    return Understander.load()


def _load() -> None:
    _understander()


def _understand(text: str, context: Context) -> Understanding:
    return _understander().understand(text, context)
