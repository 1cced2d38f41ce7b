"""When the program was last alive: what a start after `kill -9` knows of the moment of death.

The mark is the time stamp of an empty file. Setting it costs one system call, needs no room on
the disk and no lock on the database, so it stays true while both are in trouble.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
"How old the mark of a running program is at most."


class Heartbeat:
    """Sets the mark from a thread of its own: neither a slow disk nor a busy event loop may
    hold up the other."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.marked = 0.0
        "When this run set the mark last, in seconds since 1970."

    def last(self) -> datetime | None:
        """When the last run was last alive; None before the first."""
        try:
            return datetime.fromtimestamp(self._file.stat().st_mtime, UTC)
        except OSError:
            return None

    def start(self) -> None:
        """Begin to beat."""
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; the mark stays at this moment."""
        self._over.set()

    def _beat(self) -> None:
        failing = False
        while True:
            try:
                if not failing and not self._file.exists():
                    self._file.touch(mode=0o600)
                os.utime(self._file)
                self.marked = time.time()
                failing = False
            except OSError as error:
                if not failing:
                    log.warning("%s cannot be marked: %s", self._file, error.strerror or error)
                failing = True
            if self._over.wait(BEAT_SECONDS):
                return
