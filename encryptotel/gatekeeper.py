"""Which calls may leave through a trunk: how many, to where, and as which number."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from encryptotel.config import LimitsSection
from pbx.calls.numbers import is_premium, region_of, region_of_zone
from pbx.ports import CallRefused, Permit, Trunk

HOUR = 3600.0


class Gatekeeper:
    """Implements `pbx.ports.Gatekeeper` from the `[limits]` of the configuration."""

    def __init__(
        self,
        limits: LimitsSection,
        max_duration: float,
        trunks: Callable[[], Sequence[Trunk]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._max_duration = max_duration
        self._trunks = trunks
        self._clock = clock
        self._at_once: dict[str, int] = {}
        self._on_trunk: dict[str, int] = {}
        self._history: dict[str, deque[float]] = {}

    def admit(self, user: str, trunk: Trunk, number: str) -> Permit:
        """Count a call in. Raises `CallRefused` with what to change."""
        self._check_destination(number)
        limits = self._limits
        if self._at_once.get(user, 0) >= limits.trunk_calls_at_once:
            raise CallRefused(
                486, f"you already have {limits.trunk_calls_at_once} outside calls going on"
            )
        if self._on_trunk.get(trunk.name, 0) >= trunk.max_calls:
            raise CallRefused(503, f"all {trunk.max_calls} lines of {trunk.name} are busy")
        now = self._clock()
        history = self._history.setdefault(user, deque())
        while history and now - history[0] > HOUR:
            history.popleft()
        if len(history) >= limits.trunk_calls_per_hour:
            wait = max(1, round((HOUR - (now - history[0])) / 60)) if history else 60
            raise CallRefused(
                403,
                f"you made {len(history)} outside calls in the last hour, which is the limit; "
                f"try again in {wait} minutes",
            )
        history.append(now)
        self._at_once[user] = self._at_once.get(user, 0) + 1
        self._on_trunk[trunk.name] = self._on_trunk.get(trunk.name, 0) + 1
        caller = trunk.numbers[0] if trunk.numbers else ""
        return Permit(user=user, trunk=trunk.name, seconds=self._max_duration, caller=caller)

    def release(self, permit: Permit) -> None:
        """A counted call is over."""
        for counts, key in ((self._at_once, permit.user), (self._on_trunk, permit.trunk)):
            left = counts.get(key, 0) - 1
            if left > 0:
                counts[key] = left
            else:
                counts.pop(key, None)

    def _check_destination(self, number: str) -> None:
        if is_premium(number) and not self._limits.premium_numbers:
            raise CallRefused(
                403, f"{number} is a premium-rate number; these are off ([limits] premium_numbers)"
            )
        country = region_of(number)
        allowed = self._limits.countries or self._own_countries()
        if country not in allowed:
            where = country or "that country code"
            raise CallRefused(
                403,
                f"calls to {where} are not allowed; allowed are {', '.join(sorted(allowed))} "
                f"([limits] countries)",
            )

    def _own_countries(self) -> set[str]:
        trunks = self._trunks()
        own = {region_of_zone(trunk.zone) for trunk in trunks}
        own |= {region_of(number) for trunk in trunks for number in trunk.numbers}
        return own - {""}
