"""Calls between phones, to scripts, and through trunks, on real sockets."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from encryptotel.demo.phone import Phone, plays
from pbx.calls.leg import Leg
from pbx.events import AddressBanned, CallAnswered, DeviceUnregistered, LegEnded
from pbx.media.sdp import Direction
from pbx.media.srtp import SrtpPolicy
from pbx.media.tones import share_of, tone
from pbx.ports import CallRefused
from pbx.sip.digest import Credentials
from pbx.sip.transport import Transport
from tests.office import NEVER, BusyPhone, open_office, quiet

SECOND = 2 * 8000


async def hears(phone: Phone, hz: float) -> None:
    """Wait until a phone hears a steady tone; fails when it does not come."""
    async with asyncio.timeout(15):
        await phone.until_heard(
            lambda heard: len(heard) >= SECOND and share_of(bytes(heard[-SECOND:]), hz) >= 0.9
        )


@pytest.mark.parametrize("caller_by", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("callee_by", ["udp", "tls"])
async def test_two_phones_hear_each_other_over_every_transport(
    tmp_path: Path, caller_by: Transport, callee_by: Transport
) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0))), transport=caller_by)
        bob = await office.phone("102", Phone(plays(tone(1, 620.0))), transport=callee_by)
        leg = await alice.call("102")
        await asyncio.gather(hears(alice, 620.0), hears(bob, 440.0))
        leg.hang_up()
        await office.ended()
        assert all(ended.srtp for ended in office.of(LegEnded))


async def test_encrypted_and_plain_phones_are_joined(tmp_path: Path) -> None:
    extensions = (
        {"number": "101", "secret": "secret-101", "srtp": "require"},
        {"number": "102", "secret": "secret-102", "srtp": "off"},
    )
    async with open_office(tmp_path, extension=extensions) as office:
        alice = await office.phone(
            "101", Phone(plays(tone(1, 440.0)), srtp=SrtpPolicy.REQUIRE), transport="tls"
        )
        bob = await office.phone("102", Phone(plays(tone(1, 620.0)), srtp=SrtpPolicy.OFF))
        await alice.call("102")
        await asyncio.gather(hears(alice, 620.0), hears(bob, 440.0))
        call = next(iter(office.app.exchange.calls.values()))
        call.hang_up()
        await office.ended()
        assert {(e.peer, e.srtp) for e in office.of(LegEnded)} == {("101", True), ("102", False)}


async def test_a_phone_that_cannot_encrypt_is_refused_where_it_must(tmp_path: Path) -> None:
    extensions = ({"number": "101", "secret": "secret-101", "srtp": "require"},)
    async with open_office(tmp_path, extension=extensions) as office:
        alice = await office.phone("101", Phone(quiet, srtp=SrtpPolicy.OFF))
        with pytest.raises(CallRefused) as caught:
            await alice.call("600")
        assert caught.value.status == 488


async def test_all_devices_ring_and_the_losers_are_told_it_was_answered_elsewhere(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", Phone(quiet))
        await office.phone("102", Phone(quiet, ring_seconds=NEVER))
        await office.phone("102", Phone(quiet, ring_seconds=0.3), transport="tcp")
        leg = await alice.call("102")
        leg.hang_up()
        trace = await office.traced()
        cancels = [line for line in trace.lines if line.summary.startswith("CANCEL")]
        assert len(cancels) == 1
        assert 'SIP;cause=200;text="Call completed elsewhere"' in cancels[0].text


@pytest.mark.parametrize(
    ("called", "status"), [("103", 480), ("999", 404), ("nonsense", 404), ("101", 486)]
)
async def test_failures_reach_the_caller(tmp_path: Path, called: str, status: int) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", BusyPhone(quiet))
        with pytest.raises(CallRefused) as caught:
            await alice.call(called)
        assert caught.value.status == status


async def test_a_wrong_password_registers_nobody(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        phone = Phone(quiet)
        await phone.listen()
        host, port = office.app.addresses["udp"].rsplit(":", 1)
        wrong = Credentials(username="101", secret="wrong")
        status = await phone.register((host, int(port)), wrong, "encryptotel.local")
        assert status == 401
        assert office.app.exchange.registrar.all() == []
        await phone.stop()


async def test_guessing_passwords_gets_an_address_banned_but_not_one_with_a_phone(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path, guard={"failures": 5}) as office:
        host, port = office.app.addresses["udp"].rsplit(":", 1)
        wrong = Credentials(username="101", secret="wrong")
        guesser = Phone(quiet)
        await guesser.listen()
        for _ in range(2):  # two wrong answers, then three: the first time it asks without
            await guesser.register((host, int(port)), wrong, "encryptotel.local")
        await office.until(lambda: bool(office.of(AddressBanned)))
        assert office.app.exchange.guard.is_banned("127.0.0.1")
        await guesser._stack.close()

    async with open_office(tmp_path / "two", guard={"failures": 4}) as office:
        alice = await office.phone("101", Phone(quiet))
        host, port = office.app.addresses["udp"].rsplit(":", 1)
        guesser = Phone(quiet)
        await guesser.listen()
        for _ in range(4):
            await guesser.register((host, int(port)), wrong, "encryptotel.local")
        assert office.of(AddressBanned) == []
        leg = await alice.call("600")
        leg.hang_up()
        await guesser.stop()


async def test_a_broken_connection_is_an_unreachable_phone_at_once(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", Phone(quiet))
        bob = await office.phone("102", Phone(quiet), transport="tls")
        (binding,) = office.app.exchange.registrar.bindings("102")
        binding.flow.close()
        await office.until(lambda: bool(office.of(DeviceUnregistered)))
        with pytest.raises(CallRefused) as caught:
            await alice.call("102")
        assert caught.value.status == 480
        assert bob.legs == []


async def test_a_leg_that_falls_silent_is_ended(tmp_path: Path) -> None:
    async def mute(phone: Phone, leg: object) -> None:
        phone.legs[0].release_audio()  # sends nothing from here on
        await phone.legs[0].ended()

    async with open_office(tmp_path, media={"silence_timeout": 1.0}) as office:
        alice = await office.phone("101", Phone(quiet))
        await office.phone("102", Phone(mute))
        await alice.call("102")
        await office.ended()
        causes = {ended.peer: ended.cause for ended in office.of(LegEnded)}
        assert causes["102"] == "no sound for too long"


SCRIPT = """
import time
from pyVoIP.VoIP import CallState, InvalidStateError

