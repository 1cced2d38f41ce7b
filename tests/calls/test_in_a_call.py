"""Mute, hold and keys in a call, by what the other side hears."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.ports import Control, OperatorError
from encryptotel.demo.phone import Phone, plays
from nlp.commands import Call, Party
from pbx.calls.leg import Leg
from pbx.events import CallAnswered
from pbx.media.codecs import CODECS, Codec
from pbx.media.music import hold_music
from pbx.media.tones import dominant, level, share_of, tone
from tests.office import Office, open_office

SECOND = 16_000
"Bytes of sound."


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(tmp_path) as opened:
        yield opened


async def _fresh(phone: Phone, seconds: float = 1.0, skip: float = 0.5) -> bytes:
    """What a phone hears from half a second after now on."""
    begin = len(phone.heard) + int(skip * SECOND)
    end = begin + int(seconds * SECOND)
    await phone.until_heard(lambda heard: len(heard) >= end)
    return bytes(phone.heard[begin:end])


async def _talk(office: Office, codecs: tuple[Codec, ...] = CODECS) -> tuple[Phone, Phone, str]:
    """Alice (440 Hz) and Bob (620 Hz) in a call that Alice had placed."""
    alice = await office.phone("101", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
    bob = await office.phone("102", Phone(plays(tone(1, 620.0)), ring_seconds=0.1, codecs=codecs))
    operator, owner = office.app.operator, office.app.person
    placed = await operator.call(owner, Call(to=(Party(extension="102"),)))
    await office.until(lambda: bool(office.of(CallAnswered)))
    alice.heard.clear()
    bob.heard.clear()
    return alice, bob, placed.call_id


@pytest.mark.parametrize("codecs", [CODECS, tuple(c for c in CODECS if c.name.startswith("PCMA"))])
async def test_who_is_muted_is_not_heard_and_hears(
    office: Office, codecs: tuple[Codec, ...]
) -> None:
    alice, bob, call_id = await _talk(office, codecs)
    operator, owner = office.app.operator, office.app.person
    assert share_of(await _fresh(bob), 440.0) > 0.9
    await operator.control(owner, call_id, Control.MUTE)
    assert level(await _fresh(bob)) < -70
    assert share_of(await _fresh(alice), 620.0) > 0.9
    await operator.control(owner, call_id, Control.UNMUTE)
    assert share_of(await _fresh(bob), 440.0) > 0.9


async def test_on_hold_there_is_music_and_nobody_is_heard(office: Office) -> None:
    alice, bob, call_id = await _talk(office)
    operator, owner = office.app.operator, office.app.person
    await operator.control(owner, call_id, Control.HOLD)
    (going_on,) = operator.active_calls(owner)
    assert going_on.held
    music = await _fresh(bob, seconds=4.0)
    assert -35 < level(music) < -15
    notes = {round(dominant(music[at : at + 4000])) for at in range(0, len(music), 4000)}
    assert len(notes) > 5, "a melody has several notes"
    assert share_of(music, 440.0) < 0.5
    assert level(await _fresh(alice)) < -70
    await operator.control(owner, call_id, Control.RESUME)
    assert share_of(await _fresh(bob), 440.0) > 0.9
    assert share_of(await _fresh(alice), 620.0) > 0.9


async def test_keys_pressed_in_the_chat_reach_the_other_side(office: Office) -> None:
    pressed: list[str] = []

    async def listens(phone: Phone, leg: Leg) -> None:
        pressed.append(await leg.digits(4, within=20))
        leg.hang_up()

    await office.phone("101", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
    await office.phone("102", Phone(listens, ring_seconds=0.1))
    operator, owner = office.app.operator, office.app.person
    placed = await operator.call(owner, Call(to=(Party(extension="102"),)))
    await office.until(lambda: bool(office.of(CallAnswered)))
    operator.press(owner, placed.call_id, "19*#")
    await office.ended()
    assert pressed == ["19*#"]


async def test_of_a_call_of_others_nothing_can_be_done(office: Office) -> None:
    _, _, call_id = await _talk(office)
    stranger: Any = office.app.person.__class__(name="Carol", extension="103", id="carol")
    for what in Control:
        with pytest.raises(OperatorError):
            await office.app.operator.control(stranger, call_id, what)
    with pytest.raises(OperatorError):
        office.app.operator.press(stranger, call_id, "1")


def test_the_music_repeats_without_a_click() -> None:
    import numpy as np

    samples = np.frombuffer(hold_music(), "<i2").astype(float)
    steps = np.abs(np.diff(np.concatenate((samples[-200:], samples[:200]))))
    inside = np.abs(np.diff(samples)).max()
    assert steps.max() <= inside
    assert np.abs(samples).max() < 20_000
