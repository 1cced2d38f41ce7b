"""Rings several targets at once, until one has the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pbx.calls.leg import Leg, LegOver, Target
from pbx.media.sdp import SessionDescription
from pbx.ports import CallRefused
from pbx.sip.outgoing import ELSEWHERE

MAX_REDIRECTS = 5
"Times one call is sent elsewhere; more is a loop."
TO_ACCEPT = 20.0
"Seconds somebody has to accept a call once they answered, however long it rang."


class Dialling:
    """One attempt to reach somebody. `new_leg` makes the leg for a target, `redirect` says what to
    ring instead of one that sends its callers elsewhere (3xx)."""

    def __init__(
        self,
        new_leg: Callable[[Target], Leg],
        redirect: Callable[[Leg, Sequence[str]], list[Target]],
        like: SessionDescription | None,
    ) -> None:
        self._new_leg = new_leg
        self._redirect = redirect
        self._like = like
        self._attempts: dict[asyncio.Task[None], Leg] = {}
        self._picked: asyncio.Future[Leg] = asyncio.get_running_loop().create_future()
        self._deadline = asyncio.timeout(None)
        self._redirects = 0

    async def winner(self, targets: Sequence[Target], ring_timeout: float) -> Leg:
        """The first to answer, and to accept where that is asked for; the others are cancelled.
        Raises `CallRefused` with the most telling failure when nobody does."""
        failures: list[CallRefused] = []
        reason = "cancelled"
        loop = asyncio.get_running_loop()
        try:
            async with self._deadline:
                self._deadline.reschedule(loop.time() + ring_timeout)
                pending = {self._attempt(target) for target in targets}
                while pending and not any(failure.status >= 600 for failure in failures):
                    awaited: set[asyncio.Future[Any]] = {*pending, self._picked}
                    done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                    if self._picked.done():
                        reason = ELSEWHERE
                        return self._picked.result()
                    for task in [task for task in pending if task in done]:
                        pending.discard(task)
                        error = task.exception()
                        if error is None:
                            reason = ELSEWHERE
                            return self._attempts.pop(task)
                        if not isinstance(error, CallRefused):
                            raise error
                        failures.append(error)
                        pending |= {self._attempt(t) for t in self._elsewhere(task, error)}
        except TimeoutError:
            reason = "no answer"
            failures.append(CallRefused(408, reason))
        finally:
            self._picked.cancel()
            for task, leg in self._attempts.items():
                leg.hang_up(reason)
                task.add_done_callback(_seen)
            # Failures, and the task that a deadline is for, hold us: circles.
            self._attempts.clear()
            self._deadline = asyncio.timeout(None)
        worst = max(failures, key=_telling)
        failures.clear()
        try:
            if worst.status < 400:
                raise CallRefused(480, "they are elsewhere, and cannot be reached there")
            raise worst
        finally:
            del worst  # what is raised holds this frame, which must not hold it

    def rings_at(self, number: str) -> bool:
        """Whether phones of an extension are among those that ring."""
        return any(leg.peer == number and not leg.answered for leg in self._attempts.values())

    def pick_up(self, leg: Leg) -> None:
        """Let another leg have the call. Raises `CallRefused` when somebody has it."""
        if self._picked.done():
            raise CallRefused(481, "that call rings no more")
        self._picked.set_result(leg)

    def _attempt(self, target: Target) -> asyncio.Task[None]:
        leg = self._new_leg(target)
        task = asyncio.ensure_future(self._dial(leg, target))
        self._attempts[task] = leg
        return task

    async def _dial(self, leg: Leg, target: Target) -> None:
        await leg.dial(target, self._like)
        if target.accept is None:
            return
        soonest = asyncio.get_running_loop().time() + TO_ACCEPT
        self._deadline.reschedule(max(self._deadline.when() or 0.0, soonest))
        try:
            await target.accept(leg)
        except CallRefused as refused:
            leg.hang_up(refused.reason, refused.status)
            raise
        except LegOver as over:
            raise CallRefused(480, over.ending.words) from None

    def _elsewhere(self, task: asyncio.Task[None], refused: CallRefused) -> list[Target]:
        """What to ring instead of a leg that was redirected (RFC 3261 §8.1.3.4)."""
        if not refused.redirects or self._redirects >= MAX_REDIRECTS:
            return []
        self._redirects += 1
        return self._redirect(self._attempts[task], refused.redirects)


def _seen(task: asyncio.Task[None]) -> None:
    """The failure of a leg that lost the race is nobody's news."""
    if not task.cancelled():
        task.exception()


def _telling(failure: CallRefused) -> tuple[int, int]:
    """Which of several failures the caller should hear (RFC 3261 §16.7 step 6, and that a busy
    phone says more than one that is off)."""
    status = failure.status
    order = [404, 503, 500, 480, 408, 486, 603]
    return (2 if status >= 600 else 1, order.index(status) if status in order else 3)