heard = []

def answer(call):
    try:
        call.answer()
        heard.append(call.request.headers["From"]["number"])
        while call.state == CallState.ANSWERED:
            call.write_audio(call.read_audio(160))
            key = call.get_dtmf()
            if key:
                heard.append(key)
            if key == "#":
                call.hangup()
    except InvalidStateError:
        pass

def deny(call):
    call.deny()

def broken(call):
    raise RuntimeError("oops")
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "voip_scripts.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("voip_scripts", None)
    return tmp_path


async def test_a_pyvoip_script_runs_unchanged_as_an_extension(scripts: Path) -> None:
    extensions = (
        {"number": "101", "secret": "secret-101"},
        {"number": "700", "script": "voip_scripts:answer"},
    )
    async with open_office(scripts / "data", extension=extensions) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0))), transport="tls")
        leg = await alice.call("700")
        await hears(alice, 440.0)
        for key in "42#":
            leg.audio.send_digit(key)
        ended = await office.ended()
        assert ended.status == 200
        assert sys.modules["voip_scripts"].heard == ["101", "4", "2", "#"]
        assert len(office.of(CallAnswered)) == 1
        assert office.of(LegEnded)[0].srtp is True


@pytest.mark.parametrize(("script", "status"), [("deny", 486), ("broken", 500), ("missing", 480)])
async def test_scripts_that_refuse_or_fail(scripts: Path, script: str, status: int) -> None:
    extensions = (
        {"number": "101", "secret": "secret-101"},
        {"number": "700", "script": f"voip_scripts:{script}"},
    )
    async with open_office(scripts / "data", extension=extensions) as office:
        alice = await office.phone("101", Phone(quiet))
        with pytest.raises(CallRefused) as caught:
            await alice.call("700")
        assert caught.value.status == status


async def test_an_extension_calls_out_and_is_called_through_the_demo_carrier(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path, demo={"carrier": True}) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0))))
        leg = await alice.call("+442079460321")
        await hears(alice, 440.0)  # the announcement is over and the echo comes back
        leg.hang_up()
        ended = await office.ended()
        assert ended.status == 200
        assert {e.peer for e in office.of(LegEnded)} == {"101", "+442079460321"}


async def test_forbidden_countries_are_refused_before_anybody_is_called(tmp_path: Path) -> None:
    async with open_office(tmp_path, demo={"carrier": True}) as office:
        alice = await office.phone("101", Phone(quiet))
        with pytest.raises(CallRefused) as caught:
            await alice.call("+33142685300")
        assert caught.value.status == 403
        assert office.app.carrier is not None
        assert office.app.carrier.called == []


async def test_the_built_in_phone_steps_aside_for_a_real_one(tmp_path: Path) -> None:
    async with open_office(tmp_path, demo={"phones": ("101",)}) as office:
        registrar = office.app.exchange.registrar
        assert len(registrar.bindings("101")) == 1
        await office.phone("101", Phone(quiet))
        await office.until(lambda: bool(office.of(DeviceUnregistered)))
        assert len(registrar.bindings("101")) == 1
        assert office.app.demo_phones == {}


async def test_calls_beyond_the_limit_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    async with open_office(tmp_path, calls={"max_calls": 2}) as office:
        alice = await office.phone("101", Phone(quiet))
        first, second = await alice.call("600"), await alice.call("600")
        with pytest.raises(CallRefused) as caught:
            await alice.call("600")
        assert caught.value.status == 503
        assert first.ending is None
        assert second.ending is None


async def test_a_long_hold_is_no_silence_and_resume_brings_the_sound_back(tmp_path: Path) -> None:
    """The one who is held sends nothing, and rightly so: the call must not be ended for it."""
    async with open_office(tmp_path, media={"silence_timeout": 0.8}) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0))))
        bob = await office.phone("102", Phone(plays(tone(1, 620.0))))
        leg = await alice.call("102")
        await hears(alice, 620.0)
        await reoffer(leg, "sendonly")
        (held,) = bob.legs
        assert held.media.remote is not None
        assert held.media.remote.on_hold
        with pytest.raises(TimeoutError):  # three times the silence that ends a call
            await asyncio.wait_for(office.ended(), 2.4)
        await reoffer(leg, "sendrecv")
        alice.heard.clear()
        await hears(alice, 620.0)


async def reoffer(leg: Leg, direction: Direction) -> None:
    """Hold or resume, as a phone does it: the same media, another direction."""
    assert leg.media.local is not None
    assert leg.session is not None
    (audio,) = leg.media.local.media
    wanted = replace(leg.media.local, media=(replace(audio, direction=direction),))
    response = await leg.session.reoffer(await leg.media.offer(wanted, profile=leg.profile))
    assert response.status == 200
    leg.media.take_answer(response.body)
