"""Processes of our own for work that must never hold up a call."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor


def new_worker() -> ProcessPoolExecutor:
    """One process, started at its first job, which ends with us however we end."""
    return ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=_live_with_parent
    )


def end_now(pool: ProcessPoolExecutor) -> None:
    """End a process that does not answer; whoever waits for it is told that it was cancelled."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


def _live_with_parent() -> None:
    """Ctrl-C is for the exchange, which ends this process when it is done; and if the exchange
    is killed, this process must not stay behind with what it loaded in memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(0)
