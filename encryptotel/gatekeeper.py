"""Which calls may leave through a trunk: how many, how long, to where, and as which number; and
which are so unusual that the owner is asked first.

What was counted, and what is usual, is read from the journal at the start. That an extension is
held or locked is not kept over a restart: what caused it is still unusual then and asks again.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from encryptotel.config import LimitsSection
from encryptotel.metering import Metering
from encryptotel.suspicion import Habits, Held
from pbx.calls.numbers import is_premium, region_of, region_of_zone, spoken
from pbx.ports import CallRefused, Extension, Permit, Trunk

HOUR, DAY = 3600.0, 86_400.0
MAX_DAY = 10_000
"Calls of an extension remembered for its minutes of the day."


@dataclass(frozen=True, kw_only=True)
class PastCall:
    """A trunk call the journal knows of. `at` as `time.time`, `seconds` since it was dialled;
    `source` is the address of the phone, empty when a command placed it."""

    user: str
    at: float
    seconds: float
    number: str
    source: str


class Gatekeeper:
    """Implements `pbx.ports.Gatekeeper` from the `[limits]` of the configuration."""

    def __init__(
        self,
        limits: LimitsSection,
        max_duration: float,
        trunks: Callable[[], Sequence[Trunk]],
        clock: Callable[[], float] = time.time,
        *,
        extension: Callable[[str], Extension | None] = lambda number: None,
        ask: Callable[[str], None] = lambda question: None,
        timezone: str = "UTC",
        inside_only: Callable[[str], bool] = lambda user: False,
        metering: Metering | None = None,
    ) -> None:
        self._limits = limits
        self._max_duration = max_duration
        self._trunks = trunks
        self._clock = clock
        self._extension = extension
        self._ask = ask
        self._timezone = ZoneInfo(timezone)
        self._inside_only = inside_only
        self._metering = metering
        self._at_once: dict[str, int] = {}
        self._on_trunk: dict[str, int] = {}
        self._history: dict[str, deque[float]] = {}
        self._spent: dict[str, deque[tuple[float, float]]] = {}
        self._texts: dict[str, deque[float]] = {}
        self._habits: dict[str, Habits] = {}
        self._locked: dict[str, tuple[float, str]] = {}
        self._denied: set[str] = set()
        "Those of them whose owner said no: what was set up for them before counts no more either."
        self._questions: OrderedDict[str, Held] = OrderedDict()

    def reconfigure(self, limits: LimitsSection, max_duration: float) -> None:
        """Go on with other limits; what was counted stays counted."""
        self._limits = limits
        self._max_duration = max_duration

    def forget(self, users: Iterable[str]) -> None:
        """Know nothing of earlier calls of extensions, because they were made elsewhere."""
        for user in users:
            self._habits.pop(user, None)
            self._history.pop(user, None)
            self._spent.pop(user, None)

    def remember(self, calls: Iterable[PastCall]) -> None:
        """Take in what the journal knows, oldest first."""
        now = self._clock()
        for call in calls:
            self._habit(call.user).learn(region_of(call.number), call.source)
            if now - call.at <= HOUR:
                self._history.setdefault(call.user, deque()).append(call.at)
            if now - call.at <= DAY:
                self._spend(call.user, call.at, call.seconds)

    # ── the exchange asks ───────────────────────────────────────────────────────────────
    def admit(self, user: str, trunk: Trunk, number: str, source: str = "") -> Permit:
        """Count a call in, as `pbx.ports.Gatekeeper` says. Raises `CallRefused` with what to
        change."""
        now, limits = self._clock(), self._limits
        if source or user in self._denied:
            self._check_locked(user, now)
        country = region_of(number)
        self._check_destination(user, trunk, number, country)
        if self._at_once.get(user, 0) >= limits.trunk_calls_at_once:
            raise CallRefused(
                486, f"you already have {limits.trunk_calls_at_once} outside calls going on"
            )
        if self._on_trunk.get(trunk.name, 0) >= trunk.max_calls:
            raise CallRefused(503, f"all {trunk.max_calls} lines of {trunk.name} are busy")
        history = self._lately(user, now)
        if len(history) >= limits.trunk_calls_per_hour:
            wait = max(1, round((HOUR - (now - history[0])) / 60)) if history else 60
            raise CallRefused(
                403,
                f"you made {len(history)} outside calls in the last hour, which is the limit; "
                f"try again in {wait} minutes",
            )
        left = 60 * limits.trunk_minutes_per_day - self._spent_today(user, now)
        if left <= 0:
            raise CallRefused(
                403,
                f"you talked for {limits.trunk_minutes_per_day} minutes on outside calls since "
                "this time yesterday, which is the limit ([limits] trunk_minutes_per_day)",
            )
        if source and limits.ask_owner:
            self._check_usual(user, number, country, source, now)
        id = secrets.token_hex(6)
        if self._metering is not None:
            self._metering.reserve(id, user, number)
        history.append(now)
        self._at_once[user] = self._at_once.get(user, 0) + 1
        self._on_trunk[trunk.name] = self._on_trunk.get(trunk.name, 0) + 1
        caller = trunk.numbers[0] if trunk.numbers else ""
        seconds = min(self._max_duration, left)
        return Permit(
            id=id,
            user=user,
            trunk=trunk.name,
            number=number,
            seconds=seconds,
            caller=caller,
            since=now,
        )

    def vet(self, user: str, number: str, source: str) -> None:
        """Whether a phone may have calls sent to a number, which nobody asks about later. Raises
        `CallRefused`."""
        now, country = self._clock(), region_of(number)
        self._check_locked(user, now)
        self._check_destination(user, None, number, country)
        if self._limits.ask_owner:
            self._check_usual(user, number, country, source, now)

    def admit_text(
        self, user: str, trunk: Trunk | None, number: str, source: str = "", pages: int = 1
    ) -> None:
        """Count a text message in that leaves through a trunk, or an SMS provider. Raises
        `CallRefused` with what to change."""
        now = self._clock()
        if source:
            self._check_locked(user, now)
        self._check_destination(user, trunk, number, region_of(number))
        lately = self._texts.setdefault(user, deque())
        while lately and now - lately[0] > HOUR:
            lately.popleft()
        if len(lately) + pages > self._limits.texts_per_hour:
            raise CallRefused(
                403,
                f"you sent {len(lately)} messages outside in the last hour, which is the limit "
                "([limits] texts_per_hour)",
            )
        lately.extend([now] * pages)

    def release(self, permit: Permit) -> None:
        """A counted call is over."""
        if self._metering is not None:
            self._metering.release(permit.id)
        self._spend(permit.user, permit.since, self._clock() - permit.since)
        for counts, key in ((self._at_once, permit.user), (self._on_trunk, permit.trunk)):
            left = counts.get(key, 0) - 1
            if left > 0:
                counts[key] = left
            else:
                counts.pop(key, None)

    # ── the owner answers ───────────────────────────────────────────────────────────────
    def answer(self, *, yes: bool) -> str:
        """The owner's word on the call asked about first; what was done about it. Empty when
        nothing was asked."""
        now = self._clock()
        while self._questions:
            user, held = self._questions.popitem(last=False)
            if self._locked.get(user, (0.0, ""))[0] > now:
                break
        else:
            return ""
        if yes:
            habit = self._habit(user)
            habit.learn(held.country, held.source)
            habit.nights = now + DAY / 2
            self._locked.pop(user, None)
            told = f"Good. {user} may call outside again; the call has to be dialled anew."
        else:
            self._locked[user] = (now + DAY, "its owner says that a call of it was not theirs")
            self._denied.add(user)
            told = (
                f"Outside calls of {user} are locked for a day. Somebody knows its password: "
                "change the secret of the extension, which also throws its phones out."
            )
        following = next(iter(self._questions.values()), None)
        return f"{told}\n{self._question(following)}" if following else told

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _check_locked(self, user: str, now: float) -> None:
        until, why = self._locked.get(user, (0.0, ""))
        if until > now:
            minutes = max(1, round((until - now) / 60))
            raise CallRefused(403, f"outside calls of {user} are held for {minutes} minutes: {why}")
        if until:
            del self._locked[user]
            self._denied.discard(user)
            self._questions.pop(user, None)

    def _check_usual(self, user: str, number: str, country: str, source: str, now: float) -> None:
        """Hold a call that is not like the extension's others, and ask the owner."""
        limits, habit = self._limits, self._habit(user)
        hour = datetime.fromtimestamp(now, UTC).astimezone(self._timezone).hour
        begins, ends = limits.night
        night = begins <= hour or hour < ends if begins > ends else begins <= hour < ends
        late = len(self._lately(user, now)) if night else -1
        oddities = habit.oddities(
            country, self._home(), source, late=late, night=limits.night_calls_per_hour, now=now
        )
        if not oddities:
            habit.learn(country, source)
            return
        held = self._questions[user] = Held(
            user=user,
            number=spoken(number),
            country=country,
            source=source,
            oddities=tuple(oddities),
            minutes=round(limits.hold_minutes),
        )
        why = "the owner was asked whether this call is theirs"
        self._locked[user] = (now + 60 * limits.hold_minutes, why)
        self._ask(self._question(held))
        raise CallRefused(
            403, f"{spoken(number)} is {' and '.join(oddities)} for {user}, and held: {why}"
        )

    def _question(self, held: Held) -> str:
        extension = self._extension(held.user)
        return held.question(extension.name if extension else "")

    def _check_destination(self, user: str, trunk: Trunk | None, number: str, country: str) -> None:
        if self._inside_only(user):
            raise CallRefused(403, "guests can call and write inside the exchange only")
        if is_premium(number) and not self._limits.premium_numbers:
            raise CallRefused(
                403, f"{number} is a premium-rate number; these are off ([limits] premium_numbers)"
            )
        extension = self._extension(user)
        theirs = extension.countries if extension else ()
        line = trunk.countries if trunk else ()
        allowed = set(theirs or line or self._limits.countries or self._home())
        denied = {*self._limits.denied_countries, *(trunk.denied_countries if trunk else ())}
        denied |= set(extension.denied_countries if extension else ())
        if country not in allowed - denied:
            where = country or "that country code"
            raise CallRefused(
                403,
                f"calls to {where} are not allowed; allowed are "
                f"{', '.join(sorted(allowed - denied)) or 'none'} ([limits] countries)",
            )

    def _home(self) -> set[str]:
        """The countries of the own lines."""
        trunks = self._trunks()
        own = {region_of_zone(trunk.zone) for trunk in trunks}
        own |= {region_of(number) for trunk in trunks for number in trunk.numbers}
        return own - {""}

    def _habit(self, user: str) -> Habits:
        return self._habits.setdefault(user, Habits())

    def _lately(self, user: str, now: float) -> deque[float]:
        """When the extension made its calls of the last hour."""
        history = self._history.setdefault(user, deque())
        while history and now - history[0] > HOUR:
            history.popleft()
        return history

    def _spend(self, user: str, at: float, seconds: float) -> None:
        spent = self._spent.setdefault(user, deque(maxlen=MAX_DAY))
        spent.append((at, max(0.0, seconds)))

    def _spent_today(self, user: str, now: float) -> float:
        """Seconds of outside calls that began in the last 24 hours."""
        spent = self._spent.get(user, deque())
        while spent and now - spent[0][0] > DAY:
            spent.popleft()
        return sum(seconds for _, seconds in spent)
