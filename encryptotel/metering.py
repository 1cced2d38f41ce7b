"""Runs a meter with each side of a call that costs money: begins it when that is answered, has more
set aside as the call goes on, warns before the money ends, and ends the call when it has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from encryptotel.config import MoneySection
from pbx.about import about
from pbx.calls.call import Call
from pbx.calls.leg import Leg
from pbx.events import CallAnswered, Event, LegAnswered, LegEnded, LegStarted
from pbx.media.tones import tone
from pbx.ports import CallRefused
from wallet.charging import Charging, Meter, NotPaid
from wallet.rates import RateDeck

log = logging.getLogger(__name__)

WARNING_SECONDS = 30.0
"Before the money ends."
WARNING = tone(0.3, 1400.0) + bytes(3200) + tone(0.3, 1400.0)
SPENT = "your balance is used up"


@dataclass
class _Running:
    meter: Meter
    warned: bool = False
    timer: asyncio.TimerHandle | None = None
    begun: float = field(default=0.0)
    "By the loop's clock."


class Metering:
    """`calls` are those that go on, by id. `tell` says something to a person."""

    def __init__(
        self,
        charging: Charging,
        section: MoneySection,
        calls: Callable[[], Mapping[str, Call]],
        tell: Callable[[str, str], None],
    ) -> None:
        self.charging = charging
        charging.told = self.spent
        self._section, self._calls, self._tell = section, calls, tell
        self.more = "Ask whoever runs this exchange for more."
        "How to get some."
        self._running: dict[str, _Running] = {}
        "By permit."
        self._legs: dict[str, str] = {}
        "Which permit a leg uses."
        self._announcing: set[asyncio.Task[None]] = set()

    def reconfigure(self, section: MoneySection, deck: RateDeck) -> None:
        """Go on with other prices; calls that go on keep theirs."""
        self._section, self.charging.deck = section, deck

    @property
    def only_with_plan(self) -> Sequence[str]:
        """Features that only plans include."""
        return self._section.only_with_plan

    def text_price(self, extension: str) -> int:
        """Of a page of a text that somebody sends outside."""
        return 0 if self.is_free(extension) else self.charging.unit.parse(self._section.text)

    def holding_text(self, extension: str, pages: int) -> AbstractContextManager[None]:
        """While a text to outside is paid for, its price pays for nothing else."""
        return self.charging.holding(extension, pages * self.text_price(extension))

    async def pay_text(
        self, session: AsyncSession, extension: str, key: str, pages: int, to: str
    ) -> Callable[[], None] | None:
        """A text to outside is paid for in the transaction that keeps it; what to do then, or None
        when it was paid before. Raises `CallRefused`."""
        cost = pages * self.text_price(extension)
        if not cost:
            return lambda: None
        try:
            return await self.charging.pay(session, extension, cost, key, f"text to {to}")
        except NotPaid as refused:
            raise CallRefused(402, str(refused)) from refused

    def pays(self, extension: str) -> bool:
        """Whether outside calls cost somebody anything."""
        return not self.is_free(extension)

    def is_free(self, extension: str) -> bool:
        """Whether somebody calls at the host's expense."""
        return extension in self._section.free

    # ── the gatekeeper asks ─────────────────────────────────────────────────────────────
    def reserve(self, permit: str, user: str, number: str) -> None:
        """Set money aside for a call. Raises `CallRefused`."""
        if self.is_free(user):
            return
        try:
            meter = self.charging.reserve(user, number)
        except NotPaid as refused:
            raise CallRefused(402, str(refused)) from refused
        self._running[permit] = _Running(meter)

    def release(self, permit: str) -> None:
        """A permit is used no more."""
        running = self._running.get(permit)
        if running is not None and running.meter.answered_at is None:
            self._end(permit, running)

    # ── what happens ────────────────────────────────────────────────────────────────────
    def take(self, event: Event) -> None:
        """Follow the legs of all calls."""
        match event:
            case LegStarted() if event.permit in self._running:
                self._legs[event.leg_id] = event.permit
            case LegAnswered() if event.leg_id in self._legs:
                running = self._running.get(self._legs[event.leg_id])
                if running is not None and running.meter.answered_at is None:
                    running.begun = asyncio.get_running_loop().time()
                    self.charging.begin(running.meter, event.call_id, event.leg_id, event.at)
                    self._look(running)
            case CallAnswered():
                self._joined(event.call_id)
            case LegEnded() if event.leg_id in self._legs:
                permit = self._legs.pop(event.leg_id)
                running = self._running.get(permit)  # a side rung in vain may be released before
                if running is not None and running.meter.answered_at is not None:
                    self._end(permit, running, event)
            case _:
                pass

    def spent(self, extension: str, cost: int, left: int) -> None:
        """A call was paid for: whoever has little left is told, once."""
        low = self.charging.unit.parse(self._section.low)
        if left < low <= left + cost:
            has = self.charging.unit.text(left)
            self._tell(extension, f"You have {has} left. {self.more}")

    def _end(self, permit: str, running: _Running, event: LegEnded | None = None) -> None:
        if running.timer is not None:
            running.timer.cancel()
        del self._running[permit]
        at = event.at if event is not None else self.charging.now()
        self.charging.end(running.meter, at)

    def _look(self, running: _Running) -> None:
        """Set money aside for more, or warn, or end the call; and look again in time."""
        loop, meter = asyncio.get_running_loop(), running.meter
        call, leg = self._found(meter)
        if self._left(running) <= WARNING_SECONDS:
            self.charging.extend(meter)
        left = self._left(running)
        if left > WARNING_SECONDS:
            running.warned = False
            running.timer = loop.call_later(left - WARNING_SECONDS, self._look, running)
        elif left > 0:
            if not running.warned and call is not None and call.answered_at is not None:
                running.warned = True
                self._announce(call)
            running.timer = loop.call_later(left, self._look, running)
        elif call is not None and leg is not None:
            with about(call.id):
                log.info(SPENT)
            if call.conference is not None:  # the others go on
                leg.hang_up(SPENT)
            else:
                call.hang_up(SPENT)

    def _joined(self, call: str) -> None:
        """From now on a warning is heard by both sides."""
        for running in self._running.values():
            if running.timer is not None and running.meter.call == call:
                running.timer.cancel()
                self._look(running)

    def _found(self, meter: Meter) -> tuple[Call | None, Leg | None]:
        """The side of a call that a meter runs with, in whatever call that is by now."""
        for call in self._calls().values():
            for leg in call.legs:
                if leg.id == meter.leg:
                    return call, leg
        return None, None

    def _left(self, running: _Running) -> float:
        """Seconds until what was set aside is used up."""
        return running.begun + running.meter.covers - asyncio.get_running_loop().time()

    def _announce(self, call: Call) -> None:
        task = asyncio.ensure_future(call.announce(WARNING))
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)
