"""What people have the exchange do: calls placed for them, and changes of calls going on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from pbx.calls.apps.callback import Party, callback
from pbx.calls.apps.confer import bring, confer
from pbx.calls.apps.echo import call_and_echo
from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg
from pbx.calls.numbers import spoken
from pbx.calls.router import ECHO, Refuse, dial_out
from pbx.exchange import Exchange
from pbx.ports import CallRefused, Permit


class Orders:
    """Orders to an exchange. A number is an extension or +E.164; a line the zone of a trunk."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def call_back(
        self, *, number: str, back: str, line: str | None, user: str, caller_name: str = ""
    ) -> Call:
        """Call `number` and ring `back`, each an extension or +E.164, and join them.

        `line` is the zone of the trunk to use for the first; the second takes the trunk of its
        own country. Raises `CallRefused` if either may not be called.
        """
        self._check_room()
        with self._permits() as permits:
            first = None
            if number != ECHO:
                first = self._party(number, line, user, number_shown=back, permits=permits)
            second = self._party(back, None, user, number_shown=number, permits=permits)
        call = self._exchange.new_call(caller=back, callee=number, user=user, kind="callback")
        self._hold(call, permits)

        async def course() -> Ending:
            ring = self._ring_timeout
            if first is None:
                return await call_and_echo(call, second.targets, ring_timeout=ring)
            return await callback(
                call, first, second, speaker=self._exchange.speaker, ring_timeout=ring
            )

        self._exchange.run(call, course())
        return call

    async def transfer(
        self,
        call: Call,
        leg: Leg,
        number: str,
        *,
        user: str,
        source: str = "",
        hang_up: bool = True,
    ) -> None:
        """Let an extension or +E.164 talk in the place of `leg`, at the expense of `user`.
        `source` is the address of the phone that wants it, empty for a command. Raises
        `CallRefused` when that does not come about."""
        shown = next((one.peer for one in call.legs if one is not leg and one.answered), leg.peer)
        with self._permits() as permits:
            party = self._party(
                number, None, user, number_shown=shown, permits=permits, source=source
            )
            await call.transfer(
                leg, party.targets, ring_timeout=self._ring_timeout, hang_up=hang_up
            )
        self._hold(call, permits)

    async def add_party(self, call: Call, number: str, *, line: str | None, user: str) -> None:
        """Bring an extension or +E.164 into a call, which becomes a conference. Raises
        `CallRefused` when they cannot be called; that they do not come is told as a notice."""
        with self._permits() as permits:
            party = self._party(number, line, user, number_shown=user, permits=permits)
            came = await bring(call, party, self._ring_timeout)
        if came:
            self._hold(call, permits)
        else:
            self._release(permits)

    def conference(self, numbers: Sequence[str], *, line: str | None, user: str) -> Call:
        """Call several together, each an extension or +E.164. Raises `CallRefused` if one of
        them may not be called."""
        self._check_room()
        with self._permits() as permits:
            parties = [
                self._party(number, line, user, number_shown=user, permits=permits)
                for number in numbers
            ]
        callee = ", ".join(number for number in numbers if number != user)[:80]
        call = self._exchange.new_call(caller=user, callee=callee, user=user, kind="conference")
        self._hold(call, permits)
        self._exchange.run(call, confer(call, parties, ring_timeout=self._ring_timeout))
        return call

    @property
    def _ring_timeout(self) -> float:
        return self._exchange.settings.ring_timeout

    @contextlib.contextmanager
    def _permits(self) -> Iterator[list[Permit]]:
        """What is admitted in the block is released at once when it fails."""
        permits: list[Permit] = []
        try:
            yield permits
        except BaseException:
            self._release(permits)
            raise

    def _hold(self, call: Call, permits: Sequence[Permit]) -> None:
        for permit in permits:
            self._exchange.hold(call, permit)

    def _release(self, permits: Sequence[Permit]) -> None:
        for permit in permits:
            self._exchange.gatekeeper.release(permit)

    def _check_room(self) -> None:
        if self._exchange.draining:
            raise CallRefused(503, "the exchange is stopping")
        if len(self._exchange.calls) >= self._exchange.settings.max_calls:
            raise CallRefused(503, "there are too many calls just now")

    def _party(
        self,
        number: str,
        line: str | None,
        user: str,
        number_shown: str,
        permits: list[Permit],
        source: str = "",
    ) -> Party:
        extension = self._exchange.directory.extension(number)
        if extension is not None:
            targets = self._exchange.device_targets(extension, number_shown, "")
            if not targets:
                raise CallRefused(480, f"no phone is registered for {extension.number}")
            return Party(label=extension.number, targets=targets)
        plan = dial_out(number, self._exchange.directory.trunks(), line)
        if isinstance(plan, Refuse):
            raise CallRefused(plan.status, plan.reason)
        permit = self._exchange.gatekeeper.admit(user, plan.trunk, plan.number, source)
        permits.append(permit)
        link = self._exchange.link(plan.trunk)
        return Party(label=spoken(number), targets=[link.target(plan.number, permit.caller)])
