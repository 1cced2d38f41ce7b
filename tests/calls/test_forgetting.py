"""What a call held is given back when it is over, without waiting for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from encryptotel.demo.phone import Phone
from pbx.events import CallTraced
from pbx.orders import Orders
from tests.office import NEVER, BusyPhone, Office, open_office, quiet


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Whatever refers in a circle stays."""
    gc.disable()
    yield
    gc.enable()


async def _ended_by(office: Office, kind: str, on_gone: Callable[[], object]) -> list[Any]:
    """Make a call of a kind and end it; for each of its parts what tells that it is gone."""
    exchange = office.app.exchange
    alice = await office.phone("101", Phone(quiet))
    bob = BusyPhone(quiet) if kind == "busy" else Phone(quiet, ring_seconds=_patience(kind))
    await office.phone("102", bob)
    if kind == "callback":
        call = Orders(exchange).call_back(number="102", back="101", line=None, user="101")
        await office.until(lambda: call.answered_at is not None)
    else:
        dialling = asyncio.ensure_future(alice.call("600" if kind == "echo" else "102"))
        await office.until(lambda: bool(exchange.calls))
        (call,) = exchange.calls.values()
        if kind not in ("busy", "cancelled"):
            await dialling
        else:
            dialling.add_done_callback(lambda done: done.exception())
    parts = [call, *call.legs, *(leg.media for leg in call.legs)]
    parts += [leg.session for leg in call.legs if leg.session is not None]
    found = [weakref.finalize(part, on_gone) for part in parts]
    if kind != "busy":
        call.hang_up()
    await office.ended()
    return found


def _patience(kind: str) -> float:
    return NEVER if kind == "cancelled" else 0.1


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("kind", ["answered", "busy", "cancelled", "echo", "callback"])
async def test_nothing_of_a_call_stays(tmp_path: Path, kind: str) -> None:
    async with open_office(tmp_path) as office:
        stack = office.app.exchange.stack
        stack.timers.t1, stack.timers.t4 = 0.02, 0.1  # transactions linger for 64 × T1
        gone = asyncio.Event()
        parts = await _ended_by(office, kind, gone.set)
        await office.until(lambda: bool(office.of(CallTraced)))
        async with asyncio.timeout(10):
            while any(part.alive for part in parts):
                gone.clear()
                await gone.wait()
