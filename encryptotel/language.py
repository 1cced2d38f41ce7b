"""Understanding in a process of its own: language work must never be heard in a call."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
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

    async def anonymous(self, text: str, context: Context) -> str:
        """A message with placeholders for names, numbers, times and sums."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, _anonymous, text, context)

    async def close(self) -> None:
        """End the worker."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    @staticmethod
    def _new_pool() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=_live_with_parent
        )


def _live_with_parent() -> None:
    """Ctrl-C is for the exchange, which ends this process when it is done; and if the exchange
    is killed, this process must not stay behind with the model in memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(0)


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
