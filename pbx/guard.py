"""Limits per source address, before anything expensive happens to a stranger's message."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_HOSTS = 10_000
"Addresses remembered; the least recently seen is forgotten first."
MAX_LOCK = 86_400.0
CONNECTIONS_PER_SECOND = 200.0
"New connections of all strangers together: a TLS handshake costs a millisecond."
FAILURE_WINDOW = 60.0


@dataclass(slots=True)
class _Host:
    tokens: float
    seen: float
    failures: int = 0
    failing_since: float = 0.0
    banned_until: float = 0.0

    def take(self, now: float, rate: float) -> bool:
        """Take a token, of which `rate` a second come in and twice as many are kept."""
        self.tokens = min(2 * rate, self.tokens + (now - self.seen) * rate)
        self.seen = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


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
        self._guesses: OrderedDict[tuple[str, str], _Host] = OrderedDict()
        self._connections = _Host(tokens=2 * CONNECTIONS_PER_SECOND, seen=0.0)
        self.dropped = 0

    def reconfigure(self, *, requests_per_second: float, failures: int, ban_seconds: float) -> None:
        """Go on with other limits; who is banned stays so."""
        self.ban_seconds = ban_seconds
        self._rate = requests_per_second
        self._burst = 2 * requests_per_second
        self._failures = failures

    def admits(self, host: str) -> bool:
        """Whether to look at one more request from an address; False means drop it."""
        if self._is_known(host):
            return True
        entry = self._entry(host)
        now = self._now()
        if entry.banned_until > now or not entry.take(now, self._rate):
            self.dropped += 1
            return False
        return True

    def admits_connection(self, host: str) -> bool:
        """Whether to take one more connection from an address."""
        if self._is_known(host):
            return True
        return self.admits(host) and self._connections.take(self._now(), CONNECTIONS_PER_SECOND)

    def is_banned(self, host: str) -> bool:
        """Whether an address is banned just now."""
        entry = self._hosts.get(host)
        return bool(entry) and entry.banned_until > self._now() and not self._is_known(host)  # type: ignore[union-attr]

    @property
    def banned(self) -> int:
        """How many addresses are banned just now."""
        now = self._now()
        return sum(entry.banned_until > now for entry in self._hosts.values())

    def is_locked(self, host: str, user: str) -> bool:
        """Whether this user's password was guessed at too often from a known address."""
        entry = self._guesses.get((host, user))
        return entry is not None and entry.banned_until > self._now()

    def failed(self, host: str, user: str, reason: str) -> None:
        """A wrong password or an unknown user came from an address.

        A known address is not banned; there, only guessing at one user is stopped, for twice
        as long each time.
        """
        if self._is_known(host):
            self._failed_at(host, user)
            return
        entry, now = self._entry(host), self._now()
        if now - entry.failing_since > FAILURE_WINDOW:
            entry.failures, entry.failing_since = 0, now
        entry.failures += 1
        if entry.failures >= self._failures and entry.banned_until <= now:
            entry.banned_until = now + self.ban_seconds
            entry.failures = 0
            self._on_ban(host, self.ban_seconds, reason)

    def _failed_at(self, host: str, user: str) -> None:
        now = self._now()
        entry = self._guesses.setdefault((host, user), _Host(tokens=0, seen=self.ban_seconds))
        self._guesses.move_to_end((host, user))
        if len(self._guesses) > MAX_HOSTS:
            self._guesses.popitem(last=False)
        if now - entry.failing_since > FAILURE_WINDOW:
            entry.failures, entry.failing_since = 0, now
        entry.failures += 1
        if entry.failures >= self._failures and entry.banned_until <= now:
            entry.banned_until = now + entry.seen
            entry.seen = min(2 * entry.seen, MAX_LOCK)
            entry.failures = 0

    def _entry(self, host: str) -> _Host:
        entry = self._hosts.get(host)
        if entry is None:
            entry = self._hosts[host] = _Host(tokens=self._burst, seen=self._now())
            if len(self._hosts) > MAX_HOSTS:
                self._forget_one()
        else:
            self._hosts.move_to_end(host)
        return entry

    def _forget_one(self) -> None:
        """Forget the address seen longest ago that is not banned: a flood of new ones must not
        lift a ban."""
        now = self._now()
        for host, entry in self._hosts.items():
            if entry.banned_until <= now:
                del self._hosts[host]
                return
        self._hosts.popitem(last=False)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
