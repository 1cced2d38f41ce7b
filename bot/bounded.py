"""What is limited in size or number: a table whose oldest entry goes first, and so many an hour."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(OrderedDict[K, V]):
    """A dict that holds `most` entries; putting one in anew makes it the newest."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)


class Hourly:
    """So many of something in each hour."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._hour, self._spent = 0, 0

    def spend(self) -> bool:
        """Whether there is one left in this hour, which is then spent."""
        hour = int(time.monotonic() // 3600)
        if hour != self._hour:
            self._hour, self._spent = hour, 0
        self._spent += 1
        return self._spent <= self._most
