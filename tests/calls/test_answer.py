"""“Answer” in the chat: phones that know the “talk” event take the call, others say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.ports import Control, OperatorError
from encryptotel.demo.phone import Phone
from pbx.events import CallAnswered, CallStarted, LegRinging
from tests.calls.test_texts import _udp
from tests.office import NEVER, open_office, quiet
from tests.peers import sipp
from tests.peers.proc import missing


@pytest.mark.interop
@pytest.mark.skipif(bool(missing("sipp")), reason="SIPp is not installed")
async def test_a_phone_is_told_to_take_the_call(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.dialogue()
        async with (
            sipp.registered_callee(_udp(office), "101", "secret-101", answer="uas_talk") as phone,
            sipp.caller(
                _udp(office), "101", number="102", password="secret-102", talk=0.5
            ) as caller,
        ):
            await office.until(lambda: bool(office.of(LegRinging)))
            call = office.of(CallStarted)[0].call_id
            await office.app.operator.control(office.app.person, call, Control.ANSWER)
            await office.until(lambda: bool(office.of(CallAnswered)))
            await caller.finish()
            await phone.received("BYE")


async def test_a_phone_that_cannot_be_told_is_to_be_picked_up(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.dialogue()
        await office.phone("101", Phone(quiet, ring_seconds=NEVER))
        bob = await office.phone("102", Phone(quiet))
        calling = bob._spawn(_call(bob))
        await office.until(lambda: bool(office.of(LegRinging)))
        call = office.of(CallStarted)[0].call_id
        with pytest.raises(OperatorError, match="please pick it up"):
            await office.app.operator.control(office.app.person, call, Control.ANSWER)
        assert office.app.operator.active_calls(office.app.person)[0].incoming
        calling.cancel()


async def _call(phone: Phone) -> None:
    await phone.call("101")
