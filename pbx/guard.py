"""Limits per source address, before anything expensive happens to a stranger's message."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_HOSTS = 10_000
"Addresses remembered; the least recently seen is forgotten first."
FAILURE_WINDOW = 60.0


@dataclass(slots=True)
class _Host:
    tokens: float
    seen: float
    failures: int = 0
    failing_since: float = 0.0
    banned_until: float = 0.0


class Guard:
    """A token bucket and a failure count an address, and temporary bans.

    `is_known` says whether an address holds a live registration or is a trunk: such an address
    is never banned and not slowed down, so nobody behind the same router can lock a phone out.
    """

    def __init__(
        self,
        *,
        requests_per_second: float,
        failures: int,
        ban_seconds: float,
        is_known: Callable[[str], bool],
        on_ban: Callable[[str, float, str], None],
    ) -> None:
        self.ban_seconds = ban_seconds
        self._rate = requests_per_second
        self._burst = 2 * requests_per_second
        self._failures = failures
        self._is_known = is_known
        self._on_ban = on_ban
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self.dropped = 0

    def admits(self, host: str) -> bool:
        """Whether to look at one more request from an address; False means drop it."""
        if self._is_known(host):
            return True
        entry = self._entry(host)
        now = self._now()
        entry.tokens = min(self._burst, entry.tokens + (now - entry.seen) * self._rate)
        entry.seen = now
        if entry.banned_until > now or entry.tokens < 1:
            self.dropped += 1
            return False
        entry.tokens -= 1
        return True

    def is_banned(self, host: str) -> bool:
        """Whether an address is banned just now."""
        entry = self._hosts.get(host)
        return bool(entry) and entry.banned_until > self._now() and not self._is_known(host)  # type: ignore[union-attr]

    def failed(self, host: str, reason: str) -> None:
        """A wrong password or an unknown user came from an address."""
        if self._is_known(host):
            return
        entry, now = self._entry(host), self._now()
        if now - entry.failing_since > FAILURE_WINDOW:
            entry.failures, entry.failing_since = 0, now
        entry.failures += 1
        if entry.failures >= self._failures and entry.banned_until <= now:
            entry.banned_until = now + self.ban_seconds
            entry.failures = 0
            self._on_ban(host, self.ban_seconds, reason)

    def _entry(self, host: str) -> _Host:
        entry = self._hosts.get(host)
        if entry is None:
            entry = self._hosts[host] = _Host(tokens=self._burst, seen=self._now())
            if len(self._hosts) > MAX_HOSTS:
                self._hosts.popitem(last=False)
        else:
            self._hosts.move_to_end(host)
        return entry

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
